use core::time::Duration;

#[cfg(doc)]
use crate::Session;
use crate::{CloseReason, Trouble};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output<E> {
    /// Drop what stands, and make a request that resumes after [`Session::last_event_id`].
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
        /// What went wrong; `None` after [`Session::start_later`], and when the moment has changed.
        trouble: Option<Trouble<E>>,
    },
    /// Another attempt follows when the page is shown, or moves again.
    Paused {
        /// What went wrong, if something did.
        trouble: Option<Trouble<E>>,
    },
    /// For good: no output follows until the session is started again.
    Closed(CloseReason<E>),
}
