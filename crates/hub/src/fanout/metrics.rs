//! Metrics of the fan-out.

use std::sync::Arc;
use std::time::SystemTime;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

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
    /// Registers the metrics.
    pub fn new(registry: &mut Registry) -> Arc<Self> {
        let metrics = Self {
            subscribers: Gauge::default(),
            delivered: Counter::default(),
            replayed: Counter::default(),
            replays: Gauge::default(),
            behind: Gauge::default(),
            // From one to a million.
            replay: Histogram::new(exponential_buckets(1.0, 4.0, 11)),
            blocked: Counter::default(),
            gaps: Counter::default(),
            tail_gaps: Counter::default(),
            heartbeats: Counter::default(),
            matching: Counter::default(),
            // From 50 µs to 13 s.
            latency: Histogram::new(exponential_buckets(50e-6, 2.0, 19)),
            ends: Family::default(),
        };
        for end in End::ALL {
            // So each counter is shown from the start.
            drop(metrics.ends.get_or_create(&Reason { reason: end.name() }));
        }
        registry.register("subscribers", "Connected subscribers", metrics.subscribers.clone());
        registry.register("events_delivered", "Events written to subscribers", metrics.delivered.clone());
        registry.register(
            "events_replayed",
            "Events read from the log for subscribers that resumed or fell behind",
            metrics.replayed.clone(),
        );
        registry.register(
            "replays",
            "Reads of the log for subscribers that resumed or fell behind: running, or waiting for memory",
            metrics.replays.clone(),
        );
        registry.register(
            "subscribers_behind",
            "Subscribers that are resuming or behind the newest event",
            metrics.behind.clone(),
        );
        registry.register(
            "replay_events",
            "Events per replay, until the subscriber was up to date or disconnected",
            metrics.replay.clone(),
        );
        registry.register(
            "subscribers_blocked",
            "Times that a subscriber's socket was full",
            metrics.blocked.clone(),
        );
        registry.register(
            "gaps",
            "Gaps reported to subscribers: events that were removed before the subscriber had read them",
            metrics.gaps.clone(),
        );
        registry.register(
            "tail_gaps",
            "Times that retention removed updates before the hub had delivered them",
            metrics.tail_gaps.clone(),
        );
        registry.register(
            "heartbeats",
            "Heartbeat comments sent to idle subscribers",
            metrics.heartbeats.clone(),
        );
        registry.register(
            "matching_steps",
            "Cost of matching topics with selectors, in operations on up to 64 bytes of a topic, over \
             all threads",
            metrics.matching.clone(),
        );
        registry.register(
            "publish_to_write_seconds",
            "Delivery latency, from publication to the last socket write",
            metrics.latency.clone(),
        );
        registry.register("subscriptions_ended", "Ended subscriptions, by reason", metrics.ends.clone());
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
