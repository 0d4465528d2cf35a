use core::time::Duration;

#[cfg(doc)]
use crate::Session;
use crate::{CloseReason, Failure};

/// An action for the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output<E> {
    /// Drop the present request or stream, and make a request that resumes after [`Session::last_event_id`].
    Connect {
        /// No attempt before this one can have reached the server.
        first: bool,
    },
    /// Drop the request or the stream that stands.
    Disconnect,
    /// The answer is an event stream.
    Opened,
    /// Another attempt follows.
    Waiting {
        /// When.
        until: Duration,
        /// The failure; `None` after [`Session::start_later`], and when only the time has changed.
        failure: Option<Failure<E>>,
    },
    /// Another attempt follows when the page is shown, or moves again.
    Paused {
        /// The failure, if there was one.
        failure: Option<Failure<E>>,
    },
    /// For good: no output follows until the session is started again.
    Closed(CloseReason<E>),
}
