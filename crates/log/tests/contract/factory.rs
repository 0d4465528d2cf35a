//! Factories of the tested logs, a clock that tests move, and helpers for records.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{BoxStream, StreamExt};
use ssekit_log::{
    Clock, DurableLog, DurableOptions, Entry, Keep, Limit, Log, MemoryLog, Position, ReadError, Record,
    Retention,
};
use tempfile::TempDir;

/// A factory of logs of one implementation.
pub(crate) trait Factory: Sync {
    /// Opens the log: an empty one at the first call, and the same one again if it outlives its process.
    fn open(&self, retention: Retention) -> BoxFuture<'_, Arc<dyn Log>>;

    /// The clock of the logs.
    fn time(&self) -> &Time;

    fn open_keeping(&self, keep: Keep) -> BoxFuture<'_, Arc<dyn Log>> {
        self.open(Retention::of_everything(keep).unwrap())
    }
}

#[derive(Default)]
pub(crate) struct Memory {
    time: Time,
}

impl Factory for Memory {
    fn open(&self, retention: Retention) -> BoxFuture<'_, Arc<dyn Log>> {
        async { Arc::new(MemoryLog::with_clock(retention, self.time.clock()).unwrap()) as Arc<dyn Log> }
            .boxed()
    }

    fn time(&self) -> &Time {
        &self.time
    }
}

pub(crate) struct Durable {
    time: Time,
    folder: TempDir,
}

impl Durable {
    pub(crate) fn new() -> Self {
        Self { time: Time::default(), folder: TempDir::new().unwrap() }
    }
}

impl Factory for Durable {
    fn open(&self, retention: Retention) -> BoxFuture<'_, Arc<dyn Log>> {
        let options = DurableOptions { retention, clock: self.time.clock(), ..DurableOptions::default() };
        async { Arc::new(DurableLog::open(self.folder.path(), options).await.unwrap()) as Arc<dyn Log> }
            .boxed()
    }

    fn time(&self) -> &Time {
        &self.time
    }
}

/// A clock that only tests move.
#[derive(Default)]
pub(crate) struct Time(Arc<AtomicU64>);

impl Time {
    pub(crate) fn pass(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub(crate) fn back(&self, time: Duration) {
        self.0.fetch_sub(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub(crate) fn clock(&self) -> Clock {
        let millis = Arc::clone(&self.0);
        Clock::new(move || {
            SystemTime::UNIX_EPOCH
                + Duration::from_secs(1_800_000_000)
                + Duration::from_millis(millis.load(Ordering::SeqCst))
        })
    }
}

/// A record with one topic, whose body identifies it.
#[expect(clippy::needless_pass_by_value, reason = "tests pass numbers by value")]
pub(crate) fn record(topic: &str, body: impl ToString) -> Record {
    Record { topics: [topic.into()].into(), private: false, id: None, body: Bytes::from(body.to_string()) }
}

pub(crate) fn records(bodies: impl IntoIterator<Item = impl ToString>) -> Vec<Record> {
    bodies.into_iter().map(|body| record("topic", body)).collect()
}

/// Batches of more records than a tail finds in memory: bodies of 2 kB that begin with 0, 1, 2, ….
pub(crate) fn many() -> impl Iterator<Item = Vec<Record>> {
    let record = |number| record("topic", format!("{number} {}", "x".repeat(2000)));
    (0..MANY).step_by(1000).map(move |first| (first..first + 1000).map(record).collect())
}

/// The number of these records.
pub(crate) const MANY: usize = 20_000;

/// Returns true if these are the records of [`many`], in order.
#[expect(clippy::cast_possible_truncation, reason = "20,000 records")]
pub(crate) fn are_many(entries: &[Entry]) -> bool {
    let numbers = entries.iter().map(|entry| body(entry).split(' ').next().unwrap().parse::<u32>().unwrap());
    numbers.eq(0..MANY as u32)
}

pub(crate) fn with_id(id: &str, body: impl ToString) -> Record {
    Record { id: Some(id.into()), ..record("topic", body) }
}

pub(crate) fn body(entry: &Entry) -> String {
    String::from_utf8(entry.record.body.to_vec()).unwrap()
}

pub(crate) const ANY: Limit = Limit { records: usize::MAX, bytes: usize::MAX };

/// All held records after a position.
pub(crate) async fn held_after(log: &dyn Log, after: Position) -> Vec<Entry> {
    let page = log.read(after, ANY).await.unwrap();
    assert!(page.end);
    page.entries
}

pub(crate) async fn bodies(log: &dyn Log) -> Vec<String> {
    held_after(log, Position::START).await.iter().map(body).collect()
}

pub(crate) type Tail = BoxStream<'static, Result<Vec<Entry>, ReadError>>;

/// Reads at least this number of records from a tail.
pub(crate) async fn take(tail: &mut Tail, count: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    while entries.len() < count {
        let next = tokio::time::timeout(DEADLINE, tail.next()).await;
        entries.extend(next.expect("a record in time").expect("the tail continues").unwrap());
    }
    entries
}

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
