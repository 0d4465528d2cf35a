//! Consume server-sent events: one [`source`], any number of typed streams from it, and a connection that
//! comes back.
//!
//! ```text
//!  source(url) ─▶ select("quote") ─▶ json::<Quote>() ─▶ next().await          every event, in order
//!      │      └─▶ select("stats") ─▶ transform(parse) ─▶ latest() ─▶ get()    the latest value alone
//!      │
//!      └─ one connection for all of them, and for other sources that GET the same:
//!
//!            ┌──────────── waits: retry:, Retry-After, growing random delays ◀──────────┐
//!            ▼                                                                          │
//!         request ─▶ redirects ─▶ 200 text/event-stream ─▶ decode ─▶ subscribers ─▶ it ends, breaks, is silent
//!         Last-Event-ID                 │
//!                                       └─▶ 204, 4xx, another type: closed, with the reason
//! ```
//!
//! ```no_run
//! use ssekit::source;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), ssekit::client::SelectError> {
//!     let connection = source("http://localhost:3000/custom-event").header("authorization", "Bearer …");
//!     let mut messages = connection.select("message");
//!     while let Some(message) = messages.next().await {
//!         println!("{}", message?.data());
//!     }
//!     Ok(())
//! }
//! ```
//!
//! The programs on these pages use this crate by the name that it has in the crate `ssekit`:
//! `ssekit::client`, and its most common items as `ssekit::source` and so on.
//!
//! Sources that GET the same URL with the same headers share a connection, and a source that joins later
//! receives the events from then on. Where a stream begins with history, or is one job's progress, each
//! viewer needs its own: [`share(false)`](Source::share). A request with another method or a body never
//! shares.
//!
//! [`Select`] is a [`Stream`](futures_core::Stream) too. It needs a tokio runtime with time and I/O enabled;
//! without one the connection closes with [`Error::NoRuntime`]. In a [browser](#in-a-browser) it needs none.
//!
//! # Limits
//!
//! | Limit | Default | Option |
//! |---|---|---|
//! | an event's fields | 16 MiB, then skipped and reported | [`max_event_bytes`](Source::max_event_bytes) |
//! | unread events of a subscriber | 1024 events and 16 MiB, then reading stops, or the oldest are lost, which is reported | [`buffer`](Source::buffer), [`when_full`](Source::when_full) |
//! | decoded events before they are delivered | those of 16 KiB of the stream | |
//! | an attempt, until the head of the answer | 60 s | [`connect_timeout`](Source::connect_timeout) |
//! | silence in a stream | none; TCP keep-alive finds a dead peer in about a minute (natively) | [`read_timeout`](Source::read_timeout) |
//! | a delay before a retry | 100 ms to 30 s, growing | [`Reconnect`] |
//! | a delay that the server asks for | 100 ms to one hour | [`Reconnect::max_server_delay`] |
//! | retries in a row | no limit | [`Reconnect::max_retries`] |
//! | redirects of an attempt | 20 | |
//! | a refusal's text | 16 KiB, and 5 s to read it | |
//! | headers of an answer | 100 in HTTP/1.1, 16 KiB in HTTP/2 | |
//! | runtimes with connections of their own to share | 8 | [`Http`] |
//!
//! # Typed events
//!
//! A message that is not right is an error in its place; the next one may be right. [`Select::json_or`] puts
//! something else in its place.
//!
//! ```no_run
//! #[derive(serde::Deserialize)]
//! struct Quote {
//!     symbol: String,
//!     price: f64,
//! }
//!
//! # async fn example() {
//! let mut quotes = ssekit::source("http://localhost:3000/quotes").select("quote").json::<Quote>();
//! while let Some(quote) = quotes.next().await {
//!     match quote {
//!         Ok(quote) => println!("{} {}", quote.symbol, quote.price),
//!         Err(error) => eprintln!("{error}"),
//!     }
//! }
//! # }
//! ```
//!
//! Where the events of a stream have several names, [`Select::typed`] makes one enum of them, which a server
//! that has the same type sends by `emit_event`.
//!
//! # One answer
//!
//! A model's answer, an export, or whatever is requested once: [`once`](Source::once) makes one request and
//! no other, [`open`](Source::open) waits for the head of the response, and [`until`](Select::until) knows
//! the message after which the answer is complete. `examples/model.rs` also renews a token that was refused
//! with 401.
//!
//! ```no_run
//! use ssekit::source;
//!
//! # async fn example(token: &str, request: &serde_json::Value) -> Result<(), Box<dyn std::error::Error>> {
//! let answer = source("http://localhost:8080/v1/chat/completions").bearer(token).json(request).once();
//! answer.open().await?;
//! let mut chunks = answer.select("message").until("[DONE]").json::<serde_json::Value>();
//! while let Some(chunk) = chunks.next().await {
//!     println!("{}", chunk?);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # The latest value
//!
//! ```no_run
//! # async fn example() {
//! let connection = ssekit::source("http://localhost:3000/stats");
//! let mut load = connection.select("load").transform(|text| text.parse::<f64>().unwrap_or(0.0)).latest();
//!
//! let _subscription = load.subscribe(|load| println!("now {load}")); // until it is dropped
//! while let Some(load) = load.changed().await {
//!     println!("has changed to {load}");
//! }
//! println!("was last {:?}", load.get());
//! # }
//! ```
//!
//! # Where the connection stands
//!
//! ```no_run
//! use ssekit::{Status, source};
//!
//! # async fn example() {
//! let connection = source("http://localhost:3000/events")
//!     .on_open(|response| println!("{} {:?}", response.status(), response.headers().get("server")))
//!     .on_error(|error| eprintln!("{error}; now {:?}", error.connection_status()))
//!     .on_close(|reason| println!("{reason}"));
//! let mut statuses = connection.statuses();
//! let _messages = connection.select_all();
//! connection.connect(); // now, or when something is first read
//! while let Some(status) = statuses.changed().await {
//!     match status {
//!         Status::Waiting { until, error } => println!("{error}; again at {until:?}"),
//!         Status::Closed { reason } => println!("{reason}"),
//!         other => println!("{other:?}"),
//!     }
//! }
//! # }
//! ```
//!
//! An [`Error`] has two parts, as usual in Rust: its text is the failure, and its
//! [`source`](std::error::Error::source) the cause. The texts of [`CloseReason`] and [`SelectError`] hold
//! both. No message and no `Debug` shows the user, password or query of a URL, or the value of a header.
//!
//! # Tokens that expire
//!
//! Headers can be asked for anew before each attempt. When that fails, the attempt has failed, and is
//! retried.
//!
//! ```no_run
//! use ssekit::client::HeaderMap;
//! use ssekit::source;
//!
//! # async fn fresh_token() -> Result<String, std::io::Error> { Ok(String::new()) }
//! let connection = source("http://localhost:3000/events").headers_from(|| async {
//!     let mut headers = HeaderMap::new();
//!     headers.insert("authorization", format!("Bearer {}", fresh_token().await?).parse()?);
//!     Ok(headers)
//! });
//! ```
//!
//! # Reconnecting
//!
//! By default a connection comes back from everything that may pass, for ever, and resumes after the last
//! event that it saw. A POST, or another request that may have an effect each time it is sent, is repeated
//! only where that does no harm; [`ssekit_session::repeat`] is the table that every client follows:
//!
//! | The attempt or stream | GET, HEAD | PUT, DELETE | POST, PATCH |
//! |---|---|---|---|
//! | nothing was sent: refused connection, unknown host | again | again | again |
//! | refused with 408, 425, 429, 503 | again | again | again |
//! | refused with another 5xx | again | again | again if it can resume after an id |
//! | no response head, by reset or timeout | again | again | again if it can resume after an id |
//! | the stream broke off | again | again | again if it can resume after an id |
//! | the server ended the stream after a `retry:` | again | again | again |
//! | the server ended the stream | again | no more | no more |
//! | 204, another status, no event stream | no more | no more | no more |
//!
//! [`Reconnect::repeat_like_safe`] treats every method like GET, and [`Reconnect::after_end`] decides about
//! reconnecting after an end. Other policies are a builder call away:
//!
//! ```
//! use std::time::Duration;
//! use ssekit::{Reconnect, source};
//!
//! let slower = Reconnect::resilient().max_delay(Duration::from_secs(300));
//! let patient = source("http://localhost:3000/a").reconnect(slower);
//! let as_browsers_do = source("http://localhost:3000/b").reconnect(Reconnect::standard());
//! let one_attempt = source("http://localhost:3000/c").reconnect(Reconnect::never());
//! let once = source("http://localhost:3000/d").reconnect(Reconnect::never());
//! let by_hand = once.on_close(|closed| closed.connect());
//! ```
//!
//! Give a stream with pings a [`read_timeout`](Source::read_timeout) of three times their interval; for a
//! stream without pings, choose it by the rate of events.
//!
//! # Closing
//!
//! Dropping a selection leaves the connection, and the last one to leave closes it. Most programs need no
//! more. [`Source::close`] closes it for all at once: no event, no error and no retry follows.
//! [`Source::connect`] opens it again as long as somebody listens, and [`Source::restart`] replaces it.
//!
//! # Slow subscribers
//!
//! Each subscriber has a buffer. When it is full, the connection is read no further, so that the server waits
//! in the end, unless that would keep another subscriber waiting: then the slow one loses its oldest events,
//! and gets their number.
//!
//! ```no_run
//! use ssekit::client::{SelectError, WhenFull};
//! use ssekit::source;
//!
//! # async fn example() {
//! let connection = source("http://localhost:3000/events").buffer(100, 1 << 20).when_full(WhenFull::Lose);
//! let mut messages = connection.select_all();
//! while let Some(message) = messages.next().await {
//!     match message {
//!         Ok(message) => println!("{} {}", message.event(), message.data()),
//!         Err(SelectError::Lagged { lost }) => eprintln!("{lost} events were lost"),
//!         Err(error) => eprintln!("{error}"),
//!     }
//! }
//! # }
//! ```
//!
//! # TLS, HTTP/2 and proxies
//!
//! [`Http`] speaks TLS by rustls with the roots of the system, HTTP/2 where the server prefers it, and goes
//! through the proxies that the environment names. Its settings are for [`Source::transport`]:
//!
//! ```no_run
//! use ssekit::client::Http;
//! use ssekit::source;
//!
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let http = Http::new().root_certificate(&std::fs::read("our-authority.pem")?)?;
//! let connection = source("https://internal.example/events").transport(http);
//! # Ok(())
//! # }
//! ```
//!
//! # In a browser
//!
//! Compiled for `wasm32-unknown-unknown`, the same sources, streams and stores run in pages and in workers,
//! over `fetch`. A page's futures run by `wasm_bindgen_futures::spawn_local`, and those of a framework
//! (Leptos, Dioxus, Yew) by its own means.
//!
//! ```no_run
//! # use ssekit::source;
//! # fn set_text(_: &str) {}
//! // The page shows the values while both live.
//! # fn example() {
//! let load = source("http://localhost:3000/stats").select("load").transform(str::to_owned).latest();
//! let shown = load.subscribe(|load| set_text(load));
//! # }
//! ```
//!
//! | | Natively | In a browser |
//! |---|---|---|
//! | URLs | absolute | or relative to the page, or to the worker's script |
//! | [`Http`] | hyper and rustls | `fetch`; `Http::credentials` and `Http::mode` are its settings, certificates and proxies are the browser's |
//! | headers | as they are set | but those that a browser keeps to itself; other origins must allow them (CORS), and `Last-Event-ID` with them when a connection resumes |
//! | compression | never asked for | the browser's own affair |
//! | redirects | 20, then a final error | 20, then a failed attempt |
//! | a redirect to another origin | gets `Last-Event-ID` and the `Accept` headers, and no header that may be a secret; with a body it is a final error. From `http` to `https` of the same host is no other origin | as `fetch` does: all headers but `Authorization`, and the body of 307 and 308 |
//! | a certificate that is not trusted | a final error | a failed attempt like any other |
//! | a page that is hidden | | keeps its connection, unless [`pause_when_hidden`](Source::pause_when_hidden) |
//! | no network, says the browser | | delays are the policy's longest until there is one, but for hosts that are this very machine |
//! | a frozen page, the back-forward cache | | has no connection; resumes when it goes on |
//! | the machine has slept | a stream in which no byte has come since is opened again within 30 s, where the monotonic clock stands still in sleep; TCP keep-alive finds dead connections everywhere | a stream that was silent for a minute is opened again when the page is shown or its clock has jumped |
//! | a POST that could not be sent | is repeated | counts as sent: `fetch` does not tell one from the other |
//! | closures, values | [`Send`] | anything: `MaybeSend` says so in signatures. A source, its streams and stores are [`Send`] all the same, but must be used in the thread that made them |
//! | a panic in a closure | an error | the end of the program, as WebAssembly has it |
//! | time | [`std::time::Instant`] | that of the crate `web-time`, by the same name: [`Instant`] |
//!
//! Over HTTP/1.1 a browser has six connections for each host, in all its tabs: let servers of pages speak
//! HTTP/2.

mod callbacks;
mod connection;
mod driver;
mod error;
mod latest;
mod message;
mod notice;
mod notify;
mod options;
mod panics;
mod redact;
mod registry;
mod request;
mod response;
mod runtime;
mod select;
mod source;
mod status;
mod store;
mod subscribers;
mod subscription;
mod transport;

pub use error::{BoxError, Error, SelectError, TransportError};
pub use http::{HeaderMap, HeaderValue, StatusCode};
pub use latest::{Latest, Subscription};
pub use message::Message;
pub use notice::Notice;
pub use response::Response;
pub use runtime::Instant;
#[cfg(target_arch = "wasm32")]
pub use runtime::{MaybeSend, MaybeSync};
pub use select::{JsonFailure, Select};
pub use source::{Source, source};
pub use ssekit_session::{AfterEnd, Reconnect};
pub use status::{CloseReason, Status};
pub use subscribers::WhenFull;
pub use transport::{Body, Http, Sending, Transport};
#[cfg(target_arch = "wasm32")]
pub use transport::{Credentials, Mode};
