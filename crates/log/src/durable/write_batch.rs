//! What is written at once: all of it or nothing.

use fjall::{Keyspace, PersistMode};

use super::id_index::Key;
use super::store::{RuleId, Store, keys_key, record_key};
use crate::Position;
use crate::retention::Held;

pub(super) struct WriteBatch<'a> {
    store: &'a Store,
    batch: fjall::OwnedWriteBatch,
    /// What comes into memory and what leaves it once this is written.
    ids: Vec<(Key, RuleId)>,
    forgotten: Vec<Key>,
    /// What rules hold then.
    held: Vec<(RuleId, [u64; 7])>,
    items: usize,
    /// Of keys and values.
    bytes: usize,
}

impl<'a> WriteBatch<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        let batch = store.database.batch();
        Self { store, batch, ids: Vec::new(), forgotten: Vec::new(), held: Vec::new(), items: 0, bytes: 0 }
    }

    /// Writes a group of records, the last of which is at this place.
    pub(super) fn insert(&mut self, rule: RuleId, last: Position, group: &[u8]) {
        self.put(&self.store.records, record_key(rule, last), group);
    }

    /// Takes a group away.
    pub(super) fn remove(&mut self, rule: RuleId, last: Position) {
        self.take(&self.store.records, record_key(rule, last));
    }

    pub(super) fn insert_id(&mut self, rule: RuleId, id: &str, position: Position) {
        self.ids.push((self.store.id_key(id, position), rule));
    }

    /// Takes an id away that is in memory.
    pub(super) fn forget_id(&mut self, id: &str, position: Position) {
        self.forgotten.push(self.store.id_key(id, position));
    }

    /// Takes an id away that is in a table.
    pub(super) fn remove_id(&mut self, id: &str, position: Position) {
        self.take(self.store.ids.tables(), self.store.id_key(id, position));
    }

    /// Whether ids are in memory, or will be.
    pub(super) fn leaves_ids(&self) -> bool {
        !self.ids.is_empty() || !self.store.ids.is_empty()
    }

    pub(super) fn set_newest(&mut self, rule: RuleId, topic: &str, places: &[Position]) {
        if places.is_empty() {
            self.take(&self.store.topics, self.store.topic_key(rule, topic));
        } else {
            let places: Vec<u8> = places.iter().flat_map(|place| place.0.to_be_bytes()).collect();
            self.put(&self.store.topics, self.store.topic_key(rule, topic), places);
        }
    }

    pub(super) fn set_reserved(&mut self, reserved: Position) {
        self.put(&self.store.meta, "reserved", row([reserved.0]));
    }

    /// Writes the idempotency keys of the write whose first record is at this position.
    pub(super) fn insert_keys(&mut self, write: Position, group: &[u8]) {
        self.put(&self.store.meta, keys_key(write), group);
    }

    pub(super) fn remove_keys(&mut self, write: Position) {
        self.take(&self.store.meta, keys_key(write));
    }

    pub(super) fn set_rule(&mut self, rule: RuleId, name: &str) {
        self.put(&self.store.meta, [b"rule".as_slice(), &rule.0.to_be_bytes()].concat(), name);
    }

    /// What a rule holds, and the log's last position, horizon, up to where ids are in tables, and the horizon of rules that are counted separately.
    pub(super) fn set_held(&mut self, rule: RuleId, held: Held, low_watermark: Position, log: [Position; 4]) {
        let [last, horizon, indexed, separate] = log.map(|place| place.0);
        self.held.push((rule, [held.records, held.bytes, low_watermark.0, last, horizon, indexed, separate]));
    }

    fn put(&mut self, keyspace: &Keyspace, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let (key, value) = (key.as_ref(), value.as_ref());
        self.items += 1;
        self.bytes += key.len() + value.len();
        self.batch.insert(keyspace, key, value);
    }

    fn take(&mut self, keyspace: &Keyspace, key: impl AsRef<[u8]>) {
        self.items += 1;
        self.bytes += key.as_ref().len();
        self.batch.remove(keyspace, key.as_ref());
    }

    /// Writes it: without a mode, into the process's own memory.
    pub(super) fn commit(mut self, mode: Option<PersistMode>) -> fjall::Result<()> {
        let held = std::mem::take(&mut self.held);
        for (index, (rule, numbers)) in held.iter().enumerate() {
            let key = [b"held".as_slice(), &rule.0.to_be_bytes()].concat();
            let mut value = row(*numbers);
            if index + 1 == held.len() {
                let (items, bytes) = (self.items + 1, self.bytes + key.len() + value.len());
                let short = (items * SPACE).saturating_sub(bytes);
                value.resize(value.len() + short, 0);
            }
            self.put(&self.store.meta, key, value);
        }
        self.batch.durability(mode).commit()?;
        self.store.count((self.bytes + self.items * OVERHEAD) as u64);
        let ids = &self.store.ids;
        if !self.ids.is_empty() {
            ids.add(self.ids);
        }
        ids.forget(&self.forgotten);
        for (rule, [_, _, low_watermark, ..]) in held {
            ids.set_low_watermark(rule, Position(low_watermark));
        }
        Ok(())
    }
}

fn row<const N: usize>(numbers: [u64; N]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// An item takes so many bytes at least, on average: what is smaller is filled up, so that as many bytes of journals as are there after
/// `kill -9` hold no more items than a start repeats in time.
const SPACE: usize = 256;

/// The bytes that the store's memory needs for an item, besides its own.
const OVERHEAD: usize = 64;
