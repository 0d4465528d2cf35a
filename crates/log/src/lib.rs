//! The hub's storage: an append-only log of updates that knows no subscriber.
//!
//! ```text
//!  append ─▶ Log ─▶ tail    every record from a place on, for ever: what the hub delivers, live
//!                 ─▶ read    a page of records after a place: what a subscriber missed
//!                 ─▶ find    the place of an id that a publisher chose
//! ```
//!
//! A record is kept at a [`Position`]. Positions grow in the order of the log, are never used twice, not even after a crash,
//! and may have gaps. Everybody who reads the log reads the same records in the same order, so that live delivery and
//! replay are one path.

mod position;
mod record;

pub use self::position::{Epoch, Position};
pub use self::record::{Entry, Record};

use std::fmt::Debug;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

/// Where updates are kept, in order.
///
/// A log may be shared by many hubs on many machines: nothing here asks for a lock, a transaction across calls, or positions
/// without gaps. Every implementation passes the suite in `tests/contract`.
pub trait Log: Debug + Send + Sync + 'static {
    /// Which log this is: made at random with the log, kept as long as its records. Positions of one log mean nothing in another.
    fn epoch(&self) -> Epoch;

    /// Appends records, in this order but perhaps with those of others between, and answers when they are kept as surely as the log is configured
    /// to keep them.
    ///
    /// All are kept or none is. Dropping the future leaves open which.
    ///
    /// # Errors
    /// See [`AppendError`]. What was refused is not in the log, and will never be read.
    fn append(&self, records: Vec<Record>) -> BoxFuture<'_, Result<Vec<Position>, AppendError>>;

    /// Reads the records after a place, oldest first.
    ///
    /// # Errors
    /// When the storage cannot be read.
    fn read(&self, after: Position, limit: Limit) -> BoxFuture<'_, Result<Page, ReadError>>;

    /// All records after a place, oldest first, then each as it is kept; ends with the log.
    ///
    /// A reader that is slow makes nobody wait and misses nothing: what is not in memory any more is read from storage.
    /// An error is not the end; the next poll tries again.
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
}

/// How much [`Log::read`] may answer.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// At most so many records.
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
}

/// What a log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Records up to here may be gone by count, bytes or age: who has read less has missed something. Records that a newer one of the same
    /// topic has replaced do not count.
    pub horizon: Position,
    /// The last record's place; that of the horizon in an empty log.
    pub last: Position,
    /// How many records are held.
    pub records: u64,
    /// How many bytes they take ([`Record::size`]).
    pub bytes: u64,
}

/// Why records were not appended.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// There is no room, on the disk or by a quota.
    #[error("the log has no room for more: {0}")]
    Full(String),
    /// The storage does not take it now: a read-only folder, a server out of reach.
    #[error("the log cannot be written: {0}")]
    Unavailable(String),
    /// One of the records can never be appended.
    #[error("the log does not take such a record: {0}")]
    Invalid(String),
    /// The log has been closed.
    #[error("the log is closed")]
    Closed,
}

/// Why the log was not read.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The storage does not answer now.
    #[error("the log cannot be read: {0}")]
    Unavailable(String),
    /// What is stored is not what was written.
    #[error("the log is damaged: {0}")]
    Damaged(String),
}
