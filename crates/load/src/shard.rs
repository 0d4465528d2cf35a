//! Subscribers of one thread.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result};
use mio::{Events, Poll};

use super::arrivals::{Arrivals, Workload};
use super::latency::Latencies;
use super::payload::Clock;
use super::run_state::{RESPONSE_TIMEOUT, RunState};
use super::subscriber::{Subscriber, Tally};

/// Plan of the connections of all subscribers.
#[derive(Clone, Debug)]
pub(super) struct ConnectPlan {
    pub(super) server: SocketAddr,
    pub(super) request: Vec<u8>,
    pub(super) subscribers: u32,
    /// Maximum number of subscribers without an answer.
    pub(super) at_once: u32,
    pub(super) threads: u32,
}

/// Subscribers of one thread.
#[derive(Debug)]
pub(super) struct Shard {
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    server: SocketAddr,
    request: Vec<u8>,
    /// Numbers of its members among all subscribers.
    range: Range<u32>,
    members: Vec<Subscriber>,
    pub(super) arrivals: Arrivals,
    pub(super) tally: Tally,
    /// Number of members with an open stream, now and at the beginning of the run.
    pub(super) open: usize,
    expected: usize,
    /// Number of members that got no stream, and the reason of the first.
    pub(super) failed: u32,
    pub(super) failure: Option<String>,
    /// Streams that have ended since the beginning of a run.
    pub(super) closed: u32,
    pub(super) connecting: Latencies,
    pub(super) last_opened: Duration,
    /// Error that has stopped the thread.
    pub(super) error: Option<anyhow::Error>,
}

impl Shard {
    /// Makes the shard with this number, of `of` shards.
    pub(super) fn new(plan: &ConnectPlan, number: u32, of: u32, workload: Workload) -> Result<Self> {
        let share = |number: u32| u64::from(plan.subscribers) * u64::from(number) / u64::from(of);
        let range = u32::try_from(share(number))?..u32::try_from(share(number + 1))?;
        Ok(Self {
            poll: Poll::new().context("cannot create a poller for subscribers")?,
            events: Events::with_capacity(4096),
            buffer: vec![0; 256 << 10],
            server: plan.server,
            request: plan.request.clone(),
            members: Vec::with_capacity(range.len()),
            arrivals: Arrivals::new(workload, range.clone()),
            tally: Tally::default(),
            open: 0,
            expected: range.len(),
            range,
            failed: 0,
            failure: None,
            closed: 0,
            connecting: Latencies::new(),
            last_opened: Duration::ZERO,
            error: None,
        })
    }

    /// Number of open streams at the beginning of the run.
    pub(super) fn expected(&self) -> usize {
        self.expected
    }

    /// Forgets all arrivals, and expects this run.
    pub(super) fn expect(&mut self, workload: Workload) {
        self.arrivals = Arrivals::new(workload, self.range.clone());
        (self.tally, self.closed, self.expected) = (Tally::default(), 0, self.open);
        for (index, member) in self.members.iter().enumerate() {
            if !member.is_open() {
                self.arrivals.close(index, "before");
            }
        }
        self.arrivals.fault = None;
    }

    /// Connects its members, some at a time.
    pub(super) fn connect(&mut self, at_once: usize, state: &RunState) {
        let clock = state.clock;
        let mut last_progress = (clock.now(), 0);
        loop {
            let settled = self.open + self.failed as usize + self.closed as usize;
            let waiting = self.members.len().saturating_sub(settled);
            let missing = self.range.len() - self.members.len();
            let may = at_once.saturating_sub(waiting).min(missing).min(CONNECTS_PER_POLL);
            if waiting == 0 && may == 0 {
                return;
            }
            for _ in 0..may {
                match self.subscribe(clock) {
                    Ok(subscriber) => self.members.push(subscriber),
                    Err(error) => {
                        let number = self.range.start as usize + self.members.len();
                        self.error = Some(error.context(format!("subscriber {number}")));
                        return;
                    }
                }
            }
            let wait = if may > 0 { Duration::ZERO } else { Duration::from_millis(100) };
            let before = self.open;
            if let Err(error) = self.read_events(wait, clock) {
                self.error = Some(error);
                return;
            }
            state.arrived(self.open.saturating_sub(before) as u64);
            if settled != last_progress.1 || may > 0 {
                last_progress = (clock.now(), settled);
            } else if clock.now() - last_progress.0 > RESPONSE_TIMEOUT {
                self.give_up();
                return;
            }
        }
    }

    fn subscribe(&self, clock: Clock) -> Result<Subscriber> {
        let (first, index) = (self.range.start as usize, self.members.len());
        let registry = self.poll.registry();
        Subscriber::connect(self.server, first, index, &self.request, registry, clock)
    }

    /// Stops waiting for answers.
    fn give_up(&mut self) {
        for (index, member) in self.members.iter_mut().enumerate() {
            if member.is_waiting() {
                member.close();
                self.failed += 1;
                self.arrivals.close(index, "no response");
                self.failure.get_or_insert_with(|| format!("no response within {RESPONSE_TIMEOUT:?}"));
            }
        }
    }

    /// Reads until every member has every event, or no more arrive.
    pub(super) fn watch(&mut self, number: usize, state: &RunState) {
        let mut reported = 0;
        while !self.arrivals.is_complete() {
            if let Err(error) = self.read_events(Duration::from_millis(100), state.clock) {
                self.error = Some(error);
                return;
            }
            state.update(number, &self.arrivals);
            state.arrived(self.arrivals.delivered - reported);
            reported = self.arrivals.delivered;
            let quiet = state.done().map(|done| done.max(self.arrivals.last) + QUIET);
            if quiet.is_some_and(|quiet| state.clock.now() > quiet) || state.has_failed() {
                return;
            }
        }
        state.update(number, &self.arrivals);
    }

    /// Reads for a while after everything has arrived, to find repeated events.
    pub(super) fn linger(&mut self, state: &RunState) {
        let until = state.clock.now() + LINGER;
        while self.error.is_none() && state.clock.now() < until {
            self.error = self.read_events(LINGER / 4, state.clock).err();
        }
    }

    /// Waits, and reads all that has arrived.
    pub(super) fn read_events(&mut self, wait: Duration, clock: Clock) -> Result<()> {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            polled => polled.context("cannot wait for subscribers")?,
        }
        for event in &self.events {
            let index = event.token().0;
            let member = &mut self.members[index];
            let was_open = member.is_open();
            let (tally, arrivals) = (&mut self.tally, &mut self.arrivals);
            let outcome = member.handle_event(event, &self.request, &mut self.buffer, clock, tally, arrivals);
            if let Some(time) = outcome.opened {
                self.open += 1;
                self.connecting.record(time);
                self.last_opened = clock.now();
            }
            let Some(reason) = outcome.ended else { continue };
            if was_open || outcome.opened.is_some() {
                self.open -= 1;
                self.closed += 1;
            } else {
                self.failed += 1;
            }
            self.failure.get_or_insert_with(|| reason.clone());
            self.arrivals.close(index, &reason);
        }
        Ok(())
    }
}

/// An event that does not arrive within this time is lost.
const QUIET: Duration = Duration::from_secs(3);

/// Time of the wait for repeated events.
const LINGER: Duration = Duration::from_millis(200);

/// Number of subscribers that connect before the thread looks for answers.
const CONNECTS_PER_POLL: usize = 100;
