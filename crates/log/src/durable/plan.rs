//! What becomes of a log when records come or time passes. Decides; the store obeys.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::SystemTime;

use super::codec::encode;
use super::ledger::{Ledger, RuleState, weight};
use super::snapshot::Snapshot;
use super::store::Store;
use super::write_batch::WriteBatch;
use crate::retention::Held;
use crate::{Entry, Position, ReadError, Record};

/// What is to be written, and what holds once it is.
pub(super) struct Plan<'a> {
    pub(super) changes: WriteBatch<'a>,
    pub(super) ledger: Ledger,
    /// The records that come, in their places.
    pub(super) entries: Vec<Entry>,
    /// Positions are reserved with it: it has to be on the disk before anybody hears of it.
    pub(super) reserves: bool,
}

impl<'a> Plan<'a> {
    /// Appends records from a place on, each with its rule, and lets go what is too much then: all of it, or for so long that others
    /// should have their turn.
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

    /// Takes records away that were refused and are there all the same: those after a place.
    pub(super) fn cut(store: &'a Store, ledger: &Ledger, after: Position) -> Result<Self, ReadError> {
        let mut planner = Planner::new(store, ledger, Position(u64::MAX));
        for rule in 0..planner.ledger.rules.len() {
            let refused: Vec<_> = planner.view.records(planner.ledger.rules[rule].id, after.next()).collect();
            for entry in refused {
                let (group, entry) = entry?;
                planner.remove(rule, group, &entry)?;
            }
            planner.touched.insert(rule);
        }
        for write in planner.view.key_writes(after)? {
            planner.changes.remove_keys(write);
        }
        planner.ledger.last = planner.ledger.last.min(after);
        Ok(planner.finish())
    }
}

struct Planner<'a> {
    view: Snapshot<'a>,
    changes: WriteBatch<'a>,
    ledger: Ledger,
    /// The rules whose counts change.
    touched: BTreeSet<usize>,
    /// The first place of what comes.
    first: Position,
    /// What comes, with its rule, and whether it stays.
    fresh: Vec<(usize, Entry, bool)>,
    /// The newest of topics, as far as they change.
    newest: HashMap<(usize, Box<str>), Vec<Position>>,
    /// The stored records that go.
    removed: HashSet<Position>,
    /// So many may be let go yet.
    budget: usize,
}

impl<'a> Planner<'a> {
    fn new(store: &'a Store, ledger: &Ledger, first: Position) -> Self {
        Self {
            view: store.view(),
            changes: store.changes(),
            ledger: ledger.clone(),
            touched: BTreeSet::new(),
            first,
            fresh: Vec::new(),
            newest: HashMap::new(),
            removed: HashSet::new(),
            budget: AT_ONCE,
        }
    }

    fn append(&mut self, rule: usize, record: Record, now: SystemTime) -> Result<(), ReadError> {
        let position = Position(self.first.0 + self.fresh.len() as u64);
        self.touched.insert(rule);
        self.ledger.rules[rule].held.add(record.size());
        let topic = record.topics[0].clone();
        self.fresh.push((rule, Entry { position, time: now, record }, true));
        if let Some(last) = self.ledger.rules[rule].keep.last_per_topic {
            self.newest_of(rule, &topic)?.push(position);
            while let newest = self.newest_of(rule, &topic)?
                && newest.len() > last
            {
                let replaced = newest.remove(0);
                self.replace(rule, replaced)?;
            }
        }
        Ok(())
    }

    /// Takes away what newer ones of its topic have replaced.
    fn replace(&mut self, rule: usize, position: Position) -> Result<(), ReadError> {
        if position >= self.first {
            self.drop_fresh(usize::try_from(position.0 - self.first.0).expect("its place in a batch"));
        } else if let Some(entry) = self.view.record(self.ledger.rules[rule].id, position)? {
            // What may be replaced is a group of its own.
            self.take_away(rule, position, &entry);
        }
        Ok(())
    }

    /// Lets a rule's oldest records go, as long as there is too much of them.
    fn trim(&mut self, rule: usize, now: SystemTime) -> Result<(), ReadError> {
        self.touched.insert(rule);
        let RuleState { id, keep, low_watermark, .. } = self.ledger.rules[rule];
        for entry in self.view.records(id, low_watermark) {
            let (group, entry) = entry?;
            if self.removed.contains(&entry.position) {
                continue;
            }
            let kept = &mut self.ledger.rules[rule];
            kept.low_watermark = entry.position;
            let time = kept.ahead.time_of(entry.time, now);
            if !keep.exceeded_by(kept.held) && !keep.outlived_by(time, now) {
                kept.oldest = Some(time);
                return Ok(());
            }
            if self.budget == 0 {
                kept.oldest = None;
                return Ok(());
            }
            self.budget -= 1;
            self.remove(rule, group, &entry)?;
            self.ledger.drop_upto(rule, entry.position);
        }
        self.ledger.rules[rule].low_watermark = self.first;
        for index in 0..self.fresh.len() {
            let (of, Entry { position, .. }, stays) = &self.fresh[index];
            if *of != rule || !stays {
                continue;
            }
            let (position, kept) = (*position, &mut self.ledger.rules[rule]);
            kept.low_watermark = position;
            kept.oldest = Some(now);
            if !keep.exceeded_by(kept.held) {
                return Ok(());
            }
            if keep.last_per_topic.is_some() {
                let topic = self.fresh[index].1.record.topics[0].clone();
                self.newest_of(rule, &topic)?.retain(|place| *place != position);
            }
            self.drop_fresh(index);
            self.ledger.drop_upto(rule, position);
        }
        // There is none left, whatever was counted.
        self.ledger.rules[rule].held = Held::default();
        Ok(())
    }

    /// Takes a stored record away, and out of the newest of its topic.
    fn remove(&mut self, rule: usize, group: Position, entry: &Entry) -> Result<(), ReadError> {
        if self.ledger.rules[rule].keep.last_per_topic.is_some() {
            self.newest_of(rule, &entry.record.topics[0])?.retain(|place| *place != entry.position);
        }
        self.take_away(rule, group, entry);
        Ok(())
    }

    /// Takes a stored record away; with the last of a group, the group goes.
    fn take_away(&mut self, rule: usize, group: Position, entry: &Entry) {
        self.touched.insert(rule);
        self.removed.insert(entry.position);
        let kept = &mut self.ledger.rules[rule];
        kept.held.remove(entry.record.size());
        if group == entry.position {
            self.changes.remove(kept.id, group);
        }
        let Some(id) = &entry.record.id else { return };
        if entry.position > self.ledger.indexed {
            self.changes.forget_id(id, entry.position);
        } else if kept.keep.last_per_topic.is_some() {
            // It goes before the low watermark of its rule has passed it.
            self.changes.remove_id(id, entry.position);
        }
    }

    fn drop_fresh(&mut self, index: usize) {
        let (rule, entry, stays) = &mut self.fresh[index];
        if std::mem::take(stays) {
            self.ledger.rules[*rule].held.remove(entry.record.size());
        }
    }

    fn newest_of(&mut self, rule: usize, topic: &str) -> Result<&mut Vec<Position>, ReadError> {
        use std::collections::hash_map::Entry::{Occupied, Vacant};
        Ok(match self.newest.entry((rule, topic.into())) {
            Occupied(newest) => newest.into_mut(),
            Vacant(newest) => newest.insert(self.view.newest(self.ledger.rules[rule].id, topic)?),
        })
    }

    fn finish(mut self) -> Plan<'a> {
        self.write_groups();
        for ((rule, topic), places) in &self.newest {
            self.changes.set_newest(self.ledger.rules[*rule].id, topic, places);
        }
        let entries: Vec<_> = self.fresh.into_iter().map(|(_, entry, _)| entry).collect();
        let ledger = &mut self.ledger;
        if let Some(entry) = entries.last() {
            ledger.last = entry.position;
        }
        if self.changes.leaves_ids() {
            ledger.unindexed += entries.iter().map(|entry| weight(&entry.record)).sum::<u64>();
        } else {
            ledger.set_indexed();
        }
        for rule in &self.touched {
            ledger.write_rule(*rule, &mut self.changes);
        }
        let reserves = ledger.last > ledger.reserved;
        if reserves {
            ledger.reserved = Position(ledger.last.0.saturating_add(RESERVE));
            self.changes.set_reserved(ledger.reserved);
        }
        Plan { changes: self.changes, ledger: self.ledger, entries, reserves }
    }

    /// Writes what comes and stays, in groups of a rule; alone what a newer one of its topic may replace.
    fn write_groups(&mut self) {
        let mut groups: HashMap<usize, (Position, Vec<u8>)> = HashMap::new();
        for (rule, entry, _) in self.fresh.iter().filter(|(.., stays)| *stays) {
            let RuleState { id, keep, .. } = self.ledger.rules[*rule];
            if let Some(text) = &entry.record.id {
                self.changes.insert_id(id, text, entry.position);
            }
            let (last, group) = groups.entry(*rule).or_default();
            *last = entry.position;
            encode(entry, group);
            if group.len() >= GROUP || keep.last_per_topic.is_some() {
                self.changes.insert(id, *last, group);
                group.clear();
            }
        }
        for (rule, (last, group)) in groups.iter().filter(|(_, (_, group))| !group.is_empty()) {
            self.changes.insert(self.ledger.rules[*rule].id, *last, group);
        }
    }
}

/// Bytes after which a group is full.
const GROUP: usize = 8 * 1024;

/// So many records are let go at once.
const AT_ONCE: usize = 8192;

/// So many positions are reserved at once: one sync of the disk for each so many records.
const RESERVE: u64 = 1 << 20;
