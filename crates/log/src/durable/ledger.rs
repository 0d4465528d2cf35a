//! The counts and positions of a log, as they are after its last write. No I/O except at a start.

use std::time::{Duration, SystemTime};

use super::keys::RuleId;
use super::last_position::LastPosition;
use super::snapshot::Snapshot;
use super::store::Store;
use super::write_batch::WriteBatch;
use crate::retention::{ClockSkew, Held};
use crate::{Entry, Keep, Position, ReadError, Record, Retention};

/// The counts and positions of a log.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    pub(super) last: Position,
    pub(super) horizon: Position,
    pub(super) separate_horizon: Position,
    /// Positions up to this one may have been used by records that were lost.
    pub(super) reserved: Position,
    /// The ids of all records up to this position are in tables.
    pub(super) indexed: Position,
    /// The bytes of the records after `indexed`, which a start reads to find their ids.
    pub(super) unindexed: u64,
    /// The rules of [`Retention`] in its order, then the rest, then former rules with records.
    pub(super) rules: Vec<RuleState>,
}

/// The limits and the held records of a rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct RuleState {
    pub(super) id: RuleId,
    pub(super) keep: Keep,
    /// Whether dropped records move the separate horizon.
    pub(super) separate: bool,
    pub(super) held: Held,
    /// The position before which the rule holds no record.
    pub(super) low_watermark: Position,
    /// The time of the oldest record, if it is known.
    pub(super) oldest: Option<SystemTime>,
    pub(super) clock_skew: ClockSkew,
}

impl Ledger {
    /// Reads the ledger from the store, and adds the names of new rules to a batch.
    ///
    /// The inner error is the number of stored names, if there is no room for a further one.
    pub(super) fn load<'a>(
        store: &'a Store,
        retention: &Retention,
    ) -> Result<Result<(Self, WriteBatch<'a>), usize>, ReadError> {
        let snapshot = Snapshot::new(store);
        let state = snapshot.state()?;
        let known = snapshot.rules()?;
        let mut unused =
            (1..RuleId::COUNT).map(RuleId).filter(|id| known.iter().all(|(known, _)| known != id));
        let mut batch = WriteBatch::new(store);
        let mut rules = Vec::new();
        for rule in retention.rules() {
            let id = match known.iter().find(|(_, name)| **name == *rule.name) {
                Some((id, _)) => *id,
                None => {
                    let Some(id) = unused.next() else { return Ok(Err(known.len())) };
                    batch.set_rule(id, &rule.name);
                    id
                }
            };
            rules.push((id, rule.keep, rule.separate));
        }
        rules.push((RuleId::REST, retention.rest(), false));
        // The limits of the rest apply to records of former rules.
        let former = known.iter().filter(|(id, _)| rules.iter().all(|(used, ..)| used != id));
        let former: Vec<_> = former.map(|(id, _)| (*id, retention.rest(), false)).collect();
        rules.extend(former);
        let rules = rules.into_iter().map(|(id, keep, separate)| {
            let row = state.rules.iter().find(|(rule, ..)| *rule == id);
            let (held, low_watermark) =
                row.map_or_else(Default::default, |(_, held, low_watermark)| (*held, *low_watermark));
            RuleState {
                id,
                keep,
                separate,
                held,
                low_watermark,
                oldest: None,
                clock_skew: ClockSkew::default(),
            }
        });
        let mut ledger = Self {
            last: state.last,
            horizon: state.horizon,
            separate_horizon: state.separate_horizon,
            reserved: snapshot.reserved()?,
            indexed: state.indexed,
            unindexed: 0,
            rules: rules.collect(),
        };
        ledger.load_ids(store, &snapshot)?;
        Ok(Ok((ledger, batch)))
    }

    /// Reads the ids that are not in tables yet from the records.
    fn load_ids(&mut self, store: &Store, snapshot: &Snapshot<'_>) -> Result<(), ReadError> {
        for RuleState { id: rule, held, low_watermark, .. } in &self.rules {
            store.ids.set_low_watermark(*rule, *low_watermark);
            if held.records == 0 {
                continue;
            }
            for entry in snapshot.records(*rule, self.indexed.next().max(*low_watermark)) {
                let (_, Entry { position, record, .. }) = entry?;
                self.unindexed += unindexed_weight(&record);
                store.ids.insert(record.id.map(|id| (store.id_key(&id, position), *rule)));
            }
        }
        Ok(())
    }

    /// The position up to which confirmed records may be lost; `None` if none is.
    ///
    /// Records are lost if the store ends before the last assigned position, or if a journal is damaged.
    pub(super) fn lost_upto(&self, assigned: LastPosition, damaged: bool) -> Option<Position> {
        let reserved = self.last.max(self.reserved);
        match assigned {
            LastPosition::Upto(last) if last > self.last => Some(last.max(reserved)),
            LastPosition::Unknown if reserved > Position::START => {
                Some(Position(reserved.0.saturating_add(UNKNOWN_SKIP)))
            }
            LastPosition::Upto(_) if damaged => Some(reserved),
            _ => None,
        }
    }

    /// Continues after a position up to which records are lost, and moves the horizons to it.
    ///
    /// So readers whose cursors lie before it learn that records are missing.
    pub(super) fn skip_to(&mut self, position: Position, batch: &mut WriteBatch<'_>) {
        self.last = self.last.max(position);
        (self.horizon, self.separate_horizon) = (self.last, self.last);
        self.write(batch);
    }

    /// Sets that all ids are in tables.
    pub(super) fn set_indexed(&mut self) {
        self.indexed = self.last;
        self.unindexed = 0;
    }

    /// Writes the counts of all rules.
    pub(super) fn write(&self, batch: &mut WriteBatch<'_>) {
        (0..self.rules.len()).for_each(|rule| self.write_rule(rule, batch));
    }

    /// Writes the counts of one rule.
    pub(super) fn write_rule(&self, rule: usize, batch: &mut WriteBatch<'_>) {
        let RuleState { id, held, low_watermark, .. } = self.rules[rule];
        batch.set_held(
            id,
            held,
            low_watermark,
            [self.last, self.horizon, self.indexed, self.separate_horizon],
        );
    }

    /// Moves the horizon of a rule to the position of a record that it has dropped.
    pub(super) fn advance_horizon(&mut self, rule: usize, position: Position) {
        let separate = self.rules[rule].separate;
        let horizon = if separate { &mut self.separate_horizon } else { &mut self.horizon };
        *horizon = position.max(*horizon);
    }

    /// The sum of the counts of all rules.
    pub(super) fn held(&self) -> Held {
        let sum = |sum: Held, rule: &RuleState| Held {
            records: sum.records + rule.held.records,
            bytes: sum.bytes + rule.held.bytes,
        };
        self.rules.iter().fold(Held::default(), sum)
    }

    /// Returns true if retention may have to drop records at this time.
    pub(super) fn is_due(&self, now: SystemTime) -> bool {
        self.rules.iter().any(|rule| rule.is_due(now))
    }

    /// The time until a held record becomes too old; `None` if no rule limits the age.
    pub(super) fn time_until_due(&self, now: SystemTime) -> Option<Duration> {
        let dues = self.rules.iter().filter(|rule| rule.held.records > 0).filter_map(|rule| {
            let age = rule.keep.age?;
            let oldest = rule.oldest?;
            Some((oldest + age).duration_since(now).unwrap_or_default() + Duration::from_millis(1))
        });
        dues.min()
    }
}

impl RuleState {
    /// Returns true if the rule may have to drop records at this time.
    pub(super) fn is_due(&self, now: SystemTime) -> bool {
        self.held.records > 0
            && (self.keep.exceeded_by(self.held)
                || self.keep.age.is_some()
                    && self.oldest.is_none_or(|oldest| oldest > now || self.keep.is_expired(oldest, now)))
    }
}

/// The bytes that a record counts while its id is not in a table.
pub(super) fn unindexed_weight(record: &Record) -> u64 {
    record.size() as u64 + 64
}

/// The positions that are skipped if the last assigned one is unknown: more than the journals hold.
const UNKNOWN_SKIP: u64 = 1 << 40;
