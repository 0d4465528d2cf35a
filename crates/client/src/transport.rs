//! Transports send requests: [`Http`] is hyper natively and `fetch` in a browser.

use std::fmt;

use bytes::Bytes;

use crate::TransportError;
use crate::runtime::{BoxFuture, BoxStream};

#[cfg(target_arch = "wasm32")]
mod browser;
#[cfg(target_arch = "wasm32")]
pub use browser::{Credentials, Http, Mode};
#[cfg(target_arch = "wasm32")]
pub(crate) use browser::{Progress, defaults, refusal, shared};

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(not(target_arch = "wasm32"))]
mod proxy;
#[cfg(not(target_arch = "wasm32"))]
pub use native::Http;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::{Progress, defaults, refusal, shared};

/// Sends the requests of a connection, one at a time.
///
/// The connection does the rest: it follows redirects, judges answers, counts time and comes back. So a
/// transport
///
/// - sends the request as it is: no header is added that the request has, no redirect is followed, nothing is
///   retried;
/// - answers as soon as the head of the answer is there;
/// - gives the body as it arrives, without holding pieces back, decompressed by nobody;
/// - stops and closes its connection or stream when the future or the body is dropped;
/// - says [`nothing_sent`](TransportError::nothing_sent) of an error if it knows so: else the server may have
///   the request, and one that may have had an effect is not repeated.
///
/// Its futures run on the runtime of the connection; in a browser they need not be `Send`. Its answers are
/// not trusted.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Sends the request and answers with the head of the answer, and its body to come.
    fn send(&self, request: http::Request<Bytes>) -> Sending;

    /// Tells transports apart: sources share a connection only if this is the same for both. By default it is
    /// the transport's address in memory; a type whose clones are the same transport returns the address of
    /// their shared state.
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

/// A request on its way.
pub type Sending = BoxFuture<'static, Result<http::Response<Body>, TransportError>>;

/// The body of an answer, in pieces as they arrive.
pub type Body = BoxStream<'static, Result<Bytes, TransportError>>;

/// The URL that answered, in the extensions of an answer whose transport has followed redirects.
#[derive(Clone, Debug)]
pub(crate) struct FinalUrl(pub(crate) String);
