//! The events of the application beside this folder, on axum: `cargo run -p ssekit-example-sveltekit`, then
//! `npm run dev:rust` there. Ctrl-C ends every stream; pages return by themselves.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

mod machine;
mod room;
mod waiting_room;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use machine::Machine;
use room::{Refusal, Room, Saying, Visitor};
use ssekit::{Channel, First, LastEventId, Produce, Streams, produce};
use tokio::net::TcpListener;
use tokio::time::{interval, sleep};

#[derive(Clone)]
struct App {
    stats: Channel,
    room: Room,
    streams: Streams,
}

/// Each page has a clock of its own, and follows the figures, which are read and encoded once for all pages.
/// A page that returns continues where it was.
async fn machine(State(app): State<App>, last: LastEventId) -> Produce {
    let clock = produce(|stream| async move {
        loop {
            stream.emit("time", now().to_string())?; // an error once the page is gone
            sleep(Duration::from_secs(1)).await;
        }
    });
    clock.follow(&app.stats, last).within(&app.streams)
}

async fn measure(stats: Channel) {
    let mut machine = Machine::new();
    let mut ticks = interval(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        if stats.stats().subscribers > 0 && stats.emit_json("stats", &machine.read(now())).is_err() {
            return;
        }
    }
}

async fn room(State(app): State<App>, Json(visitor): Json<Visitor>) -> Result<Produce, Refusal> {
    Ok(app.room.enter(visitor)?.ping(Duration::from_secs(3)).within(&app.streams))
}

async fn say(State(app): State<App>, Json(saying): Json<Saying>) -> Result<StatusCode, Refusal> {
    app.room.say(&saying, now())?;
    Ok(StatusCode::NO_CONTENT)
}

/// In milliseconds since 1970.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:3001")).await?;
    let app = App {
        stats: Channel::builder().keep_for(Duration::from_secs(60)).first(First::Last(u64::MAX)).build(),
        room: Room::new(),
        streams: Streams::builder().max(10_000).retry(Duration::from_secs(1)).build(),
    };
    tokio::spawn(measure(app.stats.clone()));
    tokio::spawn(app.room.run());
    let routes = Router::new()
        .route("/api/machine", post(machine))
        .route("/api/room", post(room))
        .route("/api/say", post(say))
        .layer(DefaultBodyLimit::max(8 << 10))
        .with_state(app.clone());
    println!("listening on http://{}/", listener.local_addr()?);

    let streams = app.streams.clone();
    let shutdown = async move {
        let _ = tokio::signal::ctrl_c().await;
        streams.shutdown(); // no stream ends by itself
    };
    axum::serve(listener, routes).with_graceful_shutdown(shutdown).await?;
    app.streams.ended().await;
    Ok(())
}
