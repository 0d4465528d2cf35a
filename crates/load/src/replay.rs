//! `ssekit bench replay`: the history, for late subscribers.

use std::fmt;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::arguments::within;
use super::arrivals::{Run, Workload};
use super::latency::Summary;
use super::options::{Common, Consent, Subscribers, run_number};
use super::payload::{Clock, EVENTS};
use super::progress::Progress;
use super::publisher::{self, Flood};
use super::report::{self, Delivered, Report};
use super::subscriber_pool::Watch;
use super::usage::Usage;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Replay {
    /// Number of events to publish and then replay; with --no-fill, the number in the history
    #[arg(short = 'n', long, default_value_t = 100_000, value_parser = within(1..=EVENTS))]
    events: u32,
    /// Publish nothing: replay the events of an earlier `ssekit bench publish --connections 1`
    #[arg(long)]
    no_fill: bool,
    #[command(flatten)]
    consent: Consent,
    /// Events per request while publishing, one per line
    #[arg(long, value_name = "EVENTS", default_value_t = 1, value_parser = within(1..=100_000))]
    batch: u32,
    /// Resume after this event (header Last-Event-ID); empty to send no header
    #[arg(long, value_name = "ID", default_value = "earliest", value_parser = id)]
    after: String,
    /// Number of subscribers; all connect at once, unless --at-once limits them
    #[arg(short, long, default_value_t = 1, value_parser = within(1..=10_000))]
    subscribers: u32,
    #[command(flatten)]
    pub(super) common: Common,
}

impl Replay {
    pub(super) fn run(&self) -> Result<ReplayReport> {
        let clock = Clock::start();
        let mut progress = self.common.start_progress();
        let (run, events) = if self.no_fill {
            (Run::First, self.events)
        } else {
            self.consent.check(&self.common.target)?;
            self.fill(clock, &mut progress)?
        };
        let workload = Workload { run, publishers: 1, events };
        let subscribers = Subscribers {
            count: self.subscribers,
            at_once: self.subscribers,
            last_event_id: Some(&*self.after).filter(|after| !after.is_empty()),
            workload,
        };
        let (begin, pids) = (clock.now(), &self.common.output.pids);
        let before = (Usage::of_any(pids)?, Usage::of(&[std::process::id()]).ok());
        let (mut pool, connected) = self.common.connect_all(subscribers, clock, &mut progress)?;
        let waited = clock.now() - begin;
        let watch = Watch { workload, windowed: false, pids, publications: None };
        let mut result = pool.watch(watch, &mut progress, |_| Ok(()))?;
        // The first events arrive with the head of the stream, before the observation begins.
        result.seconds += waited.as_secs_f64();
        result.server = before.0.zip(result.server.map(|(_, after)| after));
        result.own = before.1.zip(result.own.map(|(_, after)| after));
        drop(progress);
        let delivered = Delivered::of(&result);
        Ok(ReplayReport {
            measure: "replay",
            subscribers: self.subscribers,
            events,
            size: self.common.target.size,
            first: connected.latencies.summary(),
            faults: delivered.faults(result.fault.as_deref()),
            delivered,
        })
    }

    /// Publishes the events that are replayed afterwards; returns their run and number.
    fn fill(&self, clock: Clock, progress: &mut Progress) -> Result<(Run, u32)> {
        let target = &self.common.target;
        let run = run_number();
        let events = self.events.div_ceil(self.batch).saturating_mul(self.batch);
        ensure!(events <= EVENTS, "at most {EVENTS} events, not {events}");
        let plan = Flood { server: target.address()?, run, connections: 1, pipeline: FILL_PIPELINE, events };
        let mut published = 0;
        publisher::flood(plan, &target.publication(self.batch)?, clock, |more| {
            published += more;
            progress.show("publishing", published, events.into());
        })?;
        Ok((Run::These(run), events))
    }
}

/// Result of the measurement.
#[derive(Debug, Serialize)]
pub(super) struct ReplayReport {
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

impl Report for ReplayReport {
    fn faults(&self) -> &[String] {
        &self.faults
    }
}

impl fmt::Display for ReplayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = report::number(self.events.into());
        let subscribers = report::number(self.subscribers.into());
        writeln!(f, "{events} stored events of {} bytes to {subscribers} subscribers", self.size)?;
        write!(f, "{}", self.delivered)?;
        if let Some(first) = &self.first {
            writeln!(f, "from connecting to the stream: {}", first.line())?;
        }
        report::write_faults(f, &self.faults)
    }
}

fn id(text: &str) -> Result<String, String> {
    let proper = !text.contains(char::is_control);
    if proper { Ok(text.to_owned()) } else { Err("expected an id on one line".to_owned()) }
}

/// Unanswered requests while the history is filled.
const FILL_PIPELINE: u32 = 64;
