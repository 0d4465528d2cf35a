//! Batches of changes to the store, which are written atomically.

use fjall::{Keyspace, PersistMode};

use super::id_index::IdKey;
use super::layout::{RuleId, keys_key, record_key};
use super::snapshot::RuleRow;
use super::store::Store;
use crate::Position;

/// Changes that the store makes all at once, or not at all.
pub(super) struct WriteBatch<'a> {
    store: &'a Store,
    batch: fjall::OwnedWriteBatch,
    /// The ids that are added to memory and removed from it after the write.
    inserted_ids: Vec<(IdKey, RuleId)>,
    removed_ids: Vec<IdKey>,
    /// The rows of the rules' counts, which are written last.
    held: Vec<(RuleId, [u64; 7])>,
    items: usize,
    /// The bytes of keys and values.
    bytes: usize,
}

impl<'a> WriteBatch<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        let batch = store.database.batch();
        Self {
            store,
            batch,
            inserted_ids: Vec::new(),
            removed_ids: Vec::new(),
            held: Vec::new(),
            items: 0,
            bytes: 0,
        }
    }

    /// Inserts a group of records, of which the last has this position.
    pub(super) fn insert_group(&mut self, rule: RuleId, last: Position, group: &[u8]) {
        self.put(&self.store.records, record_key(rule, last), group);
    }

    /// Removes a group of records.
    pub(super) fn remove_group(&mut self, rule: RuleId, last: Position) {
        self.delete(&self.store.records, record_key(rule, last));
    }

    /// Inserts an id, in memory.
    pub(super) fn insert_id(&mut self, rule: RuleId, id: &str, position: Position) {
        self.inserted_ids.push((self.store.id_key(id, position), rule));
    }

    /// Removes an id that is in memory.
    pub(super) fn remove_unindexed_id(&mut self, id: &str, position: Position) {
        self.removed_ids.push(self.store.id_key(id, position));
    }

    /// Removes an id that is in a table.
    pub(super) fn remove_indexed_id(&mut self, id: &str, position: Position) {
        self.delete(self.store.ids.tables(), self.store.id_key(id, position));
    }

    /// Returns true if ids are in memory, or will be after the write.
    pub(super) fn has_unindexed_ids(&self) -> bool {
        !self.inserted_ids.is_empty() || !self.store.ids.is_empty()
    }

    /// Sets the positions of the newest records of a topic.
    pub(super) fn set_newest(&mut self, rule: RuleId, topic: &str, positions: &[Position]) {
        if positions.is_empty() {
            self.delete(&self.store.topics, self.store.topic_key(rule, topic));
        } else {
            let value: Vec<u8> = positions.iter().flat_map(|position| position.0.to_be_bytes()).collect();
            self.put(&self.store.topics, self.store.topic_key(rule, topic), value);
        }
    }

    pub(super) fn set_reserved(&mut self, reserved: Position) {
        self.put(&self.store.meta, "reserved", row([reserved.0]));
    }

    /// Inserts the idempotency keys of the write with this first position.
    pub(super) fn insert_keys(&mut self, write: Position, group: &[u8]) {
        self.put(&self.store.meta, keys_key(write), group);
    }

    /// Removes the idempotency keys of a write.
    pub(super) fn remove_keys(&mut self, write: Position) {
        self.delete(&self.store.meta, keys_key(write));
    }

    /// Stores the name of a rule.
    pub(super) fn set_rule(&mut self, rule: RuleId, name: &str) {
        self.put(&self.store.meta, [b"rule".as_slice(), &rule.0.to_be_bytes()].concat(), name);
    }

    /// Stores the order of the rules, and the position of its last change.
    pub(super) fn set_order(&mut self, changed: Position, order: &[RuleId]) {
        let numbers = order.iter().flat_map(|rule| rule.0.to_be_bytes());
        let value: Vec<u8> = changed.0.to_be_bytes().into_iter().chain(numbers).collect();
        self.put(&self.store.meta, "order", value);
    }

    /// Sets the counts and positions of a rule, and the positions of the log.
    ///
    /// `log` has the last position, the common horizon, and the position up to which ids are in tables.
    pub(super) fn set_held(&mut self, row: &RuleRow, log: [Position; 3]) {
        let RuleRow { id, held, low_watermark, horizon } = row;
        let [last, common, indexed] = log.map(|position| position.0);
        self.held.push((*id, [held.records, held.bytes, low_watermark.0, last, common, indexed, horizon.0]));
    }

    fn put(&mut self, keyspace: &Keyspace, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let (key, value) = (key.as_ref(), value.as_ref());
        self.items += 1;
        self.bytes += key.len() + value.len();
        self.batch.insert(keyspace, key, value);
    }

    fn delete(&mut self, keyspace: &Keyspace, key: impl AsRef<[u8]>) {
        self.items += 1;
        self.bytes += key.as_ref().len();
        self.batch.remove(keyspace, key.as_ref());
    }

    /// Writes the batch; without a mode, into memory of the process.
    pub(super) fn commit(mut self, mode: Option<PersistMode>) -> fjall::Result<()> {
        let held = std::mem::take(&mut self.held);
        for (index, (rule, numbers)) in held.iter().enumerate() {
            let key = [b"held".as_slice(), &rule.0.to_be_bytes()].concat();
            let mut value = row(*numbers);
            if index + 1 == held.len() {
                let (items, bytes) = (self.items + 1, self.bytes + key.len() + value.len());
                let padding = (items * MIN_ITEM_BYTES).saturating_sub(bytes);
                value.resize(value.len() + padding, 0);
            }
            self.put(&self.store.meta, key, value);
        }
        self.batch.durability(mode).commit()?;
        self.store.add_written((self.bytes + self.items * OVERHEAD) as u64);
        let ids = &self.store.ids;
        if !self.inserted_ids.is_empty() {
            ids.insert(self.inserted_ids);
        }
        ids.remove(&self.removed_ids);
        for (rule, [_, _, low_watermark, ..]) in held {
            ids.set_low_watermark(rule, Position(low_watermark));
        }
        Ok(())
    }
}

fn row<const N: usize>(numbers: [u64; N]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// The minimal average size of the items of a batch; smaller batches are padded with zeros.
///
/// So the journals, whose bytes are limited, hold no more items than a start after `kill -9` reads in time.
const MIN_ITEM_BYTES: usize = 256;

/// The bytes of the store's memory for an item, besides its key and value.
const OVERHEAD: usize = 64;
