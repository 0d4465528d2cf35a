//! `ssekit bench fanout`: events to many subscribers.

use std::fmt;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use serde::Serialize;

use super::arrivals::{Run, Workload};
use super::latency::{Latencies, Summary};
use super::payload::{Clock, EVENTS, PUBLISHERS};
use super::progress::Progress;
use super::publisher::{self, Pace};
use super::report::{self, Delivered, Report};
use super::run_state::RunState;
use super::subscriber::MOST;
use super::subscriber_pool::{Seen, Watch};
use super::target::Target;
use super::usage::{Memory, Usage};
use super::{Consent, Output, Subscribers, all_are_here, run_number};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Fanout {
    #[command(flatten)]
    pub(super) target: Target,
    /// Number of subscribers
    #[arg(short, long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=MOST as i64))]
    subscribers: u32,
    /// Number of events, of all publishers together
    #[arg(short = 'n', long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=EVENTS as i64))]
    events: u32,
    /// Number of publishers; each has one connection and waits for each response
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(PUBLISHERS.min(256))))]
    publishers: u32,
    /// Publish this many events per second
    #[arg(long, value_name = "PER SECOND", value_parser = rate, conflicts_with_all = ["window", "unwaiting"])]
    rate: Option<f64>,
    /// Publish as fast as responses arrive, each publisher at most this many events ahead of the slowest subscriber
    #[arg(long, value_name = "EVENTS", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "unwaiting")]
    window: u32,
    /// Do not slow down for slow subscribers
    #[arg(long)]
    unwaiting: bool,
    /// Events to publish before the measurement
    #[arg(long, value_name = "EVENTS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    warm_up: u32,
    #[command(flatten)]
    crowd: Subscribers,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    pub(super) output: Output,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate >= 0.001);
    rate.ok_or_else(|| "expected a number of at least 0.001".to_owned())
}

/// Result of the measurement.
#[derive(Debug, Serialize)]
pub(super) struct Fanned {
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

impl Fanout {
    pub(super) fn run(&self) -> Result<Fanned> {
        self.consent.check(&self.target)?;
        let (pids, clock) = (&self.output.pids, Clock::start());
        let mut progress = Progress::start(self.output.quiet);
        ensure!(
            self.events >= self.publishers,
            "each publisher needs at least one event: --events {}",
            self.events
        );
        let memory_before = Usage::of_any(pids)?.map(|usage| usage.memory);
        let (mut crowd, connected) = self.crowd.gather(
            &self.target,
            self.subscribers,
            None,
            Workload::NONE,
            (clock, &mut progress),
        )?;
        all_are_here(&connected)?;
        let closed = crowd.idle(SETTLE, "settling", &mut progress)?;
        ensure!(closed == 0, "{closed} streams ended before the first publication");
        let memory_idle = Usage::of_any(pids)?.map(|usage| usage.memory);

        let mut publish = |run, events, pace| -> Result<Seen<Latencies>> {
            let course = Workload { run: Run::These(run), publishers: self.publishers, events };
            course.check(self.subscribers)?;
            crowd.expect(course);
            let windowed = matches!(pace, Pace::Window(_));
            let watch = Watch { course, windowed, pids, publications: None };
            crowd.watch(watch, &mut progress, |standing| self.publish(run, events, pace, standing))
        };
        let run = run_number();
        if let Some(events @ 1..) = self.warm_up.checked_div(self.publishers) {
            let pace =
                self.rate.map_or(Pace::Window(1), |rate| Pace::Rate(rate / f64::from(self.publishers)));
            publish((run + 1) % super::RUNS, events, pace)?;
        }
        let pace = match self.rate {
            Some(rate) => Pace::Rate(rate / f64::from(self.publishers)),
            None if self.unwaiting => Pace::Unwaiting,
            None => Pace::Window(self.window),
        };
        let seen = publish(run, self.events / self.publishers, pace)?;
        drop(progress);
        let delivered = Delivered::of(&seen);
        Ok(Fanned {
            measure: "fanout",
            subscribers: self.subscribers,
            events: self.events / self.publishers * self.publishers,
            publishers: self.publishers,
            size: self.target.size,
            connects_per_second: f64::from(connected.opened) / connected.seconds,
            memory_before,
            memory_idle,
            faults: delivered.faults(seen.fault.as_deref()),
            delivered,
            latency: seen.latencies.summary(),
            answers: seen.published.summary(),
        })
    }

    fn publish(&self, run: u32, events: u32, pace: Pace, standing: &RunState) -> Result<Latencies> {
        let (server, publication) = (self.target.address()?, self.target.publication(1)?);
        thread::scope(|scope| {
            let publish = |number| {
                let publication = publication.clone();
                scope.spawn(move || {
                    publisher::pace(server, publication, (run, number, events), pace, standing)
                })
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

impl Report for Fanned {
    fn faults(&self) -> &[String] {
        &self.faults
    }
}

impl fmt::Display for Fanned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = report::number(self.events.into());
        let subscribers = report::number(self.subscribers.into());
        writeln!(f, "{events} events of {} bytes to {subscribers} subscribers", self.size)?;
        write!(f, "{}", self.delivered)?;
        report::latencies(f, "from publication to arrival", self.latency.as_ref())?;
        if let Some(answers) = &self.answers {
            writeln!(f, "from publication to its response: {}", answers.line())?;
        }
        report::said(f, &self.faults)
    }
}

/// Time without publications after the subscribers have connected.
const SETTLE: Duration = Duration::from_millis(500);
