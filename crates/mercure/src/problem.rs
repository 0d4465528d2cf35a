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
            Self::MissingTopic => (S::BAD_REQUEST, "missing-topic", "missing topic"),
            Self::InvalidTopic => (S::BAD_REQUEST, "invalid-topic", "invalid topic"),
            Self::ReservedTopic => (S::BAD_REQUEST, "reserved-topic", "reserved topic"),
            Self::InvalidSelector => (S::BAD_REQUEST, "invalid-selector", "invalid topic selector"),
            Self::UnsupportedMatcher => (S::BAD_REQUEST, "unsupported-matcher", "unsupported matcher"),
            Self::InvalidId => (S::BAD_REQUEST, "invalid-id", "invalid event ID"),
            Self::InvalidType => (S::BAD_REQUEST, "invalid-type", "invalid event type"),
            Self::InvalidRetry => (S::BAD_REQUEST, "invalid-retry", "invalid reconnection time"),
            Self::NotUtf8 => (S::BAD_REQUEST, "not-utf-8", "invalid UTF-8"),
            Self::RepeatedField => (S::BAD_REQUEST, "repeated-field", "repeated field"),
            Self::UnknownField => (S::BAD_REQUEST, "unknown-field", "unknown field"),
            Self::InvalidIdempotencyKey => {
                (S::BAD_REQUEST, "invalid-idempotency-key", "invalid idempotency key")
            }
            Self::IdempotencyKeyReused => {
                (S::UNPROCESSABLE_ENTITY, "idempotency-key-reused", "idempotency key already used")
            }
            Self::InvalidBatch => (S::BAD_REQUEST, "invalid-batch", "invalid batch of publications"),
            Self::InvalidPresentation => {
                (S::BAD_REQUEST, "invalid-presentation", "the token is not sent correctly")
            }
            Self::MissingToken => (S::UNAUTHORIZED, "missing-token", "missing token"),
            Self::InvalidToken => (S::UNAUTHORIZED, "invalid-token", "invalid token"),
            Self::InsufficientScope => (S::FORBIDDEN, "insufficient-scope", "the token does not grant this"),
            Self::ForeignOrigin => (S::FORBIDDEN, "foreign-origin", "origin not allowed"),
            Self::NotFound => (S::NOT_FOUND, "not-found", "not found"),
            Self::MethodNotAllowed(_) => (S::METHOD_NOT_ALLOWED, "method-not-allowed", "method not allowed"),
            Self::TooLarge => (S::PAYLOAD_TOO_LARGE, "too-large", "too large"),
            Self::UnsupportedMediaType => {
                (S::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "unsupported media type")
            }
            Self::HeadTooLarge => {
                (S::REQUEST_HEADER_FIELDS_TOO_LARGE, "head-too-large", "request head too large")
            }
            Self::Malformed => (S::BAD_REQUEST, "malformed", "malformed request"),
            Self::WrongHost => (S::MISDIRECTED_REQUEST, "wrong-host", "wrong host"),
            Self::Timeout => (S::REQUEST_TIMEOUT, "timeout", "request timeout"),
            Self::TooMany => (S::TOO_MANY_REQUESTS, "too-many", "too many requests"),
            Self::Unavailable => (S::SERVICE_UNAVAILABLE, "unavailable", "temporarily unavailable"),
            Self::StorageFull => (S::INSUFFICIENT_STORAGE, "storage-full", "storage full"),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "internal error of the hub"),
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
