use crate::Error;
use crate::redact::ErrorChain;
use crate::runtime::Instant;

/// Where a connection stands. A [store](crate::Source::statuses) of it can be read at any time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Status {
    /// Nobody has opened it yet.
    Idle,
    /// A request is on its way.
    Connecting,
    /// The server has answered with an event stream.
    Open,
    /// An attempt failed or a stream ended; the next attempt follows.
    Waiting {
        /// When it follows.
        until: Instant,
        /// The error.
        error: Error,
    },
    /// The next attempt follows when the page is shown or moves again: in a browser only.
    Paused,
    /// It is closed, and stays so until it is asked to connect.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

impl Status {
    /// Whether events can arrive now.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// Whether it is closed for good.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }
}

/// Why a connection closed. Its text holds the error and its causes.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// [`close`](crate::Source::close) was called.
    #[error("closed by this client")]
    Local,
    /// The last subscriber left.
    #[error("the last subscriber left")]
    Unsubscribed,
    /// The server ended the stream, and the policy is not to reconnect.
    #[error("the server ended the event stream")]
    Ended,
    /// The server answered 204, which asks clients not to come back.
    #[error("the server has nothing to send (204 No Content)")]
    NoContent,
    /// An error that is not retried.
    #[error("{}", ErrorChain(.0))]
    Failed(Error),
    /// The attempt or the stream was lost, and the request was not repeated: it may have had an effect, and
    /// there is no event to resume after. [`Reconnect::repeat_like_safe`](crate::Reconnect::repeat_like_safe)
    /// allows to repeat it.
    #[error("the request was not repeated, because it may have had an effect: {}", ErrorChain(.0))]
    NotRepeated(Error),
    /// As many attempts as the policy allows have failed in a row.
    #[error("gave up after {retries} retries: {}", ErrorChain(error))]
    GaveUp {
        /// How often was retried since the last good connection.
        retries: u32,
        /// The error of the last attempt.
        error: Error,
    },
}

impl CloseReason {
    /// Whether it was closed on this side: by [`close`](crate::Source::close) or because nobody listens any
    /// more.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Local | Self::Unsubscribed)
    }

    /// The error, if there is one.
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Failed(error) | Self::NotRepeated(error) | Self::GaveUp { error, .. } => Some(error),
            Self::Local | Self::Unsubscribed | Self::Ended | Self::NoContent => None,
        }
    }
}
