//! Ends of subscribers whose unread bytes keep others from memory. They resume.

use super::Engine;
use crate::fanout::subscriber::{End, Mark, Subscriber};

impl Engine {
    /// While memory for unsent bytes is short, ends the subscribers that keep others from it.
    pub(super) fn reclaim(&mut self) {
        if !self.replay.budget.is_short() {
            return;
        }
        let (since, seen) = match self.short {
            Some((since, seen)) if self.now - seen <= MEASURED => (since, Some(seen)),
            _ => (self.now, None),
        };
        self.short = Some((since, self.now));
        // Every subscriber is checked, so only once per tick.
        if seen != Some(self.now) {
            self.end_slow(since);
        }
        self.end_stuck();
    }

    /// Ends subscribers that have taken almost nothing since memory is short.
    fn end_slow(&mut self, since: u32) {
        let now = self.now;
        for (slot, subscriber) in &mut self.subscribers {
            let Some((waiting, sent, speed)) = subscriber.progress() else { continue };
            if waiting == 0 || speed.tick < since {
                *speed = Mark { tick: now, sent };
            } else if speed.is_slower(SLOW, MEASURED, sent, now) {
                self.dead.push((slot as u32, End::Stalled));
            }
        }
        for (slot, end) in std::mem::take(&mut self.dead) {
            self.end(slot, end);
        }
    }

    /// While the budget is exceeded, ends subscribers that have taken nothing for the longest time.
    ///
    /// An exceeded budget leaves no time for a measurement.
    fn end_stuck(&mut self) {
        if !self.replay.budget.is_over() {
            return;
        }
        let now = self.now;
        let stuck = |(slot, subscriber): (usize, &mut Subscriber)| {
            let since = subscriber.waits_since(now)?;
            (since + STUCK <= now).then_some((since, slot as u32))
        };
        let mut stuck: Vec<_> = self.subscribers.iter_mut().filter_map(stuck).collect();
        stuck.sort_unstable();
        for (_, slot) in stuck {
            if !self.replay.budget.is_over() {
                return;
            }
            self.end(slot, End::Stalled);
        }
    }
}

/// Bytes per tick that a subscriber must take while memory is short, and the measured ticks.
///
/// That is 16 KiB per second.
const SLOW: u64 = 1638;
const MEASURED: u32 = 10;
/// A subscriber that is ended at once has taken nothing for this number of ticks.
const STUCK: u32 = 1;
