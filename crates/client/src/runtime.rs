//! The runtime of a connection: tokio natively, the page or worker in a browser. Both have the same names.

#[cfg(target_arch = "wasm32")]
mod browser;
#[cfg(target_arch = "wasm32")]
pub(crate) use browser::*;
#[cfg(target_arch = "wasm32")]
pub use browser::{Instant, MaybeSend, MaybeSync};

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(not(target_arch = "wasm32"))]
pub use native::Instant;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::*;
