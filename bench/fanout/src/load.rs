//! The load: subscribers that read, subscribers that do not, and one publisher, over HTTP/1.1 on loopback.
//! Each event's data holds its number and the time when it was published, by this process's clock.

mod mark;
mod phase;
mod publisher;
mod subscriber;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use mio::{Events, Poll, Token};
use serde::{Deserialize, Serialize};

use crate::process::Usage;
use mark::Clock;
pub use phase::{Pace, Phase};
use publisher::Publisher;
use subscriber::{Stalled, Subscriber};

#[derive(Args, Clone, Debug)]
pub struct Plan {
    /// The server's port on 127.0.0.1
    pub port: u16,
    /// The server's process
    pub pid: u32,
    /// Subscribers that read as fast as they can
    #[arg(long, default_value_t = 1000)]
    pub subscribers: usize,
    /// Subscribers that never read
    #[arg(long, default_value_t = 0)]
    pub stalled: usize,
    /// EVENTS, EVENTS@RATE (per second), EVENTS/WINDOW (at most so many that not everyone has): one after the
    /// other
    #[arg(long = "phase")]
    pub phases: Vec<Phase>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Measured {
    /// The server's resident memory before anybody came, in KiB.
    pub memory_before: f64,
    /// The same with all subscribers, a while later.
    pub memory_idle: f64,
    pub phases: Vec<Delivered>,
}

/// The result of a phase.
#[derive(Debug, Serialize, Deserialize)]
pub struct Delivered {
    /// Deliveries there should have been: events times subscribers that read.
    pub expected: usize,
    pub delivered: usize,
    /// Subscribers whose stream had ended by then.
    pub closed: usize,
    /// Events that came in one read, on average.
    pub events_per_read: f64,
    /// From the first publication to the last delivery.
    pub seconds: f64,
    /// The server's processor time for one delivery, in µs.
    pub user: f64,
    pub system: f64,
    /// This process's own time for one delivery, in µs: no server can be faster than its load.
    pub load: f64,
    /// From publication to delivery, in ms.
    pub p50: f64,
    pub p99: f64,
    /// The server's resident memory at the end, in KiB.
    pub memory: f64,
}

/// Subscribes, then goes through the phases.
pub fn run(plan: &Plan, open_files: u64) -> Result<Measured> {
    let needed = (plan.subscribers + plan.stalled) as u64 + 100;
    ensure!(open_files >= needed, "{needed} open files are needed, {open_files} are allowed: see ulimit -Hn");
    let memory_before = Usage::of(plan.pid)?.memory;
    let stalled = (0..plan.stalled).map(|_| Stalled::connect(plan.port)).collect::<Result<Vec<_>>>()?;
    let mut load = Load::connect(plan)?;
    thread::sleep(IDLE);
    let memory_idle = Usage::of(plan.pid)?.memory;
    let phases = plan.phases.iter().map(|phase| load.run(phase)).collect::<Result<_>>()?;
    drop(stalled);
    Ok(Measured { memory_before, memory_idle, phases })
}

struct Load {
    pid: u32,
    poll: Poll,
    subscribers: Vec<Subscriber>,
    publisher: Publisher,
    clock: Clock,
    /// Events published in earlier phases.
    published: usize,
    buffer: Vec<u8>,
}

impl Load {
    /// Some at a time, so that nobody's backlog overflows.
    fn connect(plan: &Plan) -> Result<Self> {
        let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(EVENTS));
        let mut buffer = vec![0; 256 << 10];
        let mut subscribers: Vec<Subscriber> = Vec::with_capacity(plan.subscribers);
        while subscribers.len() < plan.subscribers {
            let before = subscribers.len();
            for index in before..plan.subscribers.min(before + AT_ONCE) {
                subscribers.push(Subscriber::connect(plan.port, index, poll.registry())?);
            }
            let (mut waiting, deadline) = (subscribers.len() - before, Instant::now() + PATIENCE);
            while waiting > 0 {
                ensure!(Instant::now() < deadline, "{waiting} subscribers got no answer in {PATIENCE:?}");
                poll.poll(&mut events, Some(Duration::from_millis(100)))?;
                for event in &events {
                    waiting -= usize::from(subscribers[event.token().0].read_head(&mut buffer)?);
                }
            }
        }
        let publisher = Publisher::connect(plan.port)?;
        Ok(Self { pid: plan.pid, poll, subscribers, publisher, clock: Clock::start(), published: 0, buffer })
    }

    fn run(&mut self, phase: &Phase) -> Result<Delivered> {
        thread::sleep(PAUSE);
        let first = self.published;
        self.published += phase.events;
        let open = self.subscribers.iter().filter(|subscriber| !subscriber.is_closed()).count();
        let mut arrivals = Arrivals::new(phase.events, first, open);
        let complete = AtomicUsize::new(first);
        let (poll, subscribers, buffer) = (&mut self.poll, &mut self.subscribers, &mut self.buffer);
        let (publisher, clock) = (&mut self.publisher, self.clock);
        let mut events = Events::with_capacity(EVENTS);
        let mut reads = 0;
        let before = (Usage::of(self.pid)?, Usage::of(std::process::id())?);
        let begin = clock.now();
        let mut last = begin;
        thread::scope(|scope| {
            let publishing = scope.spawn(|| publisher.run(phase, first, clock, &complete));
            while !arrivals.all_are_over() {
                poll.poll(&mut events, Some(Duration::from_millis(100)))?;
                if events.is_empty() && publishing.is_finished() && clock.now() - last > QUIET {
                    break;
                }
                for event in &events {
                    let Token(index) = event.token();
                    let (now, read) = subscribers[index].read(buffer, clock, &mut arrivals)?;
                    reads += read;
                    last = now.unwrap_or(last);
                }
                if complete.load(Ordering::Relaxed) < arrivals.complete {
                    complete.store(arrivals.complete, Ordering::Relaxed);
                    publishing.thread().unpark();
                }
            }
            publishing.join().expect("the publisher does not panic")
        })?;
        let after = (Usage::of(self.pid)?, Usage::of(std::process::id())?);
        let delivered = arrivals.latencies.len();
        ensure!(delivered > 0, "nothing was delivered");
        arrivals.latencies.sort_unstable();
        let quantile = |share: f64| {
            let at = (delivered - 1) as f64 * share;
            f64::from(arrivals.latencies[at as usize]) / 1000.0
        };
        let each = |seconds: f64| seconds * 1e6 / delivered as f64;
        Ok(Delivered {
            expected: phase.events * self.subscribers.len(),
            delivered,
            closed: self.subscribers.iter().filter(|subscriber| subscriber.is_closed()).count(),
            events_per_read: delivered as f64 / reads as f64,
            seconds: (last - begin).as_secs_f64(),
            user: each(after.0.user - before.0.user),
            system: each(after.0.system - before.0.system),
            load: each(after.1.user + after.1.system - before.1.user - before.1.system),
            p50: quantile(0.5),
            p99: quantile(0.99),
            memory: after.0.memory,
        })
    }
}

/// The events that each subscriber has, in one phase.
struct Arrivals {
    first: usize,
    /// Those whose streams were open when it began.
    subscribers: usize,
    /// How many have each event.
    counts: Vec<usize>,
    /// Everyone has all events before this one.
    complete: usize,
    /// Subscribers that have the last event, after which nothing comes, or whose stream has ended.
    over: usize,
    /// In µs.
    latencies: Vec<u32>,
}

impl Arrivals {
    fn new(events: usize, first: usize, subscribers: usize) -> Self {
        let latencies = Vec::with_capacity(events * subscribers);
        Self { first, subscribers, counts: vec![0; events], complete: first, over: 0, latencies }
    }

    fn add(&mut self, number: usize, latency: Duration) -> Result<()> {
        let at = number.checked_sub(self.first).context("an event of an earlier phase")?;
        *self.counts.get_mut(at).context("an event that was not published")? += 1;
        while self.counts.get(self.complete - self.first) == Some(&self.subscribers) {
            self.complete += 1;
        }
        self.over += usize::from(at + 1 == self.counts.len());
        self.latencies.push(latency.as_micros().try_into().unwrap_or(u32::MAX));
        Ok(())
    }

    fn all_are_over(&self) -> bool {
        self.over >= self.subscribers
    }
}

/// Subscribers that connect together.
const AT_ONCE: usize = 200;

/// Events of the poll taken at once.
const EVENTS: usize = 4096;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long subscribers do nothing before memory is looked at.
const IDLE: Duration = Duration::from_secs(1);

/// Between phases, so that a server's afterthoughts are counted to neither.
const PAUSE: Duration = Duration::from_millis(300);

/// After this much silence, missing events count as lost.
const QUIET: Duration = Duration::from_secs(3);
