//! `ssekit bench replay`: the history, for late subscribers.

use std::fmt;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::arrivals::{Run, Workload};
use super::latency::Summary;
use super::payload::{Clock, EVENTS};
use super::progress::Progress;
use super::publisher::{self, Flood};
use super::report::{self, Delivered, Report};
use super::subscriber_pool::Watch;
use super::target::Target;
use super::usage::Usage;
use super::{Consent, Output, Subscribers, run_number};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Replay {
    #[command(flatten)]
    pub(super) target: Target,
    /// Number of events to publish and then replay; with --no-fill, the number in the history
    #[arg(short = 'n', long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=EVENTS as i64))]
    events: u32,
    /// Publish nothing: replay the events of an earlier `ssekit bench publish --connections 1`
    #[arg(long)]
    no_fill: bool,
    /// Events per request while publishing, one per line
    #[arg(long, value_name = "EVENTS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch: u32,
    /// Resume after this event (header Last-Event-ID); empty to send no header
    #[arg(long, value_name = "ID", default_value = "earliest", value_parser = id)]
    after: String,
    /// Number of subscribers, which connect at once
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    subscribers: u32,
    #[command(flatten)]
    crowd: Subscribers,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    pub(super) output: Output,
}

fn id(text: &str) -> Result<String, String> {
    let proper = !text.contains(char::is_control);
    if proper { Ok(text.to_owned()) } else { Err("expected an id on one line".to_owned()) }
}

/// Result of the measurement.
#[derive(Debug, Serialize)]
pub(super) struct Replayed {
    measure: &'static str,
    subscribers: u32,
    events: u32,
    size: u32,
    /// Time from connecting to the head of the stream.
    first: Option<Summary>,
    #[serde(flatten)]
    delivered: Delivered,
    faults: Vec<String>,
}

impl Replay {
    pub(super) fn run(&self) -> Result<Replayed> {
        let clock = Clock::start();
        let mut progress = Progress::start(self.output.quiet);
        let (mut run, mut events) = (Run::First, self.events);
        if !self.no_fill {
            self.consent.check(&self.target)?;
            let number = run_number();
            run = Run::These(number);
            events = self.events.div_ceil(self.batch).saturating_mul(self.batch);
            ensure!(events <= EVENTS, "at most {EVENTS} events, not {events}");
            let server = self.target.address()?;
            let plan = Flood { server, run: number, connections: 1, pipeline: FILL_PIPELINE, events };
            let mut published = 0;
            publisher::flood(plan, &self.target.publication(self.batch)?, clock, |more| {
                published += more;
                progress.show("publishing", published, events.into());
            })?;
        }
        let course = Workload { run, publishers: 1, events };
        let after = Some(&*self.after).filter(|after| !after.is_empty());
        let crowd = Subscribers { at_once: Some(self.subscribers), ..self.crowd.clone() };
        let (begin, pids) = (clock.now(), &self.output.pids);
        let before = (Usage::of_any(pids)?, Usage::of(&[std::process::id()]).ok());
        let (mut crowd, connected) =
            crowd.gather(&self.target, self.subscribers, after, course, (clock, &mut progress))?;
        super::all_are_here(&connected)?;
        let waited = clock.now() - begin;
        let watch = Watch { course, windowed: false, pids, publications: None };
        let mut seen = crowd.watch(watch, &mut progress, |_| Ok(()))?;
        // The first events arrive with the head of the stream, before the observation begins.
        seen.seconds += waited.as_secs_f64();
        seen.server = before.0.zip(seen.server.map(|(_, after)| after));
        seen.own = before.1.zip(seen.own.map(|(_, after)| after));
        drop(progress);
        let delivered = Delivered::of(&seen);
        Ok(Replayed {
            measure: "replay",
            subscribers: self.subscribers,
            events,
            size: self.target.size,
            first: connected.latencies.summary(),
            faults: delivered.faults(seen.fault.as_deref()),
            delivered,
        })
    }
}

impl Report for Replayed {
    fn faults(&self) -> &[String] {
        &self.faults
    }
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = report::number(self.events.into());
        let subscribers = report::number(self.subscribers.into());
        writeln!(f, "{events} stored events of {} bytes to {subscribers} subscribers", self.size)?;
        write!(f, "{}", self.delivered)?;
        if let Some(first) = &self.first {
            writeln!(f, "from connecting to the stream: {}", first.line())?;
        }
        report::said(f, &self.faults)
    }
}

/// Unanswered requests while the history is filled.
const FILL_PIPELINE: u32 = 64;
