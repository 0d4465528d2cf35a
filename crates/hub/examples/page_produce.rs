//! Tells the time: curl -N http://127.0.0.1:8080/clock

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
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    axum::serve(listener, Router::new().route("/clock", get(clock))).await
}
