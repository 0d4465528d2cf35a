use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::Message;
use crate::redact::ErrorChain;

/// Any error, as a closure of the caller may return it.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// An error of one attempt of a connection.
///
/// Given to [`on_error`](crate::Source::on_error); the last one before a connection closes for good is in its
/// [`CloseReason`](crate::CloseReason). The message describes the failure at this
/// level, [`source`](std::error::Error::source) the cause.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL cannot be requested. Final.
    #[error("cannot request {url:?}: {reason}")]
    Url {
        /// The URL that was given, without user, password and query.
        url: String,
        /// The reason.
        reason: String,
    },
    /// A header, the method or the body cannot be sent. Final.
    #[error("{part} cannot be sent: {reason}")]
    Header {
        /// The header, the method, or `the body`.
        part: String,
        /// The reason.
        reason: String,
    },
    /// [`headers_from`](crate::Source::headers_from) failed. Retried.
    #[error("headers_from returned no headers for the request")]
    HeadersFrom(#[source] Arc<dyn StdError + Send + Sync>),
    /// No connection, or it was lost before a response came: refused, reset, a name that is not known.
    /// Retried where [`repeat`](ssekit_session::repeat) allows it.
    #[error("cannot reach {url}")]
    Connect {
        /// The URL that was asked, without user, password and query.
        url: String,
        /// The error of the transport.
        source: TransportError,
    },
    /// The certificate of the server, or of the proxy before it, is not trusted. Final: asking again would
    /// not change it.
    #[error("the certificate of {url} is not trusted")]
    Certificate {
        /// The URL that was asked, without user, password and query.
        url: String,
        /// The error of the TLS library.
        source: TransportError,
    },
    /// No response came within the [connect timeout](crate::Source::connect_timeout). Retried.
    #[error(
        "{url} did not respond within {after:?}: the server may be overloaded, or connect_timeout too short"
    )]
    ConnectTimeout {
        /// The URL that was asked, without user, password and query.
        url: String,
        /// How long was waited.
        after: Duration,
    },
    /// The stream broke off. Retried.
    #[error("the event stream was interrupted")]
    Read(#[source] TransportError),
    /// Not a byte came within the [read timeout](crate::Source::read_timeout). Retried.
    #[error("nothing was received for {after:?}")]
    ReadTimeout {
        /// How long was waited.
        after: Duration,
    },
    /// The server ended the stream. Retried.
    #[error("the server ended the event stream")]
    Ended,
    /// The server answered 204: there is nothing to listen to. Final.
    #[error("the server has nothing to send (204 No Content)")]
    NoContent,
    /// The server refused. 408, 425, 429 and 5xx are retried by the default policy, all else is final.
    #[error("the server answered {status}{}", excerpt(body))]
    Status {
        /// The answer's status.
        status: StatusCode,
        /// The beginning of the answer's body, at most 16 KiB, as text.
        body: String,
        /// The delay that its `Retry-After` asks for.
        retry_after: Option<Duration>,
    },
    /// The answer is not an event stream. Final.
    #[error("the server answered with {}, not with text/event-stream", describe_type(found))]
    ContentType {
        /// Its `Content-Type`; `None` when it has none.
        found: Option<String>,
        /// The beginning of the answer's body, at most 16 KiB, as text.
        body: String,
    },
    /// The answer is compressed, although compression was not asked for. Final.
    #[error("the server compressed the event stream ({encoding}): turn off compression for this URL")]
    ContentEncoding {
        /// Its `Content-Encoding`.
        encoding: String,
    },
    /// A redirect could not be followed. Final.
    #[error("cannot follow the redirect ({status}) of {url}: {reason}")]
    Redirect {
        /// The URL that redirected, without user, password and query.
        url: String,
        /// The status of the redirect.
        status: StatusCode,
        /// The reason.
        reason: String,
    },
    /// An event, or a comment, was larger than [`max_event_bytes`](crate::Source::max_event_bytes) and was
    /// left out; the stream goes on behind it.
    #[error(
        "an event is larger than {limit} bytes and was skipped: raise max_event_bytes if you expect such \
         events"
    )]
    EventTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The stream ended inside an event, which was dropped: the blank line at its end is missing. Accepted by
    /// [`accept_incomplete_event`](crate::Source::accept_incomplete_event).
    #[error("the stream ended inside an event, which was dropped: the blank line at its end is missing")]
    IncompleteEvent,
    /// The page was frozen, or put into the back-forward cache, which ends its connections. In a browser
    /// only.
    #[error("the page was frozen, which ended its connection")]
    Frozen,
    /// The tokio runtime that the connection ran on has ended.
    #[error("the tokio runtime of the connection has ended")]
    RuntimeGone,
    /// The last event ID holds a control character that HTTP does not allow in a header, so the connection
    /// was made without it: the server does not know which events were missed.
    #[error("the last event ID {id:?} cannot be sent: the server cannot tell which events were missed")]
    LastEventId {
        /// The ID.
        id: String,
    },
    /// A message was not the JSON that a [latest-value view](crate::Latest) expects; the view keeps its
    /// value.
    #[error("the data of an event named {:?} is not the expected JSON", message.event())]
    Json {
        /// The message.
        message: Message,
        /// The error of the parser.
        source: Arc<serde_json::Error>,
    },
    /// A closure of the caller panicked. The connection goes on.
    #[error("{closure} panicked: {text}")]
    Panicked {
        /// Which closure.
        closure: &'static str,
        /// The text of the panic.
        text: String,
    },
    /// There is no tokio runtime to run the connection on. Final; opening it again inside of one helps. Never
    /// in a browser, which needs none.
    #[error("no tokio runtime is running: use the source inside one, for example under #[tokio::main]")]
    NoRuntime,
}

impl Error {
    /// The status with which the server refused, where it did.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status, .. } | Self::Redirect { status, .. } => Some(*status),
            Self::NoContent => Some(StatusCode::NO_CONTENT),
            Self::ContentType { .. } | Self::ContentEncoding { .. } => Some(StatusCode::OK),
            _ => None,
        }
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// An error of a [`Transport`](crate::Transport) about a failed request, in one line.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub struct TransportError {
    text: String,
    nothing_sent: bool,
    /// Of a peer that is not trusted.
    certificate: bool,
    /// Not its source: the text has the relevant part.
    cause: Option<Arc<dyn StdError + Send + Sync>>,
}

impl TransportError {
    /// An error with this text and no other cause.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), nothing_sent: false, certificate: false, cause: None }
    }

    /// Returns an error with this cause. Its text is that of the innermost cause, which comes from the
    /// operating system or the TLS library.
    pub fn caused_by(error: impl Into<BoxError>) -> Self {
        let error = error.into();
        let mut innermost: &dyn StdError = error.as_ref();
        while let Some(inner) = innermost.source() {
            innermost = inner;
        }
        let text = innermost.to_string();
        Self { text, nothing_sent: false, certificate: false, cause: Some(Arc::from(error)) }
    }

    /// Says that no byte of the request has left: there was no connection to send it on. Then any request may
    /// be repeated, also one that would have an effect each time.
    #[must_use]
    pub fn nothing_sent(self) -> Self {
        Self { nothing_sent: true, ..self }
    }

    /// Says that the peer's certificate is not trusted, so that asking again is of no use.
    #[must_use]
    pub fn certificate(self) -> Self {
        Self { certificate: true, nothing_sent: true, ..self }
    }

    /// Returns the same error with the action in its text.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn context(self, action: impl std::fmt::Display) -> Self {
        Self { text: format!("{action}: {}", self.text), ..self }
    }

    /// The same error in other words.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn reworded(self, text: &str) -> Self {
        Self { text: text.to_owned(), ..self }
    }

    /// Returns true when the peer's certificate is not trusted.
    pub fn is_certificate(&self) -> bool {
        self.certificate
    }

    /// Returns true when the client sent no byte of the request.
    pub fn is_nothing_sent(&self) -> bool {
        self.nothing_sent
    }

    /// The cause, with all its levels.
    pub fn cause(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.cause.as_deref()
    }
}

/// Why a stream of messages yields no message.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// This subscriber read too slowly and lost its oldest unread events; see [`WhenFull`](crate::WhenFull).
    #[error("{lost} events were lost because they were not read in time")]
    Lagged {
        /// How many.
        lost: u64,
    },
    /// An event, of this or of another name, was larger than
    /// [`max_event_bytes`](crate::Source::max_event_bytes).
    #[error(
        "an event is larger than {limit} bytes and was skipped: raise max_event_bytes if you expect such \
         events"
    )]
    EventTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The message is not the JSON that was expected. The next one may be.
    #[error("the data of an event named {:?} is not the expected JSON", message.event())]
    Json {
        /// The message.
        message: Message,
        /// The error of the parser.
        source: Arc<serde_json::Error>,
    },
    /// An event's name cannot hold CR or LF, so no event could ever be selected. The stream ends.
    #[error("the event name {name:?} contains a line break, which event names cannot contain")]
    InvalidName {
        /// The name that was selected.
        name: String,
    },
    /// The server ended the stream before the message that [`until`](crate::Select::until) names: the answer
    /// is incomplete. The stream ends.
    #[error("the server ended the stream before the message {until:?}: the answer is incomplete")]
    EndedEarly {
        /// The data of the message that did not come.
        until: String,
    },
    /// The connection has closed for good and not because it was asked to. The stream ends.
    ///
    /// Its text holds the cause, which is therefore not its [`source`](StdError::source).
    #[error("the connection is closed: {}", ErrorChain(.0))]
    Closed(Error),
}

/// The text of an answer, short enough for a message.
fn excerpt(body: &str) -> String {
    const LONGEST: usize = 200;
    let line = body.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        _ if line.is_empty() => String::new(),
        None => format!(": {line}"),
        Some((end, _)) => format!(": {}…", &line[..end]),
    }
}

fn describe_type(content_type: &Option<String>) -> String {
    content_type.as_ref().map_or_else(|| "no content type".to_owned(), |found| format!("{found:?}"))
}
