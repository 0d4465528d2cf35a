use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::Position;

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
    /// The bytes that limits count: of the body, the topics and the id.
    pub fn size(&self) -> usize {
        let topics: usize = self.topics.iter().map(|topic| topic.len()).sum();
        self.body.len() + topics + self.id.as_ref().map_or(0, |id| id.len())
    }
}

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
