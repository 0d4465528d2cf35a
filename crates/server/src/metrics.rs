//! What channels, clients and streams count, for the recorder of the crate [`metrics`].

use metrics::{Label, counter, gauge};

use crate::channel::Channel;
use crate::clients::Clients;
use crate::streams::Streams;

impl Channel {
    /// Records the channel's [numbers](Self::stats) with the crate `metrics`; feature `metrics`. Nothing is recorded by
    /// itself, so that publishing costs nothing more: call it from a timer, or before metrics are scraped.
    ///
    /// | Metric | Kind |
    /// |---|---|
    /// | `ssekit_channel_subscribers`, `ssekit_channel_waiting` | gauge |
    /// | `ssekit_channel_events`, `ssekit_channel_bytes`, `ssekit_channel_lag` | gauge |
    /// | `ssekit_channel_published_total`, `ssekit_channel_missed_total` | counter |
    ///
    /// Each has the label `channel`, the channel's [name](crate::ChannelBuilder::name).
    ///
    /// ```
    /// # use ssekit_server::Channel;
    /// let news = Channel::builder().name("news").build();
    /// news.record_metrics();
    /// ```
    pub fn record_metrics(&self) {
        let stats = self.stats();
        let label = || vec![Label::new("channel", self.name().unwrap_or_default().to_owned())];
        gauge!("ssekit_channel_subscribers", label()).set(stats.subscribers as f64);
        gauge!("ssekit_channel_waiting", label()).set(stats.waiting as f64);
        gauge!("ssekit_channel_events", label()).set(stats.events as f64);
        gauge!("ssekit_channel_bytes", label()).set(stats.bytes as f64);
        gauge!("ssekit_channel_lag", label()).set(stats.lag as f64);
        counter!("ssekit_channel_published_total", label()).absolute(stats.published);
        counter!("ssekit_channel_missed_total", label()).absolute(stats.missed);
    }
}

impl Streams {
    /// Records the open streams (gauge `ssekit_streams_open`) and those that were refused (counter
    /// `ssekit_streams_refused_total`) with the crate `metrics`; feature `metrics`. See [`Channel::record_metrics`].
    pub fn record_metrics(&self) {
        gauge!("ssekit_streams_open").set(self.len() as f64);
        counter!("ssekit_streams_refused_total").absolute(self.refused());
    }
}

impl<K> Clients<K> {
    /// Records keys and their streams (gauges `ssekit_clients_keys`, `ssekit_clients_streams`), streams that were refused
    /// and events that were left out (counters `ssekit_clients_refused_total`, `ssekit_clients_left_out_total`) with the
    /// crate `metrics`; feature `metrics`. See [`Channel::record_metrics`].
    pub fn record_metrics(&self) {
        gauge!("ssekit_clients_keys").set(self.len() as f64);
        gauge!("ssekit_clients_streams").set(self.streams() as f64);
        counter!("ssekit_clients_refused_total").absolute(self.refused());
        counter!("ssekit_clients_left_out_total").absolute(self.left_out());
    }
}
