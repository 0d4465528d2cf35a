use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Method};
use ssekit_session::Config;
use ssekit_wire::Decoder;
use url::Url;

use crate::options::{Options, SourceState};
use crate::redact::redacted_text;
use crate::request::{Request, is_http};
use crate::runtime::{self, MaybeSend, MaybeSync, ThreadBound};
use crate::subscribers::{Buffer, WhenFull};
use crate::transport::{self, Transport};
use crate::{BoxError, CloseReason, Error, Latest, Reconnect, Response, Select, Status};

mod callbacks;
mod one_shot;

/// A source of server-sent events at this URL, which is not opened yet.
///
/// ```no_run
/// use ssekit::source;
///
/// #[tokio::main]
/// async fn main() -> Result<(), ssekit::client::SelectError> {
///     let mut messages = source("http://localhost:3000/custom-event").select("message");
///     while let Some(message) = messages.next().await {
///         println!("{}", message?.data());
///     }
///     Ok(())
/// }
/// ```
///
/// A URL that cannot be requested is an error when the connection is opened, and of [`Source::check`]. In
/// a browser it may be relative to the page.
pub fn source(url: impl AsRef<str>) -> Source {
    Source::new(url.as_ref())
}

/// A connection to a URL that sends events: first its options, then the handle of it.
///
/// Options are set before the first `select`, `connect` or `status`; setting one later gives a source of its
/// own. Clones are the same source.
///
/// **Laziness.** Nothing is requested until a stream or a [latest value](Latest) is first used. The
/// connection is closed when its last subscriber is gone, whatever events the others were interested in.
///
/// **Sharing.** Sources that GET the same (URL, headers in any order, first last event ID) in the same way
/// (policy, timeouts, limits, buffers, transport) share one connection, and each one's callbacks are called.
/// One that joins later receives the events from then on, and none from before. [`share(false)`](Self::share)
/// opts out. A request with another method or with a body never shares, nor does one with
/// [`headers_from`](Self::headers_from), because its results cannot be compared.
#[derive(Clone, Debug)]
#[must_use = "a source does nothing until something is selected from it"]
pub struct Source {
    shared: Arc<SourceState>,
}

impl Source {
    fn new(text: &str) -> Self {
        let url_error = |reason: String| Error::Url { url: redacted_text(text), reason };
        let base = runtime::base_url();
        let request = match Url::options().base_url(base.as_ref()).parse(text) {
            Ok(url) if is_http(&url) => Ok(Request::new(url)),
            Ok(url) => Err(url_error(format!("its scheme is {:?}, not http or https", url.scheme()))),
            Err(error) => Err(url_error(error.to_string())),
        };
        Self::from(Options {
            url: text.to_owned(),
            request,
            config: Config::default(),
            buffer: Buffer { events: 1024, bytes: 16 << 20, when_full: WhenFull::default() },
            headers_from: None,
            transport: transport::shared(),
            is_shared: true,
            callbacks: Arc::default(),
        })
    }

    // The request.

    /// Sends this header with every attempt; it replaces one of the same name that was set before, and those
    /// that every attempt has (`accept`, `accept-encoding`, `cache-control`). The body's length is not for it
    /// to say.
    pub fn header(self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        let header = parse_header(name.as_ref(), value.as_ref());
        self.change_request(|request| {
            let (name, value) = header?;
            request.set_header(name, value);
            Ok(())
        })
    }

    /// Asks for headers anew before each attempt, for tokens that expire. They replace those of the same
    /// name.
    ///
    /// An error counts as a failed attempt, and is retried. The source gets a connection of its own.
    ///
    /// ```
    /// use ssekit::client::HeaderMap;
    /// use ssekit::source;
    ///
    /// # async fn fresh_token() -> Result<String, std::io::Error> { Ok(String::new()) }
    /// let connection = source("http://localhost:3000/events").headers_from(|| async {
    ///     let mut headers = HeaderMap::new();
    ///     headers.insert("authorization", format!("Bearer {}", fresh_token().await?).parse()?);
    ///     Ok(headers)
    /// });
    /// ```
    pub fn headers_from<F, A>(self, ask: F) -> Self
    where
        F: Fn() -> A + MaybeSend + MaybeSync + 'static,
        A: Future<Output = Result<HeaderMap, BoxError>> + MaybeSend + 'static,
    {
        let ask = ThreadBound::new(ask);
        self.set(|options| {
            options.headers_from = Some(Arc::new(move || Box::pin((*ask)())));
        })
    }

    /// The request's method. By default GET, which servers of events expect, or POST if there is a
    /// [body](Self::body). (Pages that use the npm package `sveltekit-sse` POST without a body:
    /// `.method("POST")`.)
    pub fn method(self, method: impl AsRef<str>) -> Self {
        let method = method.as_ref();
        self.change_request(|request| {
            let parsed = Method::from_bytes(method.as_bytes());
            request.method =
                Some(parsed.map_err(|error| unsendable(format!("the method {method:?}"), error))?);
            Ok(())
        })
    }

    /// The request's body, sent with every attempt; its `content-type` is for [`header`](Self::header) to
    /// say.
    ///
    /// [`json`](Self::json) makes one of a value. A request with a body is a POST unless another
    /// [method](Self::method) is set, and a POST that was answered, or that may have had an effect, is not
    /// repeated: see [`repeat`](ssekit_session::repeat) for the rules of every method, and
    /// [`Reconnect::repeat_like_safe`] for a POST that does no harm when it is repeated.
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        self.change_request(|request| {
            request.body = Some(body.into());
            Ok(())
        })
    }

    /// Sends the [body](Self::body) with the first attempts alone: until one of them can have reached the
    /// server.
    pub fn body_once(self) -> Self {
        self.change_request(|request| {
            request.body_once = true;
            Ok(())
        })
    }

    /// Resumes after this event: the first attempt sends it as `Last-Event-ID`. None by default; later
    /// attempts send the id that the stream has set.
    pub fn resume_after(self, last_event_id: impl Into<String>) -> Self {
        let last_event_id = last_event_id.into();
        self.change_request(|request| {
            Decoder::new()
                .with_last_event_id(&last_event_id)
                .map_err(|error| unsendable("the last event ID".to_owned(), error))?;
            request.last_event_id = last_event_id;
            Ok(())
        })
    }

    // How it behaves.

    /// Whether and when to connect again. By default [`Reconnect::resilient`].
    pub fn reconnect(self, reconnect: Reconnect) -> Self {
        self.set(|options| options.config.reconnect = reconnect)
    }

    /// How long an attempt may take until the head of the answer has come, redirects included. 60 s by
    /// default.
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        self.set(|options| options.config.connect_timeout = timeout)
    }

    /// Takes a stream for dead when not a byte has come for this long, and connects again. Any byte counts,
    /// those of a comment too.
    ///
    /// Without by default, since a server may be silent for as long as it likes, and TCP keep-alive finds a
    /// peer that is gone. Set it where the server is known to ping (that of this library does every 30 s) to
    /// three times that interval: it also finds a proxy that holds the connection while the server behind it
    /// is gone.
    pub fn read_timeout(self, timeout: Duration) -> Self {
        self.set(|options| options.config.read_timeout = Some(timeout))
    }

    /// Has no connection while the page is hidden, and resumes after the last event when it is shown again.
    /// Not so by default. In a browser's pages only: elsewhere it has no effect.
    pub fn pause_when_hidden(self, pause: bool) -> Self {
        self.set(|options| options.config.pauses_hidden = pause)
    }

    /// Leaves out events with more than this many bytes in their fields: each is reported as an error, and
    /// the stream goes on behind it. 16 MiB by default.
    pub fn max_event_bytes(self, limit: usize) -> Self {
        self.set(|options| options.config.max_event_bytes = limit)
    }

    /// Accepts an event whose blank line is missing at the end of the stream, as some servers end theirs. By
    /// default it is dropped, as the HTML standard says (9.2.6), and reported as [`Error::IncompleteEvent`].
    pub fn accept_incomplete_event(self, accept: bool) -> Self {
        self.set(|options| options.config.accepts_incomplete_event = accept)
    }

    /// How much each subscriber may leave unread: this many events (1024 by default) and as many bytes (16
    /// MiB by default). One event always fits.
    pub fn buffer(self, events: usize, bytes: usize) -> Self {
        self.set(|options| options.buffer = Buffer { events: events.max(1), bytes, ..options.buffer })
    }

    /// Sets the policy for a subscriber whose buffer is full. By default
    /// [`WaitUnlessOthersStarve`](WhenFull::WaitUnlessOthersStarve).
    pub fn when_full(self, when_full: WhenFull) -> Self {
        self.set(|options| options.buffer.when_full = when_full)
    }

    /// Whether this source shares its connection with others of the same request. GET requests without a body
    /// do by default; `share(false)` gives a source a connection of its own. A request with another method or
    /// with a body always has one of its own: each is a request, however equal.
    ///
    /// A source that joins a connection receives the events from then on. If the stream begins with history,
    /// or is the progress of one job, each viewer needs its beginning: use `share(false)` there.
    pub fn share(self, share: bool) -> Self {
        self.set(|options| options.is_shared = share)
    }

    /// Sets the transport of the requests. By default [`Http`](crate::Http), the same for all sources.
    pub fn transport(self, transport: impl Transport) -> Self {
        self.set(|options| options.transport = Arc::new(transport))
    }

    // The handle.

    /// Checks whether the request can be made at all.
    ///
    /// # Errors
    /// The first mistake, in the URL or in a header for example; the connection would fail with the
    /// same.
    pub fn check(&self) -> Result<(), Error> {
        self.shared.options.request.as_ref().map(drop).map_err(Clone::clone)
    }

    /// The events of this name, every one, in order; `message` is the name of those that the server gave
    /// none.
    pub fn select(&self, event: impl AsRef<str>) -> Select {
        Select::new(Arc::clone(&self.shared), Some(event.as_ref()))
    }

    /// The events of all names, every one, in order.
    pub fn select_all(&self) -> Select {
        Select::new(Arc::clone(&self.shared), None)
    }

    /// Where the connection stands.
    pub fn status(&self) -> Status {
        self.shared.connection().status()
    }

    /// Where the connection stands, as a store that can be watched. Watching does not open it.
    ///
    /// ```no_run
    /// # async fn example(connection: ssekit::Source) {
    /// let mut statuses = connection.statuses();
    /// while let Some(status) = statuses.changed().await {
    ///     println!("{status:?}");
    /// }
    /// # }
    /// ```
    pub fn statuses(&self) -> Latest<Status> {
        Latest::of(self.shared.connection().statuses())
    }

    /// Opens the connection at once: for the first time, or again after it was closed, on this side too, or
    /// without waiting for a retry's delay. It resumes after the last event that it saw.
    ///
    /// Does nothing without a listener: a stream, a [latest value](Latest), or a callback for
    /// [messages](Self::on_message). So no connection outlives its last reader.
    pub fn connect(&self) {
        self.shared.connection().connect();
    }

    /// Opens the connection, if that was not done yet, and waits for the head of the response.
    ///
    /// Whoever calls this before anything was selected misses nothing: the events wait for the first
    /// subscriber. A source that is opened in this way needs no subscriber; it closes when one came and the
    /// last one left, or when the source and its clones are dropped. It does not open a connection again that
    /// is closed: [`connect`](Self::connect) does.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let connection = ssekit::source("http://localhost:3000/events");
    /// let response = connection.open().await?; // through all retries; a 401 is an error here
    /// println!("{:?}", response.headers().get("server"));
    /// let mut messages = connection.select("message");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the connection is closed and no event stream came: the reason.
    pub async fn open(&self) -> Result<Response, CloseReason> {
        let connection = self.shared.connection();
        connection.open_without_subscriber();
        connection.head().await
    }

    /// Drops the connection and makes it anew at once, without an error. Does nothing when it is closed.
    pub fn restart(&self) {
        self.shared.connection().restart();
    }

    /// Closes the connection for good, for all sources that share it: streams end, whatever they have not
    /// read yet. To leave it to the others, drop the selections.
    pub fn close(&self) {
        self.shared.connection().close(CloseReason::Local);
    }

    /// The URL as it was given, whatever redirects led to.
    pub fn url(&self) -> &str {
        &self.shared.options.url
    }

    /// The last event ID that the stream has set, which the next attempt sends; empty for none.
    pub fn last_event_id(&self) -> String {
        self.shared.connection().resumption().last_event_id
    }

    /// The reconnection time that the stream has set by `retry:`.
    pub fn reconnection_time(&self) -> Option<Duration> {
        self.shared.connection().resumption().reconnection_time
    }

    /// Changes the request; an error is kept until the connection is opened.
    fn change_request(self, change: impl FnOnce(&mut Request) -> Result<(), Error>) -> Self {
        self.set(|options| {
            if let Ok(request) = &mut options.request
                && let Err(error) = change(request)
            {
                options.request = Err(error);
            }
        })
    }

    fn set(self, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = self.shared.options.clone();
        drop(self);
        change(&mut options);
        Self::from(options)
    }
}

impl From<Options> for Source {
    fn from(options: Options) -> Self {
        Self { shared: Arc::new(SourceState::new(options)) }
    }
}

/// A header as it can be sent; its value may hold any text but control characters, as UTF-8.
fn parse_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Error> {
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .map_err(|error| unsendable(format!("the header name {name:?}"), error))?;
    let value = HeaderValue::from_bytes(value.as_bytes())
        .map_err(|error| unsendable(format!("the value of the header {name:?}"), error))?;
    Ok((parsed, value))
}

fn unsendable(part: String, reason: impl fmt::Display) -> Error {
    Error::Header { part, reason: reason.to_string() }
}
