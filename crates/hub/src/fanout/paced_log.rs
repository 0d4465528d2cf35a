//! Backpressure: publishers wait for the fan-out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::BoxStream;
use ssekit_log::{
    AppendError, Appended, Bounds, Entry, Epoch, IdempotencyKey, Limit, Log, Page, Position, ReadError,
    Record, Retention,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A log whose appends wait until the fan-out has read most of the earlier ones.
///
/// The unread records weigh at most [`Record::BATCH_WEIGHT`]. A log keeps as much in memory for its tails, so
/// the fan-out reads every record, however short the retention is.
#[derive(Debug)]
pub(super) struct PacedLog {
    log: Arc<dyn Log>,
    unread: Arc<Unread>,
}

/// Appends that the fan-out has not read yet.
#[derive(Debug)]
pub(super) struct Unread {
    /// Free weight in bytes.
    room: Arc<Semaphore>,
    appends: Mutex<Appends>,
}

#[derive(Debug)]
struct Appends {
    /// Position up to which the fan-out has read.
    read: Position,
    /// The weight of each later append, by the position of its last record.
    weights: BTreeMap<Position, OwnedSemaphorePermit>,
}

impl PacedLog {
    pub(super) fn new(log: Arc<dyn Log>, unread: Arc<Unread>) -> Self {
        Self { log, unread }
    }

    async fn append_paced(
        &self,
        key: Option<IdempotencyKey>,
        records: Vec<Record>,
    ) -> Result<Appended, AppendError> {
        let weight: usize = records.iter().map(Record::weight).sum();
        if weight > Record::BATCH_WEIGHT {
            // The log refuses such an append.
            return self.log.append_with_key(key, records).await;
        }
        // The caller may drop this future while the log appends. The weight is then free at once, because the
        // progress of the log is unknown.
        let permit = self.unread.reserve(weight).await?;
        let appended = self.log.append_with_key(key, records).await?;
        if let Some(last) = appended.positions.last().filter(|_| !appended.repeated) {
            self.unread.add(*last, permit);
        }
        Ok(appended)
    }
}

impl Unread {
    pub(super) fn new(read: Position) -> Self {
        let appends = Appends { read, weights: BTreeMap::new() };
        Self { room: Arc::new(Semaphore::new(Record::BATCH_WEIGHT)), appends: Mutex::new(appends) }
    }

    /// Waits for free weight.
    async fn reserve(&self, weight: usize) -> Result<OwnedSemaphorePermit, AppendError> {
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(weight);
        match tokio::time::timeout(PATIENCE, room).await {
            Ok(permit) => permit.map_err(|_| AppendError::Closed),
            Err(_) => {
                let what = format!("earlier updates were not delivered within {PATIENCE:?}");
                Err(AppendError::Busy(what))
            }
        }
    }

    fn add(&self, last: Position, weight: OwnedSemaphorePermit) {
        let mut appends = self.lock();
        if last > appends.read {
            appends.weights.insert(last, weight);
        }
    }

    /// Notes that the fan-out has read up to a position.
    pub(super) fn read_upto(&self, position: Position) {
        let mut appends = self.lock();
        appends.read = position;
        let later = appends.weights.split_off(&Position(position.0.saturating_add(1)));
        let read = std::mem::replace(&mut appends.weights, later);
        drop(appends);
        drop(read);
    }

    fn lock(&self) -> MutexGuard<'_, Appends> {
        self.appends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for PacedLog {
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
        self.append_paced(key, records).boxed()
    }

    fn read(&self, after: Position, limit: Limit) -> BoxFuture<'_, Result<Page, ReadError>> {
        self.log.read(after, limit)
    }

    fn tail(&self, after: Position) -> BoxStream<'static, Result<Vec<Entry>, ReadError>> {
        self.log.tail(after)
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

/// Maximum time for which an append waits.
const PATIENCE: Duration = Duration::from_secs(10);
