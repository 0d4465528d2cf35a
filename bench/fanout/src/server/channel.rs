use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use ssekit_server::{Channel, EmitError, LastEventId, Produce};

pub fn router(gather: Duration) -> Router {
    let channel = Channel::builder().keep_last(HISTORY).gather(gather).build();
    Router::new().route("/events", get(subscribe)).route("/publish", post(publish)).with_state(channel)
}

async fn subscribe(State(channel): State<Channel>, last: LastEventId) -> Produce {
    channel.subscribe(last)
}

async fn publish(State(channel): State<Channel>, data: String) -> Result<&'static str, String> {
    channel.emit("message", data).map(|_| "ok").map_err(|error: EmitError| error.to_string())
}

/// Events that a subscriber may be behind: as many as the peer keeps.
const HISTORY: u64 = super::broadcast::CAPACITY as u64;
