//! Memory of request bodies, until their requests are answered: one limit for all connections.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};

use ssekit_mercure::{Problem, ProblemKind};

/// Memory budget of request bodies.
#[derive(Debug)]
pub(super) struct Bodies {
    limit: usize,
    used: AtomicUsize,
}

impl Bodies {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0) })
    }

    /// Returns the share of one body, which is empty at first.
    pub(super) fn part(self: &Arc<Self>) -> Part {
        Part { bodies: Arc::clone(self), bytes: 0 }
    }
}

/// Memory of one body, until it is dropped.
#[derive(Debug)]
pub(super) struct Part {
    bodies: Arc<Bodies>,
    bytes: usize,
}

impl Part {
    /// Grows the share to this number of bytes.
    ///
    /// The first bytes of a body count as those of the connection, so that a small body is never refused. A
    /// body that waited for others would keep them waiting for its own memory, so it fails instead.
    ///
    /// # Errors
    /// When all bodies together would exceed the limit.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let bytes = bytes.saturating_sub(OWN);
        let Some(more) = bytes.checked_sub(self.bytes) else { return Ok(()) };
        let grown = |used: usize| used.checked_add(more).filter(|used| *used <= self.bodies.limit);
        self.bodies
            .used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, grown)
            .map_err(|_| NoRoom { limit: self.bodies.limit })?;
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.bodies.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// All bodies together have reached the limit.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "the bodies of all requests already use {limit} bytes of memory, the limit (limits.body_memory): \
     send the request again in a moment"
)]
pub(super) struct NoRoom {
    limit: usize,
}

impl NoRoom {
    /// Answer to the request.
    pub(super) fn problem(self) -> Problem {
        Problem::new(ProblemKind::Unavailable, self.to_string()).retry_after(Duration::from_secs(1))
    }
}

/// Counts the bytes of a request's body until the request is answered.
///
/// The rest of a body over HTTP/2 is read and discarded for a short time after the answer. Otherwise the
/// stream would be reset, and clients that are still sending would not read the answer (curl before 8.0).
pub(super) async fn metered(State(bodies): State<Arc<Bodies>>, request: Request, next: Next) -> Response {
    let part = Arc::new(Mutex::new(bodies.part()));
    let is_http2 = request.version() == Version::HTTP_2;
    let (head, body) = request.into_parts();
    let body = Arc::new(Mutex::new(body));
    let metered = Metered { body: Arc::clone(&body), came: 0, part: Arc::clone(&part) };
    let response = next.run(Request::from_parts(head, axum::body::Body::new(metered))).await;
    drop(part);
    if is_http2 && !lock(&body).is_end_stream() {
        tokio::spawn(tokio::time::timeout(DISCARD_TIME, discard(body)));
    }
    response
}

/// Reads a limited rest of a body.
async fn discard(body: Arc<Mutex<axum::body::Body>>) {
    let mut left = DISCARDED;
    let next = || poll_fn(|cx| Pin::new(&mut *lock(&body)).poll_frame(cx));
    while let Some(Ok(frame)) = next().await {
        let size = frame.data_ref().map_or(0, Bytes::len);
        let Some(rest) = left.checked_sub(size) else { return };
        left = rest;
    }
}

fn lock(body: &Mutex<axum::body::Body>) -> MutexGuard<'_, axum::body::Body> {
    body.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes of a body that are discarded after the answer, and the time for that.
const DISCARDED: usize = 1 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// Body whose bytes are counted.
#[derive(Debug)]
struct Metered {
    body: Arc<Mutex<axum::body::Body>>,
    came: usize,
    part: Arc<Mutex<Part>>,
}

impl Body for Metered {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut *lock(&self.body)).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.came += data.len();
            // A reader that collects the pieces has them twice for a moment.
            let grown = self.part.lock().unwrap_or_else(PoisonError::into_inner).grow(2 * self.came);
            if let Err(none) = grown {
                return Poll::Ready(Some(Err(none.into())));
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.body).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.body).size_hint()
    }
}

/// First bytes of a body, which every connection may have.
pub(super) const OWN: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::{Bodies, OWN};

    #[test]
    fn bodies_share_a_limit_and_give_back_what_they_had() {
        let bodies = Bodies::new(100);
        let (mut one, mut two) = (bodies.part(), bodies.part());
        assert!(one.grow(OWN + 60).is_ok() && two.grow(OWN + 40).is_ok());
        assert!(two.grow(OWN + 41).is_err());
        assert!(two.grow(10).is_ok(), "it has that already");
        assert!(bodies.part().grow(OWN).is_ok(), "a small one");
        drop(one);
        assert!(two.grow(OWN + 100).is_ok());
        drop(two);
        assert!(bodies.part().grow(OWN + 101).is_err());
        assert!(bodies.part().grow(OWN + 100).is_ok());
    }
}
