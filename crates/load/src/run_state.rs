//! State of a run, shared by publishers, subscribers and the progress line.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use anyhow::{Result, ensure};

use super::arrivals::Arrivals;
use super::payload::Clock;

/// State of a run, for publishers and the progress line.
#[derive(Debug)]
pub(super) struct RunState {
    pub(super) clock: Clock,
    /// For each shard and publisher, the number of the first event that a subscriber still waits for.
    complete: Vec<Vec<AtomicU32>>,
    /// Events that have arrived, or streams that have begun.
    arrived: AtomicU64,
    /// Answered publications, if publishers count them.
    answered: AtomicU64,
    /// Publishers and shards that are not done.
    working: AtomicUsize,
    failed: AtomicBool,
    /// Time at which the publishers were done, in ns; 0 before.
    done: AtomicU64,
    /// Whether publishers wait for `complete`.
    windowed: bool,
    lock: Mutex<()>,
    moved: Condvar,
    main: Thread,
}

impl RunState {
    /// Makes the state for this number of shards and publishers.
    pub(super) fn new(shards: usize, publishers: u32, clock: Clock, windowed: bool) -> Self {
        let complete = || (0..publishers).map(|_| AtomicU32::new(0)).collect();
        Self {
            clock,
            complete: (0..shards).map(|_| complete()).collect(),
            arrived: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            working: AtomicUsize::new(shards),
            failed: AtomicBool::new(false),
            done: AtomicU64::new(0),
            windowed,
            lock: Mutex::new(()),
            moved: Condvar::new(),
            main: thread::current(),
        }
    }

    /// Waits until each subscriber has received this event of a publisher, or has missed it.
    ///
    /// # Errors
    /// When that takes longer than [`RESPONSE_TIMEOUT`].
    pub(super) fn wait_until_received(&self, publisher: u32, event: u32) -> Result<()> {
        let deadline = self.clock.now() + RESPONSE_TIMEOUT;
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let has = |shard: &Vec<AtomicU32>| shard[publisher as usize].load(Ordering::Acquire) > event;
        while !self.complete.iter().all(has) {
            ensure!(
                self.clock.now() < deadline,
                "event {event} of publisher {publisher} did not reach all subscribers within \
                 {RESPONSE_TIMEOUT:?}"
            );
            let waited = self.moved.wait_timeout(guard, Duration::from_millis(100));
            guard = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// Makes the run wait for its publishers, too.
    pub(super) fn with_publishers(mut self) -> Self {
        *self.working.get_mut() += 1;
        self
    }

    /// Counts further arrived events, or begun streams.
    pub(super) fn arrived(&self, more: u64) {
        self.arrived.fetch_add(more, Ordering::Relaxed);
    }

    /// Number of arrived events, or begun streams.
    pub(super) fn arrivals(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// Number of answered publications.
    pub(super) fn answers(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Whether the publishers have failed.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Counts further answered publications.
    pub(super) fn answered(&self, events: u64) {
        self.answered.fetch_add(events, Ordering::Relaxed);
    }

    /// Notes the arrivals of a shard.
    pub(super) fn update(&self, number: usize, arrivals: &Arrivals) {
        if !self.windowed {
            return;
        }
        let mut moved = false;
        for (shared, complete) in self.complete[number].iter().zip(arrivals.complete()) {
            if shared.load(Ordering::Relaxed) != *complete {
                shared.store(*complete, Ordering::Release);
                moved = true;
            }
        }
        if moved {
            // A publisher that has checked but does not wait yet holds the lock.
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.moved.notify_all();
        }
    }

    /// Notes that the publishers are done.
    pub(super) fn publishers_are_done(&self, failed: bool) {
        self.failed.store(failed, Ordering::Release);
        let now = u64::try_from(self.clock.now().as_nanos()).unwrap_or(u64::MAX);
        self.done.store(now.max(1), Ordering::Release);
    }

    /// Time at which the publishers were done, if they are.
    pub(super) fn done(&self) -> Option<Duration> {
        Some(self.done.load(Ordering::Acquire)).filter(|done| *done > 0).map(Duration::from_nanos)
    }

    /// Notes that a shard, or the publishers, are done.
    pub(super) fn finish_worker(&self) {
        self.working.fetch_sub(1, Ordering::AcqRel);
        self.main.unpark();
    }

    /// Waits until all shards are done, and shows the progress meanwhile.
    pub(super) fn wait(&self, mut show: impl FnMut()) {
        while self.working.load(Ordering::Acquire) > 0 {
            show();
            thread::park_timeout(Duration::from_millis(50));
        }
    }
}

/// Calls [`finish_worker`](RunState::finish_worker) when it is dropped, also during a panic.
pub(super) struct FinishGuard<'a>(pub(super) &'a RunState);

impl Drop for FinishGuard<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.publishers_are_done(true);
        }
        self.0.finish_worker();
    }
}

/// Maximum time of an answer or an event.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(20);
