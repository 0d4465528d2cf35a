//! A stream in three lines. `cargo run --example produce`, then `curl -N http://127.0.0.1:3001/time`.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::time::{Duration, SystemTime};

use axum::{Router, response::IntoResponse, routing::get};
use ssekit::produce;
use tokio::{net::TcpListener, time::sleep};

async fn time() -> impl IntoResponse {
    produce(|stream| async move {
        loop {
            stream.emit("message", format!("the time is {:?}", SystemTime::now()))?; // an error once the client is gone
            sleep(Duration::from_secs(1)).await;
        }
    })
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:3001")).await?;
    println!("listening on http://{}/time", listener.local_addr()?);
    axum::serve(listener, Router::new().route("/time", get(time))).await
}
