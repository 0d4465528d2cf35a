//! A clock and a chat, on axum: `cargo run -p ssekit-frameworks --example axum_app`, then
//! `curl -N http://127.0.0.1:3001/events` and, beside it, `curl -d hello http://127.0.0.1:3001/say`.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Router, serve};
use ssekit::{Channel, LastEventId, Produce, Streams, produce};
use tokio::{net::TcpListener, signal::ctrl_c, time::sleep};

#[derive(Clone, Default)]
struct App {
    chat: Channel,
    streams: Streams,
}

async fn clock(State(app): State<App>) -> Produce {
    let ticking = produce(|stream| async move {
        loop {
            stream.emit("time", format!("{:?}", SystemTime::now()))?; // an error once the client is gone
            sleep(Duration::from_secs(1)).await;
        }
    });
    ticking.within(&app.streams)
}

async fn events(State(app): State<App>, last: LastEventId) -> Produce {
    app.chat.subscribe(last).within(&app.streams)
}

async fn say(State(app): State<App>, text: String) -> Result<String, (StatusCode, String)> {
    match app.chat.emit("said", text) {
        Ok(id) => Ok(id.to_string()),
        Err(error) => Err((StatusCode::BAD_REQUEST, error.to_string())),
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = App::default();
    let routes = Router::new()
        .route("/clock", get(clock))
        .route("/events", get(events))
        .route("/say", post(say))
        .with_state(app.clone());
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:3001")).await?;
    println!("listening on http://{}/", listener.local_addr()?);

    let streams = app.streams.clone();
    let shutdown = async move {
        let _ = ctrl_c().await;
        streams.shutdown(); // no stream ends by itself
    };
    serve(listener, routes).with_graceful_shutdown(shutdown).await?;
    app.streams.ended().await;
    println!("every stream has ended");
    Ok(())
}
