//! A hub inside an axum program, with a path, keys, a log and a shutdown of the program's choice:
//!
//! ```sh
//! export SSEKIT_KEY=$(openssl rand -base64 32)
//! cargo run -p ssekit-hub --example embedded_hub
//! curl -N '127.0.0.1:3001/updates?topic=news'
//! curl -H "authorization: Bearer $(ssekit token make --publish '*')" \
//!     -d topic=news -d data=hello 127.0.0.1:3001/updates
//! ```
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::sync::Arc;
use std::time::Duration;

use axum::{Router, routing::get};
use prometheus_client::registry::Registry;
use ssekit_hub::{http, hub};
use ssekit_log::{Keep, MemoryLog, Retention};
use ssekit_mercure::{Access, Keys};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let publishers = Keys::read(&std::env::var("SSEKIT_KEY")?)?;
    let access = Access { publishers, anonymous: true, ..Access::default() };
    let log = MemoryLog::new(Retention::of_everything(Keep { records: Some(10_000), ..Keep::ALL })?)?;
    let options = hub::Options { access, path: "/updates".to_owned(), ..hub::Options::default() };
    let mut registry = Registry::with_prefix("ssekit");
    let hub = hub::Hub::start(Arc::new(log), options, &mut registry).await?;
    let routes = http::router(Arc::clone(&hub), &http::Options::default(), &mut registry);
    let app = Router::new().route("/", get(|| async { "a page of the program" })).merge(routes);

    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:3001")).await?;
    println!("listening on http://{}/updates", listener.local_addr()?);
    let shutdown = async move {
        let _ = tokio::signal::ctrl_c().await;
        // The graceful shutdown waits for open streams, so the hub ends them.
        hub.end(Duration::ZERO).await;
    };
    Ok(axum::serve(listener, app).with_graceful_shutdown(shutdown).await?)
}
