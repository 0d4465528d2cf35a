//! The cost of a channel's functions, without sockets, and of tokio's `broadcast` behind axum's `Sse`:
//! `cargo bench --manifest-path bench/Cargo.toml -p ssekit-bench-fanout`.

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use axum::response::IntoResponse;
use axum::response::sse::{Event as AxumEvent, KeepAlive, Sse};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ssekit_server::{Channel, Event, LastEventId};
use tokio::sync::broadcast::{self, Sender};
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt as _};

const SSEKIT: &str = "ssekit Channel";
const BROADCAST: &str = "tokio broadcast";

/// The cost of publishing to a number of waiting subscribers.
fn publish(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("publish to waiting subscribers");
    // Most of a round is not timed: everyone has to wait again.
    group.measurement_time(Duration::from_millis(100)).warm_up_time(Duration::from_millis(100));
    for subscribers in [0, 1000, 10_000] {
        group.throughput(Throughput::Elements(subscribers.max(1)));
        let (channel, mut bodies) = channel(subscribers);
        group.bench_function(BenchmarkId::new(SSEKIT, subscribers), |bencher| {
            bencher.iter_custom(|rounds| timed(rounds, &mut bodies, || emit(&channel)));
        });
        let (sender, mut bodies) = broadcast(subscribers);
        group.bench_function(BenchmarkId::new(BROADCAST, subscribers), |bencher| {
            bencher.iter_custom(|rounds| timed(rounds, &mut bodies, || send(&sender)));
        });
    }
}

/// The cost of publishing when a number of events is held, and the oldest is dropped.
fn publish_with_history(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("publish with a history");
    for events in HISTORIES {
        let channel = history(events, |channel, _| emit(channel));
        group.bench_function(BenchmarkId::new(SSEKIT, events), |bencher| {
            bencher.iter(|| emit(&channel));
        });
        let sender = broadcast::channel(events as usize).0;
        let _receiver = sender.subscribe();
        (0..events).for_each(|_| send(&sender));
        group.bench_function(BenchmarkId::new(BROADCAST, events), |bencher| {
            bencher.iter(|| send(&sender));
        });
    }
}

/// The cost for a subscriber's body of giving a number of events that wait.
fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read what waits");
    group.measurement_time(Duration::from_millis(200)).warm_up_time(Duration::from_millis(200));
    for events in [1, 500] {
        group.throughput(Throughput::Elements(events));
        let (channel, mut bodies) = channel(1);
        group.bench_function(BenchmarkId::new(SSEKIT, events), |bencher| {
            bencher.iter_custom(|rounds| reading(rounds, events, &mut bodies[0], || emit(&channel)));
        });
        let (sender, mut bodies) = broadcast(1);
        group.bench_function(BenchmarkId::new("axum Sse, tokio broadcast", events), |bencher| {
            bencher.iter_custom(|rounds| reading(rounds, events, &mut bodies[0], || send(&sender)));
        });
    }
}

/// The cost of resuming after an event in the middle of the held events, up to the first piece.
fn resume(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("resume in the middle");
    for events in HISTORIES {
        let channel = history(events, |channel, sequence| {
            let event = Event::new(DATA).with_id(custom_id(sequence)).expect("the id is valid");
            channel.try_send(event).expect("the channel is open");
        });
        let last = channel.emit("message", DATA).expect("the channel is open");
        let middle = last.sequence() - events / 2;
        let last = last.to_string();
        let epoch = last.split('-').next().expect("an id");
        for (name, id) in [("id", format!("{epoch}-{middle}")), ("custom id", custom_id(middle))] {
            let id = LastEventId::new(id).expect("the id is valid");
            let resume = || {
                let mut body = channel.subscribe(id.clone()).response().into_body();
                let Poll::Ready(Some(Ok(piece))) = poll(&mut body) else { panic!("nothing to resume with") };
                piece
            };
            let next = format!("id: {}\n", custom_id(middle + 1));
            assert!(resume().starts_with(next.as_bytes()), "it resumes after the {name}");
            group.bench_function(BenchmarkId::new(name, events), |bencher| {
                bencher.iter(|| black_box(resume()))
            });
        }
    }
}

fn emit(channel: &Channel) {
    channel.emit("message", DATA).expect("the channel is open");
}

fn send(sender: &Sender<String>) {
    // It fails when nobody listens.
    let _ = sender.send(DATA.to_owned());
}

/// Measures `publish`; then every subscriber reads the published events, and waits again.
fn timed<S: Stream + Unpin>(rounds: u64, bodies: &mut [S], publish: impl Fn()) -> Duration {
    let mut time = Duration::ZERO;
    for _ in 0..rounds {
        let start = Instant::now();
        publish();
        time += start.elapsed();
        bodies.iter_mut().for_each(|body| assert!(drain(body) > 0));
    }
    time
}

/// Measures reading `events` to their end.
fn reading<S: Stream + Unpin>(rounds: u64, events: u64, body: &mut S, publish: impl Fn()) -> Duration {
    let mut time = Duration::ZERO;
    for _ in 0..rounds {
        (0..events).for_each(|_| publish());
        let start = Instant::now();
        let pieces = drain(body);
        time += start.elapsed();
        assert!(pieces > 0);
    }
    time
}

/// A channel, and the bodies of subscribers that wait.
fn channel(subscribers: u64) -> (Channel, Vec<impl Stream + Unpin>) {
    let channel = Channel::new();
    let body = |_| channel.subscribe(LastEventId::default()).response().into_body();
    let mut bodies: Vec<_> = (0..subscribers).map(body).collect();
    bodies.iter_mut().for_each(start);
    (channel, bodies)
}

/// The same of axum.
fn broadcast(subscribers: u64) -> (Sender<String>, Vec<impl Stream + Unpin>) {
    let sender = broadcast::channel(1024).0;
    let body = |_| {
        let stream = BroadcastStream::new(sender.subscribe())
            .filter_map(Result::ok)
            .map(|data: String| Ok::<_, Infallible>(AxumEvent::default().event("message").data(data)));
        let sse = Sse::new(stream).keep_alive(KeepAlive::default());
        sse.into_response().into_body().into_data_stream()
    };
    let mut bodies: Vec<_> = (0..subscribers).map(body).collect();
    bodies.iter_mut().for_each(start);
    (sender, bodies)
}

/// A channel that holds as many events as it may; they get the sequences from 1 on.
fn history(events: u64, publish: impl Fn(&Channel, u64)) -> Channel {
    let channel = Channel::builder().keep_last(events).keep_bytes(1 << 30).build();
    (1..=events).for_each(|sequence| publish(&channel, sequence));
    assert_eq!(channel.stats().events, events);
    channel
}

fn custom_id(sequence: u64) -> String {
    format!("order-{sequence}")
}

/// Reads until there is no more, and says how many pieces there were.
fn drain<S: Stream + Unpin>(body: &mut S) -> usize {
    let mut pieces = 0;
    while let Poll::Ready(piece) = poll(body) {
        assert!(piece.is_some(), "the stream has ended");
        pieces += 1;
    }
    pieces
}

/// Until it waits: the beginning of a stream may have something to say.
fn start<S: Stream + Unpin>(body: &mut S) {
    let _ = drain(body);
}

fn poll<S: Stream + Unpin>(body: &mut S) -> Poll<Option<S::Item>> {
    Pin::new(body).poll_next(&mut Context::from_waker(Waker::noop()))
}

/// 100 bytes.
const DATA: &str =
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";

const HISTORIES: [u64; 3] = [100, 10_000, 1_000_000];

fn all(criterion: &mut Criterion) {
    // The bodies have timers, which need a runtime; nothing runs on it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _guard = runtime.enter();
    publish(criterion);
    publish_with_history(criterion);
    read(criterion);
    resume(criterion);
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(1));
    targets = all
}
criterion_main!(benches);
