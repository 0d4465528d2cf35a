//! Arrivals of a run: every subscriber must get every event once, in the order of its publisher.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::latency::Latencies;
use super::payload::Mark;

/// Arrivals of a run at some of its subscribers.
#[derive(Debug)]
pub(super) struct Arrivals {
    run: Run,
    /// For each publisher and event, the number of subscribers that have it or have missed it.
    settled: Vec<Vec<u32>>,
    /// For each publisher, the number of the first event that a subscriber still waits for.
    complete: Vec<u32>,
    /// Numbers of these subscribers among all.
    subscribers: Range<u32>,
    /// For each subscriber and publisher, the number of the next event.
    next: Vec<u32>,
    pub(super) latencies: Latencies,
    /// Events that arrived in order.
    pub(super) delivered: u64,
    /// Events that arrived again, or after a later one.
    pub(super) repeated: u64,
    /// The first fault.
    pub(super) fault: Option<String>,
    /// Time of the last arrival of a new event.
    pub(super) last: Duration,
}

/// The run whose events count. All other events are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    These(u32),
    /// The run of the first event that arrives.
    First,
}

/// Size of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workload {
    pub(super) run: Run,
    pub(super) publishers: u32,
    /// Events of each publisher.
    pub(super) events: u32,
}

impl Workload {
    /// A run without publications.
    pub(super) const NONE: Self = Self { run: Run::These(0), publishers: 0, events: 0 };

    /// # Errors
    /// When following this run for this number of subscribers takes too much memory.
    pub(super) fn check(&self, subscribers: u32) -> Result<()> {
        let cursors = u64::from(self.publishers) * u64::from(subscribers);
        ensure!(
            cursors <= MOST && self.total() <= MOST,
            "{} events of {} publishers to {subscribers} subscribers are too many to check: the limit is \
             {MOST} events, and the same for publishers times subscribers",
            self.total(),
            self.publishers
        );
        Ok(())
    }

    /// Number of events that each subscriber should get.
    pub(super) fn total(&self) -> u64 {
        u64::from(self.publishers) * u64::from(self.events)
    }
}

impl Arrivals {
    pub(super) fn new(workload: Workload, subscribers: Range<u32>) -> Self {
        let lanes = workload.publishers as usize;
        Self {
            run: workload.run,
            settled: vec![vec![0; workload.events as usize]; lanes],
            complete: vec![0; lanes],
            next: vec![0; lanes * subscribers.len()],
            subscribers,
            latencies: Latencies::new(),
            delivered: 0,
            repeated: 0,
            fault: None,
            last: Duration::ZERO,
        }
    }

    /// Notes the arrival of an event at a subscriber, which is named by its index among these.
    pub(super) fn add(&mut self, subscriber: usize, mark: Mark, now: Duration) {
        if self.run == Run::First {
            self.run = Run::These(mark.run);
        }
        let Mark { publisher, number, at, .. } = mark;
        let lane = publisher as usize;
        let Some(settled) = self.settled.get_mut(lane).filter(|_| self.run == Run::These(mark.run)) else {
            return;
        };
        let next = &mut self.next[subscriber * self.complete.len() + lane];
        if number != *next {
            self.fault.get_or_insert_with(|| {
                let due = *next;
                format!(
                    "subscriber {subscriber} received event {number} of publisher {publisher} instead of \
                     event {due}"
                )
            });
        }
        if number < *next {
            self.repeated += 1;
            return;
        }
        let Some(settle) = settled.get_mut(*next as usize..=number as usize) else { return };
        settle.iter_mut().for_each(|count| *count += 1);
        *next = number + 1;
        self.delivered += 1;
        self.last = now;
        self.latencies.record(now.saturating_sub(at));
        self.advance(lane);
    }

    /// Notes the end of a subscriber's stream. The events that it has missed are not awaited any more.
    pub(super) fn close(&mut self, subscriber: usize, reason: &str) {
        for lane in 0..self.complete.len() {
            let next = &mut self.next[subscriber * self.complete.len() + lane];
            let left = &mut self.settled[lane][*next as usize..];
            if !left.is_empty() {
                self.fault.get_or_insert_with(|| {
                    let subscriber = self.subscribers.start as usize + subscriber;
                    format!("subscriber {subscriber}: the stream ended before event {next}: {reason}")
                });
            }
            left.iter_mut().for_each(|count| *count += 1);
            *next += u32::try_from(left.len()).expect("not more than there are events");
            self.advance(lane);
        }
    }

    fn advance(&mut self, lane: usize) {
        let (complete, all) = (&mut self.complete[lane], self.subscribers.end - self.subscribers.start);
        while self.settled[lane].get(*complete as usize) == Some(&all) {
            *complete += 1;
        }
    }

    /// For each publisher, the number of the first event that a subscriber still waits for.
    pub(super) fn complete(&self) -> &[u32] {
        &self.complete
    }

    /// Whether no subscriber waits for an event.
    pub(super) fn is_complete(&self) -> bool {
        self.complete.iter().zip(&self.settled).all(|(complete, events)| *complete as usize == events.len())
    }
}

/// Maximum number of followed events, and of cursors of subscribers: 4 bytes each.
const MOST: u64 = 100_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: u32 = 7;

    /// Arrivals of a run of three events at two subscribers: (subscriber, event), in this order.
    fn after(arrivals: &[(usize, u32)]) -> Arrivals {
        let mut all = Arrivals::new(Workload { run: Run::These(RUN), publishers: 1, events: 3 }, 0..2);
        for &(subscriber, number) in arrivals {
            let mark = Mark { run: RUN, publisher: 0, number, at: Duration::ZERO };
            all.add(subscriber, mark, Duration::from_millis(1));
        }
        all
    }

    #[test]
    fn lost_repeated_and_unordered_events_are_counted() {
        // Arrivals; delivered, repeated, complete before, complete.
        type Case<'a> = (&'a [(usize, u32)], u64, u64, u32, bool);
        let cases: [Case<'_>; 7] = [
            (&[(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (1, 2)], 6, 0, 3, true),
            (&[(0, 0), (0, 1), (1, 0), (0, 2)], 4, 0, 1, false),
            // Lost in between: a later event has arrived, so it is not awaited any more.
            (&[(0, 0), (0, 2), (1, 0), (1, 1), (1, 2)], 5, 0, 3, true),
            (&[(0, 0), (0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)], 6, 1, 3, true),
            (&[(0, 1), (0, 0), (0, 2), (1, 0), (1, 1), (1, 2)], 5, 1, 3, true),
            // The last one is lost.
            (&[(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)], 5, 0, 2, false),
            // An event that was not published.
            (&[(0, 3)], 0, 0, 0, false),
        ];
        for (arrivals, delivered, repeated, complete, is_complete) in cases {
            let all = after(arrivals);
            assert_eq!(
                (all.delivered, all.repeated, all.complete()[0], all.is_complete()),
                (delivered, repeated, complete, is_complete),
                "{arrivals:?}"
            );
            let faultless = all.repeated == 0 && (all.delivered == 6 || (complete < 3 && delivered > 0));
            assert_eq!(all.fault.is_none(), faultless, "{arrivals:?}: {:?}", all.fault);
        }
    }

    #[test]
    fn a_closed_stream_is_not_awaited() {
        let mut all = after(&[(0, 0), (1, 0), (1, 1), (1, 2)]);
        all.close(0, "reset");
        assert!(all.is_complete());
        assert_eq!((all.delivered, all.fault.is_some()), (4, true));
    }

    #[test]
    fn events_of_other_runs_and_publishers_are_ignored() {
        let mut all = after(&[]);
        for (run, publisher) in [(RUN + 1, 0), (RUN, 1)] {
            all.add(0, Mark { run, publisher, number: 0, at: Duration::ZERO }, Duration::ZERO);
        }
        assert_eq!((all.delivered, all.repeated, all.fault), (0, 0, None));
    }

    #[test]
    fn the_run_of_the_first_event_can_be_the_one_that_counts() {
        let mut all = Arrivals::new(Workload { run: Run::First, publishers: 1, events: 2 }, 0..1);
        for (run, number) in [(3, 0), (4, 0), (3, 1)] {
            all.add(0, Mark { run, publisher: 0, number, at: Duration::ZERO }, Duration::ZERO);
        }
        assert_eq!((all.delivered, all.repeated, all.is_complete()), (2, 0, true));
    }
}
