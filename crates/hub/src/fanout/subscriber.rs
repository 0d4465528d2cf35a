//! Subscriber: its entry in the table of a thread, and its backlog.

use std::any::Any;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;
use ssekit_log::Position;
use tokio::task::AbortHandle;

use super::Metrics;
use super::sink::Sink;

/// Subscriber in the table of its thread. An idle one has nothing else: no task, no timer, no buffer.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) sink: Sink,
    /// Distinguishes it from other subscribers in the same slot.
    pub(super) generation: u32,
    pub(super) audience: u32,
    /// Its index among the members of the audience.
    pub(super) place: u32,
    /// Tick of the last write.
    pub(super) wrote: u32,
    /// Whether it has been sent an event.
    pub(super) delivered: bool,
    /// Tick of its end; `u32::MAX` if it has none.
    pub(super) ends: u32,
    /// Its backlog; `None` if it has received everything that its thread has delivered.
    pub(super) behind: Option<Box<Backlog>>,
    /// Dropped with the subscriber: its permits and registrations.
    pub(super) guard: Option<Box<dyn Any + Send>>,
}

impl Subscriber {
    /// Waiting bytes, bytes sent so far, and the last measurement of that; `None` if nothing waits.
    pub(super) fn progress(&mut self) -> Option<(usize, u64, &mut Mark)> {
        let unsent = self.behind.as_ref().map_or(0, |behind| behind.unsent.len());
        match (&mut self.sink, &mut self.behind) {
            (Sink::Socket(_), None) => None,
            (Sink::Socket(_), Some(behind)) => Some((unsent, behind.written, &mut behind.speed)),
            (Sink::Body(body), _) => {
                let (waiting, sent) = body.pipe.progress();
                Some((unsent + waiting, sent, &mut body.speed))
            }
        }
    }

    /// Tick since which bytes wait and none was sent; `None` if nothing waits.
    pub(super) fn waits_since(&mut self, now: u32) -> Option<u32> {
        match (&mut self.sink, &self.behind) {
            (Sink::Socket(_), Some(behind)) => (!behind.unsent.is_empty()).then_some(behind.since),
            (Sink::Socket(_), None) => None,
            (Sink::Body(body), _) => body.waits_since(now),
        }
    }
}

/// Backlog of a subscriber that is not up to date.
#[derive(Debug)]
pub(super) struct Backlog {
    /// Bytes that are being written.
    pub(super) unsent: Unsent,
    /// Bytes that were written since the subscriber fell behind.
    pub(super) written: u64,
    pub(super) speed: Mark,
    /// Position after which the subscriber continues when these bytes are written.
    pub(super) through: Position,
    /// The subscriber knows of lost records up to this position; see [`Start::told`](super::Start::told).
    pub(super) told: Option<Position>,
    /// Up to this position it gets the records of the log, and no frames that are only in memory.
    pub(super) stored: Position,
    /// Tick since which nothing could be written.
    pub(super) since: u32,
    /// The event that the subscriber waits for.
    pub(super) doing: BacklogState,
    /// Whether the subscriber ends when all bytes are written.
    pub(super) last: bool,
    /// The read of the log for it.
    pub(super) reading: Option<Reading>,
    /// Events that were read from the log for it.
    pub(super) replayed: u64,
    metrics: Arc<Metrics>,
}

/// Measurement of a subscriber's progress: the number of bytes that had been sent at a tick.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    pub(super) tick: u32,
    pub(super) sent: u64,
}

impl Mark {
    /// Ticks since the last byte was sent, as far as is known.
    pub(super) fn idle(&mut self, sent: u64, now: u32) -> u32 {
        if sent != self.sent {
            *self = Self { tick: now, sent };
        }
        now - self.tick
    }

    /// Whether fewer bytes than this were sent per tick, measured over this number of ticks.
    ///
    /// If not, the measurement begins again.
    pub(super) fn is_slower(&mut self, bytes: u64, over: u32, sent: u64, now: u32) -> bool {
        let ticks = now - self.tick;
        let slow = ticks >= over && sent - self.sent < bytes * u64::from(ticks);
        if ticks >= over && !slow {
            *self = Self { tick: now, sent };
        }
        slow
    }
}

/// Bytes to write, in their order; no piece is empty.
#[derive(Debug, Default)]
pub(super) struct Unsent(SmallVec<[Bytes; 2]>);

impl Unsent {
    pub(super) fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.0.push(bytes);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn first(&self) -> Option<&Bytes> {
        self.0.first()
    }

    fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Notes that this number of bytes of the first piece was written.
    pub(super) fn advance(&mut self, written: usize) {
        if let Some(first) = self.0.first_mut() {
            drop(first.split_to(written));
            if first.is_empty() {
                self.0.remove(0);
            }
        }
    }
}

/// Page that is being read. Dropping it cancels the read.
#[derive(Debug)]
pub(super) struct Reading(pub(super) AbortHandle);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Event that a subscriber waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BacklogState {
    /// Room for a write.
    Writing,
    /// A page of the log.
    Reading,
    /// Its turn.
    Ready,
    /// Its thread, which has not yet delivered as much as the subscriber has received from another thread.
    Ahead,
}

/// Reason for the end of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The client has left.
    Left,
    /// The client's machine has stopped answering, without closing the connection.
    Vanished,
    /// Its token has expired, or its maximum time is over.
    Expired,
    /// The key of its token has been replaced or revoked.
    Revoked,
    /// It has read nothing for too long.
    Stalled,
    /// The log has dropped records that it had not read.
    Overtaken,
    /// The log could not be read.
    Failed,
    /// The hub shuts down.
    Shutdown,
}

impl Backlog {
    /// Makes a backlog of these bytes and the position behind them.
    pub(super) fn new(
        unsent: Bytes,
        through: Position,
        doing: BacklogState,
        now: u32,
        metrics: &Arc<Metrics>,
    ) -> Box<Self> {
        metrics.behind.inc();
        let mut waiting = Unsent::default();
        waiting.push(unsent);
        Box::new(Self {
            unsent: waiting,
            written: 0,
            speed: Mark { tick: now, sent: 0 },
            through,
            told: Some(Position::START),
            stored: Position::START,
            since: now,
            doing,
            last: false,
            reading: None,
            replayed: 0,
            metrics: Arc::clone(metrics),
        })
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        self.metrics.behind.dec();
        if self.replayed > 0 {
            self.metrics.replay.observe(self.replayed as f64);
        }
    }
}

impl End {
    /// All reasons, for metrics.
    pub const ALL: [Self; 8] = [
        Self::Left,
        Self::Vanished,
        Self::Expired,
        Self::Revoked,
        Self::Stalled,
        Self::Overtaken,
        Self::Failed,
        Self::Shutdown,
    ];

    /// Reason of an error of the connection.
    pub(super) fn of(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                Self::Vanished
            }
            _ => Self::Left,
        }
    }

    /// Whether the hub ends the stream between two events, so that the body of its response is complete.
    pub(super) fn is_orderly(self) -> bool {
        matches!(self, Self::Expired | Self::Revoked | Self::Overtaken | Self::Failed | Self::Shutdown)
    }

    /// Name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Vanished => "vanished",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Stalled => "stalled",
            Self::Overtaken => "overtaken",
            Self::Failed => "failed",
            Self::Shutdown => "shutdown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Mark, Subscriber};

    /// An idle subscriber is this, its index in the audience, and entries in tables: 168 bytes in all.
    #[test]
    fn an_idle_subscriber_is_small() {
        assert!(size_of::<Subscriber>() <= 64, "{} bytes", size_of::<Subscriber>());
    }

    #[test]
    fn progress_is_measured_over_some_time_and_again_after_it_was_enough() {
        let mut mark = Mark { tick: 100, sent: 0 };
        assert!(!mark.is_slower(10, 10, 0, 109), "not long enough");
        assert!(mark.is_slower(10, 10, 99, 110));
        assert!(!mark.is_slower(10, 10, 100, 110));
        assert_eq!((mark.tick, mark.sent), (110, 100));
        assert!(mark.is_slower(10, 10, 150, 120), "what was fast before does not count");
        assert_eq!((mark.idle(100, 130), mark.idle(101, 131), mark.idle(101, 140)), (20, 0, 9));
    }
}
