//! Timers of subscribers: heartbeats, stalls, ends and shutdown.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Engine;
use crate::fanout::framing::Piece;
use crate::fanout::subscriber::{Backlog, BacklogState, End};

impl Engine {
    /// Tick of a time.
    pub(super) fn tick(&self, at: Instant) -> u32 {
        let elapsed = at.saturating_duration_since(self.started);
        u32::try_from(elapsed.as_millis() / TICK.as_millis()).unwrap_or(u32::MAX)
    }

    pub(super) fn until_tick(&self) -> Option<Duration> {
        if self.subscribers.is_empty() {
            return None;
        }
        Some((TICK * (self.now + 1)).saturating_sub(self.started.elapsed()).max(Duration::from_millis(1)))
    }

    /// Runs the timers that are due.
    pub(super) fn run_timers(&mut self) {
        for (slot, generation) in self.wheel.advance(u64::from(self.now)) {
            if !self.is_here(slot, generation) {
                continue;
            }
            match self.due(slot) {
                ControlFlow::Break(end) => self.end(slot, end),
                ControlFlow::Continue(next) => self.wheel.insert(u64::from(next), (slot, generation)),
            }
        }
    }

    /// Runs the timer of a subscriber; returns the tick of its next timer.
    fn due(&mut self, slot: u32) -> ControlFlow<End, u32> {
        let subscriber = &mut self.subscribers[slot as usize];
        if self.ending && subscriber.behind.as_ref().is_none_or(|behind| !behind.last) {
            return self.send_away(slot);
        }
        if subscriber.behind.as_ref().is_some_and(|behind| behind.last) {
            return ControlFlow::Break(End::Shutdown);
        }
        if subscriber.ends <= self.now {
            return ControlFlow::Break(End::Expired);
        }
        let (beat, stall) = (ticks(self.pace.heartbeat).max(1), ticks(self.pace.stall).max(1));
        // The peer must take waiting bytes, whether its thread has more for it or not.
        let since = subscriber.waits_since(self.now);
        if since.is_some_and(|since| since + stall <= self.now) {
            return ControlFlow::Break(End::Stalled);
        }
        let is_between_events = match &subscriber.behind {
            None => true,
            Some(behind) => behind.doing == BacklogState::Reading && behind.unsent.is_empty(),
        };
        if is_between_events && subscriber.wrote + beat <= self.now {
            let heartbeat = Bytes::from_static(subscriber.sink.framing().heartbeat());
            let written = match subscriber.sink.write(&heartbeat) {
                Ok(written) => written,
                Err(error) => return ControlFlow::Break(End::of(&error)),
            };
            subscriber.wrote = self.now;
            let rest = heartbeat.slice(written..);
            if rest.is_empty() {
                self.metrics.heartbeats.inc();
            } else if let Some(behind) = &mut subscriber.behind {
                behind.unsent.push(rest);
            } else {
                subscriber.behind =
                    Some(Backlog::new(rest, self.through, BacklogState::Writing, self.now, &self.metrics));
                self.metrics.blocked.inc();
            }
        }
        let mut next = self.now + stall;
        if let Some(since) = since {
            next = next.min(since + stall);
        }
        if is_between_events {
            next = next.min(subscriber.wrote + beat);
        }
        ControlFlow::Continue(next.max(self.now + 1).min(subscriber.ends))
    }

    /// Starts the shutdown: ends all subscriptions, spread over a time.
    pub(super) fn start_shutdown(&mut self, over: Duration) {
        if std::mem::replace(&mut self.ending, true) {
            return;
        }
        let over = u64::from(ticks(over)).max(1);
        let all: Vec<_> = self.subscribers.iter().map(|(slot, who)| (slot as u32, who.generation)).collect();
        for (index, who) in (0u64..).zip(&all) {
            let at = index * over / all.len() as u64;
            self.wheel.insert(u64::from(self.now) + at, *who);
        }
    }

    /// Sends a reconnection time after the unsent bytes, and ends the subscriber.
    fn send_away(&mut self, slot: u32) -> ControlFlow<End, u32> {
        let farewell = Piece::of(&[&self.pace.farewell()]);
        let subscriber = &mut self.subscribers[slot as usize];
        let (now, through, metrics) = (self.now, self.through, &self.metrics);
        let behind = subscriber
            .behind
            .get_or_insert_with(|| Backlog::new(Bytes::new(), through, BacklogState::Ready, now, metrics));
        behind.last = true;
        behind.unsent.push(farewell.shared(subscriber.sink.framing(), 0));
        behind.doing = BacklogState::Ready;
        self.catch_up(slot)?;
        ControlFlow::Continue(self.now + ticks(FAREWELL).max(1))
    }
}

pub(super) fn ticks(time: Duration) -> u32 {
    u32::try_from(time.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u32::MAX / 4).min(u32::MAX / 4)
}

/// Length of a tick.
const TICK: Duration = Duration::from_millis(100);
/// Time in which a subscriber may read its reconnection time.
const FAREWELL: Duration = Duration::from_millis(500);
