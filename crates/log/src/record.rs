use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::{AppendError, Position};

/// An update, as it is appended.
///
/// The log reads of it what retention and lookup need: its topics and its id. The body is opaque.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it is about: the canonical topic first, then its alternates. At least one.
    pub topics: Arc<[Box<str>]>,
    /// Only who is authorised for one of the topics may read it.
    pub private: bool,
    /// The id that its publisher chose. Without one, its place in the log is its id.
    pub id: Option<Box<str>>,
    /// The event, encoded for `text/event-stream`, without its id.
    pub body: Bytes,
}

impl Record {
    /// The most bytes of one record.
    pub const SIZE: usize = 16 * 1024 * 1024;

    /// The most topics of one record.
    pub const TOPICS: usize = 1_000;

    /// The most records that are appended at once.
    pub const BATCH: usize = 16_384;

    /// The most bytes of records that are appended at once.
    pub const BATCH_SIZE: usize = 32 * 1024 * 1024;

    /// The most that the records of one append weigh ([`Record::weight`]).
    pub const BATCH_WEIGHT: usize = Self::BATCH_SIZE + Self::BATCH * OVERHEAD;

    /// The bytes that limits count: of the body, the topics and the id.
    pub fn size(&self) -> usize {
        let topics: usize = self.topics.iter().map(|topic| topic.len()).sum();
        self.body.len() + topics + self.id.as_ref().map_or(0, |id| id.len())
    }

    /// The memory that a record is counted with where it waits or is cached, in bytes: its size and 256 more.
    pub fn weight(&self) -> usize {
        self.size() + OVERHEAD
    }

    /// Whether these can be appended at once.
    pub(crate) fn check(records: &[Self]) -> Result<(), AppendError> {
        if records.len() > Self::BATCH {
            return Err(AppendError::Invalid(format!(
                "the batch has {} records; the limit is {}",
                records.len(),
                Self::BATCH
            )));
        }
        let mut sum = 0;
        for record in records {
            if record.topics.is_empty() || record.topics.len() > Self::TOPICS {
                return Err(AppendError::Invalid(format!(
                    "a record has {} topics; it must have 1 to {}",
                    record.topics.len(),
                    Self::TOPICS
                )));
            }
            let size = record.size();
            if size > Self::SIZE {
                return Err(AppendError::Invalid(format!(
                    "a record has {size} bytes; the limit is {}",
                    Self::SIZE
                )));
            }
            sum += size;
        }
        if sum > Self::BATCH_SIZE {
            return Err(AppendError::Invalid(format!(
                "the batch has {sum} bytes; the limit is {}",
                Self::BATCH_SIZE
            )));
        }
        Ok(())
    }
}

/// The memory of a record besides its bytes, roughly.
const OVERHEAD: usize = 256;

/// A record in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub position: Position,
    /// When it was appended, to the millisecond.
    pub time: SystemTime,
    /// What was appended.
    pub record: Record,
}
