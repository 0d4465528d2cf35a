use alloc::vec::Vec;
use core::time::Duration;

/// A failure of an attempt or a stream. `E` is the error of the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure<E> {
    /// The request cannot be made, and never will be. Final.
    Request(E),
    /// The attempt brought no response head. Retried where the [table](crate::repeat) allows it.
    Connect(E),
    /// No response head came within the connect timeout. Retried where the [table](crate::repeat) allows it.
    ConnectTimeout,
    /// The stream broke off. Retried where the [table](crate::repeat) allows it.
    Read(E),
    /// No byte came within the read timeout. Retried where the [table](crate::repeat) allows it.
    ReadTimeout,
    /// The page was frozen or put into the back-forward cache, and the request or stream was dropped for that
    /// time. Reported only if the [table](crate::repeat) forbids to repeat the request.
    Frozen,
    /// The server ended the stream. Retried where the [table](crate::repeat) allows it.
    Ended,
    /// The server answered 204: there is nothing to listen to (HTML standard 9.2.3). Final.
    NoContent,
    /// The server refused. 408, 425, 429 and 5xx are retried by the default policy, all else is final.
    Status {
        /// The answer's status.
        status: u16,
        /// The beginning of the answer's body.
        body: Vec<u8>,
        /// The delay that its `Retry-After` asks for.
        retry_after: Option<Duration>,
    },
    /// The answer is no event stream. Final.
    ContentType {
        /// The beginning of the answer's body.
        body: Vec<u8>,
    },
    /// The answer is compressed, although compression was not asked for. Final.
    ContentEncoding,
}

impl<E> Failure<E> {
    /// The delay that the server's `Retry-After` asks for.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Why a connection closed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason<E> {
    /// It was asked to.
    Local,
    /// The last subscriber left.
    Unsubscribed,
    /// The server ended the stream, and the policy is not to reconnect.
    Ended,
    /// The server answered 204, which asks clients not to come back.
    NoContent,
    /// A failure that is not retried.
    Failed(Failure<E>),
    /// The request may have had an effect and cannot resume after an event, so it was not repeated: see
    /// [`NotRepeated::MayHaveHadEffect`](crate::NotRepeated::MayHaveHadEffect).
    NotRepeated(Failure<E>),
    /// As many attempts as the policy allows have failed in a row.
    GaveUp {
        /// How often was retried since the last good connection.
        retries: u32,
        /// The failure of the last attempt.
        failure: Failure<E>,
    },
}

impl<E> CloseReason<E> {
    /// The failure, if there is one.
    pub fn failure(&self) -> Option<&Failure<E>> {
        match self {
            Self::Failed(failure) | Self::NotRepeated(failure) | Self::GaveUp { failure, .. } => {
                Some(failure)
            }
            Self::Local | Self::Unsubscribed | Self::Ended | Self::NoContent => None,
        }
    }
}
