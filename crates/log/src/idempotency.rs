//! Idempotency keys: a second append with the same key adds no record. The number of keys is limited.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, SystemTime};

use crate::{AppendError, Position};

/// The identity of an append, so that a retry after a lost answer adds no second copy of its records.
///
/// Callers compute the hashes with a cryptographic function, so that different keys have different hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Hash of the key and of the publisher that chose it.
    pub hash: [u8; 16],
    /// Hash of the publisher: a log that has too many keys forgets those of the publisher with the most.
    pub publisher: [u8; 8],
    /// Hash of the appended content: an append of other content with the same key is refused.
    pub content: [u8; 16],
}

impl IdempotencyKey {
    /// The time for which a log remembers a key.
    pub const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

    /// The most keys that a log remembers.
    ///
    /// Beyond it, the log forgets the oldest key of the publisher that has the most keys. So the keys of a
    /// publisher stay as long as another has more.
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

/// The keys of appends, limited in age and in number.
#[derive(Debug, Default)]
pub(crate) struct UsedKeys {
    by_hash: HashMap<[u8; 16], KeyedAppend>,
    /// The keys by the first position of their append, so oldest first.
    oldest: BTreeMap<Position, UsedKey>,
    /// The first positions of each publisher's appends, oldest first.
    publishers: HashMap<[u8; 8], VecDeque<Position>>,
    /// The number of keys and the oldest of each publisher: the last publisher loses a key next.
    sizes: BTreeSet<(usize, Reverse<Position>, [u8; 8])>,
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
    /// Forgets the oldest key of the publisher with the most keys if there are too many. Callers insert
    /// appends in the order of their positions.
    pub(crate) fn insert(&mut self, append: KeyedAppend, write: Position, time: SystemTime) {
        let KeyedAppend { key: IdempotencyKey { hash, publisher, .. }, first, .. } = append;
        self.by_hash.insert(hash, append);
        self.oldest.insert(first, UsedKey { hash, publisher, time, write });
        *self.writes.entry(write).or_default() += 1;
        self.change(publisher, |own| own.push_back(first));
        if self.oldest.len() > IdempotencyKey::COUNT
            && let Some((_, Reverse(oldest), _)) = self.sizes.last().copied()
        {
            self.remove(oldest);
        }
    }

    /// Changes the appends of a publisher.
    fn change(&mut self, publisher: [u8; 8], change: impl FnOnce(&mut VecDeque<Position>)) {
        let own = self.publishers.entry(publisher).or_default();
        let size = |own: &VecDeque<Position>| Some((own.len(), Reverse(*own.front()?), publisher));
        if let Some(before) = size(own) {
            self.sizes.remove(&before);
        }
        change(own);
        if let Some(after) = size(own) {
            self.sizes.insert(after);
        } else {
            self.publishers.remove(&publisher);
        }
    }

    /// Forgets keys that are too old.
    ///
    /// Returns the writes whose last key was forgotten since the previous call.
    pub(crate) fn forget(&mut self, now: SystemTime) -> Vec<Position> {
        while let Some((&first, oldest)) = self.oldest.first_key_value() {
            // A clock that was set back leaves times in the future; they count as now.
            let age = now.duration_since(oldest.time).unwrap_or_default();
            if age < IdempotencyKey::LIFETIME {
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
        self.change(publisher, |own| {
            own.pop_front();
        });
        if let Some(keys) = self.writes.get_mut(&write) {
            *keys -= 1;
            if *keys == 0 {
                self.writes.remove(&write);
                self.forgotten.push(write);
            }
        }
    }
}
