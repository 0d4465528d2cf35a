//! Report of a measurement, for people and for programs.

use std::fmt;

use serde::Serialize;

use super::latency::Summary;
pub(super) use super::progress::number;
use super::subscriber_pool::RunResult;
use super::usage::{Cost, Memory, load_average};

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

/// Result of a measurement: JSON by [`Serialize`], text by [`fmt::Display`].
pub(super) trait Report: Serialize + fmt::Display {
    /// Faults, in sentences.
    fn faults(&self) -> &[String];
}

/// Deliveries of a run.
#[derive(Debug, Serialize)]
pub(super) struct Delivered {
    /// Events that should have arrived, at all subscribers together.
    expected: u64,
    delivered: u64,
    missing: u64,
    /// Events that arrived again or too late.
    repeated: u64,
    /// Streams that ended during the run.
    closed: u32,
    /// Time from the first publication to the last arrival.
    seconds: f64,
    per_second: f64,
    megabytes_per_second: f64,
    events_per_read: f64,
    /// CPU time of the server for each delivery, in µs.
    server: Option<Cost>,
    /// CPU time of the load generator, which shares the machine.
    load: Option<Cost>,
    /// Memory of the server at the end.
    memory: Option<Memory>,
    /// Load average of the machine over the last minute.
    load_average: Option<f64>,
}

impl Delivered {
    pub(super) fn of<T>(run: &RunResult<T>) -> Self {
        let delivered = run.delivered;
        let per_second = |amount: u64| amount as f64 / run.seconds.max(1e-9);
        Self {
            expected: run.expected,
            delivered,
            missing: run.expected.saturating_sub(delivered),
            repeated: run.repeated,
            closed: run.closed,
            seconds: run.seconds,
            per_second: per_second(delivered),
            megabytes_per_second: per_second(run.bytes) / 1e6,
            events_per_read: delivered as f64 / run.reads.max(1) as f64,
            server: run.server.map(|(before, after)| Cost::between(&before, &after, delivered)),
            load: run.own.map(|(before, after)| Cost::between(&before, &after, delivered)),
            memory: run.server.map(|(_, after)| after.memory),
            load_average: load_average(),
        }
    }

    /// Describes the faults, with the first case.
    pub(super) fn faults(&self, first: Option<&str>) -> Vec<String> {
        let mut faults = Vec::new();
        if self.missing > 0 {
            faults.push(format!("{} of {} deliveries are missing", self.missing, self.expected));
        }
        if self.repeated > 0 {
            faults.push(format!("{} events were repeated or out of order", self.repeated));
        }
        if self.closed > 0 {
            faults.push(format!("{} streams ended", self.closed));
        }
        if !faults.is_empty() {
            faults.extend(first.map(|first| format!("first: {first}")));
        }
        faults
    }
}

impl fmt::Display for Delivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} of {} deliveries in {:.3} s: {}/s, {:.1} MB/s, {:.1} events per read",
            number(self.delivered),
            number(self.expected),
            self.seconds,
            number(self.per_second as u64),
            self.megabytes_per_second,
            self.events_per_read
        )?;
        costs(f, "delivery", self.server.as_ref(), self.load.as_ref())?;
        if let Some(memory) = &self.memory {
            writeln!(
                f,
                "server memory: {:.1} MiB, {:.1} MiB of it anonymous",
                memory.resident / 1024.0,
                memory.anonymous / 1024.0
            )?;
        }
        Ok(())
    }
}

/// Writes the cost of one item for the server and the load generator.
pub(super) fn costs(
    f: &mut fmt::Formatter<'_>,
    item: &str,
    server: Option<&Cost>,
    load: Option<&Cost>,
) -> fmt::Result {
    for (process, cost) in [("the server", server), ("this load generator", load)] {
        if let Some(Cost { user, system, cpu }) = cost {
            writeln!(f, "CPU of {process}: {cpu:.2} µs per {item} (user {user:.2}, system {system:.2})")?;
        }
    }
    Ok(())
}

/// Writes a histogram of latencies.
pub(super) fn latencies(f: &mut fmt::Formatter<'_>, title: &str, summary: Option<&Summary>) -> fmt::Result {
    let Some(summary) = summary else { return Ok(()) };
    write!(f, "{title}: {}\n{summary}", summary.line())
}

/// Writes the faults, one per line.
pub(super) fn write_faults(f: &mut fmt::Formatter<'_>, faults: &[String]) -> fmt::Result {
    faults.iter().try_for_each(|fault| writeln!(f, "FAULT: {fault}"))
}
