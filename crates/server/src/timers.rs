use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

/// Decides when an idle stream pings, when its lifetime is over, and when a stalled peer is given up. Its
/// inputs are past events and `now`.
#[derive(Clone, Debug)]
pub(crate) struct StreamTimers {
    ping: Option<Millis>,
    stall: Option<Millis>,
    /// Bytes were last handed to the transport, or the stream began.
    sent: Instant,
    /// The transport last let go of bytes, or got the first that it did not let go of.
    moved: Instant,
    /// The stall time has passed, and the transport was given a last chance to write.
    suspected: bool,
    /// The ends that only few streams have.
    end: Option<Box<EndTimers>>,
}

/// A time in whole milliseconds, one at least: a stream has two of them, and there are many streams.
#[derive(Clone, Copy, Debug)]
struct Millis(NonZeroU32);

impl Millis {
    fn of(time: Duration) -> Self {
        let millis = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        Self(NonZeroU32::new(millis).unwrap_or(NonZeroU32::MIN))
    }

    fn time(self) -> Duration {
        Duration::from_millis(self.0.get().into())
    }
}

#[derive(Clone, Debug, Default)]
struct EndTimers {
    lifetime: Option<Lifetime>,
    /// The stream has lived for its time.
    expires: Option<Instant>,
    /// The server shuts down, and no longer waits for the transport.
    cut: Option<Instant>,
    cut_suspected: bool,
}

/// For how long a stream lives, and when its client is to return then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime {
    pub(crate) time: Duration,
    pub(crate) retry: Duration,
}

/// The time for a transport to write the rest when the server shuts down. All streams must be over within 100
/// ms.
pub(crate) const SHUTDOWN_GRACE: Duration = Duration::from_millis(50);

impl StreamTimers {
    pub(crate) fn new(ping: Option<Duration>, stall: Option<Duration>, now: Instant) -> Self {
        let (ping, stall) = (ping.map(Millis::of), stall.map(Millis::of));
        Self { ping, stall, sent: now, moved: now, suspected: false, end: None }
    }

    /// Sets the time after which the stream ends.
    pub(crate) fn with_lifetime(mut self, lifetime: Option<Lifetime>) -> Self {
        self.end =
            lifetime.map(|lifetime| Box::new(EndTimers { lifetime: Some(lifetime), ..EndTimers::default() }));
        self
    }

    /// The stream begins now.
    pub(crate) fn begin(&mut self, now: Instant) {
        (self.sent, self.moved) = (now, now);
        if let Some(end) = &mut self.end {
            end.expires = end.lifetime.and_then(|lifetime| now.checked_add(lifetime.time));
        }
    }

    /// The client's time to return if the lifetime is over; returned once.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Option<Duration> {
        let end = self.end.as_mut()?;
        end.expires.take_if(|at| *at <= now)?;
        end.lifetime.map(|lifetime| lifetime.retry)
    }

    /// Whether the time of the transport to write the rest is over, while the server shuts down.
    ///
    /// A suspicion first, as in [`check_stall`](Self::check_stall).
    pub(crate) fn check_shutdown(&mut self, now: Instant) -> Stall {
        let end = self.end.get_or_insert_default();
        if *end.cut.get_or_insert(now + SHUTDOWN_GRACE) > now {
            return Stall::No;
        }
        match std::mem::replace(&mut end.cut_suspected, true) {
            true => Stall::Certain(SHUTDOWN_GRACE),
            false => Stall::Suspected,
        }
    }

    /// Bytes are handed to the transport, which holds none before them if it is `idle`.
    pub(crate) fn on_sent(&mut self, idle: bool, now: Instant) {
        self.sent = now;
        if idle {
            self.moved = now;
        }
    }

    /// The transport has written some of its bytes.
    pub(crate) fn on_progress(&mut self, now: Instant) {
        self.moved = now;
        self.suspected = false;
    }

    /// Whether a stalled transport is detected, so that its progress matters.
    pub(crate) fn detects_stalls(&self) -> bool {
        self.stall.is_some()
    }

    /// Whether nothing was sent for the ping interval.
    pub(crate) fn ping_is_due(&self, now: Instant) -> bool {
        self.next_ping().is_some_and(|at| at <= now)
    }

    /// Whether the transport holds bytes without writing any for too long.
    ///
    /// The first time it is a suspicion only: when this process has stood still, the timer is seen before the
    /// transport could find out that it may write.
    pub(crate) fn check_stall(&mut self, now: Instant) -> Stall {
        let held = now.saturating_duration_since(self.moved);
        match self.stall.map(Millis::time) {
            Some(stall) if held >= stall => match std::mem::replace(&mut self.suspected, true) {
                true => Stall::Certain(held),
                false => Stall::Suspected,
            },
            _ => Stall::No,
        }
    }

    /// The time of the next check, if nothing happens before.
    pub(crate) fn next_wakeup(&self, flight: Flight) -> Option<Instant> {
        let ping = self.next_ping().filter(|_| flight != Flight::Full);
        let stall = self.next_stall().filter(|_| flight != Flight::Empty);
        let next = [ping, stall].into_iter().flatten().min();
        let Some(end) = &self.end else { return next };
        let cut = end.cut.filter(|_| flight != Flight::Empty);
        [next, end.expires, cut].into_iter().flatten().min()
    }

    fn next_ping(&self) -> Option<Instant> {
        self.sent.checked_add(self.ping?.time())
    }

    fn next_stall(&self) -> Option<Instant> {
        self.moved.checked_add(self.stall?.time())
    }
}

/// How much of its input the transport still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flight {
    Empty,
    Some,
    Full,
}

/// The state of a transport that holds bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stall {
    No,
    Suspected,
    Certain(Duration),
}
