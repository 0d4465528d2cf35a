//! Server-sent events: *produce* them from any web framework, *consume* them natively and in a browser.
//!
//! ```text
//!  produce: Emitter ─▶ bounded buffer ─┐                             source(url)
//!  Clients: a user's emitters ─────────┼▶ body ═ text/event-stream ═▶ session ─▶ select ─▶ json, transform
//!  Channel: emit ─▶ log ─▶ cursors ────┘
//!            [wire::Event]                                           [wire::Decoder]
//! ```
//!
//! A server, here with axum (feature `axum`):
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use axum::response::IntoResponse;
//! use ssekit::produce;
//!
//! async fn time() -> impl IntoResponse {
//!     produce(|stream| async move {
//!         loop {
//!             stream.emit("message", format!("the time is {:?}", SystemTime::now()))?;
//!             tokio::time::sleep(Duration::from_secs(1)).await;
//!         }
//!     })
//! }
//! # let _: axum::Router = axum::Router::new().route("/time", axum::routing::get(time));
//! ```
//!
//! A client:
//!
//! ```no_run
//! use ssekit::source;
//!
//! # async fn example() -> Result<(), ssekit::client::SelectError> {
//! let mut messages = source("http://127.0.0.1:3000/time").select("message");
//! while let Some(message) = messages.next().await {
//!     println!("{}", message?.data());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Events can be the variants of an enum that both ends share; a variant's name is the event's, as pages see
//! it:
//!
//! ```no_run
//! use serde::{Deserialize, Serialize};
//! use ssekit::{Channel, source};
//!
//! #[derive(Serialize, Deserialize)]
//! #[serde(rename_all = "snake_case")]
//! enum Import {
//!     Progress { percent: u8 },
//!     Done,
//! }
//!
//! fn report(log: &Channel) -> Result<(), ssekit::EmitError> {
//!     log.emit_event(&Import::Progress { percent: 50 })?; // event: progress, data: {"percent":50}
//!     log.emit_event(&Import::Done)?;
//!     Ok(())
//! }
//!
//! async fn follow(url: &str) -> Result<(), ssekit::client::SelectError> {
//!     let mut import = source(url).select_all().typed::<Import>();
//!     while let Some(event) = import.next().await {
//!         match event? {
//!             Import::Progress { percent } => println!("{percent} %"),
//!             Import::Done => break,
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Where to read on
//!
//! | To | read |
//! |---|---|
//! | produce events: from elsewhere, to a user's tabs, to all, resumed; shut down, limit | [`server`] |
//! | consume them: types, latest values, reconnects, status, TLS | [`client`] |
//! | encode and decode the format itself, without I/O | [`wire`] |
//! | test a handler | [`testing`] |
//!
//! # Features
//!
//! | Feature | Adds |
//! |---|---|
//! | `server` (default) | [`server`], for hyper and tower; [`produce`], [`Channel`], [`Clients`], [`Streams`] |
//! | `axum`, `actix-web`, `poem`, `rocket`, `salvo`, `warp` | that framework's [responses and extractor](server#frameworks) |
//! | `gzip`, `brotli`, `zstd` | `Produce::compress`, with that encoding |
//! | `metrics` | `record_metrics` of channels, clients and streams, for the crate `metrics` |
//! | `tower` | [`Streams`] as a layer; `axum` turns it on |
//! | `tcp` | `watch_peer`, which ends connections whose peer has vanished |
//! | `client` (default) | [`client`], over HTTP/1.1 and HTTP/2, with rustls; in a browser, over `fetch` |
//!
//! For a page in WebAssembly: `default-features = false, features = ["client"]`.
//!
//! `wire` is always there. A feature adds API and changes nothing.
//!
//! # Limits
//!
//! Every buffer, queue and count is bounded; each crate's front page has its table. The ones met first:
//!
//! | Limit | Default |
//! |---|---|
//! | one event | 16 MiB, both ways |
//! | events that wait for a slow client | 64 KiB, then `emit` answers `Full` and `send` waits |
//! | events of a channel | 1,024 events and 16 MiB; a client that falls behind gets the number of lost ones |
//! | a client that reads nothing | disconnected after 30 s |
//! | an idle stream | pings after 30 s |

#[cfg(feature = "client")]
#[doc(inline)]
pub use ssekit_client as client;
#[cfg(feature = "client")]
pub use ssekit_client::{Latest, Message, Reconnect, Select, Source, Status, events, source};
#[cfg(feature = "server")]
#[doc(inline)]
pub use ssekit_server as server;
#[cfg(feature = "server")]
#[doc(inline)]
pub use ssekit_server::testing;
#[cfg(feature = "tcp")]
pub use ssekit_server::watch_peer;
#[cfg(feature = "server")]
pub use ssekit_server::{
    AudienceError, Channel, Clients, EmitError, Emitter, Event, First, InvalidLastEventId, LastEventId, Lock,
    Overtaken, PresenceChange, Produce, Selection, SseBody, StopReason, Streams, produce,
    produce_with_cleanup,
};
#[doc(inline)]
pub use ssekit_wire as wire;

/// The programs in these documents are doctests.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../../docs/concepts.md")]
    mod concepts {}
    #[doc = include_str!("../../../docs/recipes.md")]
    mod recipes {}
}
