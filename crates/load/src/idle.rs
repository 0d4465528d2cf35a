//! `ssekit bench idle`: subscribers without events.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::arrivals::Workload;
use super::payload::Clock;
use super::progress::Progress;
use super::report::{self, Report};
use super::subscriber::MOST;
use super::target::Target;
use super::usage::{Memory, Usage};
use super::{Output, Subscribers, all_are_here};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Idle {
    #[command(flatten)]
    pub(super) target: Target,
    /// Number of subscribers
    #[arg(short, long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=MOST as i64))]
    subscribers: u32,
    /// Duration of the measurement
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    #[command(flatten)]
    crowd: Subscribers,
    #[command(flatten)]
    pub(super) output: Output,
}

/// Result of the measurement.
#[derive(Debug, Serialize)]
pub(super) struct Idled {
    measure: &'static str,
    subscribers: u32,
    /// Memory of the server, in KiB.
    memory_before: Memory,
    memory_after: Memory,
    /// Bytes of resident and of anonymous memory for each subscriber.
    ///
    /// The system's memory for a socket is not included.
    resident_per_subscriber: f64,
    anonymous_per_subscriber: f64,
    /// CPU time of the server in milliseconds per second, with nothing to send.
    cpu_ms_per_second: f64,
    faults: Vec<String>,
}

impl Idle {
    pub(super) fn run(&self) -> Result<Idled> {
        let (pids, clock) = (&self.output.pids, Clock::start());
        ensure!(!pids.is_empty(), "--pid is required: the process whose memory is measured");
        let mut progress = Progress::start(self.output.quiet);
        let before = Usage::of(pids)?;
        let (mut crowd, connected) = self.crowd.gather(
            &self.target,
            self.subscribers,
            None,
            Workload::NONE,
            (clock, &mut progress),
        )?;
        all_are_here(&connected)?;
        // The consequences of connecting end before the measurement begins.
        let ended = crowd.idle(SETTLE, "settling", &mut progress)?;
        let settled = Usage::of(pids)?;
        let closed = ended + crowd.idle(Duration::from_secs(self.seconds), "idle", &mut progress)?;
        let after = Usage::of(pids)?;
        drop(progress);
        let each = |kib: f64| kib * 1024.0 / f64::from(self.subscribers);
        Ok(Idled {
            measure: "idle",
            subscribers: self.subscribers,
            memory_before: before.memory,
            memory_after: after.memory,
            resident_per_subscriber: each(after.memory.resident - before.memory.resident),
            anonymous_per_subscriber: each(after.memory.anonymous - before.memory.anonymous),
            cpu_ms_per_second: (after.cpu() - settled.cpu()) * 1e3 / self.seconds as f64,
            faults: if closed > 0 { vec![format!("{closed} streams ended")] } else { Vec::new() },
        })
    }
}

impl Report for Idled {
    fn faults(&self) -> &[String] {
        &self.faults
    }
}

impl fmt::Display for Idled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} idle subscribers", report::number(self.subscribers.into()))?;
        writeln!(
            f,
            "server memory per subscriber: {:.0} bytes, {:.0} of them anonymous ({:.1} MiB before, {:.1} \
             MiB after)",
            self.resident_per_subscriber,
            self.anonymous_per_subscriber,
            self.memory_before.resident / 1024.0,
            self.memory_after.resident / 1024.0
        )?;
        writeln!(f, "server CPU: {:.1} ms per second", self.cpu_ms_per_second)?;
        report::said(f, &self.faults)
    }
}

const SETTLE: Duration = Duration::from_millis(500);
