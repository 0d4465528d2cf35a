//! The demo: a page that shows what server-sent events are by being made of them.
//!
//! ```text
//! machine ── 4 times a second ──┐
//!                               ├─▶ streams (emitters) ─▶ /events, /stats ─▶ page, curl, ssekit listen
//! POST /chat ──▶ room ──────────┘
//! ```

mod machine;
mod page;
mod room;
mod streams;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use ssekit_server::{LastEventId, produce};
use tokio::time::{MissedTickBehavior, interval};

use self::machine::Machine;
use self::room::{Name, Said, Text};
use self::streams::{Place, Streams, Wants};

/// The largest request body, in bytes: the longest message as JSON, with every character escaped.
const MAX_BODY: usize = 8 << 10;
/// What waits for one client at most, in bytes: more than the whole history.
const BUFFER: usize = 256 << 10;
/// How long a client waits before it returns.
const RETRY: Duration = Duration::from_secs(1);
/// How often the machine is read.
const PERIOD: Duration = Duration::from_millis(250);

/// The demo's routes and its streams.
#[derive(Debug)]
pub(crate) struct Demo {
    streams: Streams,
}

impl Demo {
    /// A demo without any stream yet.
    pub(crate) fn new() -> Self {
        Self { streams: Streams::new() }
    }

    /// The page, `/events`, `/stats` and `/chat`. The streams also answer POST, with which `sveltekit-sse` asks for them.
    pub(crate) fn router(&self) -> Router {
        page::router()
            .route("/events", get(events).post(events))
            .route("/stats", get(stats).post(stats))
            .route("/chat", post(chat))
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(self.streams.clone())
    }

    /// Reads the machine and sends its figures, once for all streams, whenever there are any. Never ends.
    pub(crate) async fn run(&self) {
        let mut machine = Machine::new();
        let mut listeners = self.streams.listeners();
        while listeners.wait_for(|&listeners| listeners > 0).await.is_ok() {
            // What went on while nobody looked belongs to no figure.
            machine.read(Instant::now());
            let mut ticks = interval(PERIOD);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.tick().await;
            while *listeners.borrow() > 0 {
                ticks.tick().await;
                self.streams.figures(&machine.read(Instant::now()));
            }
        }
    }

    /// Ends every stream after what it has been sent, and opens no more.
    pub(crate) fn close(&self) {
        self.streams.close();
    }
}

#[derive(Deserialize)]
struct Visitor {
    name: Option<String>,
}

/// The page's stream: figures, messages, who is here.
async fn events(
    State(streams): State<Streams>,
    last: LastEventId,
    visitor: Result<Query<Visitor>, QueryRejection>,
) -> Response {
    match visitor.map(|Query(Visitor { name })| name.map(Name::try_from).transpose()) {
        Ok(Ok(name)) => stream(&streams, Wants::Everything(name), last),
        Ok(Err(problem)) => refuse(StatusCode::BAD_REQUEST, &problem),
        Err(problem) => refuse(problem.status(), &problem.body_text()),
    }
}

/// The figures alone.
async fn stats(State(streams): State<Streams>, last: LastEventId) -> Response {
    stream(&streams, Wants::Figures, last)
}

fn stream(streams: &Streams, wants: Wants, last: LastEventId) -> Response {
    let Some(place) = streams.place() else {
        let busy = "there is no place for another stream: close a page, or try again later\n";
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], busy).into_response();
    };
    // The emitter stays in `streams`, where others send to it. The response stays open until it is unlocked there or
    // its client has left; the clean-up then gives the seat back.
    produce(move |stream| {
        let seat = Place::enter(place, stream, wants, last.as_str());
        move || drop(seat)
    })
    .buffer(BUFFER)
    .retry(RETRY)
    .into_response()
}

#[derive(Deserialize)]
struct Saying {
    from: String,
    text: String,
}

/// Says something in the room. A page of another site cannot: JSON from elsewhere needs a permission that is not given.
async fn chat(State(streams): State<Streams>, saying: Result<Json<Saying>, JsonRejection>) -> Response {
    let Json(Saying { from, text }) = match saying {
        Ok(saying) => saying,
        Err(problem) => return refuse(problem.status(), &problem.body_text()),
    };
    match (Name::try_from(from), Text::try_from(text)) {
        (Ok(from), Ok(text)) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let at = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
            streams.say(&Said { from, text, at });
            StatusCode::NO_CONTENT.into_response()
        }
        (Err(problem), _) | (_, Err(problem)) => refuse(StatusCode::UNPROCESSABLE_ENTITY, &problem),
    }
}

fn refuse(status: StatusCode, why: &str) -> Response {
    (status, format!("{why}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::BodyDataStream;
    use futures_util::StreamExt as _;

    use super::*;

    // Time stands still but for what is waited for.
    #[tokio::test(start_paused = true)]
    async fn the_machine_is_read_only_while_somebody_listens() {
        let demo = Arc::new(Demo::new());
        let reading = Arc::clone(&demo);
        tokio::spawn(async move { reading.run().await });
        let nobody_for = |time| tokio::time::sleep(time);

        // Each reading is an event of its own, so the ids tell how many there were.
        nobody_for(HOUR).await;
        let mut stream = listen(&demo);
        assert_eq!([next_id(&mut stream).await, next_id(&mut stream).await], [1, 2]);
        let mut second = listen(&demo);
        drop(stream);
        assert_eq!([next_id(&mut second).await, next_id(&mut second).await], [3, 4]);
        drop(second);

        nobody_for(HOUR).await;
        let next = next_id(&mut listen(&demo)).await;
        assert!(next <= 6, "the machine was read {} times for nobody", next - 5);
    }

    const HOUR: Duration = Duration::from_secs(3_600);

    fn listen(demo: &Demo) -> BodyDataStream {
        let answer = stream(&demo.streams, Wants::Figures, LastEventId::default());
        assert_eq!(answer.status(), StatusCode::OK);
        answer.into_body().into_data_stream()
    }

    /// What counts in the next event's id.
    async fn next_id(stream: &mut BodyDataStream) -> u64 {
        loop {
            let frame = stream.next().await.expect("the stream goes on").expect("it does not break");
            let text = String::from_utf8(frame.to_vec()).expect("text");
            if let Some(id) = text.lines().find_map(|line| line.strip_prefix("id: ")) {
                let (_, sequence) = id.rsplit_once('-').expect("run-number");
                return sequence.parse().expect("a number");
            }
        }
    }
}
