use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;

/// Why a request was refused, for a human and for a program (RFC 9457).
///
/// The detail says which topic, which claim, which rule, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", kind.title())]
pub struct Problem {
    /// What sort of problem it is; decides the status.
    pub kind: Kind,
    /// What happened, to what, and what to do.
    pub detail: String,
    /// When to come back.
    pub retry_after: Option<Duration>,
}

/// What went wrong, by what the peer can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// No topic was given, to publish to or to subscribe to.
    MissingTopic,
    /// A topic that cannot be one.
    InvalidTopic,
    /// A topic in the hub's own namespace.
    ReservedTopic,
    /// A selector that cannot be one.
    InvalidSelector,
    /// A way to match that this hub does not know.
    UnsupportedMatcher,
    /// An event ID that cannot be one.
    InvalidId,
    /// An event type that cannot be one.
    InvalidType,
    /// A reconnection time that is no number.
    InvalidRetry,
    /// A value that is not UTF-8.
    NotUtf8,
    /// A field that can be given once was given twice.
    RepeatedField,
    /// A field that no publication has.
    UnknownField,
    /// A header `Idempotency-Key` that cannot be one.
    InvalidIdempotencyKey,
    /// An `Idempotency-Key` that was used for another publication.
    IdempotencyKeyReused,
    /// A line of a batch is not what it should be.
    InvalidBatch,
    /// The token was not presented as it should be.
    InvalidPresentation,
    /// There must be a token, and there is none.
    MissingToken,
    /// The token is not valid.
    InvalidToken,
    /// The token is valid but does not grant this.
    InsufficientScope,
    /// A cookie was sent by a page that may not use it.
    ForeignOrigin,
    /// Nothing is here.
    NotFound,
    /// Not with this method; the text lists those that work, for the header `Allow`, and is empty where that is added later.
    MethodNotAllowed(&'static str),
    /// Bigger than the hub takes.
    TooLarge,
    /// A body of another type.
    UnsupportedMediaType,
    /// A head that is too big, or has too many lines.
    HeadTooLarge,
    /// The request is not HTTP as it should be.
    Malformed,
    /// A host name that is not this hub's.
    WrongHost,
    /// The request did not arrive in time.
    Timeout,
    /// Too many requests or connections of this client.
    TooMany,
    /// The hub is at its limit, or about to stop.
    Unavailable,
    /// The log has no room.
    StorageFull,
    /// A fault of the hub.
    Internal,
}

impl Kind {
    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        self.row().0
    }

    /// The last part of the problem's `type`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The problem in a few words, the same each time.
    pub fn title(self) -> &'static str {
        self.row().2
    }

    /// The `error` of the challenge, of those problems that have one (RFC 6750, section 3.1).
    fn challenge(self) -> Option<&'static str> {
        match self {
            Self::MissingToken => Some(""),
            Self::InvalidPresentation => Some("invalid_request"),
            Self::InvalidToken => Some("invalid_token"),
            Self::InsufficientScope | Self::ForeignOrigin => Some("insufficient_scope"),
            _ => None,
        }
    }

    fn row(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::MissingTopic => (S::BAD_REQUEST, "missing-topic", "no topic"),
            Self::InvalidTopic => (S::BAD_REQUEST, "invalid-topic", "not a topic"),
            Self::ReservedTopic => (S::BAD_REQUEST, "reserved-topic", "the topic is the hub's own"),
            Self::InvalidSelector => (S::BAD_REQUEST, "invalid-selector", "not a topic selector"),
            Self::UnsupportedMatcher => (S::BAD_REQUEST, "unsupported-matcher", "unknown way to match"),
            Self::InvalidId => (S::BAD_REQUEST, "invalid-id", "not an event ID"),
            Self::InvalidType => (S::BAD_REQUEST, "invalid-type", "not an event type"),
            Self::InvalidRetry => (S::BAD_REQUEST, "invalid-retry", "not a reconnection time"),
            Self::NotUtf8 => (S::BAD_REQUEST, "not-utf-8", "not UTF-8"),
            Self::RepeatedField => (S::BAD_REQUEST, "repeated-field", "given twice"),
            Self::UnknownField => (S::BAD_REQUEST, "unknown-field", "not a field of a publication"),
            Self::InvalidIdempotencyKey => {
                (S::BAD_REQUEST, "invalid-idempotency-key", "not an idempotency key")
            }
            Self::IdempotencyKeyReused => {
                (S::UNPROCESSABLE_ENTITY, "idempotency-key-reused", "the idempotency key was used before")
            }
            Self::InvalidBatch => (S::BAD_REQUEST, "invalid-batch", "not a batch of publications"),
            Self::InvalidPresentation => {
                (S::BAD_REQUEST, "invalid-presentation", "the token is not presented as it should be")
            }
            Self::MissingToken => (S::UNAUTHORIZED, "missing-token", "a token is needed"),
            Self::InvalidToken => (S::UNAUTHORIZED, "invalid-token", "the token is not valid"),
            Self::InsufficientScope => (S::FORBIDDEN, "insufficient-scope", "the token does not grant this"),
            Self::ForeignOrigin => (S::FORBIDDEN, "foreign-origin", "not from this page"),
            Self::NotFound => (S::NOT_FOUND, "not-found", "nothing here"),
            Self::MethodNotAllowed(_) => {
                (S::METHOD_NOT_ALLOWED, "method-not-allowed", "not with this method")
            }
            Self::TooLarge => (S::PAYLOAD_TOO_LARGE, "too-large", "too large"),
            Self::UnsupportedMediaType => {
                (S::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "another type of body is needed")
            }
            Self::HeadTooLarge => {
                (S::REQUEST_HEADER_FIELDS_TOO_LARGE, "head-too-large", "the request's head is too large")
            }
            Self::Malformed => (S::BAD_REQUEST, "malformed", "not a request"),
            Self::WrongHost => (S::MISDIRECTED_REQUEST, "wrong-host", "not this host"),
            Self::Timeout => (S::REQUEST_TIMEOUT, "timeout", "the request took too long"),
            Self::TooMany => (S::TOO_MANY_REQUESTS, "too-many", "too many at once"),
            Self::Unavailable => (S::SERVICE_UNAVAILABLE, "unavailable", "not now"),
            Self::StorageFull => (S::INSUFFICIENT_STORAGE, "storage-full", "the log has no room"),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "a fault of the hub"),
        }
    }
}

impl Problem {
    /// A problem, and what happened.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), retry_after: None }
    }

    /// With the time after which to come back.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The same, with where it happened before the detail.
    pub(crate) fn within(mut self, place: &str) -> Self {
        self.detail.insert_str(0, place);
        self
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.kind.status()
    }

    /// The value of `WWW-Authenticate`: for every 401 and 403, and for a token that is not presented as it should be.
    pub fn challenge(&self) -> Option<HeaderValue> {
        let error = self.kind.challenge()?;
        let challenge = if error.is_empty() {
            "Bearer".to_owned()
        } else {
            format!("Bearer error=\"{error}\", error_description=\"{}\"", quotable(&self.detail))
        };
        HeaderValue::from_str(&challenge).ok()
    }

    /// The body of the answer: `application/problem+json`.
    pub fn json(&self) -> String {
        json!({
            "type": format!("urn:ssekit:problem:{}", self.kind.name()),
            "title": self.kind.title(),
            "status": self.status().as_u16(),
            "detail": self.detail,
        })
        .to_string()
    }

    /// The answer.
    pub fn response(&self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(self.json()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(challenge) = self.challenge() {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if let Kind::MethodNotAllowed(methods) = self.kind
            && !methods.is_empty()
        {
            headers.insert(ALLOW, HeaderValue::from_static(methods));
        }
        if let Some(wait) = self.retry_after {
            // Whole seconds, and never before the time.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// What `error_description` may hold (RFC 6750, section 3), of a text.
fn quotable(text: &str) -> String {
    let quotable = text.chars().map(|character| match character {
        '“' | '”' | '"' => '\'',
        '\\' => '/',
        ' '..='~' => character,
        _ => '?',
    });
    quotable.take(MAX_DESCRIPTION).collect()
}

/// The characters of a detail that a header repeats.
const MAX_DESCRIPTION: usize = 300;
