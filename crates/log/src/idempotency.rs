//! Appends that may be repeated: each carries a key, and a second append with the same key adds no record.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, SystemTime};

use crate::{AppendError, Position};

/// Identifies an append, so that a retry after a lost answer adds no second copy of its records.
///
/// Both hashes are the caller's, of a cryptographic function: two callers that choose different keys never get equal hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Hash of the key and of the client that chose it.
    pub hash: [u8; 16],
    /// Hash of the appended content: the same key with other content is refused.
    pub content: [u8; 16],
}

impl IdempotencyKey {
    /// The time for which a log remembers a key.
    pub const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

    /// The most keys that a log remembers; it forgets the oldest first.
    pub const COUNT: usize = 100_000;
}

/// The result of [`Log::append_with_key`](crate::Log::append_with_key).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The positions of the records, in their order.
    pub positions: Vec<Position>,
    /// An earlier append with the same key added the records; this one added none.
    pub repeated: bool,
}

/// One append that had a key, as the log stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyedAppend {
    pub(crate) key: IdempotencyKey,
    /// The position of its first record; the others follow without a gap.
    pub(crate) first: Position,
    pub(crate) count: u32,
}

impl KeyedAppend {
    pub(crate) fn positions(&self) -> Vec<Position> {
        (self.first.0..self.first.0 + u64::from(self.count)).map(Position).collect()
    }
}

/// The keys of the newest appends, of an age and a number that are limited.
#[derive(Debug, Default)]
pub(crate) struct UsedKeys {
    by_hash: HashMap<[u8; 16], KeyedAppend>,
    /// The same, oldest first.
    oldest: VecDeque<Used>,
}

#[derive(Debug)]
struct Used {
    hash: [u8; 16],
    /// The first position of the append.
    first: Position,
    time: SystemTime,
    /// The first position of the write that stored the append.
    write: Position,
}

impl UsedKeys {
    /// The answer to an append whose key was used before.
    pub(crate) fn find(&self, key: &IdempotencyKey) -> Option<Result<Appended, AppendError>> {
        let found = self.by_hash.get(&key.hash)?;
        Some(if found.key.content == key.content {
            Ok(Appended { positions: found.positions(), repeated: true })
        } else {
            Err(AppendError::KeyReused)
        })
    }

    /// Remembers the key of an append that the write at this first position stores.
    pub(crate) fn insert(&mut self, append: KeyedAppend, write: Position, time: SystemTime) {
        self.oldest.push_back(Used { hash: append.key.hash, first: append.first, time, write });
        self.by_hash.insert(append.key.hash, append);
    }

    /// Forgets the keys that are too old and the oldest of those that are too many. Returns the writes of which every key is forgotten now.
    pub(crate) fn forget(&mut self, now: SystemTime) -> Vec<Position> {
        let mut forgotten = Vec::new();
        while let Some(oldest) = self.oldest.front() {
            // A time in the future, as after a clock was set back, counts as now.
            let age = now.duration_since(oldest.time).unwrap_or_default();
            if self.oldest.len() <= IdempotencyKey::COUNT && age < IdempotencyKey::LIFETIME {
                break;
            }
            let Some(Used { hash, first, write, .. }) = self.oldest.pop_front() else { break };
            // After a restart, a row may hold a forgotten key that a later append has used again.
            if self.by_hash.get(&hash).is_some_and(|append| append.first == first) {
                self.by_hash.remove(&hash);
            }
            if self.oldest.front().is_none_or(|next| next.write != write) {
                forgotten.push(write);
            }
        }
        forgotten
    }
}
