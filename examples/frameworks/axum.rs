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

async fn clock() -> Produce {
    produce(|stream| async move {
        loop {
            stream.emit("time", format!("{:?}", SystemTime::now()))?; // an error once the client is gone
            sleep(Duration::from_secs(1)).await;
        }
    })
}

async fn events(State(chat): State<Channel>, last: LastEventId) -> Produce {
    chat.subscribe(last)
}

async fn say(State(chat): State<Channel>, text: String) -> Result<String, (StatusCode, String)> {
    match chat.emit("said", text) {
        Ok(id) => Ok(id.to_string()),
        Err(error) => Err((StatusCode::BAD_REQUEST, error.to_string())),
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let streams = Streams::new();
    let routes = Router::new()
        .route("/clock", get(clock))
        .route("/events", get(events))
        .route("/say", post(say))
        .layer(streams.clone()) // every stream of these routes
        .with_state(Channel::new());
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:3001")).await?;
    println!("listening on http://{}/", listener.local_addr()?);

    let shutdown = streams.shutdown_on(ctrl_c()); // no stream ends by itself
    serve(listener, routes).with_graceful_shutdown(shutdown).await?;
    streams.ended().await;
    println!("every stream has ended");
    Ok(())
}
