//! Events from elsewhere: keep the emitter, and emit to it from another route. `cargo run --example elsewhere`, then
//! `curl -N http://127.0.0.1:3001/events/ada` and, beside it, `curl -d hello http://127.0.0.1:3001/events/ada`.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Router, routing::get};
use ssekit::{EmitError, Emitter, Produce, produce};
use tokio::net::TcpListener;

/// Who is online, with a stream for each of their tabs.
#[derive(Clone, Default)]
struct Clients(Arc<Mutex<Online>>);

#[derive(Default)]
struct Online {
    streams: HashMap<(String, u64), Emitter>,
    next: u64,
}

impl Clients {
    fn online(&self) -> MutexGuard<'_, Online> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, user: &str, stream: Emitter) -> (String, u64) {
        let mut online = self.online();
        online.next += 1;
        let key = (user.to_owned(), online.next);
        online.streams.insert(key.clone(), stream);
        key
    }
}

async fn events(Path(user): Path<String>, State(clients): State<Clients>) -> Produce {
    produce(move |stream| {
        let key = clients.join(&user, stream);
        // Runs once the stream has ended, however it did; another tab of the same user has another key.
        move || drop(clients.online().streams.remove(&key))
    })
}

async fn send(Path(user): Path<String>, State(clients): State<Clients>, text: String) -> StatusCode {
    let to_user = |(key, _): &(&(String, u64), &Emitter)| key.0 == user;
    let mut status = StatusCode::NOT_FOUND;
    for (_, stream) in clients.online().streams.iter().filter(to_user) {
        status = match stream.emit("message", &text) {
            Ok(()) => StatusCode::NO_CONTENT,
            Err(EmitError::Full { .. }) => StatusCode::SERVICE_UNAVAILABLE,
            Err(_) => StatusCode::GONE,
        };
    }
    status
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Router::new().route("/events/{user}", get(events).post(send)).with_state(Clients::default());
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:3001")).await?;
    println!("listening on http://{}/events/ada", listener.local_addr()?);
    axum::serve(listener, app).await
}
