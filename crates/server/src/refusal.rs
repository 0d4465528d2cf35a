//! Streams that are refused, and the times after which their clients return.

use std::time::Duration;

use crate::emitter::Emitter;
use crate::stop::StopReason;

/// A refused stream: the reason, and the time after which its client returns.
#[derive(Debug)]
pub(crate) struct Refusal {
    reason: RefusalReason,
    retry: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusalReason {
    ShutDown,
    Full,
    KeyFull,
}

impl Refusal {
    pub(crate) fn new(reason: RefusalReason, retry: Duration) -> Self {
        Self { reason, retry }
    }

    pub(crate) fn text(&self) -> &'static str {
        match self.reason {
            RefusalReason::ShutDown => "the server shuts down",
            RefusalReason::Full => "too many streams",
            RefusalReason::KeyFull => "too many streams of this client",
        }
    }

    pub(crate) fn reason(&self) -> StopReason {
        match self.reason {
            RefusalReason::ShutDown => StopReason::Shutdown,
            RefusalReason::Full | RefusalReason::KeyFull => StopReason::Refused,
        }
    }

    /// Ends the stream before it has begun.
    pub(crate) fn end(&self, emitter: &Emitter) {
        emitter.outbox().end_with_retry(self.reason(), self.retry);
    }
}

pub(crate) const DEFAULT_RETRY: Duration = Duration::from_secs(3);

/// A reconnection time of about this long.
pub(crate) fn jittered_retry(time: Duration) -> Duration {
    jittered(time, 0.5, 1.5)
}

pub(crate) fn jittered(time: Duration, least: f64, most: f64) -> Duration {
    let factor = least + fastrand::f64() * (most - least);
    Duration::try_from_secs_f64(time.as_secs_f64() * factor).unwrap_or(time)
}
