//! What carries a request out: natively [`Http`].

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use futures_core::Stream;

use crate::TransportError;

mod native;
mod proxy;

pub use native::Http;
pub(crate) use native::shared;

/// Sends the requests of a connection, one at a time.
///
/// The connection does the rest: it follows redirects, judges answers, counts time and comes back. So a transport
///
/// - sends the request as it is: no header is added that the request has, no redirect is followed, nothing is retried;
/// - answers as soon as the head of the answer is there;
/// - gives the body as it arrives, without holding pieces back, decompressed by nobody;
/// - stops and closes what it has when the future or the body is dropped.
///
/// Its futures run on the runtime that the connection runs on. What it answers is not trusted.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Sends the request and answers with the head of the answer, and its body to come.
    fn send(&self, request: http::Request<Bytes>) -> Sending;

    /// Tells transports apart: sources share a connection only if this is the same for both. By default it is the
    /// transport's address in memory; a type whose clones are the same transport gives what they share.
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

/// A request on its way.
pub type Sending = Pin<Box<dyn Future<Output = Result<http::Response<Body>, TransportError>> + Send>>;

/// The body of an answer, in pieces as they arrive.
pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes, TransportError>> + Send>>;
