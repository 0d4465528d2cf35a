//! The server that the browser tests of the npm package talk to. It prints its address, serves until SIGTERM,
//! and may be killed and started again on the same port: with `--log FILE` its channel goes on where it was.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

mod app;
mod files;
mod news;
mod seen;
mod streams;

use std::io::Write;
use std::path::PathBuf;

use clap::Parser;
use ssekit::watch_peer;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::App;

/// Serves event streams to browser tests.
#[derive(Debug, Parser)]
struct Options {
    /// The port of 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// A folder whose files are served beside the streams.
    #[arg(long)]
    files: Option<PathBuf>,
    /// Where the channel's events are kept across restarts.
    #[arg(long)]
    log: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let app = App::new(options.files, options.log)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    std::io::stdout().flush()?;

    let streams = app.streams.clone();
    let shutdown = async move {
        terminate.recv().await;
        streams.shutdown();
    };
    let listener = axum::serve::ListenerExt::tap_io(listener, |peer| {
        // A server for event streams does both; without them it serves all the same.
        let _ = peer.set_nodelay(true);
        let _ = watch_peer(peer, std::time::Duration::from_secs(60));
    });
    let streams = app.streams.clone();
    axum::serve(listener, app::routes(app)).with_graceful_shutdown(shutdown).await?;
    streams.ended().await;
    Ok(())
}
