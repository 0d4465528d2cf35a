use std::any::Any;
use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use futures_util::FutureExt;
use http::HeaderMap;
use http::response::Parts;

use crate::panics::panic_text;
use crate::request::{HeadersFrom, HeadersFuture};
use crate::transport::{Body, Sending};
use crate::{BoxError, TransportError};

/// The request or body that is under way.
pub(super) enum InFlight {
    Nothing,
    Headers(HeadersFuture),
    Sending(Sending),
    Reading { body: Body, rest: Bytes },
}

/// An event of the request or body.
pub(super) enum IoEvent {
    Headers(Result<HeaderMap, BoxError>),
    Answered(Parts),
    Read,
    Ended,
    Failed(TransportError),
    /// A deadline has passed.
    Tick,
    /// There may be commands.
    Woken,
}

impl InFlight {
    /// Waits for the next event. Cancel safe.
    pub(super) async fn next(&mut self) -> IoEvent {
        match self {
            Self::Nothing => pending().await,
            Self::Headers(headers) => {
                let headers = headers.as_mut().await;
                *self = Self::Nothing;
                IoEvent::Headers(headers)
            }
            Self::Sending(sending) => match sending.as_mut().await {
                Ok(answer) => {
                    let (head, body) = answer.into_parts();
                    *self = Self::Reading { body, rest: Bytes::new() };
                    IoEvent::Answered(head)
                }
                Err(error) => IoEvent::Failed(error),
            },
            Self::Reading { body, rest } => match next(body).await {
                Some(Ok(bytes)) => {
                    *rest = bytes;
                    IoEvent::Read
                }
                Some(Err(error)) => IoEvent::Failed(error),
                None => {
                    *self = Self::Nothing;
                    IoEvent::Ended
                }
            },
        }
    }
}

/// Asks for headers; a panic is an error like any other.
pub(super) fn request_headers(headers_from: &HeadersFrom) -> HeadersFuture {
    let panicked = |panic: Box<dyn Any + Send>| {
        BoxError::from(format!("headers_from panicked: {}", panic_text(&*panic)))
    };
    match catch_unwind(AssertUnwindSafe(|| headers_from())) {
        Ok(headers) => Box::pin(async move {
            AssertUnwindSafe(headers).catch_unwind().await.unwrap_or_else(|panic| Err(panicked(panic)))
        }),
        Err(panic) => Box::pin(ready(Err(panicked(panic)))),
    }
}

async fn next(body: &mut Body) -> Option<Result<Bytes, TransportError>> {
    poll_fn(|context| body.as_mut().poll_next(context)).await
}
