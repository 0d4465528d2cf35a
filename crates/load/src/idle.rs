//! `ssekit bench idle`: subscribers without events.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::arguments::within;
use super::options::{Common, Subscribers};
use super::payload::Clock;
use super::report::{self, Report};
use super::subscriber::MOST;
use super::usage::{Memory, Usage};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Idle {
    /// Number of subscribers
    #[arg(short, long, default_value_t = 10_000, value_parser = within(1..=MOST))]
    subscribers: u32,
    /// Duration of the measurement
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    #[command(flatten)]
    pub(super) common: Common,
}

impl Idle {
    pub(super) fn run(&self) -> Result<IdleReport> {
        let (pids, clock) = (&self.common.output.pids, Clock::start());
        ensure!(!pids.is_empty(), "--pid is required: the process whose memory is measured");
        let mut progress = self.common.start_progress();
        let before = Usage::of(pids)?;
        let subscribers = Subscribers::new(self.subscribers);
        let (mut pool, _) = self.common.connect_all(subscribers, clock, &mut progress)?;
        // The consequences of connecting end before the measurement begins.
        let ended = pool.idle(SETTLE, "settling", &mut progress)?;
        let settled = Usage::of(pids)?;
        let closed = ended + pool.idle(Duration::from_secs(self.seconds), "idle", &mut progress)?;
        let after = Usage::of(pids)?;
        drop(progress);
        let each = |kib: f64| kib * 1024.0 / f64::from(self.subscribers);
        Ok(IdleReport {
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

/// Result of the measurement.
#[derive(Debug, Serialize)]
pub(super) struct IdleReport {
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

impl Report for IdleReport {
    fn faults(&self) -> &[String] {
        &self.faults
    }
}

impl fmt::Display for IdleReport {
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
        report::write_faults(f, &self.faults)
    }
}

/// Time after which the work of connecting is done.
const SETTLE: Duration = Duration::from_millis(500);
