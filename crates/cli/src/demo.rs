//! Demo: a page that shows server-sent events, and whose data arrives as server-sent events.
//!
//! ```text
//!  machine ── 4 times a second ──▶ figures ─┬──────────────────▶ GET /stats ──▶ curl
//!  POST /chat ───────────────────▶ room ────┼─▶ GET /events ──▶ page, ssekit listen
//!  visitors join and leave ──────▶ people ──┘        │
//!          ▲                   (channels)            │ a stream of this name
//!          └────────────────── clients ◀─────────────┘
//! ```

mod machine;
mod page;
mod room;

use std::fmt::Display;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use ssekit_server::{Channel, Clients, EmitError, First, LastEventId, Presence, Produce, Streams, produce};
use tokio::time::{MissedTickBehavior, interval};

use self::machine::{Figures, Machine};
use self::room::{ChatMessage, MAX_HISTORY, Name, People};

/// Maximum size of a request body in bytes: the longest message as JSON, with every character escaped.
const MAX_BODY: usize = 8 << 10;
/// Maximum number of open streams, of pages and of `/stats` together.
const MAX_STREAMS: usize = 256;
/// Time after which a client reconnects.
const RETRY: Duration = Duration::from_secs(1);
/// Interval of the readings of the machine.
const PERIOD: Duration = Duration::from_millis(250);
/// Time range of the page's charts. A returning client has no use for older figures.
const MINUTE: Duration = Duration::from_secs(60);

/// Channels and streams of the demo. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Demo {
    /// `stats` events.
    figures: Channel,
    /// `chat` events.
    room: Channel,
    /// `people` events.
    people: Channel,
    /// Streams of the visitors, by name.
    clients: Clients<Name>,
    /// All streams.
    streams: Streams,
}

impl Demo {
    /// Makes a demo without streams.
    pub(crate) fn new() -> Self {
        let channel = |name: &str| Channel::builder().name(name);
        Self {
            figures: channel("figures").keep_for(MINUTE).first(First::Last(1)).build(),
            room: channel("room").keep_last(MAX_HISTORY).first(First::Last(MAX_HISTORY)).build(),
            people: channel("people").keep_last(MAX_HISTORY).first(First::Last(1)).build(),
            clients: Clients::new(),
            streams: Streams::builder().max(MAX_STREAMS).retry(RETRY).build(),
        }
    }

    /// Returns the page, `/events`, `/stats` and `/chat`.
    ///
    /// The streams also answer POST, which `sveltekit-sse` sends.
    pub(crate) fn router(&self) -> Router {
        page::router()
            .route("/events", get(events).post(events))
            .route("/stats", get(stats).post(stats))
            .route("/chat", post(chat))
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(self.clone())
    }

    /// Publishes the machine's figures and the list of visitors, as long as it is polled.
    ///
    /// Visitors that join from this call on are noticed.
    pub(crate) fn run(&self) -> impl Future<Output = Result<(), EmitError>> {
        let (listeners, visitors) = (self.figures.presence(), self.clients.presence());
        async { tokio::try_join!(self.measure(listeners), self.publish_visitors(visitors)).map(|_| ()) }
    }

    /// Reads the machine once for all streams, while there is a listener.
    async fn measure(&self, mut listeners: Presence<()>) -> Result<(), EmitError> {
        let mut machine = Machine::new();
        let has_listeners = || self.figures.stats().subscribers > 0;
        while listeners.next().await.is_some() {
            if !has_listeners() {
                continue;
            }
            // The time without listeners belongs to no figure.
            machine.read(Instant::now());
            let mut ticks = interval(PERIOD);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.tick().await;
            while has_listeners() {
                ticks.tick().await;
                let figures = machine.read(Instant::now());
                self.figures
                    .emit_json("stats", &Stats { figures, streams: self.streams.len(), at: now() })?;
            }
        }
        Ok(())
    }

    /// Sends the list of visitors to all of them whenever one joins or leaves.
    async fn publish_visitors(&self, mut visitors: Presence<Name>) -> Result<(), EmitError> {
        while let Some(change) = visitors.next().await {
            self.people.emit_json("people", &People::after(change, &self.clients))?;
        }
        Ok(())
    }

    /// Ends every stream after the events that it has been sent, and opens no more.
    pub(crate) fn close(&self) {
        self.streams.shutdown();
    }
}

/// The data of a `stats` event.
#[derive(Serialize)]
struct Stats {
    #[serde(flatten)]
    figures: Figures,
    /// Number of open streams.
    streams: usize,
    /// Milliseconds since 1970.
    at: u64,
}

#[derive(Deserialize)]
struct Visitor {
    name: Option<String>,
}

/// Stream of the page: figures, messages, visitors.
async fn events(
    State(demo): State<Demo>,
    last: LastEventId,
    visitor: Result<Query<Visitor>, QueryRejection>,
) -> Result<Produce, Refusal> {
    let Query(visitor) = visitor.map_err(|problem| refuse(problem.status(), problem.body_text()))?;
    let name = visitor.name.map(Name::try_from).transpose();
    let page = match name.map_err(|problem| refuse(StatusCode::BAD_REQUEST, problem))? {
        Some(name) => demo.clients.connect(name),
        None => produce(drop), // a client that only watches
    };
    let everything = demo.figures.and(&demo.room).and(&demo.people);
    Ok(page.follow(everything, last).retry(RETRY).within(&demo.streams))
}

/// Stream of the figures alone.
async fn stats(State(demo): State<Demo>, last: LastEventId) -> Produce {
    demo.figures.subscribe(last).retry(RETRY).within(&demo.streams)
}

#[derive(Deserialize)]
struct NewMessage {
    from: String,
    text: String,
}

/// Adds a message to the room.
///
/// A page of another site cannot: a JSON request from elsewhere needs a permission that is not given.
async fn chat(
    State(demo): State<Demo>,
    body: Result<Json<NewMessage>, JsonRejection>,
) -> Result<StatusCode, Refusal> {
    let Json(NewMessage { from, text }) =
        body.map_err(|problem| refuse(problem.status(), problem.body_text()))?;
    let message = ChatMessage::new(from, text, now());
    let message = message.map_err(|problem| refuse(StatusCode::UNPROCESSABLE_ENTITY, problem))?;
    let sent = demo.room.emit_json("chat", &message);
    sent.map_err(|problem| refuse(StatusCode::INTERNAL_SERVER_ERROR, problem))?;
    Ok(StatusCode::NO_CONTENT)
}

type Refusal = (StatusCode, String);

fn refuse(status: StatusCode, reason: impl Display) -> Refusal {
    (status, format!("{reason}\n"))
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use ssekit_server::SseBody;

    use super::*;

    // The clock is paused, except while the test waits.
    #[tokio::test(start_paused = true)]
    async fn the_machine_is_read_only_while_a_stream_is_open() {
        let demo = Demo::new();
        let reading = demo.clone();
        tokio::spawn(async move { reading.run().await });
        let without_listeners = |time| tokio::time::sleep(time);

        // Each reading is an event, so the ids show their number.
        without_listeners(HOUR).await;
        let mut stream = listen(&demo).await;
        assert_eq!([next_id(&mut stream).await, next_id(&mut stream).await], [1, 2]);
        // A second client first gets the latest figures.
        let mut second = listen(&demo).await;
        drop(stream);
        assert_eq!([next_id(&mut second).await, next_id(&mut second).await], [2, 3]);
        drop(second);

        without_listeners(HOUR).await;
        let next = next_id(&mut listen(&demo).await).await;
        assert!(next <= 5, "the machine was read {} times without listeners", next - 4);
    }

    const HOUR: Duration = Duration::from_secs(3_600);

    async fn listen(demo: &Demo) -> SseBody {
        stats(State(demo.clone()), LastEventId::default()).await.response().into_body()
    }

    /// Sequence number in the next event's id. A block without data only names the start of the stream.
    async fn next_id(stream: &mut SseBody) -> u64 {
        loop {
            let bytes = stream.next().await.expect("the stream goes on").expect("it does not break");
            let text = String::from_utf8(bytes.to_vec()).expect("text");
            let id = text.lines().find_map(|line| line.strip_prefix("id: "));
            if let Some(id) = id.filter(|_| text.contains("\ndata: ")) {
                let (_, sequence) = id.rsplit_once('-').expect("epoch-sequence");
                return sequence.parse().expect("a number");
            }
        }
    }
}
