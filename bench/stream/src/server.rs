//! The Rust servers, each alone in a process of one thread.

use std::convert::Infallible;

use anyhow::{Result, bail};
use axum::Router;
use axum::response::sse::{self, Sse};
use axum::routing::get;
use futures_util::stream;
use ssekit_server::{Event, produce};

/// 40 bytes; the client counts the character that is in it once.
pub const DATA: &str = "~234567890123456789012345678901234567890";

/// Serves until the process is killed; prints its port first.
pub fn serve(name: &str) -> Result<()> {
    let route = match name {
        "ssekit" => get(|| async {
            produce(|stream| async move {
                loop {
                    stream.send(Event::new(DATA).with_event("m")?).await?;
                }
            })
        }),
        "axum" => get(|| async {
            let event = || Ok::<_, Infallible>(sse::Event::default().event("m").data(DATA));
            Sse::new(stream::repeat_with(event))
        }),
        _ => bail!("no server is called {name}"),
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?.port());
        Ok(axum::serve(listener, Router::new().route("/", route)).await?)
    })
}
