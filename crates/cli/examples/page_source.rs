//! Follows the figures of a machine.
#![allow(clippy::print_stdout, reason = "its output is its job")]

use ssekit_client::{SelectError, source};

#[derive(Debug, serde::Deserialize)]
struct Stats {
    cpu: f64,
    streams: usize,
}

#[tokio::main]
async fn main() -> Result<(), SelectError> {
    let url = std::env::args().nth(1);
    let connection = source(url.as_deref().unwrap_or("http://127.0.0.1:3000/stats"));
    let mut stats = connection.select("stats").json::<Stats>();
    while let Some(stats) = stats.next().await {
        let Stats { cpu, streams } = stats?;
        println!("{cpu} % in use, {streams} streams open");
    }
    Ok(())
}
