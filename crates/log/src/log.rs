//! The trait `Log`, which every log implements, and the results of its reads.

use std::fmt::Debug;

use futures_util::future::{BoxFuture, FutureExt as _, TryFutureExt as _};
use futures_util::stream::BoxStream;

use crate::{
    AppendError, Appended, Entry, Epoch, Horizons, IdempotencyKey, Position, ReadError, Record, Retention,
};

/// An ordered, append-only sequence of records.
///
/// Many hubs on many machines may share a log: the trait needs no lock, no transaction across calls, and no
/// positions without gaps. Every implementation passes the suite in `tests/contract`. Futures and streams are
/// polled within a tokio runtime.
pub trait Log: Debug + Send + Sync + 'static {
    /// The random bits that identify this log.
    ///
    /// They are stored as long as its records. Positions of one log mean nothing in another.
    fn epoch(&self) -> Epoch;

    /// The rules for the records that the log keeps.
    fn retention(&self) -> &Retention;

    /// Appends at most [`Record::BATCH`] records of [`Record::BATCH_SIZE`] bytes, all of them or none.
    ///
    /// The records keep their order; records of concurrent appends may lie between them. The future resolves
    /// when the records are as durable as the log is configured to make them. If the caller drops the future,
    /// the log appends all of the records or none.
    ///
    /// # Errors
    /// See [`AppendError`]. Refused records are not in the log, and no reader ever gets them.
    fn append(&self, records: Vec<Record>) -> BoxFuture<'_, Result<Vec<Position>, AppendError>> {
        self.append_with_key(None, records).map_ok(|appended| appended.positions).boxed()
    }

    /// Appends records like [`append`](Self::append), unless an earlier append had the same key.
    ///
    /// In that case it adds no record and returns the positions of the earlier append, even if retention has
    /// dropped the records since. Of concurrent appends with one key, one adds the records and the others
    /// return its positions.
    ///
    /// The key is as durable as the records. The log remembers it for [`IdempotencyKey::LIFETIME`], as long
    /// as there are not more than [`IdempotencyKey::COUNT`]; beyond that, it forgets the oldest key of the
    /// publisher with the most keys.
    ///
    /// # Errors
    /// [`AppendError::KeyReused`] if the earlier append had other content; otherwise the errors of
    /// [`append`](Self::append). A refused append does not use up its key.
    fn append_with_key(
        &self,
        key: Option<IdempotencyKey>,
        records: Vec<Record>,
    ) -> BoxFuture<'_, Result<Appended, AppendError>>;

    /// Reads the records after a position, oldest first.
    ///
    /// # Errors
    /// If the storage cannot be read.
    fn read(&self, after: Position, limit: Limit) -> BoxFuture<'_, Result<Page, ReadError>>;

    /// Streams all records after a position, oldest first, and then each new one.
    ///
    /// The stream ends when the log is closed and the stream has returned all records. A slow reader delays
    /// no append: the tail reads records that are no longer in memory from storage. If retention has dropped
    /// records before the tail read them, the tail returns [`ReadError::Missed`] and continues after them.
    /// A tail from [`Position::START`] returns the records that the log holds at the time of this call, and
    /// all later ones.
    ///
    /// A tail misses no record, whatever retention drops, while the weight of its unread records is at most
    /// [`Record::BATCH_WEIGHT`], the weight of the largest append.
    ///
    /// The stream continues after an error: the next poll tries again, after a pause.
    fn tail(&self, after: Position) -> BoxStream<'static, Result<Vec<Entry>, ReadError>>;

    /// The position of the oldest record with this [`Record::id`].
    ///
    /// # Errors
    /// If the storage cannot be read.
    fn find<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Position>, ReadError>>;

    /// The extent of the log now.
    ///
    /// # Errors
    /// If the storage cannot be read.
    fn bounds(&self) -> BoxFuture<'_, Result<Bounds, ReadError>>;

    /// Checks that no held record is known to be unreadable.
    ///
    /// [`read`](Self::read) and [`tail`](Self::tail) skip damaged records like records that retention has
    /// dropped: the page after them has later [`Page::horizons`].
    ///
    /// # Errors
    /// If the storage cannot be read, or if damage was found in records that retention has not dropped yet.
    fn health(&self) -> BoxFuture<'_, Result<(), ReadError>> {
        Box::pin(async { self.bounds().await.map(drop) })
    }

    /// Refuses further appends, stores all accepted records, and ends each tail once it has read all records.
    ///
    /// Closing a closed log does nothing. Dropping a log closes it, too, without returning errors.
    ///
    /// # Errors
    /// If accepted records may not have been stored.
    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>>;
}

/// The limits of a page of [`Log::read`].
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The most records; a page always has room for one.
    pub records: usize,
    /// The most bytes of records ([`Record::size`]), unless the first record alone exceeds them.
    pub bytes: usize,
}

/// The result of [`Log::read`].
#[derive(Debug)]
pub struct Page {
    /// The records, oldest first.
    pub entries: Vec<Entry>,
    /// The position up to which the log was read: the next page begins after it.
    pub through: Position,
    /// The log held no record after `through` at the time of the read.
    pub end: bool,
    /// [`Bounds::horizons`] at the time of the read, and the end of damaged records.
    pub horizons: Horizons,
}

/// The extent of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The positions up to which retention may have dropped records.
    pub horizons: Horizons,
    /// The position of the newest record, even if it was dropped; [`Position::START`] in a new log.
    pub last: Position,
    /// The number of held records; an estimate if the storage does not count them.
    pub records: u64,
    /// The bytes of held records ([`Record::size`]); an estimate if the storage does not count them.
    pub bytes: u64,
}
