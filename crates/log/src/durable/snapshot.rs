//! Reads of the store at one moment, which later writes do not change.

use fjall::Readable;
use tracing::warn;

use super::codec::{Group, decode_keys};
use super::layout::{KEYS, RuleId, keys_key, record_key};
use super::store::Store;
use crate::idempotency::UsedKeys;
use crate::retention::Held;
use crate::{Entry, Horizons, Position, ReadError};

/// A consistent view of the store.
pub(super) struct Snapshot<'a> {
    store: &'a Store,
    snapshot: fjall::Snapshot,
}

/// The stored positions of a log, and the stored counts of its rules.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) last: Position,
    /// The position up to which records of any rule may be missing.
    pub(super) common_horizon: Position,
    /// The ids of all records up to this position are in tables.
    pub(super) indexed: Position,
    pub(super) rules: Vec<RuleRow>,
    /// The order of the rules, the rest last.
    pub(super) order: Vec<RuleId>,
    /// The position of the last change of that order.
    pub(super) order_changed: Position,
}

/// The stored counts and positions of a rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct RuleRow {
    pub(super) id: RuleId,
    pub(super) held: Held,
    /// The position before which the rule holds no record.
    pub(super) low_watermark: Position,
    /// The position up to which records of the rule may be missing.
    pub(super) horizon: Position,
}

impl RuleRow {
    pub(super) fn new(id: RuleId) -> Self {
        Self { id, held: Held::default(), low_watermark: Position::START, horizon: Position::START }
    }
}

impl State {
    /// The horizons of the rules in this order, which the store may not have yet.
    pub(super) fn horizons(&self, order: &[RuleId]) -> Horizons {
        if self.order != order {
            let all = self.rules.iter().map(|row| row.horizon);
            return Horizons::new(all.fold(self.common_horizon, Position::max), []);
        }
        let row = |id: &RuleId| self.rules.iter().find(|row| row.id == *id);
        let rules = order.iter().map(|id| row(id).map_or(Position::START, |row| row.horizon));
        Horizons::new(self.common_horizon, rules)
    }
}

impl<'a> Snapshot<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self { store, snapshot: store.database.snapshot() }
    }

    /// The records of a rule from a position on, each with the position of its group.
    pub(super) fn records(
        &self,
        rule: RuleId,
        from: Position,
    ) -> impl Iterator<Item = Result<(Position, Entry), ReadError>> + use<'a> {
        let range = record_key(rule, from)..=record_key(rule, Position(u64::MAX));
        let groups = self.snapshot.range(&self.store.records, range);
        groups.flat_map(move |guard| {
            let group = guard.into_inner().map_err(read_error).and_then(|(key, value)| {
                let last = number(key.get(2..))
                    .ok_or_else(|| ReadError::Damaged("the key of a record is truncated".to_owned()))?;
                Ok((Position(last), Group::new(value.into(), from)))
            });
            let (group, error) = match group {
                Ok(group) => (Some(group), None),
                Err(error) => (None, Some(Err(error))),
            };
            let records = group
                .into_iter()
                .flat_map(|(last, group)| group.map(move |entry| entry.map(|entry| (last, entry))));
            records.chain(error)
        })
    }

    /// The record at a position.
    pub(super) fn record(&self, rule: RuleId, position: Position) -> Result<Option<Entry>, ReadError> {
        let next = self.records(rule, position).next().transpose()?;
        Ok(next.map(|(_, entry)| entry).filter(|entry| entry.position == position))
    }

    /// The positions in tables of records whose id has this hash, oldest first, from a position on.
    ///
    /// Such a record may be dropped, or have another id with the same hash.
    pub(super) fn id_positions(
        &self,
        id: &str,
        from: Position,
    ) -> impl Iterator<Item = Result<(RuleId, Position), ReadError>> + use<'a> {
        let range = self.store.id_key(id, from)..=self.store.id_key(id, Position(u64::MAX));
        self.snapshot.range(self.store.ids.tables(), range).map(|guard| {
            let (key, value) = guard.into_inner().map_err(read_error)?;
            let row = number(key.get(16..)).zip(value.first_chunk::<2>());
            let (position, rule) =
                row.ok_or_else(|| ReadError::Damaged("the position of an id is truncated".to_owned()))?;
            Ok((RuleId(u16::from_be_bytes(*rule)), Position(position)))
        })
    }

    /// The positions of the newest records of a topic, oldest first.
    pub(super) fn newest(&self, rule: RuleId, topic: &str) -> Result<Vec<Position>, ReadError> {
        let value =
            self.snapshot.get(&self.store.topics, self.store.topic_key(rule, topic)).map_err(read_error)?;
        let positions = value.map(|value| {
            value.chunks_exact(8).filter_map(|chunk| number(Some(chunk))).map(Position).collect()
        });
        Ok(positions.unwrap_or_default())
    }

    /// The stored positions and counts.
    pub(super) fn state(&self) -> Result<State, ReadError> {
        let mut state = State::default();
        for guard in self.snapshot.prefix(&self.store.meta, "held") {
            let (key, row) = guard.into_inner().map_err(read_error)?;
            let rule = rule(&key)?;
            state.last = state.last.max(number_at(&row, 3));
            state.common_horizon = state.common_horizon.max(number_at(&row, 4));
            state.indexed = state.indexed.max(number_at(&row, 5));
            state.rules.push(RuleRow {
                id: rule,
                held: Held { records: number_at(&row, 0).0, bytes: number_at(&row, 1).0 },
                low_watermark: number_at(&row, 2),
                horizon: number_at(&row, 6),
            });
        }
        let order = self.snapshot.get(&self.store.meta, "order").map_err(read_error)?.unwrap_or_default();
        state.order_changed = number_at(&order, 0);
        let numbers = order.get(8..).unwrap_or_default().chunks_exact(2);
        state.order = numbers.map(|number| RuleId(u16::from_be_bytes([number[0], number[1]]))).collect();
        Ok(state)
    }

    /// The position up to which positions are reserved.
    pub(super) fn reserved(&self) -> Result<Position, ReadError> {
        let row = self.snapshot.get(&self.store.meta, "reserved").map_err(read_error)?;
        Ok(number_at(&row.unwrap_or_default(), 0))
    }

    /// The stored idempotency keys.
    ///
    /// Damaged rows are skipped, so that the log can be used. A repetition of an append in such a row adds
    /// its records again.
    pub(super) fn used_keys(&self) -> Result<UsedKeys, ReadError> {
        let mut keys = UsedKeys::default();
        for guard in self.snapshot.prefix(&self.store.meta, KEYS) {
            let (key, group) = guard.into_inner().map_err(read_error)?;
            let row = number(key.get(KEYS.len()..)).zip(decode_keys(&group));
            let Some((write, (time, appends))) = row else {
                warn!(
                    store = %self.store.path.display(),
                    row = %key.escape_ascii(),
                    "damaged idempotency keys were dropped: a repeated publication with one of these keys is \
                     published again"
                );
                continue;
            };
            appends.into_iter().for_each(|append| keys.insert(append, Position(write), time));
        }
        Ok(keys)
    }

    /// The writes after a position that stored idempotency keys.
    pub(super) fn key_writes(&self, after: Position) -> Result<Vec<Position>, ReadError> {
        let range = keys_key(after.next())..=keys_key(Position(u64::MAX));
        let writes = self.snapshot.range(&self.store.meta, range).map(|guard| {
            let key = guard.key().map_err(read_error)?;
            Ok(Position(number(key.get(KEYS.len()..)).unwrap_or(0)))
        });
        writes.collect()
    }

    /// The stored rules, with their names.
    pub(super) fn rules(&self) -> Result<Vec<(RuleId, Box<str>)>, ReadError> {
        let rules = self.snapshot.prefix(&self.store.meta, "rule").map(|guard| {
            let (key, name) = guard.into_inner().map_err(read_error)?;
            let name = std::str::from_utf8(&name);
            let name = name.map_err(|error| {
                ReadError::Damaged(format!("the name of a retention rule is invalid: {error}"))
            })?;
            Ok((rule(&key)?, name.into()))
        });
        rules.collect()
    }
}

/// The rule in the key of a row.
fn rule(key: &[u8]) -> Result<RuleId, ReadError> {
    let number = key.get(4..).and_then(|key| key.first_chunk()).map(|number| u16::from_be_bytes(*number));
    number
        .filter(|number| *number < RuleId::COUNT)
        .map(RuleId)
        .ok_or_else(|| ReadError::Damaged("the number of a retention rule is invalid".to_owned()))
}

/// The number at this index of a row; 0 if the row has fewer numbers.
fn number_at(row: &[u8], index: usize) -> Position {
    Position(number(row.get(8 * index..)).unwrap_or(0))
}

fn number(bytes: Option<&[u8]>) -> Option<u64> {
    bytes?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

fn read_error(error: fjall::Error) -> ReadError {
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error))
            if !matches!(error.kind(), InvalidData | UnexpectedEof) =>
        {
            ReadError::Unavailable(error.to_string())
        }
        error => ReadError::Damaged(format!("{error:?}")),
    }
}
