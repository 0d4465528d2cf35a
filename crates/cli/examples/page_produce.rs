//! Tells the time.
#![allow(clippy::print_stdout, reason = "its output is its job")]

use std::time::Duration;

use axum::{Router, response::IntoResponse, routing::get};
use ssekit_server::produce;

async fn clock() -> impl IntoResponse {
    produce(|stream| async move {
        for second in 0.. {
            stream.emit("tick", format!("{second} s"))?; // an error once the client has left
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    })
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1);
    let listener = tokio::net::TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8080")).await?;
    println!("curl -N http://{}/clock", listener.local_addr()?);
    axum::serve(listener, Router::new().route("/clock", get(clock))).await
}
