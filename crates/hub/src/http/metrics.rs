//! The metrics that `/metrics` shows.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, header};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use ssekit_mercure::{Problem, ProblemKind};

use super::exposition;
use super::routes::refusal;
use crate::hub::Hub;

/// The metrics of `/metrics`.
#[derive(Debug)]
pub(super) struct MetricsPage {
    registry: Registry,
    lag: Gauge,
    records: Gauge,
    bytes: Gauge,
    pending: Gauge,
}

impl MetricsPage {
    /// The metrics of a registry, and gauges that are read on request.
    pub(super) fn new(mut registry: Registry) -> Self {
        let [lag, records, bytes, pending] = [(); 4].map(|()| Gauge::default());
        registry.register(
            "lag_events",
            "Events in the log that the delivery threads have not read yet",
            lag.clone(),
        );
        registry.register("log_events", "Events in the log", records.clone());
        registry.register("log_bytes", "Size of the log, in bytes", bytes.clone());
        let help =
            "Bytes in memory that wait to be sent to slow subscribers, without the window of newest updates";
        registry.register("pending_bytes", help, pending.clone());
        Self { registry, lag, records, bytes, pending }
    }

    /// Returns the metrics in the format that the request accepts.
    ///
    /// While the log cannot be read, its gauges keep their last values.
    pub(super) async fn show(&self, hub: &Hub, headers: &HeaderMap) -> Response {
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
            Ok(()) => {
                let (content_type, text) = if exposition::accepts_open_metrics(headers) {
                    (exposition::OPEN_METRICS, text)
                } else {
                    (exposition::PROMETHEUS, exposition::prometheus(&text))
                };
                let headers = [(header::CONTENT_TYPE, content_type), (header::VARY, "accept")];
                (headers, text).into_response()
            }
            Err(error) => {
                refusal(&Problem::new(ProblemKind::Internal, format!("cannot encode the metrics: {error}")))
            }
        }
    }
}
