//! Problems: the answers to refused requests (RFC 9457), with status, challenge and `Retry-After`.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;

/// Answer to a refused request, for people and programs (RFC 9457).
///
/// The detail names the topic, claim or rule, and the way to fix the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", kind.title())]
pub struct Problem {
    /// Kind of the problem; it determines the status.
    pub kind: Kind,
    /// The failure, its object, and the way to fix it.
    pub detail: String,
    /// Time after which the client may try again.
    pub retry_after: Option<Duration>,
}

/// Kinds of problems, by the way in which a client can fix them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The publication or subscription has no topic.
    MissingTopic,
    /// A topic is invalid.
    InvalidTopic,
    /// A topic is in the hub's own namespace.
    ReservedTopic,
    /// A selector is invalid.
    InvalidSelector,
    /// The hub does not support the matcher.
    UnsupportedMatcher,
    /// An event id is invalid.
    InvalidId,
    /// An event type is invalid.
    InvalidType,
    /// A reconnection time is no number.
    InvalidRetry,
    /// A value is not UTF-8.
    NotUtf8,
    /// A field that may occur once occurs twice.
    RepeatedField,
    /// No publication has this field.
    UnknownField,
    /// The header `Idempotency-Key` is invalid.
    InvalidIdempotencyKey,
    /// The `Idempotency-Key` belongs to another publication.
    IdempotencyKeyReused,
    /// A line of a batch is invalid.
    InvalidBatch,
    /// The request presents the token in an invalid form.
    InvalidPresentation,
    /// The request needs a token and has none.
    MissingToken,
    /// The token is not valid.
    InvalidToken,
    /// The token is valid but does not grant the action.
    InsufficientScope,
    /// A page that may not use the cookie has sent it.
    ForeignOrigin,
    /// The server has no resource at this path.
    NotFound,
    /// The resource does not support the method.
    ///
    /// The text lists the supported methods for the header `Allow`; it is empty where the router adds them.
    MethodNotAllowed(&'static str),
    /// The request exceeds a limit of the hub.
    TooLarge,
    /// The type of the body is not supported.
    UnsupportedMediaType,
    /// The request head has too many bytes or lines.
    HeadTooLarge,
    /// The request is not valid HTTP.
    Malformed,
    /// The host name does not belong to this hub.
    WrongHost,
    /// The request did not arrive in time.
    Timeout,
    /// The client has too many requests or connections.
    TooMany,
    /// The hub has reached a limit, or shuts down.
    Unavailable,
    /// The log has no space left.
    StorageFull,
    /// The hub has failed.
    Internal,
}

impl Kind {
    /// Status of the answer.
    pub fn status(self) -> StatusCode {
        self.row().0
    }

    /// Last part of the problem's `type`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Constant short description of the problem.
    pub fn title(self) -> &'static str {
        self.row().2
    }

    /// Parameter `error` of the challenge, for the problems that have one (RFC 6750, section 3.1).
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
    /// Makes a problem of this kind.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), retry_after: None }
    }

    /// Sets the time after which the client may try again.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Puts the place of the problem in front of the detail.
    pub(crate) fn within(mut self, place: &str) -> Self {
        self.detail.insert_str(0, place);
        self
    }

    /// Status of the answer.
    pub fn status(&self) -> StatusCode {
        self.kind.status()
    }

    /// Value of `WWW-Authenticate`.
    ///
    /// Every 401 and 403 has one, and the refusal of a token that is presented in an invalid form.
    pub fn challenge(&self) -> Option<HeaderValue> {
        let error = self.kind.challenge()?;
        let challenge = if error.is_empty() {
            "Bearer".to_owned()
        } else {
            format!("Bearer error=\"{error}\", error_description=\"{}\"", quotable(&self.detail))
        };
        HeaderValue::from_str(&challenge).ok()
    }

    /// Body of the answer: `application/problem+json`.
    pub fn json(&self) -> String {
        json!({
            "type": format!("urn:ssekit:problem:{}", self.kind.name()),
            "title": self.kind.title(),
            "status": self.status().as_u16(),
            "detail": self.detail,
        })
        .to_string()
    }

    /// The complete answer.
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
            // Whole seconds, rounded up.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Replaces the characters of a text that `error_description` cannot hold (RFC 6750, section 3).
fn quotable(text: &str) -> String {
    let quotable = text.chars().map(|character| match character {
        '“' | '”' | '"' => '\'',
        '\\' => '/',
        ' '..='~' => character,
        _ => '?',
    });
    quotable.take(MAX_DESCRIPTION).collect()
}

/// Maximum number of characters of a detail that a header repeats.
const MAX_DESCRIPTION: usize = 300;
