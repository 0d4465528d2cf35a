//! Pool of subscribers, in a few threads.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};

use super::arrivals::Workload;
use super::latency::Latencies;
use super::payload::Clock;
use super::progress::Progress;
use super::run_state::{Leave, RunState};
use super::shard::Shard;
use super::usage::Usage;

/// Plan of the connections of subscribers.
#[derive(Clone, Debug)]
pub(super) struct Gathering {
    pub(super) server: SocketAddr,
    pub(super) request: Vec<u8>,
    pub(super) subscribers: u32,
    /// Maximum number of subscribers without an answer.
    pub(super) at_once: u32,
    pub(super) threads: u32,
}

/// Connected subscribers.
#[derive(Debug)]
pub(super) struct SubscriberPool {
    shards: Vec<Shard>,
    clock: Clock,
}

/// Result of the connections.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) opened: u32,
    /// Subscribers that got no stream.
    pub(super) failed: u32,
    pub(super) failure: Option<String>,
    /// Time from the first attempt to the last stream.
    pub(super) seconds: f64,
    /// Times from the start of a connection to the head of its answer.
    pub(super) latencies: Latencies,
}

/// A run to be observed.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    pub(super) course: Workload,
    /// Whether publishers wait for subscribers.
    pub(super) windowed: bool,
    /// Process IDs of the server.
    pub(super) pids: &'a [u32],
    /// Number of publications, if the progress shows their answers.
    pub(super) publications: Option<u64>,
}

/// Result of a run at the subscribers.
#[derive(Debug)]
pub(super) struct Seen<T> {
    pub(super) expected: u64,
    pub(super) delivered: u64,
    pub(super) repeated: u64,
    /// Streams that ended during the run.
    pub(super) closed: u32,
    pub(super) fault: Option<String>,
    pub(super) latencies: Latencies,
    pub(super) reads: u64,
    pub(super) bytes: u64,
    /// Time from the beginning to the last arrival.
    pub(super) seconds: f64,
    /// Result of the publishers.
    pub(super) published: T,
    pub(super) server: Option<(Usage, Usage)>,
    pub(super) own: Option<(Usage, Usage)>,
}

impl SubscriberPool {
    /// Connects all subscribers, and returns when each has its stream or has failed.
    ///
    /// # Errors
    /// When this machine lacks a resource.
    pub(super) fn gather(
        plan: &Gathering,
        course: Workload,
        clock: Clock,
        progress: &mut Progress,
    ) -> Result<(Self, Connected)> {
        course.check(plan.subscribers)?;
        let threads = plan.threads.min(plan.subscribers).max(1);
        let shard = |number| Shard::new(plan, number, threads, course);
        let mut shards = (0..threads).map(shard).collect::<Result<Vec<_>>>()?;
        let standing = RunState::new(shards.len(), 0, clock, false);
        let begin = clock.now();
        progress.restart();
        thread::scope(|scope| {
            for shard in &mut shards {
                let (standing, at_once) = (&standing, plan.at_once.div_ceil(threads));
                scope.spawn(move || {
                    shard.gather(at_once as usize, standing);
                    standing.leave();
                });
            }
            standing.wait(|| {
                let opened = standing.arrivals();
                progress.show("connecting", opened, plan.subscribers.into());
            });
        });
        let mut connected =
            Connected { opened: 0, failed: 0, failure: None, seconds: 0.0, latencies: Latencies::new() };
        let mut last = begin;
        for shard in &mut shards {
            if let Some(error) = shard.error.take() {
                return Err(error);
            }
            connected.opened += u32::try_from(shard.open).expect("not more than there are");
            connected.failed += shard.failed + shard.closed;
            connected.failure = connected.failure.or_else(|| shard.failure.take());
            connected.latencies.add(&shard.connecting);
            last = last.max(shard.last_opened);
        }
        connected.seconds = (last - begin).as_secs_f64();
        Ok((Self { shards, clock }, connected))
    }

    /// Makes a pool without subscribers.
    pub(super) fn nobody(clock: Clock) -> Self {
        Self { shards: Vec::new(), clock }
    }

    /// Forgets all arrivals, and expects this run.
    pub(super) fn expect(&mut self, course: Workload) {
        for shard in &mut self.shards {
            shard.expect(course);
        }
    }

    /// Observes a run while it is published, until every subscriber has every event or no more arrive.
    ///
    /// # Errors
    /// Those of the publishers; when a process of the server has gone.
    pub(super) fn watch<T: Send>(
        &mut self,
        Watch { course, windowed, pids, publications }: Watch<'_>,
        progress: &mut Progress,
        publish: impl FnOnce(&RunState) -> Result<T> + Send,
    ) -> Result<Seen<T>> {
        let standing = RunState::new(self.shards.len(), course.publishers, self.clock, windowed);
        let standing = standing.with_publishers();
        let expected = course.total() * self.shards.iter().map(|shard| shard.expected() as u64).sum::<u64>();
        let own = [std::process::id()];
        // The cost of the load generator itself is reported on systems that provide it.
        let before = (Usage::of_any(pids)?, Usage::of(&own).ok());
        let begin = self.clock.now();
        progress.restart();
        let (published, after) = thread::scope(|scope| {
            let publishing = scope.spawn(|| {
                // After any error or panic, nothing waits forever.
                let _leave = Leave(&standing);
                let published = publish(&standing);
                standing.publishers_are_done(published.is_err());
                published
            });
            for (number, shard) in self.shards.iter_mut().enumerate() {
                let standing = &standing;
                scope.spawn(move || {
                    shard.watch(number, standing);
                    standing.leave();
                    shard.linger(standing);
                });
            }
            standing.wait(|| match publications {
                None => progress.show("arrived", standing.arrivals(), expected),
                Some(all) => progress.show("published", standing.answers(), all),
            });
            let published =
                publishing.join().unwrap_or_else(|_| Err(anyhow!("the publisher thread panicked")));
            (published, (Usage::of_any(pids), Usage::of(&own).ok()))
        });
        let mut seen = Seen {
            expected,
            delivered: 0,
            repeated: 0,
            closed: 0,
            fault: None,
            latencies: Latencies::new(),
            reads: 0,
            bytes: 0,
            seconds: 0.0,
            published: published?,
            server: before.0.zip(after.0?),
            own: before.1.zip(after.1),
        };
        let mut last = begin;
        for shard in &mut self.shards {
            if let Some(error) = shard.error.take() {
                return Err(error);
            }
            seen.delivered += shard.arrivals.delivered;
            seen.repeated += shard.arrivals.repeated;
            seen.fault = seen.fault.or_else(|| shard.arrivals.fault.take());
            seen.closed += shard.closed;
            seen.latencies.add(&shard.arrivals.latencies);
            seen.reads += shard.tally.reads;
            seen.bytes += shard.tally.bytes;
            last = last.max(shard.arrivals.last);
        }
        seen.seconds = (last - begin).as_secs_f64();
        Ok(seen)
    }

    /// Observes the subscribers for this time without publications; returns the number of streams that ended.
    ///
    /// # Errors
    /// When the system does not allow the wait.
    pub(super) fn idle(&mut self, time: Duration, what: &str, progress: &mut Progress) -> Result<u32> {
        self.expect(Workload::NONE);
        let begin = self.clock.now();
        progress.restart();
        while self.clock.now() - begin < time {
            progress.show_time(what, time);
            for shard in &mut self.shards {
                shard.turn(Duration::from_millis(20), self.clock)?;
            }
        }
        Ok(self.shards.iter().map(|shard| shard.closed).sum())
    }
}
