//! Who has got what of a run: every subscriber must get every event once, in the order of its publisher.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::latency::Latencies;
use super::mark::Mark;

/// What of a run has arrived at some of its subscribers.
#[derive(Debug)]
pub(super) struct Arrivals {
    run: Run,
    /// For each publisher and event, how many of the subscribers do not wait for it any more.
    settled: Vec<Vec<u32>>,
    /// For each publisher, before which event nobody waits for any.
    complete: Vec<u32>,
    /// Their numbers among all there are.
    subscribers: Range<u32>,
    /// For each subscriber and publisher, the number that comes next.
    next: Vec<u32>,
    pub(super) latencies: Latencies,
    /// Events that came when they were due or later, but not after a later one.
    pub(super) delivered: u64,
    /// Events that came again, or after a later one.
    pub(super) repeated: u64,
    /// The first thing that was wrong.
    pub(super) fault: Option<String>,
    /// When the last event came that was not there yet.
    pub(super) last: Duration,
}

/// Whose events count. All others are left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    These(u32),
    /// Those of the run whose event is the first to come.
    First,
}

/// How many events a run has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    pub(super) run: Run,
    pub(super) publishers: u32,
    /// Of each publisher.
    pub(super) events: u32,
}

impl Course {
    /// Nothing is published.
    pub(super) const NONE: Self = Self { run: Run::These(0), publishers: 0, events: 0 };

    /// # Errors
    /// When it takes too much memory to follow with so many subscribers.
    pub(super) fn check(&self, subscribers: u32) -> Result<()> {
        let cursors = u64::from(self.publishers) * u64::from(subscribers);
        ensure!(
            cursors <= MOST && self.total() <= MOST,
            "{} events of {} publishers to {subscribers} subscribers are too many to check: the limit is {MOST} events, and \
             the same for publishers times subscribers",
            self.total(),
            self.publishers
        );
        Ok(())
    }

    /// Events that each subscriber should get.
    pub(super) fn total(&self) -> u64 {
        u64::from(self.publishers) * u64::from(self.events)
    }
}

impl Arrivals {
    pub(super) fn new(course: Course, subscribers: Range<u32>) -> Self {
        let lanes = course.publishers as usize;
        Self {
            run: course.run,
            settled: vec![vec![0; course.events as usize]; lanes],
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

    /// An event has arrived at a subscriber, which is told by its index among these.
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
                    "subscriber {subscriber} received event {number} of publisher {publisher} instead of event {due}"
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

    /// A subscriber's stream has ended; nobody waits for what it would have got.
    pub(super) fn close(&mut self, subscriber: usize, why: &str) {
        for lane in 0..self.complete.len() {
            let next = &mut self.next[subscriber * self.complete.len() + lane];
            let left = &mut self.settled[lane][*next as usize..];
            if !left.is_empty() {
                self.fault.get_or_insert_with(|| {
                    let subscriber = self.subscribers.start as usize + subscriber;
                    format!("subscriber {subscriber}: the stream ended before event {next}: {why}")
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

    /// For each publisher, before which of its events nobody waits for any.
    pub(super) fn complete(&self) -> &[u32] {
        &self.complete
    }

    /// Nobody waits for anything.
    pub(super) fn is_complete(&self) -> bool {
        self.complete.iter().zip(&self.settled).all(|(complete, events)| *complete as usize == events.len())
    }
}

/// Events that are followed, and places of subscribers in them: 4 bytes each.
const MOST: u64 = 100_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: u32 = 7;

    /// What has arrived at two subscribers of a run of three events: who got which, in this order.
    fn after(arrivals: &[(usize, u32)]) -> Arrivals {
        let mut all = Arrivals::new(Course { run: Run::These(RUN), publishers: 1, events: 3 }, 0..2);
        for &(subscriber, number) in arrivals {
            let mark = Mark { run: RUN, publisher: 0, number, at: Duration::ZERO };
            all.add(subscriber, mark, Duration::from_millis(1));
        }
        all
    }

    #[test]
    fn what_is_lost_repeated_or_out_of_order_is_noticed() {
        // Arrivals; delivered, repeated, complete before, complete.
        type Case<'a> = (&'a [(usize, u32)], u64, u64, u32, bool);
        let cases: [Case<'_>; 7] = [
            (&[(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (1, 2)], 6, 0, 3, true),
            (&[(0, 0), (0, 1), (1, 0), (0, 2)], 4, 0, 1, false),
            // Lost in between: nobody waits for it once a later one is there.
            (&[(0, 0), (0, 2), (1, 0), (1, 1), (1, 2)], 5, 0, 3, true),
            (&[(0, 0), (0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)], 6, 1, 3, true),
            (&[(0, 1), (0, 0), (0, 2), (1, 0), (1, 1), (1, 2)], 5, 1, 3, true),
            // The last one is lost.
            (&[(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)], 5, 0, 2, false),
            // Nobody has published this one.
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
    fn who_has_gone_is_not_waited_for() {
        let mut all = after(&[(0, 0), (1, 0), (1, 1), (1, 2)]);
        all.close(0, "reset");
        assert!(all.is_complete());
        assert_eq!((all.delivered, all.fault.is_some()), (4, true));
    }

    #[test]
    fn events_of_other_runs_and_publishers_are_left_alone() {
        let mut all = after(&[]);
        for (run, publisher) in [(RUN + 1, 0), (RUN, 1)] {
            all.add(0, Mark { run, publisher, number: 0, at: Duration::ZERO }, Duration::ZERO);
        }
        assert_eq!((all.delivered, all.repeated, all.fault), (0, 0, None));
    }

    #[test]
    fn the_first_run_can_be_the_one_that_counts() {
        let mut all = Arrivals::new(Course { run: Run::First, publishers: 1, events: 2 }, 0..1);
        for (run, number) in [(3, 0), (4, 0), (3, 1)] {
            all.add(0, Mark { run, publisher: 0, number, at: Duration::ZERO }, Duration::ZERO);
        }
        assert_eq!((all.delivered, all.repeated, all.is_complete()), (2, 0, true));
    }
}
