//! Records and their limits.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::{AppendError, Position};

/// An update, as a log stores it.
///
/// The log interprets the topics, for retention, and the id, for [`Log::find`](crate::Log::find). The body is
/// opaque to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The canonical topic, then the alternates. There is at least one topic.
    pub topics: Arc<[Box<str>]>,
    /// Only subscribers whose token grants one of the topics may read the record.
    pub private: bool,
    /// The id that the publisher chose. Without one, the hub makes the id from the position.
    pub id: Option<Box<str>>,
    /// The event, encoded as `text/event-stream`, without its id.
    pub body: Bytes,
}

impl Record {
    /// The most bytes of one record.
    pub const SIZE: usize = 16 * 1024 * 1024;

    /// The most topics of one record.
    pub const TOPICS: usize = 1_000;

    /// The most records of one append.
    pub const BATCH: usize = 16_384;

    /// The most bytes of the records of one append.
    pub const BATCH_SIZE: usize = 32 * 1024 * 1024;

    /// The most that the records of one append weigh ([`Record::weight`]).
    pub const BATCH_WEIGHT: usize = Self::BATCH_SIZE + Self::BATCH * OVERHEAD;

    /// The bytes of the body, the topics and the id, which limits count.
    pub fn size(&self) -> usize {
        let topics: usize = self.topics.iter().map(|topic| topic.len()).sum();
        self.body.len() + topics + self.id.as_ref().map_or(0, |id| id.len())
    }

    /// The bytes of memory that queues and caches count for a record: its size and 256.
    pub fn weight(&self) -> usize {
        self.size() + OVERHEAD
    }

    /// Checks the limits of one append.
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

/// The approximate memory of a record besides its bytes.
const OVERHEAD: usize = 256;

/// A record with its position in the log and the time of its append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The position of the record.
    pub position: Position,
    /// The time of the append, cut to milliseconds.
    pub time: SystemTime,
    /// The appended record.
    pub record: Record,
}
