//! [`Streams`] as a layer of tower: for axum's routers, and services of hyper.

use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use crate::streams::Streams;
use crate::within::{Scoped, Within};

/// Feature `tower`, which `axum` turns on: counts each stream of the service, as [`Streams::scope`] does.
impl<S> Layer<S> for Streams {
    type Service = Within<S>;

    fn layer(&self, inner: S) -> Within<S> {
        Within { inner, streams: self.clone() }
    }
}

impl<S: Service<R>, R> Service<R> for Within<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Scoped<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let Self { inner, streams } = self;
        streams.scope_call(|| inner.call(request))
    }
}
