//! Idempotency keys: a second append with the same key adds no record. The number of keys is limited.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, SystemTime};

use crate::{AppendError, Position};

/// The identity of an append, so that a retry after a lost answer adds no second copy of its records.
///
/// Callers compute the hashes with a cryptographic function, so that different keys have different hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Hash of the key and of the publisher that chose it.
    pub hash: [u8; 16],
    /// Hash of the publisher: a log limits the number of keys of each publisher.
    pub publisher: [u8; 8],
    /// Hash of the appended content: an append of other content with the same key is refused.
    pub content: [u8; 16],
}

impl IdempotencyKey {
    /// The time for which a log remembers a key.
    pub const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

    /// The most keys that a log remembers; it forgets the oldest first.
    pub const COUNT: usize = 100_000;

    /// The most keys of one publisher that a log remembers.
    ///
    /// Beyond it, the log forgets the oldest key of this publisher. So no publisher can displace more than
    /// this number of keys of the others.
    pub const COUNT_PER_PUBLISHER: usize = Self::COUNT / 2;
}

/// The result of [`Log::append_with_key`](crate::Log::append_with_key).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The positions of the records, in their order.
    pub positions: Vec<Position>,
    /// An earlier append with the same key added the records; this one added none.
    pub repeated: bool,
}

/// An append with a key, as the log stores it.
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

/// The keys of the newest appends, limited in age, in number, and in number for each publisher.
#[derive(Debug, Default)]
pub(crate) struct UsedKeys {
    by_hash: HashMap<[u8; 16], KeyedAppend>,
    /// The keys by the first position of their append, so oldest first.
    oldest: BTreeMap<Position, UsedKey>,
    /// The first positions of each publisher's appends, oldest first.
    publishers: HashMap<[u8; 8], VecDeque<Position>>,
    /// The number of keys of each write.
    writes: HashMap<Position, usize>,
    /// The writes whose keys are all forgotten, until [`forget`](Self::forget) returns them.
    forgotten: Vec<Position>,
}

#[derive(Debug)]
struct UsedKey {
    hash: [u8; 16],
    publisher: [u8; 8],
    time: SystemTime,
    /// The first position of the write that stored the append.
    write: Position,
}

impl UsedKeys {
    /// The result of an append whose key was used before.
    pub(crate) fn find(&self, key: &IdempotencyKey) -> Option<Result<Appended, AppendError>> {
        let found = self.by_hash.get(&key.hash)?;
        Some(if found.key.content == key.content {
            Ok(Appended { positions: found.positions(), repeated: true })
        } else {
            Err(AppendError::KeyReused)
        })
    }

    /// Remembers the key of an append, which belongs to the write with this first position.
    ///
    /// Forgets the publisher's oldest key if the publisher has too many. Callers insert appends in the order
    /// of their positions.
    pub(crate) fn insert(&mut self, append: KeyedAppend, write: Position, time: SystemTime) {
        let KeyedAppend { key: IdempotencyKey { hash, publisher, .. }, first, .. } = append;
        self.by_hash.insert(hash, append);
        self.oldest.insert(first, UsedKey { hash, publisher, time, write });
        *self.writes.entry(write).or_default() += 1;
        let own = self.publishers.entry(publisher).or_default();
        own.push_back(first);
        if own.len() > IdempotencyKey::COUNT_PER_PUBLISHER {
            let oldest = own[0];
            self.remove(oldest);
        }
    }

    /// Forgets keys that are too old or too many, oldest first.
    ///
    /// Returns the writes whose last key was forgotten since the previous call.
    pub(crate) fn forget(&mut self, now: SystemTime) -> Vec<Position> {
        while let Some((&first, oldest)) = self.oldest.first_key_value() {
            // A clock that was set back leaves times in the future; they count as now.
            let age = now.duration_since(oldest.time).unwrap_or_default();
            if self.oldest.len() <= IdempotencyKey::COUNT && age < IdempotencyKey::LIFETIME {
                break;
            }
            self.remove(first);
        }
        std::mem::take(&mut self.forgotten)
    }

    /// Forgets the key of the append at this first position, which must be the oldest of its publisher.
    fn remove(&mut self, first: Position) {
        let Some(UsedKey { hash, publisher, write, .. }) = self.oldest.remove(&first) else { return };
        // After a restart, a stored row may contain a forgotten key that a later append has used again.
        if self.by_hash.get(&hash).is_some_and(|append| append.first == first) {
            self.by_hash.remove(&hash);
        }
        if let Some(own) = self.publishers.get_mut(&publisher) {
            own.pop_front();
            if own.is_empty() {
                self.publishers.remove(&publisher);
            }
        }
        if let Some(keys) = self.writes.get_mut(&write) {
            *keys -= 1;
            if *keys == 0 {
                self.writes.remove(&write);
                self.forgotten.push(write);
            }
        }
    }
}
