//! Server-sent events for Rust, end to end: *produce* them from any web framework, *consume* them natively.
//!
//! ```text
//!  produce(start)                                                    source(url)
//!   Emitter ─▶ bounded buffer ─▶ body ─▶ hyper, axum ═ text/event-stream ═▶ session ─▶ select ─▶ json, transform
//!               [wire::Event]                                         [wire::Decoder]
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
//! # Where to read on
//!
//! | To | read | feature |
//! |---|---|---|
//! | produce events: emit from elsewhere, clean up, slow clients, resume | [`server`] | `server` (default), `axum`, `tcp` |
//! | consume them: types, latest values, reconnects, status, TLS | [`client`] | `client` (default) |
//! | encode and decode the format itself, without I/O | [`wire`] | always |
//!
//! # Limits
//!
//! Every buffer, queue and count is bounded; each crate's front page has its table. The ones met first:
//!
//! | What | Unless set |
//! |---|---|
//! | one event | 16 MiB, both ways |
//! | events that wait for a slow client | 64 KiB, then `emit` answers `Full` and `send` waits |
//! | a client that reads nothing | disconnected after 30 s |
//! | an idle stream | pings after 30 s |

#[cfg(feature = "client")]
pub use ssekit_client as client;
#[cfg(feature = "client")]
pub use ssekit_client::{Latest, Message, Reconnect, Select, Source, Status, source};
#[cfg(feature = "server")]
pub use ssekit_server as server;
#[cfg(feature = "tcp")]
pub use ssekit_server::watch_peer;
#[cfg(feature = "server")]
pub use ssekit_server::{
    AudienceError, Channel, Clients, EmitError, Emitter, Event, LastEventId, Lock, Produce, SseBody,
    StopReason, Streams, produce, produce_with_cleanup,
};
pub use ssekit_wire as wire;
