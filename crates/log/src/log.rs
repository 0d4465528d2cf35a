use std::fmt::Debug;

use futures_util::future::{BoxFuture, FutureExt as _, TryFutureExt as _};
use futures_util::stream::BoxStream;

use crate::{AppendError, Appended, Entry, Epoch, IdempotencyKey, Position, ReadError, Record};

/// Where updates are kept, in order.
///
/// A log may be shared by many hubs on many machines: nothing here asks for a lock, a transaction across calls, or positions
/// without gaps. Every implementation passes the suite in `tests/contract`. Futures and streams are polled within a tokio runtime.
pub trait Log: Debug + Send + Sync + 'static {
    /// Which log this is: made at random with the log, kept as long as its records. Positions of one log mean nothing in another.
    fn epoch(&self) -> Epoch;

    /// Appends records, in this order but perhaps with those of others between, and answers when they are kept as surely as the log is configured
    /// to keep them. At most [`Record::BATCH`] records of [`Record::BATCH_SIZE`] bytes.
    ///
    /// All are kept or none is. Dropping the future leaves open which.
    ///
    /// # Errors
    /// See [`AppendError`]. What was refused is not in the log, and will never be read.
    fn append(&self, records: Vec<Record>) -> BoxFuture<'_, Result<Vec<Position>, AppendError>> {
        self.append_with_key(None, records).map_ok(|appended| appended.positions).boxed()
    }

    /// Appends records like [`append`](Self::append). If an earlier append had the same key, it adds nothing and returns the positions of that
    /// append, even if retention has dropped the records since.
    ///
    /// The key is kept as surely as the records, for [`IdempotencyKey::LIFETIME`], as one of the newest [`IdempotencyKey::COUNT`] and of the
    /// newest [`IdempotencyKey::COUNT_PER_PUBLISHER`] of its publisher. Of concurrent appends with one key, one adds the records and the others return its positions.
    ///
    /// # Errors
    /// [`AppendError::KeyReused`] when the earlier append had other content; the others as of [`append`](Self::append). A refused append
    /// does not use up its key.
    fn append_with_key(
        &self,
        key: Option<IdempotencyKey>,
        records: Vec<Record>,
    ) -> BoxFuture<'_, Result<Appended, AppendError>>;

    /// Reads the records after a place, oldest first.
    ///
    /// # Errors
    /// When the storage cannot be read.
    fn read(&self, after: Position, limit: Limit) -> BoxFuture<'_, Result<Page, ReadError>>;

    /// All records after a position, oldest first, then each as it is kept; ends when the log is closed and all of it has been read.
    ///
    /// A slow reader makes nobody wait: records that are no longer in memory are read from storage. Records that retention dropped before they
    /// were read are reported as [`ReadError::Missed`], and reading goes on behind them. After [`Position::START`], the records that the log holds at
    /// the time of this call count, and all later ones.
    ///
    /// A tail misses nothing, whatever retention drops, while the records that it has not read yet weigh no more than
    /// [`Record::BATCH_WEIGHT`]: one append of the largest size.
    ///
    /// An error is not the end; the next poll tries again, after a pause.
    fn tail(&self, after: Position) -> BoxStream<'static, Result<Vec<Entry>, ReadError>>;

    /// The place of the oldest record with this id, of those that carry one of their own ([`Record::id`]).
    ///
    /// # Errors
    /// When the storage cannot be read.
    fn find<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Position>, ReadError>>;

    /// What the log holds now.
    ///
    /// # Errors
    /// When the storage cannot be read.
    fn bounds(&self) -> BoxFuture<'_, Result<Bounds, ReadError>>;

    /// Whether everything that is held can be read, as far as is known. Records that are damaged are passed over by
    /// [`read`](Self::read) and [`tail`](Self::tail) like those that retention has dropped: what is read afterwards has a later
    /// [`Page::horizon`].
    ///
    /// # Errors
    /// When the storage cannot be read, or damage was found that is not behind the horizon yet.
    fn health(&self) -> BoxFuture<'_, Result<(), ReadError>> {
        Box::pin(async { self.bounds().await.map(drop) })
    }

    /// Takes no more records, keeps what it has taken as surely as it can, and ends the tails once they have read all of it.
    ///
    /// Closing a log that is closed does nothing. A log that is dropped instead is closed, too, and tells nobody of errors.
    ///
    /// # Errors
    /// When what was taken may not be kept.
    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>>;
}

/// How much [`Log::read`] may answer.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// At most so many records, but always one.
    pub records: usize,
    /// At most so many bytes of records ([`Record::size`]), but always one record.
    pub bytes: usize,
}

/// What [`Log::read`] has found.
#[derive(Debug)]
pub struct Page {
    /// The records, oldest first.
    pub entries: Vec<Entry>,
    /// Everything up to here has been looked at: the place to read on after.
    pub through: Position,
    /// Nothing was held after `through` when this was read.
    pub end: bool,
    /// [`Bounds::horizon`] when this was read, or the end of damaged records: a reader that goes on after a position before it has missed something.
    pub horizon: Position,
    /// [`Bounds::separate_horizon`] when this was read.
    pub separate_horizon: Position,
}

/// What a log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Records up to here may be gone by count, bytes or age: who has read less has missed something. Records that a newer one of the same
    /// topic has replaced do not count.
    pub horizon: Position,
    /// The same of records whose rule is counted separately ([`Rule::separate`](crate::Rule::separate)), which [`horizon`](Self::horizon) leaves out.
    pub separate_horizon: Position,
    /// Where the newest record was appended, even if it is gone; [`Position::START`] in a new log.
    pub last: Position,
    /// How many records are held. Where the storage does not count, an estimate.
    pub records: u64,
    /// How many bytes they take ([`Record::size`]). Where the storage does not count, an estimate.
    pub bytes: u64,
}

impl Bounds {
    /// The horizon of a reader of all records.
    pub fn horizon_of_all(&self) -> Position {
        self.horizon.max(self.separate_horizon)
    }
}

impl Page {
    /// The horizon of a reader of all records.
    pub fn horizon_of_all(&self) -> Position {
        self.horizon.max(self.separate_horizon)
    }
}
