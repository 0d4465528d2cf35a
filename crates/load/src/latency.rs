//! Latencies: recorded by the million, reported as quantiles and as a histogram in text.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Times with three digits, from 1 µs to an hour.
#[derive(Clone, Debug)]
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(super) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST, 3).expect("bounds that a histogram may have"))
    }

    pub(super) fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(LONGEST).max(1));
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("the same bounds");
    }

    /// Summarizes the times; `None` if none was recorded.
    pub(super) fn summary(&self) -> Option<Summary> {
        let ms = |quantile| self.0.value_at_quantile(quantile) as f64 / 1e3;
        (!self.0.is_empty()).then(|| Summary {
            p50: ms(0.5),
            p90: ms(0.9),
            p99: ms(0.99),
            p999: ms(0.999),
            max: self.0.max() as f64 / 1e3,
            mean: self.0.mean() / 1e3,
            histogram: self.bars(),
        })
    }

    /// Shares per step of 1, 2 and 5 times a power of ten, from the first to the last non-empty step.
    fn bars(&self) -> Vec<Bar> {
        let total = self.0.len() as f64;
        let (mut bars, mut below, mut counted) = (Vec::new(), 0, 0);
        for power in 0..10 {
            for step in [1, 2, 5] {
                let to = step * 10_u64.pow(power);
                // Buckets that lie across a step count once.
                let count = self.0.count_between(0, to - 1) - counted;
                counted += count;
                if count > 0 || !bars.is_empty() {
                    bars.push(Bar {
                        from: below as f64 / 1e3,
                        to: to as f64 / 1e3,
                        share: count as f64 / total,
                    });
                }
                below = to;
            }
        }
        let used = bars.iter().rposition(|bar| bar.share > 0.0).map_or(0, |last| last + 1);
        bars.truncate(used);
        bars
    }
}

/// Quantiles in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Summary {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
    pub(super) mean: f64,
    pub(super) histogram: Vec<Bar>,
}

/// Share of the times from one bound to another, in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Bar {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) share: f64,
}

impl Summary {
    /// Quantiles in one line.
    pub(super) fn line(&self) -> String {
        let Self { p50, p90, p99, p999, max, mean, .. } = self;
        format!("p50 {p50:.2} ms, p90 {p90:.2}, p99 {p99:.2}, p99.9 {p999:.2}, max {max:.2}, mean {mean:.2}")
    }
}

/// Histogram.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = self.histogram.iter().map(|bar| bar.share).fold(f64::MIN_POSITIVE, f64::max);
        for Bar { from, to, share } in &self.histogram {
            let eighths = (share / most * WIDTH * 8.0).ceil() as usize;
            let mut bar = "█".repeat(eighths / 8);
            bar.extend(EIGHTHS.get((eighths % 8).wrapping_sub(1)));
            writeln!(f, "  {from:>9} – {to:<9} ms {:>6.2} %  {bar}", share * 100.0)?;
        }
        Ok(())
    }
}

/// An hour, in µs.
const LONGEST: u64 = 3_600_000_000;

/// Width of the longest bar in columns.
const WIDTH: f64 = 40.0;

const EIGHTHS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_bars_describe_the_recorded_times() {
        let mut latencies = Latencies::new();
        for micros in 1..=1000 {
            latencies.record(Duration::from_micros(micros));
        }
        let mut long = Latencies::new();
        long.record(Duration::from_secs(7200));
        latencies.add(&long);
        let summary = latencies.summary().expect("something was recorded");
        assert!((summary.p50 - 0.5).abs() < 0.002, "{}", summary.p50);
        assert!((summary.p99 - 0.99).abs() < 0.002, "{}", summary.p99);
        assert!((summary.max - 3.6e6).abs() < 1e4, "{}", summary.max);
        let shares: f64 = summary.histogram.iter().map(|bar| bar.share).sum();
        assert!((shares - 1.0).abs() < 0.01, "{shares}");
        let drawn = summary.to_string();
        let longest = drawn.lines().max_by_key(|line| line.matches('█').count()).expect("bars");
        assert!(longest.contains("0.5 – 1 "), "{drawn}");
    }

    #[test]
    fn without_times_there_is_no_summary() {
        assert!(Latencies::new().summary().is_none());
    }
}
