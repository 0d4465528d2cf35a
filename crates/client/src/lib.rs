//! Consume server-sent events: shared, typed, reconnecting sources.

mod callbacks;
mod connection;
mod driver;
mod error;
mod latest;
mod message;
mod notice;
mod reconnect;
mod registry;
mod request;
mod response;
mod seat;
mod select;
mod session;
mod source;
mod status;
mod subscribers;
mod transport;

pub use error::{BoxError, Error, SelectError, TransportError};
pub use http::{HeaderMap, HeaderValue, StatusCode};
pub use latest::{Latest, Subscription};
pub use message::Message;
pub use notice::Notice;
pub use reconnect::Reconnect;
pub use response::Response;
pub use select::{JsonFailure, Select};
pub use source::{Source, source};
pub use status::{CloseReason, Status};
pub use subscribers::WhenFull;
pub use transport::{Body, Http, Sending, Transport};
