//! Metrics of the fan-out.

use std::sync::Arc;
use std::time::SystemTime;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry};

use super::{End, Frame};

/// Metrics of the fan-out.
#[derive(Debug)]
pub struct Metrics {
    /// Current number of subscribers.
    pub subscribers: Gauge,
    /// Events written to subscribers, or waiting to be written to them.
    pub delivered: Counter,
    /// Those of them that were read from the log for subscribers that were behind.
    pub replayed: Counter,
    /// Pages of the log that are being read, or wait for memory.
    pub replays: Gauge,
    /// Subscribers that have not received everything that others have.
    pub behind: Gauge,
    /// Number of events of each replay, until the subscriber was up to date or had left.
    pub replay: Histogram,
    /// Number of times that a subscriber could not take all bytes at once.
    pub blocked: Counter,
    /// Number of `gap` events.
    pub gaps: Counter,
    /// Times that the log dropped records before the fan-out had read them.
    pub tail_gaps: Counter,
    /// Comments sent to idle subscribers.
    pub heartbeats: Counter,
    /// Operations on 64 bytes of a topic, to find the subscribers of updates.
    pub matching: Counter,
    /// Seconds from the append of a record to the write to all subscribers that are up to date.
    pub latency: Histogram,
    ends: Family<Reason, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

impl Metrics {
    /// Registers the metrics, in the order in which `/metrics` lists them.
    pub fn new(registry: &mut Registry) -> Arc<Self> {
        let mut add = Adder(registry);
        let metrics = Self {
            subscribers: add.default("subscribers", "Connected subscribers"),
            delivered: add.default("events_delivered", "Events written to subscribers"),
            replayed: add.default(
                "events_replayed",
                "Events read from the log for subscribers that resumed or fell behind",
            ),
            replays: add.default(
                "replays",
                "Reads of the log for subscribers that resumed or fell behind: running, or waiting for \
                 memory",
            ),
            behind: add
                .default("subscribers_behind", "Subscribers that are resuming or behind the newest event"),
            replay: add.metric(
                "replay_events",
                "Events per replay, until the subscriber was up to date or disconnected",
                // From one to a million.
                Histogram::new(exponential_buckets(1.0, 4.0, 11)),
            ),
            blocked: add.default("subscribers_blocked", "Times that a subscriber's socket was full"),
            gaps: add.default(
                "gaps",
                "Gaps reported to subscribers: events that were removed before the subscriber had read them",
            ),
            tail_gaps: add.default(
                "tail_gaps",
                "Times that retention removed updates before the hub had delivered them",
            ),
            heartbeats: add.default("heartbeats", "Heartbeat comments sent to idle subscribers"),
            matching: add.default(
                "matching_steps",
                "Cost of matching topics with selectors, in operations on up to 64 bytes of a topic, over \
                 all threads",
            ),
            latency: add.metric(
                "publish_to_write_seconds",
                "Delivery latency, from publication to the last socket write",
                // From 50 µs to 13 s.
                Histogram::new(exponential_buckets(50e-6, 2.0, 19)),
            ),
            ends: add.default("subscriptions_ended", "Ended subscriptions, by reason"),
        };
        for end in End::ALL {
            // So each counter is shown from the start.
            drop(metrics.ends.get_or_create(&Reason { reason: end.name() }));
        }
        Arc::new(metrics)
    }

    /// Number of subscriptions that ended for this reason.
    pub fn ends(&self, end: End) -> u64 {
        self.ends.get_or_create(&Reason { reason: end.name() }).get()
    }

    pub(super) fn ended(&self, end: End) {
        self.subscribers.dec();
        self.ends.get_or_create(&Reason { reason: end.name() }).inc();
    }

    pub(super) fn passed(&self, frames: &[Arc<Frame>], deliveries: u64, now: SystemTime) {
        self.delivered.inc_by(deliveries);
        for frame in frames {
            let took = now.duration_since(frame.time).unwrap_or_default();
            self.latency.observe(took.as_secs_f64());
        }
    }
}

/// Adds metrics to a registry.
struct Adder<'a>(&'a mut Registry);

impl Adder<'_> {
    fn default<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        self.metric(name, help, M::default())
    }

    fn metric<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }
}
