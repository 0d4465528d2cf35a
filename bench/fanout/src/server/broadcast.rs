use std::convert::Infallible;

use axum::Router;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::{get, post};
use tokio::sync::broadcast::{self, Sender};
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt as _};

/// The code that users of axum write today.
pub fn router() -> Router {
    let (events, _) = broadcast::channel(CAPACITY);
    Router::new().route("/events", get(subscribe)).route("/publish", post(publish)).with_state(events)
}

async fn subscribe(
    State(events): State<Sender<String>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let stream = BroadcastStream::new(events.subscribe())
        // A subscriber that lags has lost events; most programs go on without a word.
        .filter_map(Result::ok)
        .map(|data| Ok(Event::default().event("message").data(data)));
    Sse::new(stream).keep_alive(KeepAlive::default())
}

async fn publish(State(events): State<Sender<String>>, data: String) -> &'static str {
    // It fails when nobody listens, which is nobody's loss.
    let _ = events.send(data);
    "ok"
}

/// Events that a subscriber may be behind; programs have some hundred.
pub const CAPACITY: usize = 4096;
