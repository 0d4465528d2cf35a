//! `ssekit bench connects`: many subscribers that connect at once.

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use super::arrivals::Workload;
use super::latency::Summary;
use super::payload::Clock;
use super::progress::Progress;
use super::report::{self, Report, costs};
use super::subscriber::MOST;
use super::target::Target;
use super::usage::{Cost, Usage};
use super::{Output, Subscribers};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Connects {
    #[command(flatten)]
    pub(super) target: Target,
    /// Number of subscribers; all connect at once, unless --at-once limits them
    #[arg(short, long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=MOST as i64))]
    subscribers: u32,
    #[command(flatten)]
    crowd: Subscribers,
    #[command(flatten)]
    pub(super) output: Output,
}

/// Result of the measurement.
#[derive(Debug, Serialize)]
pub(super) struct Came {
    measure: &'static str,
    subscribers: u32,
    opened: u32,
    /// Time from the first attempt to the last stream.
    seconds: f64,
    per_second: f64,
    /// Time from the start of a connection to the head of its stream.
    latency: Option<Summary>,
    /// CPU time of the server for each subscriber, in µs.
    server: Option<Cost>,
    faults: Vec<String>,
}

impl Connects {
    pub(super) fn run(&self) -> Result<Came> {
        let clock = Clock::start();
        let mut progress = Progress::start(self.output.quiet);
        let before = Usage::of_any(&self.output.pids)?;
        let crowd =
            Subscribers { at_once: self.crowd.at_once.or(Some(self.subscribers)), ..self.crowd.clone() };
        let (_crowd, connected) =
            crowd.gather(&self.target, self.subscribers, None, Workload::NONE, (clock, &mut progress))?;
        let after = Usage::of_any(&self.output.pids)?;
        drop(progress);
        let opened = connected.opened;
        let why = connected.failure.unwrap_or_default();
        let failed = (connected.failed > 0)
            .then(|| format!("{} could not open a stream; the first reason: {why}", connected.failed));
        Ok(Came {
            measure: "connects",
            subscribers: self.subscribers,
            opened,
            seconds: connected.seconds,
            per_second: f64::from(opened) / connected.seconds.max(1e-9),
            latency: connected.latencies.summary(),
            server: before.zip(after).map(|(before, after)| Cost::between(&before, &after, opened.into())),
            faults: failed.into_iter().collect(),
        })
    }
}

impl Report for Came {
    fn faults(&self) -> &[String] {
        &self.faults
    }
}

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { opened, subscribers, seconds, per_second, .. } = self;
        let number = |value: u32| report::number(value.into());
        writeln!(
            f,
            "{} of {} subscribers opened their streams in {seconds:.3} s: {}/s",
            number(*opened),
            number(*subscribers),
            report::number(*per_second as u64)
        )?;
        costs(f, "subscriber", self.server.as_ref(), None)?;
        report::latencies(f, "from connecting to the stream", self.latency.as_ref())?;
        report::said(f, &self.faults)
    }
}
