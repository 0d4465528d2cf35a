//! Request heads that are larger than the hub accepts.
//!
//! hyper refuses them with a 431 that has no text, and that a page of another origin cannot read. So hyper
//! may read heads of twice the size, and the hub refuses heads above its limit with a problem document and
//! CORS headers. Only a still larger head gets the 431 of hyper.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, Version, header};
use ssekit_mercure::{Problem, ProblemKind};

use super::routes::refused;
use crate::hub::Hub;

/// Limit of a hub, in bytes.
#[derive(Clone, Debug)]
pub(super) struct HeadLimit {
    pub(super) hub: Arc<Hub>,
    pub(super) bytes: usize,
}

/// Bytes of a head that hyper may read. It needs at least 8 KiB.
pub(super) fn readable(limit: usize) -> usize {
    2 * limit.max(8 << 10)
}

/// Refuses a request whose head is too large.
pub(super) async fn within(State(limit): State<HeadLimit>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let size = size(&parts);
    if size <= limit.bytes {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let what = format!("the request head has {size} bytes; the limit is {}", limit.bytes);
    let mut response = refused(&limit.hub, &parts, &Problem::new(ProblemKind::HeadTooLarge, what));
    if parts.version < Version::HTTP_2 {
        // hyper closes the connection too.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Size of a head in HTTP/1.1; for HTTP/2, the size that it would have there.
fn size(head: &Parts) -> usize {
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let line = head.method.as_str().len() + target + "  HTTP/1.1\r\n".len();
    let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    line + fields.sum::<usize>() + "\r\n".len()
}
