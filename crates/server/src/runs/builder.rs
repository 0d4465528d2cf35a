use std::time::Duration;

use super::Runs;

/// Builds [`Runs`]: their limits.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct RunsBuilder {
    pub(super) max_runs: usize,
    pub(super) max_events: u64,
    pub(super) max_bytes: usize,
    pub(super) max_total_bytes: usize,
    pub(super) keep_finished: Duration,
    pub(super) idle: Option<Duration>,
    pub(super) abandoned: Option<Duration>,
    pub(super) end_event: Box<str>,
}

impl RunsBuilder {
    pub(super) fn new() -> Self {
        Self {
            max_runs: 10_000,
            max_events: 1_000_000,
            max_bytes: 16 << 20,
            max_total_bytes: 1 << 30,
            keep_finished: Duration::from_secs(600),
            idle: Some(Duration::from_secs(3600)),
            abandoned: None,
            end_event: "end".into(),
        }
    }

    /// The most runs, with the ended ones that are kept: 10,000 by default. Ended runs make room for new ones.
    pub fn max_runs(mut self, runs: usize) -> Self {
        self.max_runs = runs;
        self
    }

    /// The most events of one run: 1,000,000 by default.
    pub fn max_events(mut self, events: u64) -> Self {
        self.max_events = events;
        self
    }

    /// The most bytes of the names and data of one run's events: 16 MiB by default.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// The most bytes of the events of all runs: 1 GiB by default.
    pub fn max_total_bytes(mut self, bytes: usize) -> Self {
        self.max_total_bytes = bytes;
        self
    }

    /// The time for which viewers can still read an ended run: ten minutes by default.
    pub fn keep_finished(mut self, time: Duration) -> Self {
        self.keep_finished = time;
        self
    }

    /// Sets the time without an event after which a run fails: one hour by default; `None` for no limit.
    #[doc(alias("timeout"))]
    pub fn idle_timeout(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.idle = time.into();
        self
    }

    /// Cancels a run that has had no viewer for this time. By default, runs need no viewer.
    pub fn cancel_unwatched_after(mut self, time: Duration) -> Self {
        self.abandoned = Some(time);
        self
    }

    /// The name of the last event of each run: `end` by default. A name with a line break ends runs without
    /// such an event.
    pub fn end_event(mut self, name: impl Into<String>) -> Self {
        self.end_event = name.into().into();
        self
    }

    /// Creates an empty set of runs.
    #[must_use]
    pub fn build(self) -> Runs {
        Runs::with(self)
    }
}
