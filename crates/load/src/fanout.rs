//! `ssekit bench fanout`: events to many subscribers.

use std::fmt;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use serde::Serialize;

use super::arguments::within;
use super::arrivals::{Run, Workload};
use super::latency::{Latencies, Summary};
use super::options::{Common, Consent, Subscribers, run_number};
use super::payload::{Clock, EVENTS, PUBLISHERS, RUNS};
use super::publisher::{self, Pace};
use super::report::{self, Delivered, Report};
use super::run_state::RunState;
use super::subscriber::MOST;
use super::subscriber_pool::{RunResult, Watch};
use super::usage::{Memory, Usage};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Fanout {
    /// Number of subscribers
    #[arg(short, long, default_value_t = 1000, value_parser = within(1..=MOST))]
    subscribers: u32,
    /// Number of events, of all publishers together
    #[arg(short = 'n', long, default_value_t = 1000, value_parser = within(1..=EVENTS))]
    events: u32,
    /// Number of publishers; each has one connection and waits for each response
    #[arg(long, default_value_t = 1, value_parser = within(1..=PUBLISHERS.min(256)))]
    publishers: u32,
    /// Publish this many events per second
    #[arg(long, value_name = "PER SECOND", value_parser = rate, conflicts_with_all = ["window", "unwaiting"])]
    rate: Option<f64>,
    /// Publish as fast as responses arrive, each publisher at most this many events ahead of the slowest
    /// subscriber
    #[arg(
        long,
        value_name = "EVENTS",
        default_value_t = 64,
        value_parser = within(1..=u32::MAX),
        conflicts_with = "unwaiting"
    )]
    window: u32,
    /// Do not slow down for slow subscribers
    #[arg(long)]
    unwaiting: bool,
    /// Events to publish before the measurement
    #[arg(long, value_name = "EVENTS", default_value_t = 20, value_parser = within(0..=1_000_000))]
    warm_up: u32,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    pub(super) common: Common,
}

impl Fanout {
    pub(super) fn run(&self) -> Result<FanoutReport> {
        self.consent.check(&self.common.target)?;
        let (pids, clock) = (&self.common.output.pids, Clock::start());
        let mut progress = self.common.start_progress();
        ensure!(
            self.events >= self.publishers,
            "each publisher needs at least one event: --events {}",
            self.events
        );
        let memory_before = Usage::of_any(pids)?.map(|usage| usage.memory);
        let subscribers = Subscribers::new(self.subscribers);
        let (mut pool, connected) = self.common.connect_all(subscribers, clock, &mut progress)?;
        let closed = pool.idle(SETTLE, "settling", &mut progress)?;
        ensure!(closed == 0, "{closed} streams ended before the first publication");
        let memory_idle = Usage::of_any(pids)?.map(|usage| usage.memory);

        let mut publish = |run, events, pace| -> Result<RunResult<Latencies>> {
            let workload = Workload { run: Run::These(run), publishers: self.publishers, events };
            workload.check(self.subscribers)?;
            pool.expect(workload);
            let windowed = matches!(pace, Pace::Window(_));
            let watch = Watch { workload, windowed, pids, publications: None };
            pool.watch(watch, &mut progress, |state| self.publish(run, events, pace, state))
        };
        let run = run_number();
        if let Some(events @ 1..) = self.warm_up.checked_div(self.publishers) {
            let pace =
                self.rate.map_or(Pace::Window(1), |rate| Pace::Rate(rate / f64::from(self.publishers)));
            publish((run + 1) % RUNS, events, pace)?;
        }
        let pace = match self.rate {
            Some(rate) => Pace::Rate(rate / f64::from(self.publishers)),
            None if self.unwaiting => Pace::Unwaiting,
            None => Pace::Window(self.window),
        };
        let result = publish(run, self.events / self.publishers, pace)?;
        drop(progress);
        let delivered = Delivered::of(&result);
        Ok(FanoutReport {
            measure: "fanout",
            subscribers: self.subscribers,
            events: self.events / self.publishers * self.publishers,
            publishers: self.publishers,
            size: self.common.target.size,
            connects_per_second: f64::from(connected.opened) / connected.seconds,
            memory_before,
            memory_idle,
            faults: delivered.faults(result.fault.as_deref()),
            delivered,
            latency: result.latencies.summary(),
            answers: result.published.summary(),
        })
    }

    fn publish(&self, run: u32, events: u32, pace: Pace, state: &RunState) -> Result<Latencies> {
        let (server, publication) = (self.common.target.address()?, self.common.target.publication(1)?);
        thread::scope(|scope| {
            let publish = |number| {
                let publication = publication.clone();
                scope.spawn(move || publisher::pace(server, publication, (run, number, events), pace, state))
            };
            let publishers: Vec<_> = (0..self.publishers).map(publish).collect();
            let mut answers = Latencies::new();
            for publisher in publishers {
                let all = publisher.join().unwrap_or_else(|_| Err(anyhow!("a publisher thread panicked")));
                answers.add(&all?);
            }
            Ok(answers)
        })
    }
}

/// Result of the measurement.
#[derive(Debug, Serialize)]
pub(super) struct FanoutReport {
    measure: &'static str,
    subscribers: u32,
    events: u32,
    publishers: u32,
    size: u32,
    /// Subscriptions per second; see `connects` for many at once.
    connects_per_second: f64,
    /// Memory of the server before the first subscriber, and with all of them.
    memory_before: Option<Memory>,
    memory_idle: Option<Memory>,
    #[serde(flatten)]
    delivered: Delivered,
    /// Time from publication to arrival.
    latency: Option<Summary>,
    /// Time from publication to its answer.
    answers: Option<Summary>,
    faults: Vec<String>,
}

impl Report for FanoutReport {
    fn faults(&self) -> &[String] {
        &self.faults
    }
}

impl fmt::Display for FanoutReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = report::number(self.events.into());
        let subscribers = report::number(self.subscribers.into());
        writeln!(f, "{events} events of {} bytes to {subscribers} subscribers", self.size)?;
        write!(f, "{}", self.delivered)?;
        report::latencies(f, "from publication to arrival", self.latency.as_ref())?;
        if let Some(answers) = &self.answers {
            writeln!(f, "from publication to its response: {}", answers.line())?;
        }
        report::write_faults(f, &self.faults)
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate >= 0.001);
    rate.ok_or_else(|| "expected a number of at least 0.001".to_owned())
}

/// Time without publications after the subscribers have connected.
const SETTLE: Duration = Duration::from_millis(500);
