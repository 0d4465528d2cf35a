use std::any::Any;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;
use ssekit_log::Position;
use tokio::task::AbortHandle;

use super::Figures;
use super::sink::Sink;

/// A subscriber, as its thread keeps it. An idle one has nothing else: no task, no timer, no buffer.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) sink: Sink,
    /// With the number of its slot, who it is: the slot's next subscriber has another.
    pub(super) generation: u32,
    pub(super) audience: u32,
    /// Where it stands among the audience's members.
    pub(super) place: u32,
    /// The tick of the last write.
    pub(super) wrote: u32,
    /// It has been sent an event.
    pub(super) delivered: bool,
    /// The tick at which it ends; `u32::MAX` for none.
    pub(super) ends: u32,
    /// None when everything has been written that its thread has passed on.
    pub(super) behind: Option<Box<Behind>>,
    /// Dropped with it: who counts it.
    pub(super) guard: Option<Box<dyn Any + Send>>,
}

impl Subscriber {
    /// The bytes that wait for it, those that were sent to it so far, and the last measurement of that; None when nothing waits.
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

    /// The tick since which bytes wait for it and none was sent; None when nothing waits.
    pub(super) fn waits_since(&mut self, now: u32) -> Option<u32> {
        match (&mut self.sink, &self.behind) {
            (Sink::Socket(_), Some(behind)) => (!behind.unsent.is_empty()).then_some(behind.since),
            (Sink::Socket(_), None) => None,
            (Sink::Body(body), _) => body.waits_since(now),
        }
    }
}

/// What a subscriber has that is not up to date.
#[derive(Debug)]
pub(super) struct Behind {
    /// What it is being written.
    pub(super) unsent: Unsent,
    /// Bytes that were written to it since it is behind.
    pub(super) written: u64,
    pub(super) speed: Mark,
    /// After that it goes on behind this place.
    pub(super) through: Position,
    /// It knows of records that are gone up to here; see [`Start::told`](super::Start::told).
    pub(super) told: Option<Position>,
    /// Up to here it gets what the log holds, and not what is still in memory.
    pub(super) stored: Position,
    /// The tick since which nothing could be written.
    pub(super) since: u32,
    /// What it waits for.
    pub(super) doing: Doing,
    /// It ends when all that is unsent has been written.
    pub(super) last: bool,
    /// What reads the log for it.
    pub(super) reading: Option<Reading>,
    /// Events that were read from the log for it.
    pub(super) replayed: u64,
    figures: Arc<Figures>,
}

/// A measurement of a subscriber's progress: at this tick, so many bytes had been sent to it.
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

    /// Whether fewer bytes than this were sent in each tick, measured over so many; where it was as fast, the measurement begins again.
    pub(super) fn is_slower(&mut self, bytes: u64, over: u32, sent: u64, now: u32) -> bool {
        let ticks = now - self.tick;
        let slow = ticks >= over && sent - self.sent < bytes * u64::from(ticks);
        if ticks >= over && !slow {
            *self = Self { tick: now, sent };
        }
        slow
    }
}

/// Bytes to write, in order; none of the pieces is empty.
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

    /// So many bytes of the first piece have been written.
    pub(super) fn advance(&mut self, written: usize) {
        if let Some(first) = self.0.first_mut() {
            drop(first.split_to(written));
            if first.is_empty() {
                self.0.remove(0);
            }
        }
    }
}

/// A page that is being read. Nobody reads it for who has gone.
#[derive(Debug)]
pub(super) struct Reading(pub(super) AbortHandle);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a subscriber waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// For room to write.
    Writing,
    /// For a page of the log.
    Reading,
    /// For its turn.
    Ready,
    /// For its thread, which has not passed on yet what it has had from another.
    Ahead,
}

/// Why a subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The client has gone.
    Left,
    /// Nothing comes from the client's machine any more, not even a word that it has gone.
    Vanished,
    /// Its token has expired, or its time is over.
    Expired,
    /// The key of its token has been replaced or revoked.
    Revoked,
    /// It has not read for too long.
    Stalled,
    /// What it had still to read is no longer in the log.
    Overtaken,
    /// The log could not be read.
    Failed,
    /// The hub is ending.
    Shutdown,
}

impl Behind {
    /// Somebody who has still to be written this, and has otherwise read up to a place.
    pub(super) fn new(
        unsent: Bytes,
        through: Position,
        doing: Doing,
        now: u32,
        figures: &Arc<Figures>,
    ) -> Box<Self> {
        figures.behind.inc();
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
            figures: Arc::clone(figures),
        })
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        self.figures.behind.dec();
        if self.replayed > 0 {
            self.figures.replay.observe(self.replayed as f64);
        }
    }
}

impl End {
    /// All of them, for metrics.
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

    /// What an error of its connection says.
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

    /// Its name in metrics.
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

    /// An idle subscriber is this, its place, and entries in tables: 168 bytes with all of that.
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
