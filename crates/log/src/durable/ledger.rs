//! What a log holds, counted, and what becomes of it when records come or time passes. Decides; the store obeys.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, SystemTime};

use super::changes::Changes;
use super::codec::encode;
use super::store::{RuleId, Store};
use super::view::View;
use crate::retention::Held;
use crate::{Entry, Keep, Position, ReadError, Record, Retention};

/// What the log holds.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    pub(super) last: Position,
    pub(super) horizon: Position,
    /// Positions up to here may have been used, whatever was lost.
    pub(super) reserved: Position,
    /// The ids of all records up to here are in tables.
    indexed: Position,
    /// Bytes of the records after that: what a start reads to know their ids.
    unindexed: u64,
    /// Those of [`Retention`], in its order, then the rest, then those that had records once.
    rules: Vec<Kept>,
}

/// What is kept under a rule.
#[derive(Clone, Copy, Debug)]
struct Kept {
    id: RuleId,
    keep: Keep,
    held: Held,
    /// None of its records lies before.
    front: Position,
    /// None of its records is older, if that is known.
    oldest: Option<SystemTime>,
}

impl Ledger {
    /// Reads what is held, and writes which rules there are.
    ///
    /// The inner error is how many names the store knows, when it knows too many.
    pub(super) fn load<'a>(
        store: &'a Store,
        retention: &Retention,
    ) -> Result<Result<(Self, Changes<'a>), usize>, ReadError> {
        let view = store.view();
        let state = view.state()?;
        let known = view.rules()?;
        let mut unused =
            (1..RuleId::COUNT).map(RuleId).filter(|id| known.iter().all(|(known, _)| known != id));
        let mut changes = store.changes();
        let mut rules = Vec::new();
        for rule in retention.rules() {
            let id = match known.iter().find(|(_, name)| **name == *rule.name) {
                Some((id, _)) => *id,
                None => {
                    let Some(id) = unused.next() else { return Ok(Err(known.len())) };
                    changes.set_rule(id, &rule.name);
                    id
                }
            };
            rules.push((id, rule.keep));
        }
        rules.push((RuleId::REST, retention.rest()));
        // What is left of rules that are no more is kept as the rest is.
        let left = known.iter().filter(|(id, _)| rules.iter().all(|(used, _)| used != id));
        let left: Vec<_> = left.map(|(id, _)| (*id, retention.rest())).collect();
        rules.extend(left);
        let kept = rules.into_iter().map(|(id, keep)| {
            let row = state.rules.iter().find(|(rule, ..)| *rule == id);
            let (held, front) = row.map_or_else(Default::default, |(_, held, front)| (*held, *front));
            Kept { id, keep, held, front, oldest: None }
        });
        let mut ledger = Self {
            last: state.last,
            horizon: state.horizon,
            reserved: view.reserved()?,
            indexed: state.indexed,
            unindexed: 0,
            rules: kept.collect(),
        };
        ledger.load_ids(store, &view)?;
        Ok(Ok((ledger, changes)))
    }

    /// Finds the ids that are not in tables yet.
    fn load_ids(&mut self, store: &Store, view: &View<'_>) -> Result<(), ReadError> {
        for Kept { id: rule, held, front, .. } in &self.rules {
            store.ids.set_front(*rule, *front);
            if held.records == 0 {
                continue;
            }
            for entry in view.records(*rule, self.indexed.next().max(*front)) {
                let (_, Entry { position, record, .. }) = entry?;
                self.unindexed += weight(&record);
                store.ids.add(record.id.map(|id| (store.id_key(&id, position), *rule)));
            }
        }
        Ok(())
    }

    /// Bytes of the records whose ids are in memory alone, and all since the first of them.
    pub(super) fn unindexed(&self) -> u64 {
        self.unindexed
    }

    /// Notes that all ids are in tables.
    pub(super) fn set_indexed(&mut self) {
        self.indexed = self.last;
        self.unindexed = 0;
    }

    /// Writes what each rule holds.
    pub(super) fn write(&self, changes: &mut Changes<'_>) {
        (0..self.rules.len()).for_each(|rule| self.write_rule(rule, changes));
    }

    fn write_rule(&self, rule: usize, changes: &mut Changes<'_>) {
        let Kept { id, held, front, .. } = self.rules[rule];
        changes.set_held(id, held, front, [self.last, self.horizon, self.indexed]);
    }

    pub(super) fn held(&self) -> Held {
        let sum = |sum: Held, kept: &Kept| Held {
            records: sum.records + kept.held.records,
            bytes: sum.bytes + kept.held.bytes,
        };
        self.rules.iter().fold(Held::default(), sum)
    }

    /// Whether there may be something to let go at this time.
    pub(super) fn is_due(&self, now: SystemTime) -> bool {
        self.rules.iter().any(|kept| kept.is_due(now))
    }

    /// How long nothing becomes too old, if no record comes; for ever without an age.
    pub(super) fn rest_until_due(&self, now: SystemTime) -> Option<Duration> {
        let dues = self.rules.iter().filter(|kept| kept.held.records > 0).filter_map(|kept| {
            let age = kept.keep.age?;
            let oldest = kept.oldest?;
            Some((oldest + age).duration_since(now).unwrap_or_default() + Duration::from_millis(1))
        });
        dues.min()
    }
}

impl Kept {
    fn is_due(&self, now: SystemTime) -> bool {
        self.held.records > 0
            && (self.keep.exceeded_by(self.held)
                || self.keep.age.is_some()
                    && self.oldest.is_none_or(|oldest| self.keep.outlived_by(oldest, now)))
    }
}

/// What is to be written, and what holds once it is.
pub(super) struct Plan<'a> {
    pub(super) changes: Changes<'a>,
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
        planner.ledger.last = planner.ledger.last.min(after);
        Ok(planner.finish())
    }
}

struct Planner<'a> {
    view: View<'a>,
    changes: Changes<'a>,
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
        let Kept { id, keep, front, .. } = self.ledger.rules[rule];
        for entry in self.view.records(id, front) {
            let (group, entry) = entry?;
            if self.removed.contains(&entry.position) {
                continue;
            }
            let kept = &mut self.ledger.rules[rule];
            kept.front = entry.position;
            if !keep.exceeded_by(kept.held) && !keep.outlived_by(entry.time, now) {
                kept.oldest = Some(entry.time);
                return Ok(());
            }
            if self.budget == 0 {
                kept.oldest = None;
                return Ok(());
            }
            self.budget -= 1;
            self.remove(rule, group, &entry)?;
            self.ledger.horizon = self.ledger.horizon.max(entry.position);
        }
        self.ledger.rules[rule].front = self.first;
        for index in 0..self.fresh.len() {
            let (of, Entry { position, .. }, stays) = &self.fresh[index];
            if *of != rule || !stays {
                continue;
            }
            let (position, kept) = (*position, &mut self.ledger.rules[rule]);
            kept.front = position;
            kept.oldest = Some(now);
            if !keep.exceeded_by(kept.held) {
                return Ok(());
            }
            if keep.last_per_topic.is_some() {
                let topic = self.fresh[index].1.record.topics[0].clone();
                self.newest_of(rule, &topic)?.retain(|place| *place != position);
            }
            self.drop_fresh(index);
            self.ledger.horizon = self.ledger.horizon.max(position);
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
            // It goes before its rule's front has passed it.
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
            let Kept { id, keep, .. } = self.ledger.rules[*rule];
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

/// The bytes that a record counts while its id is not in a table.
fn weight(record: &Record) -> u64 {
    record.size() as u64 + 64
}

/// Bytes after which a group is full.
const GROUP: usize = 16 * 1024;

/// So many records are let go at once.
const AT_ONCE: usize = 8192;

/// So many positions are reserved at once: one sync of the disk for each so many records.
const RESERVE: u64 = 1 << 20;
