//! Subscribers of one thread.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result};
use mio::{Events, Poll};

use super::arrivals::{Arrivals, Workload};
use super::latency::Latencies;
use super::payload::Clock;
use super::run_state::{PATIENCE, RunState};
use super::subscriber::{Subscriber, Tally};
use super::subscriber_pool::Gathering;

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
    pub(super) fn new(plan: &Gathering, number: u32, of: u32, course: Workload) -> Result<Self> {
        let share = |number: u32| u64::from(plan.subscribers) * u64::from(number) / u64::from(of);
        let range = u32::try_from(share(number))?..u32::try_from(share(number + 1))?;
        Ok(Self {
            poll: Poll::new().context("no epoll")?,
            events: Events::with_capacity(4096),
            buffer: vec![0; 256 << 10],
            server: plan.server,
            request: plan.request.clone(),
            members: Vec::with_capacity(range.len()),
            arrivals: Arrivals::new(course, range.clone()),
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
    pub(super) fn expect(&mut self, course: Workload) {
        self.arrivals = Arrivals::new(course, self.range.clone());
        (self.tally, self.closed, self.expected) = (Tally::default(), 0, self.open);
        for (index, member) in self.members.iter().enumerate() {
            if !member.is_open() {
                self.arrivals.close(index, "before");
            }
        }
        self.arrivals.fault = None;
    }

    /// Connects its members, some at a time.
    pub(super) fn gather(&mut self, at_once: usize, standing: &RunState) {
        let clock = standing.clock;
        let mut heard = (clock.now(), 0);
        loop {
            let settled = self.open + self.failed as usize + self.closed as usize;
            let waiting = self.members.len().saturating_sub(settled);
            let may = at_once.saturating_sub(waiting).min(self.range.len() - self.members.len()).min(STRETCH);
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
            if let Err(error) = self.turn(wait, clock) {
                self.error = Some(error);
                return;
            }
            standing.arrived(self.open.saturating_sub(before) as u64);
            if settled != heard.1 || may > 0 {
                heard = (clock.now(), settled);
            } else if clock.now() - heard.0 > PATIENCE {
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
                self.failure.get_or_insert_with(|| format!("no response within {PATIENCE:?}"));
            }
        }
    }

    /// Reads until every member has every event, or no more arrive.
    pub(super) fn watch(&mut self, number: usize, standing: &RunState) {
        let mut told = 0;
        while !self.arrivals.is_complete() {
            if let Err(error) = self.turn(Duration::from_millis(100), standing.clock) {
                self.error = Some(error);
                return;
            }
            standing.update(number, &self.arrivals);
            standing.arrived(self.arrivals.delivered - told);
            told = self.arrivals.delivered;
            let quiet = standing.done().map(|done| done.max(self.arrivals.last) + QUIET);
            if quiet.is_some_and(|quiet| standing.clock.now() > quiet) || standing.has_failed() {
                return;
            }
        }
        standing.update(number, &self.arrivals);
    }

    /// Reads for a while after everything has arrived, to find repeated events.
    pub(super) fn linger(&mut self, standing: &RunState) {
        let until = standing.clock.now() + LINGER;
        while self.error.is_none() && standing.clock.now() < until {
            self.error = self.turn(LINGER / 4, standing.clock).err();
        }
    }

    /// Waits, and reads all that has arrived.
    pub(super) fn turn(&mut self, wait: Duration, clock: Clock) -> Result<()> {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            polled => polled.context("cannot wait for subscribers")?,
        }
        for event in &self.events {
            let index = event.token().0;
            let member = &mut self.members[index];
            let was_open = member.is_open();
            let (tally, arrivals) = (&mut self.tally, &mut self.arrivals);
            let turn = member.turn(event, &self.request, &mut self.buffer, clock, tally, arrivals);
            if let Some(time) = turn.opened {
                self.open += 1;
                self.connecting.record(time);
                self.last_opened = clock.now();
            }
            let Some(why) = turn.ended else { continue };
            if was_open || turn.opened.is_some() {
                self.open -= 1;
                self.closed += 1;
            } else {
                self.failed += 1;
            }
            self.failure.get_or_insert_with(|| why.clone());
            self.arrivals.close(index, &why);
        }
        Ok(())
    }
}

/// An event that does not arrive within this time is lost.
const QUIET: Duration = Duration::from_secs(3);

/// Time of the wait for repeated events.
const LINGER: Duration = Duration::from_millis(200);

/// Number of subscribers that connect before the thread looks for answers.
const STRETCH: usize = 100;
