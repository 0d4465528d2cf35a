//! Metrics of channels, clients and streams, for the recorder of the crate [`metrics`].
//!
//! Channels of the same name are recorded under the same labels, and add up: each records the change of its
//! numbers since its last record, and removes its part from the gauges when it is dropped.

use std::sync::{Mutex, PoisonError};

use metrics::{Label, counter, describe_counter, describe_gauge, gauge};

use crate::channel::Channel;
use crate::clients::Clients;
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
        let ended = self.ends().map(|(reason, ends)| Number {
            reason: Some(reason),
            ..counter_of("ssekit_streams_ended_total", "Ended event streams, by reason", ends)
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

/// One number of a channel, of clients or of streams.
#[derive(Clone, Copy, Debug)]
struct Number {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    reason: Option<&'static str>,
    value: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Gauge,
    Counter,
}

fn gauge_of(name: &'static str, help: &'static str, value: u64) -> Number {
    Number { name, help, kind: Kind::Gauge, reason: None, value }
}

fn counter_of(name: &'static str, help: &'static str, value: u64) -> Number {
    Number { kind: Kind::Counter, ..gauge_of(name, help, value) }
}

/// The recorded numbers of one channel, and their labels.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    last: Mutex<Vec<(Number, Vec<Label>)>>,
}

impl Recorded {
    fn record(&self, (label, name): (&'static str, Option<&str>), numbers: impl IntoIterator<Item = Number>) {
        let mut changes = Vec::new();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        for number in numbers {
            match last.iter_mut().find(|(known, _)| known.is_same(&number)) {
                Some((known, labels)) => {
                    let before = std::mem::replace(&mut known.value, number.value);
                    changes.push((Some(before), number, labels.clone()));
                }
                None => {
                    let mut labels = vec![Label::new(label, name.unwrap_or_default().to_owned())];
                    labels.extend(number.reason.map(|reason| Label::new("reason", reason)));
                    last.push((number, labels.clone()));
                    changes.push((None, number, labels));
                }
            }
        }
        // The recorder is foreign code.
        drop(last);
        for (before, number, labels) in changes {
            if before.is_none() {
                number.describe();
            }
            number.change(before.unwrap_or_default(), labels);
        }
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        let last = std::mem::take(self.last.get_mut().unwrap_or_else(PoisonError::into_inner));
        for (number, labels) in last.into_iter().filter(|(number, _)| number.kind == Kind::Gauge) {
            Number { value: 0, ..number }.change(number.value, labels);
        }
    }
}

impl Number {
    fn is_same(&self, other: &Self) -> bool {
        (self.name, self.reason) == (other.name, other.reason)
    }

    fn describe(self) {
        match self.kind {
            Kind::Gauge => describe_gauge!(self.name, self.help),
            Kind::Counter => describe_counter!(self.name, self.help),
        }
    }

    fn change(self, before: u64, labels: Vec<Label>) {
        match self.kind {
            Kind::Gauge => gauge!(self.name, labels).increment(self.value as f64 - before as f64),
            Kind::Counter => counter!(self.name, labels).increment(self.value.saturating_sub(before)),
        }
    }
}
