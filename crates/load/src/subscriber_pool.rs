//! Pool of subscribers, in a few threads.

use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};

use super::arrivals::Workload;
use super::latency::Latencies;
use super::payload::Clock;
use super::progress::Progress;
use super::run_state::{FinishGuard, RunState};
use super::shard::{ConnectPlan, Shard};
use super::usage::Usage;

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
    pub(super) workload: Workload,
    /// Whether publishers wait for subscribers.
    pub(super) windowed: bool,
    /// Process IDs of the server.
    pub(super) pids: &'a [u32],
    /// Number of publications, if the progress shows their answers.
    pub(super) publications: Option<u64>,
}

/// Result of a run at the subscribers.
#[derive(Debug)]
pub(super) struct RunResult<T> {
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
    pub(super) fn connect(
        plan: &ConnectPlan,
        workload: Workload,
        clock: Clock,
        progress: &mut Progress,
    ) -> Result<(Self, Connected)> {
        workload.check(plan.subscribers)?;
        let threads = plan.threads.min(plan.subscribers).max(1);
        let shard = |number| Shard::new(plan, number, threads, workload);
        let mut shards = (0..threads).map(shard).collect::<Result<Vec<_>>>()?;
        let state = RunState::new(shards.len(), 0, clock, false);
        let begin = clock.now();
        progress.restart();
        thread::scope(|scope| {
            for shard in &mut shards {
                let (state, at_once) = (&state, plan.at_once.div_ceil(threads));
                scope.spawn(move || {
                    shard.connect(at_once as usize, state);
                    state.finish_worker();
                });
            }
            state.wait(|| {
                let opened = state.arrivals();
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
    pub(super) fn empty(clock: Clock) -> Self {
        Self { shards: Vec::new(), clock }
    }

    /// Forgets all arrivals, and expects this run.
    pub(super) fn expect(&mut self, workload: Workload) {
        for shard in &mut self.shards {
            shard.expect(workload);
        }
    }

    /// Observes a run while it is published, until every subscriber has every event or no more arrive.
    ///
    /// # Errors
    /// Those of the publishers; when a process of the server has gone.
    pub(super) fn watch<T: Send>(
        &mut self,
        Watch { workload, windowed, pids, publications }: Watch<'_>,
        progress: &mut Progress,
        publish: impl FnOnce(&RunState) -> Result<T> + Send,
    ) -> Result<RunResult<T>> {
        let state = RunState::new(self.shards.len(), workload.publishers, self.clock, windowed);
        let state = state.with_publishers();
        let streams: u64 = self.shards.iter().map(|shard| shard.expected() as u64).sum();
        let expected = workload.total() * streams;
        let own = [std::process::id()];
        // The cost of the load generator itself is reported on systems that provide it.
        let before = (Usage::of_any(pids)?, Usage::of(&own).ok());
        let begin = self.clock.now();
        progress.restart();
        let (published, after) = thread::scope(|scope| {
            let publishing = scope.spawn(|| {
                // After any error or panic, nothing waits forever.
                let _finish = FinishGuard(&state);
                let published = publish(&state);
                state.publishers_are_done(published.is_err());
                published
            });
            for (number, shard) in self.shards.iter_mut().enumerate() {
                let state = &state;
                scope.spawn(move || {
                    shard.watch(number, state);
                    state.finish_worker();
                    shard.linger(state);
                });
            }
            state.wait(|| match publications {
                None => progress.show("arrived", state.arrivals(), expected),
                Some(all) => progress.show("published", state.answers(), all),
            });
            let published =
                publishing.join().unwrap_or_else(|_| Err(anyhow!("the publisher thread panicked")));
            (published, (Usage::of_any(pids), Usage::of(&own).ok()))
        });
        let mut result = RunResult {
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
            result.delivered += shard.arrivals.delivered;
            result.repeated += shard.arrivals.repeated;
            result.fault = result.fault.or_else(|| shard.arrivals.fault.take());
            result.closed += shard.closed;
            result.latencies.add(&shard.arrivals.latencies);
            result.reads += shard.tally.reads;
            result.bytes += shard.tally.bytes;
            last = last.max(shard.arrivals.last);
        }
        result.seconds = (last - begin).as_secs_f64();
        Ok(result)
    }

    /// Observes the subscribers for this time without publications; returns the number of streams that ended.
    ///
    /// # Errors
    /// When the system does not allow the wait.
    pub(super) fn idle(&mut self, time: Duration, label: &str, progress: &mut Progress) -> Result<u32> {
        self.expect(Workload::NONE);
        let begin = self.clock.now();
        progress.restart();
        while self.clock.now() - begin < time {
            progress.show_time(label, time);
            for shard in &mut self.shards {
                shard.read_events(Duration::from_millis(20), self.clock)?;
            }
        }
        Ok(self.shards.iter().map(|shard| shard.closed).sum())
    }
}
