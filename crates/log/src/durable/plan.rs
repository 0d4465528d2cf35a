//! Plans of writes: the records to append, and those to remove by retention.
//!
//! A plan reads a snapshot of the store and changes nothing; the writer commits it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::SystemTime;

use super::codec::encode;
use super::ledger::{Ledger, RuleState, unindexed_weight};
use super::snapshot::Snapshot;
use super::store::Store;
use super::write_batch::WriteBatch;
use crate::retention::Held;
use crate::{Entry, Position, ReadError, Record};

/// A batch to write, and the ledger after it.
pub(super) struct Plan<'a> {
    pub(super) batch: WriteBatch<'a>,
    pub(super) ledger: Ledger,
    /// The appended records, with their positions.
    pub(super) entries: Vec<Entry>,
    /// The batch reserves positions, so it must be synced before a record of it is confirmed.
    pub(super) reserves: bool,
}

impl<'a> Plan<'a> {
    /// Plans to append records, each with its rule, and to drop records beyond the limits.
    ///
    /// One plan drops at most [`MAX_DROPS`] stored records, so that further appends do not wait long.
    pub(super) fn new(
        store: &'a Store,
        ledger: &Ledger,
        first: Position,
        records: impl IntoIterator<Item = (usize, Record)>,
        now: SystemTime,
    ) -> Result<Self, ReadError> {
        let mut planner = Planner::new(store, ledger, first);
        for (rule, record) in records {
            planner.append(rule, record, now)?;
        }
        for rule in 0..planner.ledger.rules.len() {
            if planner.ledger.rules[rule].is_due(now) {
                planner.trim(rule, now)?;
            }
        }
        Ok(planner.finish())
    }

    /// Plans to remove all records after a position, which were refused and stored nevertheless.
    pub(super) fn remove_after(
        store: &'a Store,
        ledger: &Ledger,
        after: Position,
    ) -> Result<Self, ReadError> {
        let mut planner = Planner::new(store, ledger, Position(u64::MAX));
        for rule in 0..planner.ledger.rules.len() {
            let refused: Vec<_> =
                planner.snapshot.records(planner.ledger.rules[rule].id, after.next()).collect();
            for entry in refused {
                let (group, entry) = entry?;
                planner.remove_stored(rule, group, &entry)?;
            }
            planner.changed_rules.insert(rule);
        }
        for write in planner.snapshot.key_writes(after)? {
            planner.batch.remove_keys(write);
        }
        planner.ledger.last = planner.ledger.last.min(after);
        Ok(planner.finish())
    }
}

/// The state of a plan that is being made.
struct Planner<'a> {
    snapshot: Snapshot<'a>,
    batch: WriteBatch<'a>,
    ledger: Ledger,
    /// The rules whose counts change.
    changed_rules: BTreeSet<usize>,
    /// The position of the first appended record.
    first: Position,
    /// The appended records: rule, entry, and whether the record is stored.
    appended: Vec<(usize, Entry, bool)>,
    /// The newest positions of the topics that change.
    newest: HashMap<(usize, Box<str>), Vec<Position>>,
    /// The stored records that the plan removes.
    removed: HashSet<Position>,
    /// The number of stored records that the plan may still drop.
    drops_left: usize,
}

impl<'a> Planner<'a> {
    fn new(store: &'a Store, ledger: &Ledger, first: Position) -> Self {
        Self {
            snapshot: Snapshot::new(store),
            batch: WriteBatch::new(store),
            ledger: ledger.clone(),
            changed_rules: BTreeSet::new(),
            first,
            appended: Vec::new(),
            newest: HashMap::new(),
            removed: HashSet::new(),
            drops_left: MAX_DROPS,
        }
    }

    fn append(&mut self, rule: usize, record: Record, now: SystemTime) -> Result<(), ReadError> {
        let position = Position(self.first.0 + self.appended.len() as u64);
        self.changed_rules.insert(rule);
        self.ledger.rules[rule].held.add(record.size());
        let topic = record.topics[0].clone();
        self.appended.push((rule, Entry { position, time: now, record }, true));
        if let Some(last) = self.ledger.rules[rule].keep.last_per_topic {
            self.newest_of(rule, &topic)?.push(position);
            while let newest = self.newest_of(rule, &topic)?
                && newest.len() > last
            {
                let replaced = newest.remove(0);
                self.remove_replaced(rule, replaced)?;
            }
        }
        Ok(())
    }

    /// Removes a record that a newer one of its topic has replaced.
    fn remove_replaced(&mut self, rule: usize, position: Position) -> Result<(), ReadError> {
        if position >= self.first {
            self.drop_appended(usize::try_from(position.0 - self.first.0).expect("an index in a batch"));
        } else if let Some(entry) = self.snapshot.record(self.ledger.rules[rule].id, position)? {
            // A record that may be replaced is the only one of its group.
            self.delete(rule, position, &entry);
        }
        Ok(())
    }

    /// Drops the oldest records of a rule while they exceed its limits.
    fn trim(&mut self, rule: usize, now: SystemTime) -> Result<(), ReadError> {
        self.changed_rules.insert(rule);
        let RuleState { id, keep, low_watermark, .. } = self.ledger.rules[rule];
        for entry in self.snapshot.records(id, low_watermark) {
            let (group, entry) = entry?;
            if self.removed.contains(&entry.position) {
                continue;
            }
            let state = &mut self.ledger.rules[rule];
            state.low_watermark = entry.position;
            let time = state.clock_skew.effective_time(entry.time, now);
            if !keep.exceeded_by(state.held) && !keep.is_expired(time, now) {
                state.oldest = Some(time);
                return Ok(());
            }
            if self.drops_left == 0 {
                state.oldest = None;
                return Ok(());
            }
            self.drops_left -= 1;
            self.remove_stored(rule, group, &entry)?;
            self.changed_rules.extend(self.ledger.advance_horizons(rule, &entry));
        }
        self.ledger.rules[rule].low_watermark = self.first;
        for index in 0..self.appended.len() {
            let (of_rule, Entry { position, .. }, is_stored) = &self.appended[index];
            if *of_rule != rule || !is_stored {
                continue;
            }
            let (position, state) = (*position, &mut self.ledger.rules[rule]);
            state.low_watermark = position;
            state.oldest = Some(now);
            if !keep.exceeded_by(state.held) {
                return Ok(());
            }
            if keep.last_per_topic.is_some() {
                let topic = self.appended[index].1.record.topics[0].clone();
                self.newest_of(rule, &topic)?.retain(|newest| *newest != position);
            }
            self.drop_appended(index);
            let entry = &self.appended[index].1;
            self.changed_rules.extend(self.ledger.advance_horizons(rule, entry));
        }
        // No record of the rule is left, even if the count says otherwise.
        self.ledger.rules[rule].held = Held::default();
        Ok(())
    }

    /// Removes a stored record, also from the newest positions of its topic.
    fn remove_stored(&mut self, rule: usize, group: Position, entry: &Entry) -> Result<(), ReadError> {
        if self.ledger.rules[rule].keep.last_per_topic.is_some() {
            self.newest_of(rule, &entry.record.topics[0])?.retain(|newest| *newest != entry.position);
        }
        self.delete(rule, group, entry);
        Ok(())
    }

    /// Deletes a stored record. Its group is deleted with the last record of the group.
    fn delete(&mut self, rule: usize, group: Position, entry: &Entry) {
        self.changed_rules.insert(rule);
        self.removed.insert(entry.position);
        let state = &mut self.ledger.rules[rule];
        state.held.remove(entry.record.size());
        if group == entry.position {
            self.batch.remove_group(state.id, group);
        }
        let Some(id) = &entry.record.id else { return };
        if entry.position > self.ledger.indexed {
            self.batch.remove_unindexed_id(id, entry.position);
        } else if state.keep.last_per_topic.is_some() {
            // The low watermark of the rule has not passed this record, so no merge of tables removes the id.
            self.batch.remove_indexed_id(id, entry.position);
        }
    }

    /// Drops an appended record before it is stored.
    fn drop_appended(&mut self, index: usize) {
        let (rule, entry, is_stored) = &mut self.appended[index];
        if std::mem::take(is_stored) {
            self.ledger.rules[*rule].held.remove(entry.record.size());
        }
    }

    /// The newest positions of a topic, after the changes of this plan.
    fn newest_of(&mut self, rule: usize, topic: &str) -> Result<&mut Vec<Position>, ReadError> {
        use std::collections::hash_map::Entry::{Occupied, Vacant};
        Ok(match self.newest.entry((rule, topic.into())) {
            Occupied(newest) => newest.into_mut(),
            Vacant(newest) => newest.insert(self.snapshot.newest(self.ledger.rules[rule].id, topic)?),
        })
    }

    fn finish(mut self) -> Plan<'a> {
        self.write_groups();
        for ((rule, topic), positions) in &self.newest {
            self.batch.set_newest(self.ledger.rules[*rule].id, topic, positions);
        }
        let entries: Vec<_> = self.appended.into_iter().map(|(_, entry, _)| entry).collect();
        let ledger = &mut self.ledger;
        if let Some(entry) = entries.last() {
            ledger.last = entry.position;
        }
        if self.batch.has_unindexed_ids() {
            ledger.unindexed += entries.iter().map(|entry| unindexed_weight(&entry.record)).sum::<u64>();
        } else {
            ledger.set_indexed();
        }
        for rule in &self.changed_rules {
            ledger.write_rule(*rule, &mut self.batch);
        }
        let reserves = ledger.last > ledger.reserved;
        if reserves {
            ledger.reserved = Position(ledger.last.0.saturating_add(RESERVE));
            self.batch.set_reserved(ledger.reserved);
        }
        Plan { batch: self.batch, ledger: self.ledger, entries, reserves }
    }

    /// Writes the appended records that are stored, in one or more groups for each rule.
    ///
    /// A record that a newer one of its topic may replace gets its own group.
    fn write_groups(&mut self) {
        let mut groups: HashMap<usize, (Position, Vec<u8>)> = HashMap::new();
        for (rule, entry, _) in self.appended.iter().filter(|(.., is_stored)| *is_stored) {
            let RuleState { id, keep, .. } = self.ledger.rules[*rule];
            if let Some(text) = &entry.record.id {
                self.batch.insert_id(id, text, entry.position);
            }
            let (last, group) = groups.entry(*rule).or_default();
            *last = entry.position;
            encode(entry, group);
            if group.len() >= GROUP_BYTES || keep.last_per_topic.is_some() {
                self.batch.insert_group(id, *last, group);
                group.clear();
            }
        }
        for (rule, (last, group)) in groups.iter().filter(|(_, (_, group))| !group.is_empty()) {
            self.batch.insert_group(self.ledger.rules[*rule].id, *last, group);
        }
    }
}

/// The bytes at which a group is complete.
const GROUP_BYTES: usize = 8 * 1024;

/// The most stored records that one plan drops.
const MAX_DROPS: usize = 8192;

/// The number of positions that are reserved at once; each reservation syncs the disk.
const RESERVE: u64 = 1 << 20;
