//! Server-sent events for Rust, end to end: *produce* them from any web framework, *consume* them.
#[cfg(feature = "client")]
pub use ssekit_client::*;
#[cfg(feature = "server")]
pub use ssekit_server::*;
pub use ssekit_wire as wire;
