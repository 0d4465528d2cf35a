//! State that the requests of the page share, and their answers in JSON.

use std::sync::Arc;

use axum::Json;
use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use ssekit_hub::hub::Hub;
use ssekit_server::{Channel, Streams};
use tokio::sync::Semaphore;

/// State of the page's requests. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct PageState {
    pub(super) hub: Arc<Hub>,
    pub(super) figures: Channel,
    pub(super) streams: Streams,
    /// Permits to read pages of history.
    pub(super) readers: Arc<Semaphore>,
}

/// Answer in JSON, which no cache keeps and no browser takes for another type.
pub(super) fn json(value: impl Serialize) -> Response {
    let headers = [(CACHE_CONTROL, "no-store"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, Json(value)).into_response()
}
