//! [`Produce`] as a response of axum, and [`LastEventId`] as an extractor.

use axum_core::body::Body;
use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use crate::last_event_id::{InvalidLastEventId, LastEventId};
use crate::produce::Produce;

impl IntoResponse for Produce {
    fn into_response(self) -> Response {
        self.response().map(Body::new)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = InvalidLastEventId;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Self::read(|name| Some(parts.headers.get(name)?.as_bytes()), parts.uri.query())
    }
}

/// 400 Bad Request.
impl IntoResponse for InvalidLastEventId {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, self.to_string()).into_response()
    }
}
