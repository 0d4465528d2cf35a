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
//! The programs on these pages use this crate by the name that it has in the crate `ssekit`:
//! `ssekit::server`, and its most common items as `ssekit::produce` and so on.
//!
//! [`produce`] makes a response. An `async` block emits into it. [`Streams`], a layer of the router, end all
//! streams when the server [shuts down](#shutting-down):
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use axum::{Router, response::IntoResponse, routing::get};
//! use ssekit::{Streams, produce};
//! use tokio::time::sleep;
//!
//! async fn clock() -> impl IntoResponse {
//!     produce(|stream| async move {
//!         loop {
//!             // An error once the client is gone, which ends this.
//!             stream.emit("message", format!("the time is {:?}", SystemTime::now()))?;
//!             sleep(Duration::from_secs(1)).await;
//!         }
//!     })
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! # async fn ctrl_c() {} // tokio::signal::ctrl_c
//! let streams = Streams::new();
//! let app = Router::new().route("/clock", get(clock)).layer(streams.clone());
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! axum::serve(listener, app).with_graceful_shutdown(streams.shutdown_on(ctrl_c())).await?;
//! # Ok(()) }
//! ```
//!
//! | Events that | go by |
//! |---|---|
//! | the handler makes itself | [`produce`] |
//! | come from elsewhere, for one stream | its [`Emitter`] |
//! | are for a user, for some users, for all present users | [`Clients`] |
//! | are the same for many clients, also for those that were away | a [`Channel`] |
//!
//! All of them answer with [`Produce`], which has the options of the stream, and [`Streams`] ends and limits
//! open streams. This page shows each with axum; [other frameworks](#frameworks) differ in a word.
//!
//! # Guarantees
//!
//! - Nothing is spawned. A stream is a future that its connection polls. When the client goes, that future is
//!   dropped.
//! - `emit` never blocks and never loses silently: it answers `Ok`, [`Closed`](EmitError::Closed) or
//!   [`Full`](EmitError::Full). [`send`](Emitter::send) waits for room.
//! - A channel's subscriber gets each event once and in order, or a notice in the stream that it has missed
//!   some.
//! - No text can add a field or an event: names and ids with line breaks are refused, data is split into
//!   lines.
//! - [`on_stop`](Produce::on_stop) runs exactly once, with the reason, however the stream ends; then the
//!   clean-up.
//! - An error or a panic of one stream ends that stream alone, and cuts its response: no client takes it for
//!   complete.
//!
//! # Emitting from elsewhere
//!
//! An [`Emitter`] is `Clone + Send + Sync`: give it to whatever has the events. The stream stays open after
//! `start` has returned, until it is unlocked, the last emitter is dropped, or the client goes:
//!
//! ```
//! use ssekit::{Emitter, Produce, produce};
//! use tokio::sync::mpsc;
//!
//! fn progress(jobs: mpsc::Sender<Emitter>) -> Produce {
//!     // When there is no room for one more job, its emitter is dropped, and the stream ends.
//!     produce(move |stream| drop(jobs.try_send(stream)))
//! }
//!
//! // In a task or a thread of its own:
//! fn work(stream: &Emitter) {
//!     for percent in [10, 50, 100] {
//!         if stream.emit("progress", percent.to_string()).is_err() {
//!             return; // the client has gone, or does not read
//!         }
//!     }
//! }
//! # let _ = (progress, work);
//! ```
//!
//! # To one user with three tabs
//!
//! [`Clients`] are the open streams by key: a session, a user. A key has as many as its user has tabs, and
//! each leaves alone:
//!
//! ```
//! use axum::extract::{Path, State};
//! use axum::{Router, http::StatusCode, routing::get};
//! use ssekit::{AudienceError, Clients, Produce};
//!
//! async fn events(Path(user): Path<String>, State(clients): State<Clients<String>>) -> Produce {
//!     clients.connect(user)
//! }
//!
//! // From another route, a webhook, a database listener:
//! async fn greet(
//!     Path(user): Path<String>,
//!     State(clients): State<Clients<String>>,
//! ) -> Result<String, StatusCode> {
//!     match clients.get(&user).emit("message", "hello") {
//!         Ok(sent) => Ok(format!("{} tabs have it, {} read too slowly", sent.taken, sent.full)),
//!         Err(AudienceError::Nobody) => Err(StatusCode::NOT_FOUND),
//!         Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
//!     }
//! }
//!
//! let router = Router::new().route("/events/{user}", get(events).post(greet));
//! let router: Router = router.with_state(Clients::builder().max_per_key(6).build());
//! ```
//!
//! [`presence`](Clients::presence) reports joins and leaves, [`settled`](Presence::settled) without page
//! reloads, and [`close`](Clients::close) ends the streams of a user after a [log-out](Clients::connect):
//! check the session after the stream has joined, not before.
//!
//! A stream can have keys of several registries, as a user and a room: [`also_in`](Produce::also_in).
//!
//! # To all
//!
//! The same registry, or a part of it. That nobody is there is no error then:
//!
//! ```
//! use ssekit::{AudienceError, Clients};
//!
//! fn announce(clients: &Clients<String>, text: &str) -> Result<(), AudienceError> {
//!     clients.all().emit("news", text)?;
//!     let sent = clients.matching(|user| user.starts_with("admin-")).emit("log", text)?;
//!     println!("{} streams of admins have it; {} users are here", sent.taken, clients.len());
//!     Ok(())
//! }
//! # announce(&Clients::new(), "hello").unwrap();
//! ```
//!
//! For events that thousands get, or that absent clients get later, use a [`Channel`]: subscribers share its
//! bytes. `clients.connect(user).follow(&channel, last)` is both in one stream.
//!
//! # Resuming after a lost connection
//!
//! A client that returns sends the id of the last event it has seen: [`LastEventId`]. A [`Channel`] is a log
//! of events with ids, and reads on from there:
//!
//! ```
//! use axum::{Router, extract::State, routing::get};
//! use ssekit::{Channel, EmitError, LastEventId, Produce};
//!
//! async fn events(State(news): State<Channel>, last: LastEventId) -> Produce {
//!     news.subscribe(last)
//! }
//!
//! # fn main() -> Result<(), EmitError> {
//! let news = Channel::builder().keep_last(10_000).build();
//! let router: Router = Router::new().route("/events", get(events)).with_state(news.clone());
//! let id = news.emit("headline", "…")?; // from any thread or task, to every subscriber
//! assert_eq!(id.sequence(), 1);
//! # Ok(()) }
//! ```
//!
//! ```text
//!  emit, on any thread: encode once, append, wake subscribers
//!                                                        │
//!            dropped     segment    segment      tail    ▼
//!          ┌ ─ ─ ─ ─ ┬───────────┬───────────┬────────────┐
//!  the log │ 1 … 40  │ 41  …  52 │ 53  …  64 │ 65  66  67 │
//!          └ ─ ─ ─ ─ ┴──▲────────┴───────────┴──▲───────▲─┘
//!                     cursor                  cursor  cursor    a cursor each; the bytes are shared
//!                     SseBody                 SseBody SseBody
//!                     just back               slow    waits
//! ```
//!
//! Missed events and new events are the same log, so there is no hand-over between them. If the position is
//! gone, because the server was restarted or the log has moved on, the first event is named `reset`, and
//! [its data](Channel#when-it-cannot-go-on-where-the-client-was) says how many events are missing, where that
//! is known. Then comes everything that is held, unless [set otherwise](ChannelBuilder::after_reset).
//!
//! [`First`] sets the events for a client without an id: new ones, the latest, or all. A client that waits
//! for its first event gets an id before it, without an event, so that it misses none if its connection
//! breaks early. A page that was rendered with the state up to some event asks for the rest by
//! `?lastEventId=…`.
//!
//! A log of your own, such as a table in a database, resumes with [`Event::with_id`] and the client's last
//! event ID:
//!
//! ```
//! use ssekit::{Event, LastEventId, Produce, produce};
//!
//! async fn count(last: LastEventId) -> Produce {
//!     let seen: Option<u64> = last.as_str().and_then(|id| id.parse().ok());
//!     let next = seen.map_or(0, |id| id + 1);
//!     produce(move |stream| async move {
//!         for n in next..100 {
//!             stream.send(Event::new(n.to_string()).with_numeric_id(n)).await?;
//!         }
//!         Ok(())
//!     })
//! }
//! # let _ = axum::routing::get::<_, _, ()>(count);
//! ```
//!
//! # Ending for good
//!
//! A browser's `EventSource` takes the end of a response for a lost connection: some seconds later it asks
//! again, and then again. Only an answer that is no stream keeps it away for good: 204 No Content. Our
//! clients take it for final too.
//!
//! A [`Channel`] that has ended answers so by itself. A client that has not seen everything gets the rest,
//! then the end, and 204 when it comes back. A job, its log, and clients that watch it from the beginning:
//!
//! ```
//! use std::{collections::HashMap, sync::{Arc, Mutex}};
//! use axum::extract::{Path, State};
//! use ssekit::server::Error;
//! use ssekit::{Channel, First, LastEventId, Produce};
//!
//! type Jobs = Arc<Mutex<HashMap<u64, Channel>>>;
//!
//! fn start(jobs: &Jobs, id: u64) {
//!     let log = Channel::builder().keep_all().first(First::All).build();
//!     jobs.lock().unwrap().insert(id, log.clone());
//!     tokio::spawn(work(log));
//! }
//!
//! async fn work(log: Channel) -> Result<(), Error> {
//!     let log = log.close_on_drop(); // an error or a panic cuts the streams instead of leaving them open
//!     for percent in [10, 50, 100] {
//!         log.emit("progress", percent.to_string())?;
//!     }
//!     log.emit("done", "")?;
//!     log.close();
//!     Ok(())
//! }
//!
//! // GET /jobs/{id}
//! async fn watch(Path(id): Path<u64>, State(jobs): State<Jobs>, last: LastEventId) -> Produce {
//!     match jobs.lock().unwrap().get(&id) {
//!         Some(log) => log.subscribe(last),
//!         None => Produce::no_content(), // there is no such job, or no more
//!     }
//! }
//! # let routes = axum::Router::new().route("/jobs/{id}", axum::routing::get(watch));
//! # let _ = routes.with_state(Jobs::default()) as axum::Router;
//! # let _ = start;
//! ```
//!
//! Keep an ended channel for some minutes, so that clients whose connection was just lost get the rest. One
//! that has [failed](Channel::fail) is answered with 410 instead of 204, which is final as well.
//!
//! A stream of [`produce`] that ends answers its client with [`Produce::no_content`] when it comes back: give
//! the last event an id by which you know it. In the page:
//!
//! ```js
//! const source = new EventSource('/jobs/7')
//! source.addEventListener('done', () => source.close()) // at once, without another request
//! source.addEventListener('error', () => {
//!   // 204: it is over. Otherwise it reconnects by itself.
//!   if (source.readyState === EventSource.CLOSED) { /* … */ }
//! })
//! ```
//!
//! # Several channels in one stream, and a part of one
//!
//! Browsers open six connections to a server over HTTP/1.1, so a page should need one stream.
//! [`and`](Channel::and) joins channels, [`filter`](Channel::filter) leaves events out by their name, and
//! [`follow`](Produce::follow) adds channels to a stream that has events of its own:
//!
//! ```
//! use ssekit::{Channel, Clients, First, LastEventId, Produce};
//!
//! struct App {
//!     clients: Clients<String>,
//!     stats: Channel,
//!     chat: Channel,
//! }
//!
//! fn page(app: &App, user: String, last: LastEventId) -> Produce {
//!     let common = app.stats.first(First::Last(1)).and(app.chat.filter(|name| name != "typing"));
//!     app.clients.connect(user).follow(common, last)
//! }
//! # let _ = page;
//! ```
//!
//! The order is kept within each channel, and the ids of such a stream name the position in
//! [all of them](Selection).
//!
//! # Slow clients
//!
//! A producer that is faster than its client finds the buffer full. The right reaction depends on the events:
//!
//! ```
//! use ssekit::server::Error;
//! use ssekit::{EmitError, Emitter, Event};
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
//! // All of them matter and nobody can wait: end the stream, so that the client resumes.
//! fn trade(stream: &Emitter, trade: &str) -> Result<(), EmitError> {
//!     stream.emit("trade", trade).inspect_err(|_| stream.fail(Error::new("the client is too slow")))
//! }
//! # let _ = (export, position, trade);
//! ```
//!
//! [`Clients`] leave the event out for the stream that is full and count it, or end that stream
//! ([`end_when_full`](ClientsBuilder::end_when_full)). A channel has no buffer for each subscriber: one that
//! is slow falls back in the log, and delays nobody. When the log drops events that it has not read, its
//! stream is cut and the client resumes; or, by [`when_overtaken`](ChannelBuilder::when_overtaken), it is
//! told of the gap and goes on, or publishers wait for it:
//!
//! ```
//! use std::time::Duration;
//! use ssekit::{Channel, Overtaken};
//!
//! let prices = Channel::builder()
//!     .keep_for(Duration::from_secs(10))
//!     .when_overtaken(Overtaken::Gap)
//!     .build();
//! # drop(prices);
//! ```
//!
//! A client that reads nothing for the [stall time](Produce::stall_timeout) is disconnected.
//!
//! # Many events a second
//!
//! A write to a socket costs many times as much as an event. Events that wait leave in one write anyhow; a
//! channel with many events saves more when it [gathers](ChannelBuilder::gather) the events of a few
//! milliseconds. An event after a silence still leaves at once:
//!
//! ```
//! use std::time::Duration;
//! use ssekit::Channel;
//!
//! let ticks = Channel::builder().gather(Duration::from_millis(10)).build();
//! # drop(ticks);
//! ```
//!
//! # Shutting down
//!
//! A framework's graceful shutdown waits for every response, and a stream has no end. [`Streams`] end them,
//! within 100 ms, and tell their clients to return at different times. Set once for a server, they know the
//! streams of every handler:
//!
//! ```
//! use axum::{Router, routing::get};
//! use ssekit::{Streams, produce};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! # async fn ctrl_c() {} // tokio::signal::ctrl_c
//! let streams = Streams::new();
//! let events = || async { produce(|stream| { /* keep it */ drop(stream) }) };
//! let router = Router::new().route("/events", get(events)).layer(streams.clone());
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//!
//! let shutdown = streams.shutdown_on(ctrl_c());
//! axum::serve(listener, router).with_graceful_shutdown(shutdown).await?;
//! streams.ended().await; // every `on_stop` has run
//! # Ok(()) }
//! ```
//!
//! | | Once for all its streams |
//! |---|---|
//! | axum; tower (feature `tower`) | `.layer(streams.clone())` |
//! | actix-web | `.wrap(streams.clone())` |
//! | poem | `.with(streams.clone())` |
//! | rocket | `.attach(streams.clone())`, which also shuts them down with the application |
//! | salvo | `.hoop(streams.clone())` |
//! | warp | `streams.around(routes)` |
//! | hyper, others | [`streams.scope(…)`](Streams::scope) around the handler of a request |
//!
//! # How many, and for how long
//!
//! [`Streams`] have limits as well. A stream beyond a limit is answered with 200, a reconnection time and the
//! end, because a browser gives up for good on anything else. A client whose stream has reached its lifetime
//! gets a time to return, perhaps to another server and with newer credentials:
//!
//! ```
//! use std::{net::SocketAddr, time::Duration};
//! use axum::extract::{ConnectInfo, State};
//! use axum::{Router, routing::get};
//! use ssekit::{Produce, Streams, produce};
//!
//! async fn events(
//!     ConnectInfo(peer): ConnectInfo<SocketAddr>,
//!     State(streams): State<Streams>,
//! ) -> Produce {
//!     produce(|stream| { /* keep it */ drop(stream) }).within_as(&streams, peer.ip())
//! }
//!
//! let hour = Duration::from_secs(3600);
//! let streams = Streams::builder().max(10_000).max_per_key(6).max_lifetime(hour).build();
//! let router: Router = Router::new().route("/events", get(events)).with_state(streams.clone());
//! println!("{} streams are open, {} were refused", streams.len(), streams.refused());
//! ```
//!
//! # Limits
//!
//! | Limit | Default | Option |
//! |---|---|---|
//! | events that wait for the client | 64 KiB | [`buffer`](Produce::buffer) |
//! | bytes that are handed over at once, beside them | as much again | with it |
//! | bytes that the transport holds unwritten | 256 KiB, 12 chunks; a transport that copies has a limit of its own (hyper some 400 KiB, and 64 KiB of a stream of HTTP/2) | – |
//! | one encoded event | 16 MiB | – |
//! | a client that does not read | closed after 30 s | [`stall_timeout`](Produce::stall_timeout) |
//! | an idle stream | pings after 30 s | [`ping`](Produce::ping) |
//! | a client whose machine has vanished | the system's, about 15 min | `watch_peer`, feature `tcp` |
//! | channels that one stream reads | 100 | – |
//! | events that a channel gathers, if it gathers | 256, or half of those that it holds | [`gather`](ChannelBuilder::gather) |
//! | events that a channel holds | 1,024 and 16 MiB, of any age | [`keep_last`](ChannelBuilder::keep_last), [`keep_bytes`](ChannelBuilder::keep_bytes), [`keep_for`](ChannelBuilder::keep_for) |
//! | one read of a subscriber | 64 KiB, or one event | – |
//! | open streams, in all and for a key | any number | [`max`](StreamsBuilder::max), [`max_per_key`](StreamsBuilder::max_per_key), also [of `Clients`](ClientsBuilder::max_per_key) |
//! | lifetime of a stream | unlimited | [`max_lifetime`](StreamsBuilder::max_lifetime) |
//! | return of a client whose stream was ended or refused | after 1.5 to 4.5 s | [`retry`](StreamsBuilder::retry) |
//! | time for the transport to write the rest at shutdown | 50 ms; all is over after 100 ms | – |
//! | changes that a watcher of presence has not read | 1,024, then it gets the number of lost ones | – |
//! | keys whose leave [settled](Presence::settled) presence holds back | 1,024, then the oldest is reported | – |
//! | an event's id, a last event ID | 4 KiB; `emit` answers an error, a request is answered with 400 | – |
//! | the compressor of a stream that shares none | 300 KiB to 2 MiB | – |
//!
//! # Testing a handler
//!
//! No network is needed: call the handler, and read the events of its response by [`testing`]:
//!
//! ```
//! use axum::extract::State;
//! use ssekit::{Channel, LastEventId, Produce, testing};
//!
//! async fn events(State(news): State<Channel>, last: LastEventId) -> Produce {
//!     news.subscribe(last)
//! }
//!
//! # type Result = std::result::Result<(), Box<dyn std::error::Error>>;
//! # mod tokio { pub use ::tokio::{*, main as test}; } // so that `main` runs the tests below
//! #[tokio::test]
//! async fn a_client_that_returns_reads_on() -> Result {
//!     let news = Channel::new();
//!     let seen = news.emit("headline", "one")?;
//!     let next = news.emit("headline", "two")?;
//!     let last = LastEventId::new(seen.to_string())?;
//!     let mut events = testing::events(events(State(news.clone()), last).await.response());
//!     let event = events.next().await.expect("the stream is open")?;
//!     assert_eq!((event.data, event.last_event_id), ("two".to_owned(), next.to_string()));
//!
//!     news.close();
//!     assert!(events.rest().await?.is_empty());
//!     Ok(())
//! }
//! # fn main() -> Result {
//! #     a_client_that_returns_reads_on()
//! # }
//! ```
//!
//! # Frameworks
//!
//! | | Feature | A handler returns | [`LastEventId`] is |
//! |---|---|---|---|
//! | axum | `axum` | [`Produce`] | an argument of the handler |
//! | actix-web | `actix-web` | [`Produce`] | an argument of the handler |
//! | poem | `poem` | [`Produce`] | an argument of the handler |
//! | rocket | `rocket` | [`Produce`] | a request guard; as a `Result<LastEventId, InvalidLastEventId>` it has the error |
//! | salvo | `salvo` | [`Produce`] | an argument of the handler |
//! | warp | `warp` | [`Produce`] | a filter, `LastEventId::filter()`, that gives a `Result`: return its error |
//! | hyper, tower | – | [`produce(…).response()`](Produce::response) | [`LastEventId::from_request`] |
//!
//! An id that is none is answered with 400. Whatever takes an `http_body::Body` or a stream of bytes takes
//! [`SseBody`]. `examples/frameworks` has one small application in each of them. One suite of tests runs
//! through all seven, over sockets and HTTP/1.1, and this is where they differ:
//!
//! | | A client that goes is noticed | One that does not read is closed | A body that fails | The framework's own compression |
//! |---|---|---|---|---|
//! | axum, hyper | at once | after the stall time | is cut | leaves streams alone (tower-http) |
//! | actix-web | at once | by `watch_peer` | is cut | leaves streams alone |
//! | poem | at once by a reset, otherwise by the next ping | by `watch_peer` | ends in the middle of an event | compresses, and flushes each event |
//! | rocket | by the next ping | never: it costs bounded memory until it goes | ends in the middle of an event | there is none |
//! | salvo | at once | after the stall time | is cut | leaves streams alone |
//! | warp | at once | after the stall time | is cut | compresses, and flushes each event |
//!
//! A response that is cut has no last chunk, or, over HTTP/2, is reset: a client that reads it to its end
//! gets an error. poem and rocket give every response a last chunk, so that one that fails ends with
//! `event: incomplete` and half a line.
//!
//! # Cleaning up
//!
//! Values in `start` are dropped with it. A `start` that is not `async` may return a closure, which runs once
//! at the end; an `async` one does so with [`produce_with_cleanup`]. [`on_stop`](Produce::on_stop) may wait
//! for something, and gets the reason of the end:
//!
//! ```
//! use ssekit::{StopReason, produce};
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
//! # Errors
//!
//! `start` returns any error by `?`. It is logged by `tracing`, ends the stream after its emitted events,
//! cuts the response ([`BodyError`]), and reaches [`on_stop`](Produce::on_stop) as [`StopReason::Failed`].
//! `EventSource` comes back. A fault of a header is found before anything starts: the response is a 500, or
//! [`try_response`](Produce::try_response) gives the error.
//!
//! ```
//! use ssekit::server::Error;
//! use ssekit::{Produce, produce};
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
//! # Pings, proxies, and peers that vanish
//!
//! Proxies close connections on which nothing happens, and a peer that has vanished is noticed only by
//! writing to it. So an idle stream sends an event named `ping` every 30 s: pages can see it, and notice its
//! absence. It can be a comment, which they cannot, or come at another interval. The response's headers ask
//! proxies not to buffer and not to compress.
//!
//! ```no_run
//! use std::time::Duration;
//! use axum::serve::ListenerExt;
//! use ssekit::{produce, watch_peer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let router = axum::Router::new().fallback(|| async {
//!     produce(|stream| { /* keep it */ drop(stream) }).ping_comment(Duration::from_secs(15))
//! });
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?.tap_io(|socket| {
//!     if let Err(error) = watch_peer(socket, Duration::from_secs(60)) {
//!         tracing::warn!(%error, "cannot set the TCP options: lost peers will be noticed late");
//!     }
//! });
//! axum::serve(listener, router).await
//! # }
//! ```
//!
//! # Compression
//!
//! With a feature of `gzip`, `brotli` and `zstd`, `compress` compresses a stream as its client accepts, and
//! flushes each event at once. Streams that read one channel as it is share the compressed bytes. It is off
//! unless called: small events gain little, and secrets beside text that others choose should not be
//! compressed.
//!
//! ```
//! use axum::http::{HeaderMap, header::ACCEPT_ENCODING};
//! use ssekit::{Channel, LastEventId, Produce};
//!
//! # #[cfg(any(feature = "brotli", feature = "gzip", feature = "zstd"))]
//! fn events(news: &Channel, last: LastEventId, headers: &HeaderMap) -> Produce {
//!     let accepted = headers.get(ACCEPT_ENCODING).map_or(&b""[..], |value| value.as_bytes());
//!     news.subscribe(last).compress(accepted)
//! }
//! ```
//!
//! # Metrics
//!
//! [`Channel::stats`], [`Streams::len`], [`Clients::len`] and their kin are numbers for any library. With the
//! feature `metrics`, `record_metrics` of each gives them to the recorder of the crate `metrics`, when you
//! say so:
//!
//! ```
//! use ssekit::{Channel, Clients, Streams};
//!
//! # #[cfg(feature = "metrics")]
//! // From a timer, or before metrics are scraped.
//! fn record(news: &Channel, clients: &Clients<String>, streams: &Streams) {
//!     news.record_metrics();
//!     clients.record_metrics();
//!     streams.record_metrics();
//! }
//! # let stats = Channel::new().stats();
//! assert_eq!((stats.subscribers, stats.lag, stats.missed), (0, 0, 0));
//! ```
//!
//! # Pages that use the npm package `sveltekit-sse`
//!
//! They work, with `produce(…).ids_from(1)`; the package's `source` sends a POST by default.

mod produce;

mod headers;

mod emitter;

mod emit_error;

mod channel;

mod streams;

mod refusal;

mod clients;

mod presence;

mod runs;

mod stop;

mod last_event_id;

mod error;

mod body;

mod outbox;

mod queue;

mod timers;

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

#[cfg(feature = "metrics")]
mod recorded;

#[cfg(feature = "tcp")]
mod tcp;

#[cfg(feature = "tower")]
mod tower;

mod within;

pub mod testing;

pub use body::{BodyError, SseBody};
pub use channel::{Channel, ChannelBuilder, ChannelStats, CloseOnDrop, EventId, First, Overtaken, Selection};
pub use clients::{Audience, AudienceError, Clients, ClientsBuilder, Delivery};
pub use emit_error::EmitError;
pub use emitter::{Emitter, Lock};
pub use error::Error;
pub use headers::HeaderError;
pub use last_event_id::{InvalidLastEventId, LastEventId};
pub use presence::{Presence, PresenceChange, SettledPresence};
pub use produce::{Produce, produce, produce_with_cleanup};
pub use runs::{InvalidRunId, Run, RunId, RunLimit, RunOutput, RunState, RunStatus, Runs, RunsBuilder};
pub use ssekit_wire::{Event, Field, FieldError};
pub use start::Started;
pub use stop::StopReason;
pub use streams::{Streams, StreamsBuilder};
#[cfg(feature = "tcp")]
pub use tcp::watch_peer;
pub use within::Scoped;
#[cfg(any(feature = "actix-web", feature = "poem", feature = "tower"))]
pub use within::Within;
