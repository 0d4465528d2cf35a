use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, VARY};
use http::{Response, StatusCode};
use sync_wrapper::SyncWrapper;
use tokio::time::Instant;

use crate::body::SseBody;
use crate::channel::reader::Reader;
use crate::compress::{Encoder, Encoding};
use crate::emitter::Emitter;
use crate::error::Error;
use crate::headers::{HEADERS, HeaderError, REFUSED, header};
use crate::outbox::Outbox;
use crate::queue::{Ping, Queue};
use crate::start::{Running, Start, Started};
use crate::stop::{CleanUp, OnStop, Stop, StopReason};
use crate::streams::{Join, Streams};
use crate::timers::{Lifetime, StreamTimers};

/// Produces an event stream: a response whose events come from `start`, or from code that has its
/// [`Emitter`].
///
/// `start` runs when the connection first asks for bytes, not before, and never for a response that nobody
/// reads. [`Started`] lists the types that it may return. An `async` block runs as a part of the connection's
/// own task; nothing is spawned. It is dropped where it waits when the client goes or the stream ends.
///
/// The stream stays open after `start` has returned, until it is unlocked, its last emitter is dropped
/// ([`Lock`](crate::Lock)), or the client goes.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use ssekit::{Produce, produce};
/// use tokio::time::sleep;
///
/// fn clock() -> Produce {
///     produce(|stream| async move {
///         loop {
///             stream.emit("message", format!("the time is {:?}", SystemTime::now()))?;
///             sleep(Duration::from_secs(1)).await;
///         }
///     })
///     .ping(Duration::from_secs(4))
/// }
/// # let _ = clock;
/// ```
///
/// # Errors of `start`
/// An error that `start` returns and a panic in it end this stream alone, after its queued events: both are
/// logged and given to [`on_stop`](Produce::on_stop), and the response is cut, so that no client takes it for
/// complete.
pub fn produce<F, R, Kind>(start: F) -> Produce
where
    F: FnOnce(Emitter) -> R + Send + 'static,
    R: Started<Kind>,
{
    Produce::new(Some(Box::new(move |emitter| start(emitter).running())))
}

/// [`produce`] for an `async` start that returns the clean-up, which runs once, when the stream has ended.
///
/// In one function with `produce`, the compiler could not infer the result of the `async` block of the usual
/// program. If the stream ends before `start` has returned, there is no clean-up yet: put work that must not
/// be missed into a value that `start` holds, which is dropped with it, or into
/// [`on_stop`](Produce::on_stop).
///
/// ```
/// use ssekit::server::Error;
/// use ssekit::{Produce, produce_with_cleanup};
///
/// fn events() -> Produce {
///     produce_with_cleanup(|stream| async move {
///         let subscription = subscribe("topic").await?;
///         stream.emit("ready", "")?;
///         Ok(move || drop(subscription))
///     })
/// }
/// # async fn subscribe(_: &str) -> Result<(), std::io::Error> { Ok(()) }
/// # let _ = events;
/// ```
pub fn produce_with_cleanup<F, Fut, C>(start: F) -> Produce
where
    F: FnOnce(Emitter) -> Fut + Send + 'static,
    Fut: Future<Output = Result<C, Error>> + Send + 'static,
    C: FnOnce() + Send + 'static,
{
    Produce::new(Some(Box::new(move |emitter| {
        let future = start(emitter);
        Running::future(async move { future.await.map(CleanUp::new) })
    })))
}

/// An event stream that is about to be answered with, and its options.
///
/// Return it from a handler of a [framework](crate#frameworks) whose feature is on, or turn it into a
/// response by [`response`](Self::response).
#[must_use = "an event stream does nothing until it is returned as a response"]
pub struct Produce {
    /// None where nobody emits.
    start: Option<SyncWrapper<Start>>,
    reader: Option<Reader>,
    /// The answer is not a stream but this status.
    nothing_left: Option<StatusCode>,
    /// Whether the answer depends on the encodings that the client accepts.
    negotiated: bool,
    encoding: Option<Encoding>,
    status: StatusCode,
    headers: Result<HeaderMap, HeaderError>,
    ping: Option<Duration>,
    ping_as: Ping,
    stall: Option<Duration>,
    buffer: usize,
    retry: Option<Duration>,
    ids_from: Option<u64>,
    /// The registries that the stream joins; the one that was named last comes first.
    joins: VecDeque<Join>,
    lifetime: Option<Lifetime>,
    stop: Stop,
}

impl Produce {
    fn new(start: Option<Start>) -> Self {
        Self {
            start: start.map(SyncWrapper::new),
            reader: None,
            nothing_left: None,
            negotiated: false,
            encoding: None,
            status: StatusCode::OK,
            headers: Ok(HeaderMap::new()),
            ping: Some(DEFAULT_PING),
            ping_as: Ping::Event,
            stall: Some(DEFAULT_STALL),
            buffer: DEFAULT_BUFFER,
            retry: None,
            ids_from: None,
            joins: VecDeque::new(),
            lifetime: None,
            stop: Stop::default(),
        }
    }

    /// A stream without emitters.
    pub(crate) fn silent() -> Self {
        Self::new(None)
    }

    /// The answer to a client that is to stay away, because no more events follow: 204 No Content instead of
    /// a stream. `EventSource` and our clients take it for final. See
    /// [ending for good](crate#ending-for-good).
    ///
    /// ```
    /// use ssekit::{Event, LastEventId, Produce, produce};
    ///
    /// async fn report(last: LastEventId) -> Produce {
    ///     if last.as_str() == Some("end") {
    ///         return Produce::no_content();
    ///     }
    ///     produce(|stream| async move {
    ///         stream.send(Event::new("…").with_event("report")?.with_id("end")?).await?;
    ///         stream.close();
    ///         Ok(())
    ///     })
    /// }
    /// # let _ = report;
    /// ```
    pub fn no_content() -> Self {
        Self { nothing_left: Some(StatusCode::NO_CONTENT), ..Self::silent() }
    }

    /// The status for a client for whom there is nothing left, if that is so.
    fn nothing_left(&self) -> Option<StatusCode> {
        let channels = || self.reader.as_ref().filter(|_| self.start.is_none())?.nothing_left();
        self.nothing_left.or_else(|| {
            channels().map(|closed| if closed { StatusCode::NO_CONTENT } else { StatusCode::GONE })
        })
    }

    /// Reads these channels too.
    pub(crate) fn read(&mut self, reader: Reader) {
        let all = match &mut self.reader {
            Some(before) => {
                before.extend(reader);
                before
            }
            none => none.insert(reader),
        };
        let (channels, limit) = (all.len(), Reader::MAX_CHANNELS);
        if channels > limit {
            self.headers = Err(HeaderError::TooManyChannels { channels, limit });
        }
    }

    /// Sets the negotiated encoding of the stream, if there is one.
    #[cfg(any(feature = "brotli", feature = "gzip", feature = "zstd"))]
    pub(crate) fn negotiated(&mut self, encoding: Option<Encoding>) {
        (self.negotiated, self.encoding) = (true, encoding);
    }

    /// Sends an event named `ping`, with empty data and no id, whenever nothing was sent for this long. 30 s
    /// unless set, and never less than a millisecond.
    #[doc(alias("keep_alive", "heartbeat"))]
    pub fn ping(mut self, interval: Duration) -> Self {
        self.ping = Some(interval.max(LEAST_PING));
        self.ping_as = Ping::Event;
        self
    }

    /// Sends a comment instead, which receivers never see, whenever nothing was sent for this long.
    #[doc(alias("keep_alive", "heartbeat"))]
    pub fn ping_comment(mut self, interval: Duration) -> Self {
        self.ping = Some(interval.max(LEAST_PING));
        self.ping_as = Ping::Comment;
        self
    }

    /// Sends nothing while there are no events. Proxies then close a quiet stream when they choose to.
    pub fn no_ping(mut self) -> Self {
        self.ping = None;
        self
    }

    /// Sets a header of the response, instead of any of the same name in any case, also of ours:
    /// `content-type: text/event-stream`, `cache-control: no-store, no-transform`, `x-accel-buffering: no`.
    ///
    /// Headers that only a connection may set (`connection`, `transfer-encoding`, `content-length` and so on)
    /// are not accepted; HTTP/2 forbids them. Building the response reports an invalid header.
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        if let Ok(headers) = &mut self.headers {
            match header(name, value) {
                Ok((name, value)) => drop(headers.insert(name, value)),
                Err(error) => self.headers = Err(error),
            }
        }
        self
    }

    /// The response's status. 200 unless set; a browser's `EventSource` accepts no other.
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Tells the client how long to wait before it reconnects, in whole milliseconds. Unless set, clients
    /// decide.
    pub fn retry(mut self, time: Duration) -> Self {
        self.retry = Some(time);
        self
    }

    /// Numbers the events from here on: each that has no id of its own gets the next. Pings have none.
    ///
    /// Unless set, events have the ids they were given, and no others. Pages that use the npm package
    /// `sveltekit-sse` expect `ids_from(1)`. A client sends the last id back when it reconnects: see
    /// [`LastEventId`](crate::LastEventId).
    pub fn ids_from(mut self, id: u64) -> Self {
        self.ids_from = Some(id);
        self
    }

    /// Bytes of encoded events that may wait for the client: 64 KiB unless set.
    ///
    /// An event that alone is larger is taken when no other waits, up to 16 MiB. Beside these bytes, up to as
    /// many are being handed over, and the transport holds up to 256 KiB that it has not written. A transport
    /// that copies its input has a limit of its own: hyper some 400 KiB, and 64 KiB of a stream of HTTP/2.
    #[doc(alias("backpressure", "capacity"))]
    pub fn buffer(mut self, bytes: usize) -> Self {
        self.buffer = bytes;
        self
    }

    /// Closes the connection of a client that has read nothing for this long while bytes wait. 30 s unless
    /// set.
    ///
    /// The time begins when the transport cannot write: bytes in the system's socket buffer count as read.
    /// Transports that copy their input (actix-web, poem, rocket; a TLS library without vectored writes), and
    /// HTTP/2, which stops asking for bytes when its peer's window is closed, hide it; there, hyper's HTTP/2
    /// keep-alive and `watch_peer` (feature `tcp`) find peers that have vanished.
    #[doc(alias("timeout"))]
    pub fn stall_timeout(mut self, time: Duration) -> Self {
        self.stall = Some(time);
        self
    }

    /// Leaves a client that does not read connected, and lets the transport hold as much as it likes: for
    /// bodies that are collected, as by a test.
    pub fn no_stall_timeout(mut self) -> Self {
        self.stall = None;
        self
    }

    /// Counts the stream among these, from the building of the response until it has ended: they limit how
    /// many there are and how long each lives, and end them all when the server shuts down. See [`Streams`].
    ///
    /// Every stream of a server is so if its router has them as a [layer](Streams#shutting-down).
    pub fn within(self, streams: &Streams) -> Self {
        match self.is_within(streams) {
            true => self,
            false => self.within_for(streams, None),
        }
    }

    /// The same, counted for this key too: a user, a session, an address, of one type throughout. See
    /// [`max_per_key`](crate::StreamsBuilder::max_per_key).
    pub fn within_as(self, streams: &Streams, key: impl Hash) -> Self {
        self.within_for(streams, Some(streams.hash_key(key)))
    }

    /// Joins with this key, instead of without one.
    fn within_for(mut self, streams: &Streams, key: Option<u64>) -> Self {
        if self.is_within(streams) {
            self.joins.retain(|join| !join.streams.as_ref().is_some_and(|of| of.is_same(streams)));
        } else {
            self.limit_lifetime(streams.lifetime());
        }
        self.join(streams.join(key))
    }

    fn is_within(&self, streams: &Streams) -> bool {
        self.joins.iter().any(|join| join.streams.as_ref().is_some_and(|of| of.is_same(streams)))
    }

    /// Gives the stream an emitter, if it had none.
    pub(crate) fn with_emitter(mut self) -> Self {
        let start: Start = Box::new(|_: Emitter| Running::done(Ok(CleanUp::default())));
        self.start.get_or_insert_with(|| SyncWrapper::new(start));
        self
    }

    pub(crate) fn join(mut self, join: Join) -> Self {
        self.joins.push_front(join);
        self
    }

    fn limit_lifetime(&mut self, lifetime: Option<Lifetime>) {
        self.lifetime = self.lifetime.into_iter().chain(lifetime).min_by_key(|lifetime| lifetime.time);
    }

    /// Runs once, when the stream has ended for whatever reason, and before the clean-up that `start`
    /// returned. It also runs, with [`Disconnected`](StopReason::Disconnected), for a response that nobody
    /// began to read.
    ///
    /// When a connection goes, nothing can wait for the future: it is polled once on the spot, and its rest
    /// becomes a task of the runtime.
    ///
    /// ```
    /// # use ssekit::produce;
    /// # let online = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(1));
    /// let response = produce(|stream| { /* … */ drop(stream) })
    ///     .on_stop(move |reason| async move {
    ///         println!("the stream ended: {reason}");
    ///         online.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    ///     })
    ///     .response();
    /// ```
    #[doc(alias("disconnect"))]
    pub fn on_stop<F, Fut>(mut self, on_stop: F) -> Self
    where
        F: FnOnce(StopReason) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let on_stop: OnStop = Box::new(move |reason| Box::pin(on_stop(reason)));
        self.stop.on_stop(on_stop);
        self
    }

    /// The response. One that cannot be built is answered with 500 and logged, its `start` never runs, and
    /// `on_stop` gets the error.
    #[must_use]
    pub fn response(self) -> Response<SseBody> {
        self.try_response().unwrap_or_else(|_| {
            // `try_response` has called `on_stop` and logged the error.
            let mut response = Response::new(SseBody::empty());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        })
    }

    /// The response.
    ///
    /// # Errors
    /// When a header was not accepted; `start` then never runs, and `on_stop` gets the error.
    pub fn try_response(mut self) -> Result<Response<SseBody>, HeaderError> {
        let given = match std::mem::replace(&mut self.headers, Ok(HeaderMap::new())) {
            Ok(headers) => headers,
            Err(error) => {
                self.stop.run(StopReason::Failed(error.clone().into()));
                return Err(error);
            }
        };
        if let Some(status) = self.nothing_left() {
            self.stop.run(StopReason::Ended);
            let mut response = Response::new(SseBody::empty());
            *response.status_mut() = status;
            let headers = response.headers_mut();
            headers.extend(given);
            headers.remove(CONTENT_TYPE);
            // Or a browser might not ask again when there is another stream at this address.
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            return Ok(response);
        }
        for streams in Streams::of_scope() {
            self = self.within(&streams);
        }
        let queue = match (&self.start, self.retry) {
            (None, None) => None,
            (_, retry) => Some(Queue::new(self.buffer, self.ids_from, retry)),
        };
        let outbox = Arc::new(Outbox::new(queue));
        let emitter = Emitter::new(outbox.clone());
        let timers = StreamTimers::new(self.ping, self.stall, Instant::now()).with_lifetime(self.lifetime);
        let refusal = self.joins.into_iter().find_map(|join| {
            let (membership, refusal) = (join.join)(&emitter);
            self.stop.joined(membership);
            refusal
        });
        if let Some(refusal) = &refusal {
            self.stop.leave(&refusal.reason());
            refusal.end(&emitter);
        }
        let (encoder, encoding) =
            self.encoding.and_then(|encoding| encoder(encoding, &mut self.reader)).unzip();
        let start = self.start.map(|start| (start, emitter));
        let body = SseBody::new(outbox, start, self.reader, encoder, self.stop, timers, self.ping_as);

        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        for (name, value) in HEADERS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.extend(given);
        if self.negotiated {
            headers.append(VARY, HeaderValue::from_static("accept-encoding"));
        }
        if let Some(encoding) = encoding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        if let Some(refusal) = refusal {
            headers.insert(REFUSED, HeaderValue::from_static(refusal.text()));
        }
        Ok(response)
    }
}

/// A compressor and its name; none when there is no memory for it: then the stream is as it is.
fn encoder(encoding: Encoding, reader: &mut Option<Reader>) -> Option<(Encoder, &'static str)> {
    let shared = reader.as_mut().filter(|reader| reader.shares());
    match Encoder::new(encoding, shared.is_some()) {
        Ok(encoder) => {
            if let Some(reader) = shared {
                reader.compress(encoding);
            }
            Some((encoder, encoding.name()))
        }
        Err(error) => {
            tracing::error!(%error, "cannot compress an event stream: it is sent uncompressed");
            None
        }
    }
}

impl From<Produce> for Response<SseBody> {
    fn from(produce: Produce) -> Self {
        produce.response()
    }
}

impl fmt::Debug for Produce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Produce")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

/// The resolution of timers: a shorter interval would be no interval at all.
const LEAST_PING: Duration = Duration::from_millis(1);
const DEFAULT_PING: Duration = Duration::from_secs(30);
const DEFAULT_STALL: Duration = Duration::from_secs(30);
const DEFAULT_BUFFER: usize = 64 << 10;
