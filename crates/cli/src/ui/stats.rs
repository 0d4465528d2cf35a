//! Figures of the hub as events: the values of `/metrics`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde::Serialize;
use ssekit_hub::fanout::End;
use ssekit_hub::http::refusal;
use ssekit_hub::hub::Hub;
use ssekit_mercure::{Problem, Token, subscriptions};
use ssekit_server::{Channel, LastEventId, produce};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::state::PageState;

/// Time for which figures are kept for new readers.
pub(super) const KEPT: Duration = Duration::from_secs(60);
/// Interval of the readings.
const PERIOD: Duration = Duration::from_secs(1);

/// Data of an event `stats`. Rates cover the time since the event before.
#[derive(Debug, Serialize)]
struct Stats {
    /// Milliseconds since 1970.
    at: u64,
    subscribers: i64,
    published: Count,
    delivered: Count,
    /// Those delivered updates that were read from the log.
    replayed: u64,
    latency: Latency,
    /// Number of ended subscriptions, by reason.
    ends: BTreeMap<&'static str, u64>,
    /// `None` while the log cannot be read.
    log: Option<Held>,
}

#[derive(Debug, Serialize)]
struct Count {
    total: u64,
    per_second: f64,
}

/// Seconds from the publication to the write to all subscribers that are up to date.
///
/// `None` if nothing was published.
#[derive(Debug, Serialize)]
struct Latency {
    p50: Option<f64>,
    p99: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Held {
    records: u64,
    bytes: u64,
}

/// Returns the stream of figures, if the reader may see them.
pub(super) async fn stats(State(state): State<PageState>, last: LastEventId, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let token = match state.hub.reader(&parts).await.and_then(|token| authorized(&state.hub, token)) {
        Ok(token) => token,
        Err(problem) => return refusal(&problem),
    };
    let now = SystemTime::now();
    let expires = token.and_then(|token| token.expires);
    let left = expires.map(|at| at.duration_since(now).unwrap_or_default());
    let stream = produce(move |stream| async move {
        if let Some(left) = left {
            sleep(left).await;
            stream.close();
        }
        Ok(())
    });
    stream.follow(&state.figures, last).retry(state.hub.retry()).within(&state.streams).into_response()
}

/// Checks that the reader may list all subscriptions, because figures are about others.
fn authorized(hub: &Hub, token: Option<Arc<Token>>) -> Result<Option<Arc<Token>>, Problem> {
    if !hub.access().open {
        subscriptions::authorize(&subscriptions::all(hub.path()), token.as_deref())?;
    }
    Ok(token)
}

/// Reads the figures once for all readers, while there is a reader.
pub(super) async fn measure(hub: Arc<Hub>, figures: Channel) {
    let mut meter = Meter::new(hub);
    let mut listeners = figures.presence();
    let has_readers = || figures.stats().subscribers > 0;
    loop {
        if has_readers() {
            // The time without readers belongs to no second.
            meter.read(Instant::now()).await;
            let mut ticks = interval(PERIOD);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.tick().await;
            while has_readers() {
                ticks.tick().await;
                let stats = meter.read(Instant::now()).await;
                if let Err(error) = figures.emit_json("stats", &stats) {
                    tracing::error!(%error, "cannot send metrics to the admin page");
                    return;
                }
            }
        }
        if listeners.next().await.is_none() {
            return;
        }
    }
}

/// Reads the figures and their changes.
struct Meter {
    hub: Arc<Hub>,
    /// Has only the histogram, whose values can be read only from its text.
    latency: Registry,
    before: Reading,
}

/// Counters at one time.
struct Reading {
    at: Instant,
    published: u64,
    delivered: u64,
    latency: Buckets,
}

impl Meter {
    fn new(hub: Arc<Hub>) -> Self {
        let mut latency = Registry::default();
        latency.register("latency", "", hub.metrics().latency.clone());
        let before = Reading { at: Instant::now(), published: 0, delivered: 0, latency: Buckets::default() };
        Self { hub, latency, before }
    }

    async fn read(&mut self, at: Instant) -> Stats {
        let figures = self.hub.metrics();
        let mut text = String::new();
        // Writing to a string cannot fail; if it did, there would be no latency to show.
        let _ = encode(&mut text, &self.latency);
        let now = Reading {
            at,
            published: self.hub.published(),
            delivered: figures.delivered.get(),
            latency: Buckets::read(&text),
        };
        let seconds = (at - self.before.at).as_secs_f64().max(0.001);
        let count = |total: u64, before: u64| Count {
            total,
            per_second: (total.saturating_sub(before) as f64 / seconds * 10.0).round() / 10.0,
        };
        let latency = now.latency.since(&self.before.latency);
        let held = self.hub.log().bounds().await.ok();
        let stats = Stats {
            at: milliseconds(SystemTime::now()),
            subscribers: figures.subscribers.get(),
            published: count(now.published, self.before.published),
            delivered: count(now.delivered, self.before.delivered),
            replayed: figures.replayed.get(),
            latency: Latency { p50: latency.quantile(0.5), p99: latency.quantile(0.99) },
            ends: End::ALL.map(|end| (end.name(), figures.ends(end))).into_iter().collect(),
            log: held.map(|held| Held { records: held.records, bytes: held.bytes }),
        };
        self.before = now;
        stats
    }
}

/// Milliseconds since 1970.
pub(super) fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Cumulative counts for growing bounds; the last bound is infinite.
#[derive(Debug, Default, PartialEq)]
struct Buckets(Vec<(f64, u64)>);

impl Buckets {
    /// Reads the lines `…_bucket{le="0.1"} 3` of a metric's text.
    fn read(text: &str) -> Self {
        let bucket = |line: &str| {
            let (_, rest) = line.split_once("_bucket{le=\"")?;
            let (bound, count) = rest.split_once("\"} ")?;
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
            Some((bound, count.parse().ok()?))
        };
        Self(text.lines().filter_map(bucket).collect())
    }

    /// Counts that were added since.
    fn since(&self, before: &Self) -> Self {
        let counted = |at: usize| before.0.get(at).map_or(0, |(_, count)| *count);
        let added =
            self.0.iter().enumerate().map(|(at, (bound, count))| (*bound, count.saturating_sub(counted(at))));
        Self(added.collect())
    }

    /// Estimated quantile, with values evenly spread within a bucket; `None` without values.
    fn quantile(&self, part: f64) -> Option<f64> {
        let all = self.0.last().map(|(_, count)| *count).filter(|all| *all > 0)?;
        let rank = part * all as f64;
        let (mut from, mut below) = (0.0, 0);
        for &(bound, count) in &self.0 {
            if count as f64 >= rank {
                let within = (rank - below as f64) / (count - below).max(1) as f64;
                // Beyond the last bound, nothing is known about the values.
                return Some(if bound.is_finite() { from + (bound - from) * within } else { from });
            }
            (from, below) = (bound, count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::histogram::Histogram;

    use super::*;

    fn buckets(values: &[f64]) -> Buckets {
        let histogram = Histogram::new([1.0, 2.0, 4.0]);
        values.iter().for_each(|value| histogram.observe(*value));
        let mut registry = Registry::default();
        registry.register("latency", "", histogram);
        let mut text = String::new();
        encode(&mut text, &registry).expect("a string takes all");
        Buckets::read(&text)
    }

    #[test]
    fn buckets_are_read_from_the_text_of_the_metric() {
        let read = buckets(&[0.5, 1.5, 1.5, 9.0]);
        assert_eq!(read, Buckets(vec![(1.0, 1), (2.0, 3), (4.0, 3), (f64::INFINITY, 4)]));
    }

    #[test]
    fn quantiles_cover_only_the_added_counts() {
        let before = buckets(&[0.5]);
        let nothing: [f64; 0] = [];
        for (values, part, is) in [
            (&nothing[..], 0.5, None),
            (&[1.5, 1.5], 0.5, Some(1.5)),
            (&[1.5, 1.5], 1.0, Some(2.0)),
            (&[0.5, 1.5, 3.0, 3.0], 0.75, Some(3.0)),
            (&[9.0], 0.5, Some(4.0)),
        ] {
            let all: Vec<f64> = [0.5].iter().chain(values).copied().collect();
            assert_eq!(buckets(&all).since(&before).quantile(part), is, "{part} of {values:?}");
        }
    }
}
