//! Record of all published updates, and a log that keeps it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use ssekit_log::{
    AppendError, Appended, Bounds, Entry, Epoch, IdempotencyKey, Limit, Log, Page, Position, ReadError,
    Record, Retention,
};
use tokio::sync::watch;

/// All records that logs have kept, by their positions.
#[derive(Debug, Default)]
pub(super) struct Published(Mutex<BTreeMap<Position, Record>>);

impl Published {
    pub(super) fn records(&self) -> BTreeMap<Position, Record> {
        self.0.lock().unwrap().clone()
    }

    /// Returns the record with the number `choice`, modulo the number of records.
    pub(super) fn choose(&self, choice: usize) -> Option<(Position, Record)> {
        let records = self.0.lock().unwrap();
        let (position, record) = records.iter().nth(choice % records.len().max(1))?;
        Some((*position, record.clone()))
    }

    fn add(&self, position: Position, record: Record) {
        let before = self.0.lock().unwrap().insert(position, record);
        assert_eq!(before, None, "the log has used {position} twice");
    }
}

/// Number at the beginning of an event's data.
pub(super) fn number(data: &str) -> usize {
    data.split(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{data:.40} has no number"))
}

/// Number of a record.
pub(super) fn number_of(record: &Record) -> usize {
    let body = std::str::from_utf8(&record.body).unwrap();
    number(body.split_once("data: ").unwrap().1)
}

/// Log that notes the records that it has kept, and whose tail can be held up.
#[derive(Debug)]
pub(super) struct Noting {
    log: Arc<dyn Log>,
    published: Arc<Published>,
    pub(super) held_up: watch::Sender<bool>,
}

impl Noting {
    pub(super) fn new(log: Arc<dyn Log>, published: Arc<Published>) -> Arc<Self> {
        Arc::new(Self { log, published, held_up: watch::Sender::new(false) })
    }
}

impl Log for Noting {
    fn epoch(&self) -> Epoch {
        self.log.epoch()
    }

    fn retention(&self) -> &Retention {
        self.log.retention()
    }

    fn append_with_key(
        &self,
        key: Option<IdempotencyKey>,
        records: Vec<Record>,
    ) -> BoxFuture<'_, Result<Appended, AppendError>> {
        let (log, published) = (Arc::clone(&self.log), Arc::clone(&self.published));
        // A task of its own, so that no record is kept without a note if the publisher leaves.
        let kept = tokio::spawn(async move {
            let appended = log.append_with_key(key, records.clone()).await?;
            assert_eq!(appended.positions.len(), records.len());
            assert!(!appended.repeated, "no publisher here repeats a publication");
            let added = appended.positions.iter().zip(records);
            added.for_each(|(position, record)| published.add(*position, record));
            Ok(appended)
        });
        async { kept.await.unwrap() }.boxed()
    }

    fn read(&self, after: Position, limit: Limit) -> BoxFuture<'_, Result<Page, ReadError>> {
        self.log.read(after, limit)
    }

    fn tail(&self, after: Position) -> BoxStream<'static, Result<Vec<Entry>, ReadError>> {
        let start = (self.log.tail(after), self.held_up.subscribe());
        let released = stream::unfold(start, |(mut tail, mut held_up)| async {
            let next = tail.next().await?;
            drop(held_up.wait_for(|held_up| !held_up).await);
            Some((next, (tail, held_up)))
        });
        released.boxed()
    }

    fn find<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Position>, ReadError>> {
        self.log.find(id)
    }

    fn bounds(&self) -> BoxFuture<'_, Result<Bounds, ReadError>> {
        self.log.bounds()
    }

    fn health(&self) -> BoxFuture<'_, Result<(), ReadError>> {
        self.log.health()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        self.log.close()
    }
}
