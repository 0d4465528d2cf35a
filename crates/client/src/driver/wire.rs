use std::any::Any;
use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use futures_util::FutureExt;
use http::HeaderMap;
use http::response::Parts;

use crate::connection::{Asking, HeadersFrom};
use crate::latest::panic_text;
use crate::transport::{Body, Sending};
use crate::{BoxError, TransportError};

/// The request or body that is under way.
pub(super) enum Wire {
    Nothing,
    Asking(Asking),
    Sending(Sending),
    Reading { body: Body, rest: Bytes },
}

/// An event of the request or body.
pub(super) enum Happened {
    Headers(Result<HeaderMap, BoxError>),
    Answered(Parts),
    Read,
    Ended,
    Failed(TransportError),
    /// A deadline has passed.
    Tick,
    /// There may be orders.
    Woken,
}

impl Wire {
    /// Waits for the next event. Cancel safe.
    pub(super) async fn next(&mut self) -> Happened {
        match self {
            Self::Nothing => pending().await,
            Self::Asking(asking) => {
                let headers = asking.as_mut().await;
                *self = Self::Nothing;
                Happened::Headers(headers)
            }
            Self::Sending(sending) => match sending.as_mut().await {
                Ok(answer) => {
                    let (head, body) = answer.into_parts();
                    *self = Self::Reading { body, rest: Bytes::new() };
                    Happened::Answered(head)
                }
                Err(error) => Happened::Failed(error),
            },
            Self::Reading { body, rest } => match next(body).await {
                Some(Ok(bytes)) => {
                    *rest = bytes;
                    Happened::Read
                }
                Some(Err(error)) => Happened::Failed(error),
                None => {
                    *self = Self::Nothing;
                    Happened::Ended
                }
            },
        }
    }
}

/// Asks for headers; a panic is an error like any other.
pub(super) fn ask(headers_from: &HeadersFrom) -> Asking {
    let panicked = |panic: Box<dyn Any + Send>| {
        BoxError::from(format!("headers_from panicked: {}", panic_text(&*panic)))
    };
    match catch_unwind(AssertUnwindSafe(|| headers_from())) {
        Ok(asking) => Box::pin(async move {
            AssertUnwindSafe(asking).catch_unwind().await.unwrap_or_else(|panic| Err(panicked(panic)))
        }),
        Err(panic) => Box::pin(ready(Err(panicked(panic)))),
    }
}

async fn next(body: &mut Body) -> Option<Result<Bytes, TransportError>> {
    poll_fn(|context| body.as_mut().poll_next(context)).await
}
