use std::time::Duration;

use tokio::time::Instant;

/// When an idle stream pings and when a peer that does not read is given up: decided from what happened and `now`.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    ping: Option<Duration>,
    stall: Option<Duration>,
    /// Bytes were last handed to the transport, or the stream began.
    sent: Instant,
    /// The transport last let go of bytes, or got the first that it did not let go of.
    moved: Instant,
}

impl Pace {
    pub(crate) fn new(ping: Option<Duration>, stall: Option<Duration>, now: Instant) -> Self {
        Self { ping, stall, sent: now, moved: now }
    }

    /// The stream begins now.
    pub(crate) fn begin(&mut self, now: Instant) {
        (self.sent, self.moved) = (now, now);
    }

    /// Bytes are handed to the transport, which holds none before them if it is `idle`.
    pub(crate) fn sent(&mut self, idle: bool, now: Instant) {
        self.sent = now;
        if idle {
            self.moved = now;
        }
    }

    /// The transport has written some of what it held.
    pub(crate) fn moved(&mut self, now: Instant) {
        self.moved = now;
    }

    /// Whether it matters what the transport does with what it was handed.
    pub(crate) fn watches_the_transport(&self) -> bool {
        self.stall.is_some()
    }

    /// Whether nothing was sent for the ping interval.
    pub(crate) fn ping_is_due(&self, now: Instant) -> bool {
        self.next_ping().is_some_and(|at| at <= now)
    }

    /// For how long the transport holds bytes without writing any, when that is too long.
    pub(crate) fn stalled_for(&self, now: Instant) -> Option<Duration> {
        let stall = self.stall?;
        let held = now.saturating_duration_since(self.moved);
        (held >= stall).then_some(held)
    }

    /// When to look again, if nothing happens before.
    pub(crate) fn next(&self, flight: Flight) -> Option<Instant> {
        let ping = self.next_ping().filter(|_| flight != Flight::Full);
        let stall = self.next_stall().filter(|_| flight != Flight::Empty);
        match (ping, stall) {
            (Some(ping), Some(stall)) => Some(ping.min(stall)),
            (ping, stall) => ping.or(stall),
        }
    }

    fn next_ping(&self) -> Option<Instant> {
        self.sent.checked_add(self.ping?)
    }

    fn next_stall(&self) -> Option<Instant> {
        self.moved.checked_add(self.stall?)
    }
}

/// How much the transport holds of what it was handed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flight {
    Empty,
    Some,
    Full,
}
