//! Produce server-sent events from any Rust web framework.
//!
//! ```text
//!  any thread or task                           the connection's own task
//!  ┌───────────┐ emit, send  ┌────────────────┐ poll ┌─────────┐ bytes ┌──────┐
//!  │  Emitter  │────────────▶│ bounded buffer │─────▶│ SseBody │──────▶│ hyper│──▶ client
//!  └───────────┘◀────────────│ encoded events │      └─────────┘       └──────┘
//!                 Closed,    └────────────────┘ start's future runs here;
//!                 Full                          dropped when the client goes
//! ```
//!
//! [`produce`] makes a response. An `async` block emits into it, or keeps its [`Emitter`] where events come from:
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use axum::{Router, response::IntoResponse, routing::get};
//! use ssekit_server::produce;
//! use tokio::time::sleep;
//!
//! async fn clock() -> impl IntoResponse {
//!     produce(|stream| async move {
//!         loop {
//!             stream.emit("message", format!("the time is {:?}", SystemTime::now()))?;
//!             sleep(Duration::from_secs(1)).await;
//!         }
//!     })
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let app = Router::new().route("/clock", get(clock));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # if false {
//! axum::serve(listener, app).await?;
//! # }
//! # Ok(()) }
//! ```
//!
//! With hyper and tower, return [`produce(…).response()`](Produce::response): an `http::Response` whose body is an
//! `http_body::Body`. Other frameworks take [`SseBody`] as that or as a stream of bytes.
//!
//! # What holds
//!
//! - Nothing is spawned. A stream is a future that its connection polls. When the client goes, that future is dropped.
//! - `emit` never blocks and never loses silently: it answers `Ok`, [`Closed`](EmitError::Closed) or
//!   [`Full`](EmitError::Full). [`send`](Emitter::send) waits for room.
//! - No text can add a field or an event: names and ids with line breaks are refused, data is split into lines.
//! - [`on_stop`](Produce::on_stop) runs exactly once, with the reason, however the stream ends; then the clean-up.
//! - An error or a panic of one stream ends that stream alone.
//!
//! # Limits
//!
//! | What | Unless set | How to set it |
//! |---|---|---|
//! | events that wait for the client | 64 KiB | [`buffer`](Produce::buffer) |
//! | what is handed over at once, beside them | as much again | with it |
//! | what the transport holds unwritten | 256 KiB, 12 chunks | – |
//! | one encoded event | 16 MiB | – |
//! | a client that does not read | closed after 30 s | [`stall_timeout`](Produce::stall_timeout) |
//! | an idle stream | pings after 30 s | [`ping`](Produce::ping) |
//! | a client whose machine has vanished | the system's, about 15 min | `watch_peer`, feature `tcp` |
//! | how long a stream lives, and how many there are | none | yours |
//!
//! # Events from elsewhere
//!
//! An [`Emitter`] is `Clone + Send + Sync`. Keep it, and emit from a database listener, a webhook, another route. The
//! stream stays open after `start` has returned, until it is unlocked, the last emitter is dropped, or the client goes:
//!
//! ```
//! use std::{collections::HashMap, sync::{Arc, Mutex}};
//! use ssekit_server::{Emitter, Produce, produce};
//!
//! type Clients = Arc<Mutex<HashMap<u64, Emitter>>>;
//!
//! fn events(clients: &Clients, connection: u64) -> Produce {
//!     let (arriving, leaving) = (clients.clone(), clients.clone());
//!     produce(move |stream| {
//!         arriving.lock().unwrap().insert(connection, stream);
//!     })
//!     .on_stop(move |_| async move {
//!         leaving.lock().unwrap().remove(&connection);
//!     })
//! }
//!
//! fn greet(clients: &Clients, connection: u64) -> bool {
//!     let stream = clients.lock().unwrap().get(&connection).cloned();
//!     stream.is_some_and(|stream| stream.emit("message", "hello").is_ok())
//! }
//! # let _ = (events, greet);
//! ```
//!
//! # Cleaning up
//!
//! What `start` holds is dropped with it. A `start` that is not `async` may return a closure, which runs once at the end;
//! an `async` one does so with [`produce_with_cleanup`]. [`on_stop`](Produce::on_stop) may wait for something, and is told
//! why the stream ended:
//!
//! ```
//! use ssekit_server::{StopReason, produce};
//!
//! let response = produce(|stream| {
//!     let ticket = 7; // opened here
//!     move || drop((stream, ticket))
//! })
//! .on_stop(|reason| async move {
//!     match reason {
//!         StopReason::Failed(error) => eprintln!("report this: {error}"),
//!         reason => println!("the stream ended: {reason}"),
//!     }
//! })
//! .response();
//! ```
//!
//! # Slow clients
//!
//! A producer that is faster than its client finds the buffer full. What then is right depends on the events:
//!
//! ```
//! use ssekit_server::{EmitError, Emitter, Event};
//!
//! // All of them matter and there is time: wait.
//! async fn export(stream: &Emitter, rows: Vec<String>) -> Result<(), EmitError> {
//!     for row in rows {
//!         stream.send(Event::new(row)).await?;
//!     }
//!     Ok(())
//! }
//!
//! // Only the latest matters: leave this one out.
//! fn position(stream: &Emitter, at: (f64, f64)) -> Result<(), EmitError> {
//!     match stream.emit_json("position", &at) {
//!         Err(EmitError::Full { .. }) => Ok(()),
//!         answer => answer,
//!     }
//! }
//!
//! // All of them matter and nobody can wait: end the stream, so that the client returns with its last event ID.
//! fn trade(stream: &Emitter, trade: &str) -> Result<(), EmitError> {
//!     stream.emit("trade", trade).inspect_err(|_| stream.lock().set(false))
//! }
//! # let _ = (export, position, trade);
//! ```
//!
//! A client that reads nothing for the [stall time](Produce::stall_timeout) is disconnected.
//!
//! # Errors
//!
//! `start` returns any error by `?`. It is logged by `tracing`, ends the stream after what was emitted, and reaches
//! [`on_stop`](Produce::on_stop) as [`StopReason::Failed`]. What is wrong with a header is found before anything starts:
//! the response is a 500, or [`try_response`](Produce::try_response) gives the error.
//!
//! ```
//! use ssekit_server::{Error, Produce, produce};
//!
//! fn lines(path: &'static str) -> Produce {
//!     produce(move |stream| async move {
//!         let text = tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await??;
//!         if text.is_empty() {
//!             return Err(Error::new("nothing to send"));
//!         }
//!         Ok(stream.emit("text", text)?)
//!     })
//! }
//! # let _ = lines;
//! ```
//!
//! # Resuming
//!
//! A client that returns sends the id of the last event it has seen: [`LastEventId`]. Give events ids, by
//! [`Event::with_id`] or [`ids_from`](Produce::ids_from), and go on from there:
//!
//! ```
//! use ssekit_server::{Event, LastEventId, Produce, produce};
//!
//! async fn count(last: LastEventId) -> Produce {
//!     let next = last.as_str().and_then(|id| id.parse::<u64>().ok()).map_or(0, |id| id + 1);
//!     produce(move |stream| async move {
//!         for n in next..100 {
//!             stream.send(Event::new(n.to_string()).with_id(n.to_string())?).await?;
//!         }
//!         Ok(())
//!     })
//! }
//! # let _ = axum::routing::get::<_, _, ()>(count);
//! ```
//!
//! # Pings, proxies, and peers that vanish
//!
//! Proxies close connections on which nothing happens, and a peer that has vanished is noticed only by writing to it. So
//! an idle stream sends an event named `ping` every 30 s: pages can see it, and notice its absence. It can be a comment,
//! which they cannot, or come at another interval. The response's headers ask proxies not to buffer and not to compress.
//!
//! ```no_run
//! use std::time::Duration;
//! use axum::serve::ListenerExt;
//! use ssekit_server::{produce, watch_peer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let router = axum::Router::new().fallback(|| async {
//!     produce(|stream| { /* keep it */ drop(stream) }).ping_comment(Duration::from_secs(15))
//! });
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?.tap_io(|socket| {
//!     if let Err(error) = watch_peer(socket, Duration::from_secs(60)) {
//!         tracing::warn!(%error, "a peer that vanishes will be noticed late");
//!     }
//! });
//! axum::serve(listener, router).await
//! # }
//! ```
//!
//! # Pages that use the npm package `sveltekit-sse`
//!
//! They work, with `produce(…).ids_from(1)`; the package's `source` sends a POST unless told otherwise.

mod produce;

mod emitter;

mod channel;

mod streams;

mod clients;

mod presence;

mod stop;

mod last_event_id;

mod error;

mod body;

mod outbox;

mod queue;

mod pace;

mod start;

#[cfg(any(feature = "brotli", feature = "gzip", feature = "zstd"))]
mod compress;
#[cfg(not(any(feature = "brotli", feature = "gzip", feature = "zstd")))]
#[path = "compress/none.rs"]
mod compress;

#[cfg(feature = "actix-web")]
mod actix;

#[cfg(feature = "axum")]
mod axum;

#[cfg(feature = "poem")]
mod poem;

#[cfg(feature = "rocket")]
mod rocket;

#[cfg(feature = "salvo")]
mod salvo;

#[cfg(feature = "warp")]
mod warp;

#[cfg(feature = "metrics")]
mod metrics;

#[cfg(feature = "tcp")]
mod tcp;

pub use body::{SseBody, Stalled};
pub use channel::{Channel, ChannelBuilder, ChannelStats, EventId, First, Overtaken, Selection};
pub use clients::{Audience, AudienceError, Clients, ClientsBuilder, Delivery};
pub use emitter::{EmitError, Emitter, Lock};
pub use error::Error;
pub use last_event_id::{InvalidLastEventId, LastEventId};
pub use presence::{Presence, PresenceChange};
pub use produce::{HeaderError, Produce, produce, produce_with_cleanup};
pub use ssekit_wire::{Event, Field, FieldError};
pub use start::Started;
pub use stop::StopReason;
pub use streams::{Streams, StreamsBuilder};
#[cfg(feature = "tcp")]
pub use tcp::watch_peer;
