//! What a log holds, counted.

use std::time::{Duration, SystemTime};

use super::last_position::Last;
use super::snapshot::Snapshot;
use super::store::{RuleId, Store};
use super::write_batch::WriteBatch;
use crate::retention::{Ahead, Held};
use crate::{Entry, Keep, Position, ReadError, Record, Retention};

/// What the log holds.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    pub(super) last: Position,
    pub(super) horizon: Position,
    pub(super) separate_horizon: Position,
    /// Positions up to here may have been used, whatever was lost.
    pub(super) reserved: Position,
    /// The ids of all records up to here are in tables.
    pub(super) indexed: Position,
    /// Bytes of the records after that: what a start reads to know their ids.
    pub(super) unindexed: u64,
    /// Those of [`Retention`], in its order, then the rest, then those that had records once.
    pub(super) rules: Vec<RuleState>,
}

/// What is kept under a rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct RuleState {
    pub(super) id: RuleId,
    pub(super) keep: Keep,
    /// What it drops is counted separately.
    pub(super) separate: bool,
    pub(super) held: Held,
    /// None of its records lies before.
    pub(super) low_watermark: Position,
    /// None of its records is older, if that is known.
    pub(super) oldest: Option<SystemTime>,
    pub(super) ahead: Ahead,
}

impl Ledger {
    /// Reads what is held, and writes which rules there are.
    ///
    /// The inner error is how many names the store knows, when it knows too many.
    pub(super) fn load<'a>(
        store: &'a Store,
        retention: &Retention,
    ) -> Result<Result<(Self, WriteBatch<'a>), usize>, ReadError> {
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
            rules.push((id, rule.keep, rule.separate));
        }
        rules.push((RuleId::REST, retention.rest(), false));
        // What is left of rules that are no more is kept as the rest is.
        let left = known.iter().filter(|(id, _)| rules.iter().all(|(used, ..)| used != id));
        let left: Vec<_> = left.map(|(id, _)| (*id, retention.rest(), false)).collect();
        rules.extend(left);
        let kept = rules.into_iter().map(|(id, keep, separate)| {
            let row = state.rules.iter().find(|(rule, ..)| *rule == id);
            let (held, low_watermark) =
                row.map_or_else(Default::default, |(_, held, low_watermark)| (*held, *low_watermark));
            RuleState { id, keep, separate, held, low_watermark, oldest: None, ahead: Ahead::default() }
        });
        let mut ledger = Self {
            last: state.last,
            horizon: state.horizon,
            separate_horizon: state.separate_horizon,
            reserved: view.reserved()?,
            indexed: state.indexed,
            unindexed: 0,
            rules: kept.collect(),
        };
        ledger.load_ids(store, &view)?;
        Ok(Ok((ledger, changes)))
    }

    /// Finds the ids that are not in tables yet.
    fn load_ids(&mut self, store: &Store, view: &Snapshot<'_>) -> Result<(), ReadError> {
        for RuleState { id: rule, held, low_watermark, .. } in &self.rules {
            store.ids.set_low_watermark(*rule, *low_watermark);
            if held.records == 0 {
                continue;
            }
            for entry in view.records(*rule, self.indexed.next().max(*low_watermark)) {
                let (_, Entry { position, record, .. }) = entry?;
                self.unindexed += weight(&record);
                store.ids.add(record.id.map(|id| (store.id_key(&id, position), *rule)));
            }
        }
        Ok(())
    }

    /// Up to where records are lost that may have been answered, if the store has less than was used or is damaged.
    pub(super) fn lost(&self, used: Last, damaged: bool) -> Option<Position> {
        let reserved = self.last.max(self.reserved);
        match used {
            Last::Upto(used) if used > self.last => Some(used.max(reserved)),
            Last::Unknown if reserved > Position::START => Some(Position(reserved.0.saturating_add(UNKNOWN))),
            Last::Upto(_) if damaged => Some(reserved),
            _ => None,
        }
    }

    /// Goes on behind a position up to which records are lost: whoever has read less has missed something.
    pub(super) fn skip_to(&mut self, position: Position, changes: &mut WriteBatch<'_>) {
        self.last = self.last.max(position);
        (self.horizon, self.separate_horizon) = (self.last, self.last);
        self.write(changes);
    }

    /// Notes that all ids are in tables.
    pub(super) fn set_indexed(&mut self) {
        self.indexed = self.last;
        self.unindexed = 0;
    }

    /// Writes what each rule holds.
    pub(super) fn write(&self, changes: &mut WriteBatch<'_>) {
        (0..self.rules.len()).for_each(|rule| self.write_rule(rule, changes));
    }

    pub(super) fn write_rule(&self, rule: usize, changes: &mut WriteBatch<'_>) {
        let RuleState { id, held, low_watermark, .. } = self.rules[rule];
        changes.set_held(
            id,
            held,
            low_watermark,
            [self.last, self.horizon, self.indexed, self.separate_horizon],
        );
    }

    /// Notes that a rule has dropped the record at a place.
    pub(super) fn drop_upto(&mut self, rule: usize, position: Position) {
        let separate = self.rules[rule].separate;
        let horizon = if separate { &mut self.separate_horizon } else { &mut self.horizon };
        *horizon = position.max(*horizon);
    }

    pub(super) fn held(&self) -> Held {
        let sum = |sum: Held, kept: &RuleState| Held {
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

impl RuleState {
    pub(super) fn is_due(&self, now: SystemTime) -> bool {
        self.held.records > 0
            && (self.keep.exceeded_by(self.held)
                || self.keep.age.is_some()
                    && self.oldest.is_none_or(|oldest| oldest > now || self.keep.outlived_by(oldest, now)))
    }
}

/// The bytes that a record counts while its id is not in a table.
pub(super) fn weight(record: &Record) -> u64 {
    record.size() as u64 + 64
}

/// So many positions are skipped where nobody knows which were used: more than any journal holds.
const UNKNOWN: u64 = 1 << 40;
