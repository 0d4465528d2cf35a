//! Read it in one: `cargo run --example consume`, beside `cargo run --example produce`.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use ssekit::source;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1);
    let mut messages = source(url.as_deref().unwrap_or("http://127.0.0.1:3001/time")).select("message");
    while let Some(message) = messages.next().await {
        println!("{}", message?.data());
    }
    Ok(())
}
