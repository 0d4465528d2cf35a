//! Options that several measurements have, and the connection of their subscribers.

use std::io::Write;

use anyhow::{Context, Result, bail, ensure};

use super::arguments::within;
use super::arrivals::Workload;
use super::payload::{Clock, RUNS};
use super::progress::Progress;
use super::report::{Report, Verdict};
use super::shard::ConnectPlan;
use super::subscriber_pool::{Connected, SubscriberPool};
use super::target::Target;

/// Options of every measurement.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Common {
    #[command(flatten)]
    pub(super) target: Target,
    #[command(flatten)]
    connections: Connections,
    #[command(flatten)]
    pub(super) output: Output,
}

/// Options of the subscribers' connections.
#[derive(Clone, Debug, clap::Args)]
struct Connections {
    /// Number of subscribers that connect at the same time
    #[arg(long, value_name = "N", value_parser = within(1..=u32::MAX))]
    at_once: Option<u32>,
    /// Threads that read for the subscribers
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = within(1..=64))]
    threads: u32,
}

/// Options of the report.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Output {
    /// Write one JSON document instead of text
    #[arg(long)]
    json: bool,
    /// Show no progress on the terminal
    #[arg(short, long)]
    quiet: bool,
    /// Process ID of the server, to measure its CPU time and memory (Linux; repeatable)
    #[arg(long = "pid", value_name = "PID")]
    pub(super) pids: Vec<u32>,
}

/// Permission to publish into the history of a hub.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Consent {
    /// Publish into a Mercure hub although its history keeps the events
    #[arg(short, long)]
    yes: bool,
}

/// The subscribers that a measurement connects.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscribers<'a> {
    pub(super) count: u32,
    /// Number of them that connect at the same time, unless an option sets it.
    pub(super) at_once: u32,
    /// Event after which they resume.
    pub(super) last_event_id: Option<&'a str>,
    /// Events that may arrive as soon as a stream is open.
    pub(super) workload: Workload,
}

impl Common {
    /// Begins the progress line, unless it is switched off.
    pub(super) fn start_progress(&self) -> Progress {
        Progress::start(self.output.quiet)
    }

    /// Connects subscribers, and checks that each of them has a stream.
    ///
    /// # Errors
    /// When a subscriber has no stream, or this machine lacks a resource.
    pub(super) fn connect_all(
        &self,
        subscribers: Subscribers<'_>,
        clock: Clock,
        progress: &mut Progress,
    ) -> Result<(SubscriberPool, Connected)> {
        let (pool, connected) = self.connect(subscribers, clock, progress)?;
        let Connected { opened, failed, failure, .. } = &connected;
        let (all, reason) = (opened + failed, failure.as_deref().unwrap_or("unknown reason"));
        ensure!(*failed == 0, "{failed} of {all} subscribers could not open a stream: {reason}");
        Ok((pool, connected))
    }

    /// Connects subscribers; some of them may fail.
    ///
    /// # Errors
    /// When this machine lacks a resource.
    pub(super) fn connect(
        &self,
        subscribers: Subscribers<'_>,
        clock: Clock,
        progress: &mut Progress,
    ) -> Result<(SubscriberPool, Connected)> {
        allow_connections(subscribers.count)?;
        let plan = ConnectPlan {
            server: self.target.address()?,
            request: self.target.subscription(subscribers.last_event_id)?,
            subscribers: subscribers.count,
            at_once: self.connections.at_once.unwrap_or(subscribers.at_once),
            threads: self.connections.threads,
        };
        SubscriberPool::connect(&plan, subscribers.workload, clock, progress)
    }
}

impl Subscribers<'_> {
    /// Subscribers that connect before the first publication.
    pub(super) fn new(count: u32) -> Self {
        Self { count, at_once: AT_ONCE, last_event_id: None, workload: Workload::NONE }
    }
}

impl Output {
    /// Writes the report as text or JSON.
    pub(super) fn write(&self, report: &impl Report, out: &mut impl Write) -> Result<Verdict> {
        let written = if self.json {
            writeln!(out, "{}", serde_json::to_string(report)?)
        } else {
            write!(out, "{report}")
        };
        written.and_then(|()| out.flush()).context("cannot write the output")?;
        Ok(if report.faults().is_empty() { Verdict::Faultless } else { Verdict::Faulty })
    }
}

impl Consent {
    /// Checks that the user agrees to the publications, before the first of them.
    pub(super) fn check(&self, target: &Target) -> Result<()> {
        let Some(topic) = target.history().filter(|_| !self.yes) else { return Ok(()) };
        bail!(
            "the hub would keep the published events in its history, under the topic {topic:?}, and might \
             remove older updates to make room; add --yes to publish them anyway, or measure a hub whose \
             history has no value, such as `ssekit serve --dev --store memory`"
        )
    }
}

/// Raises the limit of open files for this number of connections, as far as needed and permitted.
pub(super) fn allow_connections(connections: u32) -> Result<()> {
    let needed = u64::from(connections) + SPARE_FILES;
    let allowed = rlimit::increase_nofile_limit(needed).context("cannot read the limit of open files")?;
    #[cfg(unix)]
    if allowed < needed {
        // A process with the privilege to raise the hard limit does so.
        let _ = rlimit::Resource::NOFILE.set(needed, needed);
    }
    let allowed = rlimit::increase_nofile_limit(needed).unwrap_or(allowed);
    ensure!(
        allowed >= needed,
        "the measurement needs {needed} open files, but only {allowed} are allowed: raise the hard limit (as \
         root `ulimit -Hn {needed}`, or LimitNOFILE= of a unit), or use fewer connections"
    );
    Ok(())
}

/// Returns a number for a run that differs from earlier runs.
pub(super) fn run_number() -> u32 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let nanos = since.as_nanos() ^ (u128::from(std::process::id()) << 20);
    u32::try_from(nanos / 1000 % u128::from(RUNS)).expect("below the number of runs")
}

/// Default number of subscribers without an answer: below the backlog of servers.
const AT_ONCE: u32 = 100;

/// Number of files besides the connections.
const SPARE_FILES: u64 = 64;
