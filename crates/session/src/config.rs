//! The configuration of a session, with its defaults.

use core::time::Duration;

use ssekit_wire::DEFAULT_MAX_EVENT_BYTES;

use crate::{MethodClass, Reconnect};

/// The policy of a connection, apart from its request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// The class of the request's method, which decides when the request may be repeated. Safe by default.
    pub method: MethodClass,
    /// Whether and when it is made again.
    pub reconnect: Reconnect,
    /// How long an attempt may take until the head of the answer has come. 60 s by default.
    pub connect_timeout: Duration,
    /// A stream in which no byte has come for this long is taken for dead. None by default.
    pub read_timeout: Option<Duration>,
    /// Events with more bytes than this in their fields are skipped and reported. 16 MiB by default.
    pub max_event_bytes: usize,
    /// Comments are items too. They are not by default.
    pub comments: bool,
    /// A hidden page has no connection. It has one by default.
    pub pauses_hidden: bool,
    /// An event whose blank line is missing when the server ends the stream is given all the same. By default
    /// it is dropped, as the HTML standard says (9.2.6), and reported as
    /// [`IncompleteEvent`](crate::DecodeError).
    pub accepts_incomplete_event: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            method: MethodClass::default(),
            reconnect: Reconnect::default(),
            connect_timeout: Duration::from_secs(60),
            read_timeout: None,
            max_event_bytes: DEFAULT_MAX_EVENT_BYTES,
            comments: false,
            pauses_hidden: false,
            accepts_incomplete_event: false,
        }
    }
}
