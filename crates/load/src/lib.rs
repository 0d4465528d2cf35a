//! The load generator of `ssekit bench`, for any server of server-sent events.
//!
//! It measures, and checks that every subscriber receives every event.
//!
//! ```text
//!   publishers ── POST ──▶ the server ── text/event-stream ──▶ subscribers
//!      │  the data of each event has its number and time             │
//!      └──────────────── one process, one clock ─────────────────────┘
//! ```
//!
//! ```sh
//! ssekit bench fanout localhost:3000 --yes --subscribers 10000 --rate 5 --pid $(pidof ssekit)
//! ssekit bench idle localhost:3000 --subscribers 15000 --pid $(pidof ssekit)
//! ssekit bench connects localhost:3000 --subscribers 10000
//! ssekit bench publish localhost:3000 --yes --connections 16 --pipeline 64
//! ssekit bench replay localhost:3000 --yes --events 1000000 --batch 1000
//! ssekit bench fanout localhost:8080 --preset plain --subscribe 'GET /sub' --publish 'POST /pub'
//! ```
//!
//! It opens plain HTTP/1.1 connections by the thousand in a few threads, and publishes. The report has the
//! rate of events, their latency, and the CPU time and memory of the server's processes. Every subscriber
//! must receive every event once, in the order of its publisher. The report names lost and repeated events,
//! and the exit code is 3 then.
//!
//! The latency of an event counts from the time at which it was due: where the publications have a rate, a
//! late answer of the server delays the following events, and their latency includes that delay.
//!
//! `fanout`, `publish` and `replay` publish. The history of a Mercure hub keeps these events, so they need
//! `--yes`.
//!
//! # Limits
//!
//! | Limited | Default | Beyond it |
//! |---|---|---|
//! | subscribers | 5.1 million on this machine; elsewhere the free ports | an error |
//! | subscribers from one address 127.0.1.x | 20,000 | the next address |
//! | open files | the hard limit, which root raises as needed | an error with the needed number |
//! | events that are followed; publishers times subscribers | 100 million each | an error |
//! | the head of an answer | 16 KiB | an error |
//! | a publication | 64 MiB | an error |
//! | the wait for an answer, or, with `--window`, for an event | 20 s | an error |
//! | the wait for an event after the last publication | 3 s | the event counts as lost |
//! | the wait for further events after all have arrived | 200 ms | later repetitions are not noticed |

mod answer;
mod arrivals;
mod connects;
mod fanout;
mod idle;
mod latency;
mod payload;
mod progress;
mod publication;
mod publish;
mod publisher;
mod replay;
mod report;
mod run_state;
mod shard;
mod subscriber;
mod subscriber_pool;
mod target;
mod usage;

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use clap::Subcommand;
use ssekit_mercure::issue::{SignError, Signer};

use self::arrivals::Workload;
use self::payload::{Clock, RUNS};
use self::progress::Progress;
use self::report::Report;
use self::subscriber_pool::{Connected, Gathering, SubscriberPool};
use self::target::Target;

/// The measurements of `ssekit bench`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct Bench {
    #[command(subcommand)]
    measure: Measure,
}

#[derive(Clone, Debug, Subcommand)]
enum Measure {
    /// Measure deliveries per second, their latency and the load of the server
    Fanout(Box<fanout::Fanout>),
    /// Measure the memory and CPU time of idle subscribers
    Idle(Box<idle::Idle>),
    /// Measure subscribers per second when many connect at once
    Connects(Box<connects::Connects>),
    /// Measure publications per second, and the latency of their responses
    Publish(Box<publish::Publish>),
    /// Measure how fast the history is sent to late subscribers
    Replay(Box<replay::Replay>),
}

impl Measure {
    fn target(&self) -> &Target {
        match self {
            Self::Fanout(fanout) => &fanout.target,
            Self::Idle(idle) => &idle.target,
            Self::Connects(connects) => &connects.target,
            Self::Publish(publish) => &publish.target,
            Self::Replay(replay) => &replay.target,
        }
    }

    fn target_mut(&mut self) -> &mut Target {
        match self {
            Self::Fanout(fanout) => &mut fanout.target,
            Self::Idle(idle) => &mut idle.target,
            Self::Connects(connects) => &mut connects.target,
            Self::Publish(publish) => &mut publish.target,
            Self::Replay(replay) => &mut replay.target,
        }
    }
}

const EXIT_CODES: &str = "\
Exit codes:
    0  measured: every subscriber received every event once and in order
    1  not measured: for example no connection, a refused request or an unknown process
    2  usage
    3  measured, but events were lost, repeated or out of order, or streams ended early";

/// Verdict of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every subscriber received every event once and in order.
    Faultless,
    /// Events were lost, repeated or out of order, or streams ended; the report says so.
    Faulty,
}

impl Verdict {
    /// Exit code of the program.
    pub fn code(self) -> u8 {
        match self {
            Self::Faultless => 0,
            Self::Faulty => 3,
        }
    }
}

impl Bench {
    /// The values of `--key` and `--key-file`.
    ///
    /// The caller reads them and calls [`sign_with`](Self::sign_with), so that all commands of the program
    /// read keys in the same way.
    pub fn key_flags(&self) -> (Option<&str>, Option<&Path>) {
        let target = self.measure.target();
        (target.key.as_deref(), target.key_file.as_deref())
    }

    /// Sends a token with every request, which the key signs and which grants all topics.
    ///
    /// # Errors
    /// When the signature fails.
    pub fn sign_with(&mut self, signer: &Signer) -> Result<(), SignError> {
        self.measure.target_mut().sign_with(signer)
    }

    /// Measures, and writes the report. The call blocks.
    ///
    /// # Errors
    /// When there is no result: the server does not answer or refuses, or the output cannot be written.
    pub fn run(&self, out: &mut impl Write) -> Result<Verdict> {
        match &self.measure {
            Measure::Fanout(fanout) => fanout.output.write(&fanout.run()?, out),
            Measure::Idle(idle) => idle.output.write(&idle.run()?, out),
            Measure::Connects(connects) => connects.output.write(&connects.run()?, out),
            Measure::Publish(publish) => publish.output.write(&publish.run()?, out),
            Measure::Replay(replay) => replay.output.write(&replay.run()?, out),
        }
    }
}

/// Options of the report.
#[derive(Clone, Debug, clap::Args)]
struct Output {
    /// Write one JSON document instead of text
    #[arg(long)]
    json: bool,
    /// Show no progress on the terminal
    #[arg(short, long)]
    quiet: bool,
    /// Process ID of the server, to measure its CPU time and memory (Linux; repeatable)
    #[arg(long = "pid", value_name = "PID")]
    pids: Vec<u32>,
}

impl Output {
    fn write(&self, report: &impl Report, out: &mut impl Write) -> Result<Verdict> {
        let written = if self.json {
            writeln!(out, "{}", serde_json::to_string(report)?)
        } else {
            write!(out, "{report}")
        };
        written.and_then(|()| out.flush()).context("cannot write the output")?;
        Ok(if report.faults().is_empty() { Verdict::Faultless } else { Verdict::Faulty })
    }
}

/// Permission to publish into the history of a hub.
#[derive(Clone, Debug, clap::Args)]
struct Consent {
    /// Publish into a Mercure hub although its history keeps the events
    #[arg(short, long)]
    yes: bool,
}

impl Consent {
    /// Checks that the user agrees to the publications, before the first of them.
    fn check(&self, target: &Target) -> Result<()> {
        let Some(topic) = target.history().filter(|_| !self.yes) else { return Ok(()) };
        bail!(
            "the hub would keep the published events in its history, under the topic {topic:?}, and might remove older \
             updates to make room; add --yes to publish them anyway, or measure a hub whose history has no value, such as \
             `ssekit serve --dev --store memory`"
        )
    }
}

/// Options of the subscribers.
#[derive(Clone, Debug, clap::Args)]
struct Subscribers {
    /// Number of subscribers that connect at the same time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    at_once: Option<u32>,
    /// Threads that read for the subscribers
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: u32,
}

impl Subscribers {
    /// Connects this number of subscribers, `at_once` of them at the same time.
    fn gather(
        &self,
        target: &Target,
        subscribers: u32,
        last_event_id: Option<&str>,
        course: Workload,
        (clock, progress): (Clock, &mut Progress),
    ) -> Result<(SubscriberPool, Connected)> {
        allow_open_files(u64::from(subscribers) + SPARE_FILES)?;
        let plan = Gathering {
            server: target.address()?,
            request: target.subscription(last_event_id)?,
            subscribers,
            at_once: self.at_once.unwrap_or(AT_ONCE),
            threads: self.threads,
        };
        SubscriberPool::gather(&plan, course, clock, progress)
    }
}

/// Checks that all subscribers have a stream, so that there is something to measure.
fn all_are_here(connected: &Connected) -> Result<()> {
    let Connected { opened, failed, failure, .. } = connected;
    let why = failure.as_deref().unwrap_or("unknown reason");
    ensure!(*failed == 0, "{failed} of {} subscribers could not open a stream: {why}", opened + failed);
    Ok(())
}

/// Raises the limit of open files as far as needed and permitted.
fn allow_open_files(needed: u64) -> Result<()> {
    let allowed = rlimit::increase_nofile_limit(needed).context("cannot read the limit of open files")?;
    #[cfg(unix)]
    if allowed < needed {
        // A process with the privilege to raise the hard limit does so.
        let _ = rlimit::Resource::NOFILE.set(needed, needed);
    }
    let allowed = rlimit::increase_nofile_limit(needed).unwrap_or(allowed);
    ensure!(
        allowed >= needed,
        "the measurement needs {needed} open files, but only {allowed} are allowed: raise the hard limit (as root `ulimit -Hn {needed}`, \
         or LimitNOFILE= of a unit), or use fewer connections"
    );
    Ok(())
}

/// Returns a number for a run that differs from earlier runs.
fn run_number() -> u32 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let nanos = since.as_nanos() ^ (u128::from(std::process::id()) << 20);
    u32::try_from(nanos / 1000 % u128::from(RUNS)).expect("below the number of runs")
}

/// Default number of subscribers without an answer: below the backlog of servers.
const AT_ONCE: u32 = 100;

/// Number of files besides the connections of subscribers.
const SPARE_FILES: u64 = 64;
