//! The feature `metrics`: the recorded values and their names.
#![cfg(feature = "metrics")]

use std::collections::BTreeMap;
use std::task::{Context, Waker};

use futures_core::Stream as _;
use metrics::with_local_recorder;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use ssekit_server::{Channel, Clients, Error, LastEventId, Streams, produce};

/// The metrics of a recorder: name and labels, value and description.
fn recorded(snapshotter: &Snapshotter) -> BTreeMap<String, (f64, Option<String>)> {
    let metrics = snapshotter.snapshot().into_vec().into_iter();
    metrics
        .map(|(key, _, text, value)| {
            let labels: Vec<_> = key.key().labels().map(|label| label.value().to_owned()).collect();
            let value = match value {
                DebugValue::Counter(count) => count as f64,
                DebugValue::Gauge(gauge) => gauge.into_inner(),
                DebugValue::Histogram(_) => panic!("no histogram"),
            };
            let text = text.map(|text| text.to_string());
            (format!("{}{{{}}}", key.key().name(), labels.join(",")), (value, text))
        })
        .collect()
}

/// Adds the changes since the last look; a snapshot of this recorder shows only these.
fn look(snapshotter: &Snapshotter, seen: &mut BTreeMap<String, f64>) {
    for (name, (change, _)) in recorded(snapshotter) {
        *seen.entry(name).or_default() += change;
    }
}

#[test]
fn numbers_reach_the_recorder() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let news = Channel::builder().name("news").keep_last(2).build();
    let clients = Clients::<&str>::builder().max_per_key(1).name("people").build();
    let streams = Streams::builder().max(1).name("all").build();
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
    let recorded = recorded(&snapshotter);
    assert!(recorded.values().all(|(_, text)| text.as_ref().is_some_and(|text| !text.is_empty())));
    let values: Vec<_> = recorded.iter().map(|(name, (value, _))| (name.as_str(), *value)).collect();
    let expected = [
        ("ssekit_channel_bytes{news}", news.stats().bytes as f64),
        ("ssekit_channel_events{news}", 2.0),
        ("ssekit_channel_lag{news}", 3.0),
        ("ssekit_channel_missed_total{news}", 0.0),
        ("ssekit_channel_published_total{news}", 3.0),
        ("ssekit_channel_subscribers{news}", 1.0),
        ("ssekit_channel_waiting{news}", 0.0),
        ("ssekit_clients_keys{people}", 1.0),
        ("ssekit_clients_left_out_total{people}", 0.0),
        ("ssekit_clients_refused_total{people}", 1.0),
        ("ssekit_clients_streams{people}", 1.0),
        ("ssekit_streams_open{all}", 1.0),
        ("ssekit_streams_refused_total{all}", 1.0),
    ];
    assert_eq!(values, expected);
    drop(open);
}

/// Neither overwrites the other, and one that is gone leaves nothing behind in the gauges.
#[test]
fn those_of_one_name_or_of_none_add_up() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    with_local_recorder(&recorder, || {
        let [web, api] = [(); 2].map(|()| Streams::new());
        let named = Streams::builder().name("api").build();
        let open = |streams: &Streams| produce(drop).within(streams).response();
        let mut responses = vec![open(&web), open(&web), open(&api), open(&named)];
        let record = || [&web, &api, &named].iter().for_each(|streams| streams.record_metrics());
        // As often as the scrapes come.
        record();
        record();
        let mut seen = BTreeMap::new();
        look(&snapshotter, &mut seen);
        assert_eq!((seen["ssekit_streams_open{}"], seen["ssekit_streams_open{api}"]), (3.0, 1.0));
        responses.pop();
        responses.push(open(&api));
        drop(responses.remove(0));
        record();
        look(&snapshotter, &mut seen);
        let expected = [
            ("ssekit_streams_ended_total{,disconnected}", 1.0),
            ("ssekit_streams_ended_total{api,disconnected}", 1.0),
            ("ssekit_streams_open{api}", 0.0),
            ("ssekit_streams_open{}", 3.0),
            ("ssekit_streams_refused_total{api}", 0.0),
            ("ssekit_streams_refused_total{}", 0.0),
        ];
        assert_eq!(seen, expected.map(|(name, value)| (name.to_owned(), value)).into());
        drop(responses);
        drop(web);
        look(&snapshotter, &mut seen);
        assert_eq!(seen["ssekit_streams_open{}"], 2.0, "what `api` has recorded");
    });
}

#[test]
fn streams_that_have_ended_are_counted_by_reason() {
    let streams = Streams::builder().max(2).build();
    let failing = produce(|_| -> Result<(), Error> { Err(Error::new("no")) }).within(&streams);
    let closing = produce(drop).within(&streams);
    let mut bodies = [failing, closing].map(|produce| Box::pin(produce.no_ping().response().into_body()));
    drop(produce(drop).within(&streams).response());
    for body in &mut bodies {
        let mut cx = Context::from_waker(Waker::noop());
        while body.as_mut().poll_next(&mut cx).is_pending() {}
    }
    let open = produce(drop).within(&streams).response();
    streams.shutdown();
    drop(open);
    let ends: Vec<_> = streams.ends().collect();
    assert_eq!(ends, [("ended", 1), ("failed", 1), ("shutdown", 1)]);
    assert_eq!(streams.refused(), 1);
}
