use axum::response::{IntoResponse as _, Response};
use http::header;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::routes::refusal;
use crate::hub::Hub;
use crate::mercure::{Problem, ProblemKind};

/// Everything that `/metrics` shows.
#[derive(Debug)]
pub(super) struct Gauges {
    registry: Registry,
    lag: Gauge,
    records: Gauge,
    bytes: Gauge,
    pending: Gauge,
}

impl Gauges {
    /// Those of a registry, and what is looked up when they are asked for.
    pub(super) fn new(mut registry: Registry) -> Self {
        let [lag, records, bytes, pending] = [(); 4].map(|()| Gauge::default());
        registry.register(
            "lag_events",
            "Events that the log has kept and that have still to be written to who is up to date",
            lag.clone(),
        );
        registry.register("log_events", "Events that the log holds", records.clone());
        registry.register("log_bytes", "What the log holds, in bytes", bytes.clone());
        let help = "Bytes in memory that wait for subscribers, without the newest updates";
        registry.register("pending_bytes", help, pending.clone());
        Self { registry, lag, records, bytes, pending }
    }

    /// The answer to who asks for them. Where the log cannot be read, its figures are those of when it could.
    pub(super) async fn show(&self, hub: &Hub) -> Response {
        let through = hub.fanout.through();
        let value = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.pending.set(value(hub.fanout.pending_bytes() as u64));
        if let Ok(bounds) = hub.log.bounds().await {
            self.lag.set(value(bounds.last.0.saturating_sub(through.0)));
            self.records.set(value(bounds.records));
            self.bytes.set(value(bounds.bytes));
        }
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
            Err(error) => {
                refusal(&Problem::new(ProblemKind::Internal, format!("the metrics cannot be shown: {error}")))
            }
        }
    }
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
