//! To every tab of a session, and to everyone. `cargo run --example clients`, then, beside it,
//! `curl -N -H 'session-id: ada' http://127.0.0.1:3001/events`, as often as you like, and
//! `curl -d hello http://127.0.0.1:3001/sessions/ada`, `curl -d 'hello, all' http://127.0.0.1:3001/sessions`.
//! Ctrl-C ends every stream; clients are told to return in some seconds.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use ssekit::{AudienceError, Clients, Streams};
use tokio::net::TcpListener;

#[derive(Clone, Default)]
struct App {
    clients: Clients<String>,
    logged_out: Arc<Mutex<HashSet<String>>>,
}

impl App {
    fn logged_out(&self) -> MutexGuard<'_, HashSet<String>> {
        self.logged_out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn events(State(app): State<App>, headers: HeaderMap) -> Result<Response, StatusCode> {
    let session = headers.get("session-id").and_then(|id| id.to_str().ok()).ok_or(StatusCode::BAD_REQUEST)?;
    let response = app.clients.connect(session.to_owned()).into_response();
    // After the stream is there: a session that is logged out meanwhile is either found here, or closed.
    match app.logged_out().contains(session) {
        true => Err(StatusCode::UNAUTHORIZED),
        false => Ok(response),
    }
}

async fn to_one(
    Path(session): Path<String>,
    State(app): State<App>,
    text: String,
) -> Result<String, StatusCode> {
    match app.clients.get(&session).emit("message", text) {
        Ok(delivery) => Ok(format!("sent to {} streams\n", delivery.taken)),
        Err(AudienceError::Nobody) => Err(StatusCode::NOT_FOUND),
        Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}

async fn to_all(State(app): State<App>, text: String) -> Result<String, StatusCode> {
    let delivery = app.clients.all().emit("message", text).map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    Ok(format!("sent to {} streams of {} sessions\n", delivery.taken, app.clients.len()))
}

/// Logs the session out.
async fn close(Path(session): Path<String>, State(app): State<App>) -> String {
    app.logged_out().insert(session.clone());
    format!("ended {} streams\n", app.clients.close(&session))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let streams = Streams::builder().max(10_000).build();
    let router = Router::new()
        .route("/events", get(events))
        .route("/sessions", post(to_all))
        .route("/sessions/{session}", post(to_one).delete(close))
        .layer(streams.clone()) // every stream of these routes
        .with_state(App { clients: Clients::builder().max_per_key(6).build(), ..App::default() });
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:3001")).await?;
    println!("listening on http://{}/events", listener.local_addr()?);

    let shutdown = streams.shutdown_on(tokio::signal::ctrl_c());
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await?;
    streams.ended().await;
    println!("every stream has ended");
    Ok(())
}
