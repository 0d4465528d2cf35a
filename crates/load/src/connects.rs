//! `ssekit bench connects`: many subscribers that connect at once.

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use super::arguments::within;
use super::latency::Summary;
use super::options::{Common, Subscribers};
use super::payload::Clock;
use super::report::{self, Report, costs};
use super::subscriber::MOST;
use super::usage::{Cost, Usage};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Connects {
    /// Number of subscribers; all connect at once, unless --at-once limits them
    #[arg(short, long, default_value_t = 10_000, value_parser = within(1..=MOST))]
    subscribers: u32,
    #[command(flatten)]
    pub(super) common: Common,
}

impl Connects {
    pub(super) fn run(&self) -> Result<ConnectsReport> {
        let clock = Clock::start();
        let mut progress = self.common.start_progress();
        let pids = &self.common.output.pids;
        let before = Usage::of_any(pids)?;
        let subscribers = Subscribers { at_once: self.subscribers, ..Subscribers::new(self.subscribers) };
        // The connections stay open until the cost of the server is known.
        let (_pool, connected) = self.common.connect(subscribers, clock, &mut progress)?;
        let after = Usage::of_any(pids)?;
        drop(progress);
        let opened = connected.opened;
        let reason = connected.failure.unwrap_or_default();
        let failed = (connected.failed > 0)
            .then(|| format!("{} could not open a stream; the first reason: {reason}", connected.failed));
        Ok(ConnectsReport {
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

/// Result of the measurement.
#[derive(Debug, Serialize)]
pub(super) struct ConnectsReport {
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

impl Report for ConnectsReport {
    fn faults(&self) -> &[String] {
        &self.faults
    }
}

impl fmt::Display for ConnectsReport {
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
        report::write_faults(f, &self.faults)
    }
}
