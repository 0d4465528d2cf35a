//! Counting every stream of a server among its [`Streams`], whichever handler builds it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::task::futures::TaskLocalFuture;
use tokio::task_local;

use crate::streams::Streams;

task_local! {
    static SCOPE: Scope;
}

/// The [`Streams`] that a stream joins because its response is built here.
#[derive(Clone)]
struct Scope {
    streams: Streams,
    outer: Option<Arc<Self>>,
}

impl Streams {
    /// Counts every stream whose response is built while this future is polled: by any handler, without
    /// [`within`](crate::Produce::within). A stream that is within these anyway is counted once, with its key
    /// if it has one.
    ///
    /// The layer, middleware or fairing of each [framework](crate#shutting-down) does this; call it where
    /// there is none, around the handler of a request. A response that is built in a task of its own is not
    /// counted.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use hyper::{Request, body::Incoming, service::service_fn};
    /// use ssekit::{Streams, produce};
    ///
    /// let streams = Streams::new();
    /// let service = service_fn(move |request: Request<Incoming>| {
    ///     streams.scope(async move {
    ///         let stream = produce(|stream| { /* keep it */ drop(stream) });
    ///         Ok::<_, Infallible>(stream.response())
    ///     })
    /// });
    /// # let _ = service;
    /// ```
    pub fn scope<F: Future>(&self, future: F) -> Scoped<F> {
        self.scope_call(|| future)
    }

    /// The same, also for the call that makes the future.
    pub(crate) fn scope_call<F: Future>(&self, call: impl FnOnce() -> F) -> Scoped<F> {
        let scope = self.inner_scope();
        let future = SCOPE.sync_scope(scope.clone(), call);
        Scoped(Box::pin(SCOPE.scope(scope, future)))
    }

    /// Counts every stream whose response is built by this call.
    #[cfg(feature = "warp")]
    pub(crate) fn scope_sync<T>(&self, call: impl FnOnce() -> T) -> T {
        SCOPE.sync_scope(self.inner_scope(), call)
    }

    /// The streams that a response which is built now joins, the innermost first.
    pub(crate) fn of_scope() -> impl Iterator<Item = Self> {
        let mut next = SCOPE.try_with(Scope::clone).ok().map(Arc::new);
        std::iter::from_fn(move || {
            let scope = next.take()?;
            next = scope.outer.clone();
            Some(scope.streams.clone())
        })
    }

    fn inner_scope(&self) -> Scope {
        let outer = SCOPE.try_with(|outer| Arc::new(outer.clone())).ok();
        Scope { streams: self.clone(), outer }
    }
}

/// A future of [`Streams::scope`].
#[must_use = "futures do nothing unless they are polled"]
pub struct Scoped<F: Future>(Pin<Box<TaskLocalFuture<Scope, F>>>);

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<F: Future> fmt::Debug for Scoped<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoped").finish_non_exhaustive()
    }
}

/// A service, or an endpoint of poem, each of whose streams is counted among the same [`Streams`].
#[cfg(any(feature = "actix-web", feature = "poem", feature = "tower"))]
#[derive(Clone, Debug)]
pub struct Within<S> {
    pub(crate) inner: S,
    pub(crate) streams: Streams,
}
