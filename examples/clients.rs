//! To every tab of a session, and to everyone. `cargo run --example clients`, then, beside it,
//! `curl -N -H 'session-id: ada' http://127.0.0.1:3001/events`, as often as you like, and
//! `curl -d hello http://127.0.0.1:3001/sessions/ada`, `curl -d 'hello, all' http://127.0.0.1:3001/sessions`.
//! Ctrl-C ends every stream; clients are told to return in some seconds.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use ssekit::{AudienceError, Clients, Produce, Streams};
use tokio::net::TcpListener;

type App = State<Clients<String>>;

async fn events(State(clients): App, headers: HeaderMap) -> Result<Produce, StatusCode> {
    let session = headers.get("session-id").and_then(|id| id.to_str().ok()).ok_or(StatusCode::BAD_REQUEST)?;
    Ok(clients.connect(session.to_owned()))
}

async fn to_one(
    Path(session): Path<String>,
    State(clients): App,
    text: String,
) -> Result<String, StatusCode> {
    match clients.get(&session).emit("message", text) {
        Ok(delivery) => Ok(format!("sent to {} streams\n", delivery.taken)),
        Err(AudienceError::Nobody) => Err(StatusCode::NOT_FOUND),
        Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}

async fn to_all(State(clients): App, text: String) -> Result<String, StatusCode> {
    let delivery = clients.all().emit("message", text).map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    Ok(format!("sent to {} streams of {} sessions\n", delivery.taken, clients.len()))
}

/// Logs the session out, as far as its streams are concerned.
async fn close(Path(session): Path<String>, State(clients): App) -> String {
    format!("ended {} streams\n", clients.close(&session))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let streams = Streams::builder().max(10_000).build();
    let router = Router::new()
        .route("/events", get(events))
        .route("/sessions", post(to_all))
        .route("/sessions/{session}", post(to_one).delete(close))
        .layer(streams.clone()) // every stream of these routes
        .with_state(Clients::builder().max_per_key(6).build());
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:3001")).await?;
    println!("listening on http://{}/events", listener.local_addr()?);

    let shutdown = streams.shutdown_on(tokio::signal::ctrl_c());
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await?;
    streams.ended().await;
    println!("every stream has ended");
    Ok(())
}
