//! Metrics of channels, clients and streams, for the recorder of the crate [`metrics`].
//!
//! Channels of the same name are recorded under the same labels, and add up: each records the change of its
//! numbers since its last record, and removes its part from the gauges when it is dropped.

use crate::channel::Channel;
use crate::clients::Clients;
use crate::recorded::{counter_of, gauge_of};
use crate::streams::Streams;

impl Channel {
    /// Records the channel's [numbers](Self::stats) with the crate `metrics`; feature `metrics`. Nothing is
    /// recorded by itself, so that publishing costs nothing more: call it from a timer, or before metrics are
    /// scraped.
    ///
    /// | Metric | Kind |
    /// |---|---|
    /// | `ssekit_channel_subscribers`, `ssekit_channel_waiting` | gauge |
    /// | `ssekit_channel_events`, `ssekit_channel_bytes`, `ssekit_channel_lag` | gauge |
    /// | `ssekit_channel_published_total`, `ssekit_channel_missed_total` | counter |
    ///
    /// Each has the label `channel`, the channel's [name](crate::ChannelBuilder::name). Channels of the same
    /// name, or of none, add up.
    ///
    /// ```
    /// # use ssekit::Channel;
    /// let news = Channel::builder().name("news").build();
    /// news.record_metrics();
    /// ```
    pub fn record_metrics(&self) {
        let stats = self.stats();
        let numbers = [
            gauge_of(
                "ssekit_channel_subscribers",
                "Open streams that read the channel",
                stats.subscribers as u64,
            ),
            gauge_of("ssekit_channel_waiting", "Streams that have read all events", stats.waiting as u64),
            gauge_of("ssekit_channel_events", "Events that the channel holds", stats.events),
            gauge_of(
                "ssekit_channel_bytes",
                "Bytes of the events that the channel holds",
                stats.bytes as u64,
            ),
            gauge_of("ssekit_channel_lag", "Events that the slowest stream has not read", stats.lag),
            counter_of("ssekit_channel_published_total", "Events published", stats.published),
            counter_of(
                "ssekit_channel_missed_total",
                "Events dropped before a stream had read them, counted for each stream",
                stats.missed,
            ),
        ];
        self.recorded().record(("channel", self.name()), numbers);
    }
}

impl Streams {
    /// Records these numbers with the crate `metrics`; feature `metrics`. See [`Channel::record_metrics`].
    ///
    /// | Metric | Kind |
    /// |---|---|
    /// | `ssekit_streams_open` | gauge |
    /// | `ssekit_streams_refused_total` | counter |
    /// | `ssekit_streams_ended_total`, with the label `reason` ([`StopReason::label`](crate::StopReason::label)) | counter |
    ///
    /// Each has the label `streams`, their [name](crate::StreamsBuilder::name). Those of the same name, or of
    /// none, add up.
    pub fn record_metrics(&self) {
        let open = gauge_of("ssekit_streams_open", "Open event streams", self.len() as u64);
        let refused = counter_of(
            "ssekit_streams_refused_total",
            "Event streams refused because of a limit",
            self.refused(),
        );
        let ended = self.ends().map(|(reason, ends)| {
            counter_of("ssekit_streams_ended_total", "Ended event streams, by reason", ends)
                .with_reason(reason)
        });
        self.recorded().record(("streams", self.name()), [open, refused].into_iter().chain(ended));
    }
}

impl<K> Clients<K> {
    /// Records these numbers with the crate `metrics`; feature `metrics`. See [`Channel::record_metrics`].
    ///
    /// | Metric | Kind |
    /// |---|---|
    /// | `ssekit_clients_keys`, `ssekit_clients_streams` | gauge |
    /// | `ssekit_clients_refused_total`, `ssekit_clients_left_out_total` | counter |
    ///
    /// Each has the label `clients`, their [name](crate::ClientsBuilder::name). Those of the same name, or of
    /// none, add up.
    pub fn record_metrics(&self) {
        let numbers = [
            gauge_of("ssekit_clients_keys", "Keys with an open stream", self.len() as u64),
            gauge_of("ssekit_clients_streams", "Open streams of all keys", self.streams() as u64),
            counter_of(
                "ssekit_clients_refused_total",
                "Streams refused because of the limit of their key",
                self.refused(),
            ),
            counter_of(
                "ssekit_clients_left_out_total",
                "Events that a stream did not take because its buffer was full",
                self.left_out(),
            ),
        ];
        self.recorded().record(("clients", self.name()), numbers);
    }
}
