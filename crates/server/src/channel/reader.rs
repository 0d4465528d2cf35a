use std::convert::Infallible;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::stop::StopReason;

/// What a stream reads from channels.
pub(crate) struct Reader(Infallible);

/// What reading has given.
#[expect(dead_code, reason = "channels come next")]
pub(crate) enum Read {
    Bytes(Bytes),
    /// All channels are closed and read.
    Closed,
    /// The stream is to end.
    Ended(StopReason),
}

impl Reader {
    pub(crate) fn poll(&mut self, _cx: &mut Context<'_>) -> Poll<Read> {
        match self.0 {}
    }
}
