//! The feature `metrics`: what is recorded, under which names.
#![cfg(feature = "metrics")]

use std::collections::BTreeMap;

use metrics::with_local_recorder;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use ssekit_server::{Channel, Clients, LastEventId, Streams, produce};

#[test]
fn numbers_reach_the_recorder() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let news = Channel::builder().name("news").keep_last(2).build();
    let clients = Clients::<&str>::builder().max_per_key(1).build();
    let streams = Streams::builder().max(1).build();
    let open = [
        news.subscribe(LastEventId::default()).response(),
        clients.connect("ada").response(),
        clients.connect("ada").response(),
        produce(drop).within(&streams).response(),
        produce(drop).within(&streams).response(),
    ];
    for _ in 0..3 {
        news.emit("x", "").unwrap();
    }
    with_local_recorder(&recorder, || {
        news.record_metrics();
        clients.record_metrics();
        streams.record_metrics();
    });
    let recorded: BTreeMap<_, _> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, _, value)| {
            let labels: Vec<_> = key.key().labels().map(|label| (label.key(), label.value())).collect();
            assert_eq!(labels == [("channel", "news")], key.key().name().starts_with("ssekit_channel"));
            let value = match value {
                DebugValue::Counter(count) => count as f64,
                DebugValue::Gauge(gauge) => gauge.into_inner(),
                DebugValue::Histogram(_) => panic!("no histogram"),
            };
            (key.key().name().to_owned(), value)
        })
        .collect();
    let bytes = news.stats().bytes as f64;
    let expected = [
        ("ssekit_channel_bytes", bytes),
        ("ssekit_channel_events", 2.0),
        ("ssekit_channel_lag", 3.0),
        ("ssekit_channel_missed_total", 0.0),
        ("ssekit_channel_published_total", 3.0),
        ("ssekit_channel_subscribers", 1.0),
        ("ssekit_channel_waiting", 0.0),
        ("ssekit_clients_keys", 1.0),
        ("ssekit_clients_left_out_total", 0.0),
        ("ssekit_clients_refused_total", 1.0),
        ("ssekit_clients_streams", 1.0),
        ("ssekit_streams_open", 1.0),
        ("ssekit_streams_refused_total", 1.0),
    ];
    assert_eq!(recorded, expected.map(|(name, value)| (name.to_owned(), value)).into());
    drop(open);
}
