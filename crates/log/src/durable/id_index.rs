//! The ids that publishers chose, and where they are.
//!
//! Those of the newest records are in memory alone, since a start finds them in the records. When there are many, they go into tables at
//! once and in order, past the store's journal. Those that a rule has let go with its oldest records go when their tables are merged.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use fjall::Keyspace;
use fjall::compaction::filter::{
    CompactionFilter, CompactionFilterResult, Context, Factory, ItemAccessor, Verdict,
};

use super::store::RuleId;
use crate::Position;

/// The hash of an id and the place of its record.
pub(super) type Key = [u8; 24];

pub(super) struct Ids {
    fresh: RwLock<BTreeMap<Key, RuleId>>,
    tables: Keyspace,
    low_watermarks: Arc<Fronts>,
}

impl Ids {
    pub(super) fn new(tables: Keyspace, low_watermarks: Arc<Fronts>) -> Self {
        Self { fresh: RwLock::default(), tables, low_watermarks }
    }

    pub(super) fn tables(&self) -> &Keyspace {
        &self.tables
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fresh().is_empty()
    }

    pub(super) fn add(&self, ids: impl IntoIterator<Item = (Key, RuleId)>) {
        self.fresh_mut().extend(ids);
    }

    pub(super) fn forget(&self, ids: &[Key]) {
        if !ids.is_empty() {
            let mut fresh = self.fresh_mut();
            for id in ids {
                fresh.remove(id);
            }
        }
    }

    /// Notes that a rule holds nothing before a place.
    pub(super) fn set_low_watermark(&self, rule: RuleId, low_watermark: Position) {
        self.low_watermarks.of(rule).store(low_watermark.0, Ordering::Relaxed);
    }

    /// The places in memory of an id with this hash, oldest first. What leaves memory is in the tables by then: who looks into both
    /// looks here first.
    pub(super) fn fresh_places(&self, hash: [u8; 16]) -> Vec<(RuleId, Position)> {
        let key = |end: u8| {
            let mut key = [end; 24];
            key[..16].copy_from_slice(&hash);
            key
        };
        let fresh = self.fresh();
        let range = fresh.range((Bound::Included(key(0)), Bound::Included(key(u8::MAX))));
        range.map(|(key, rule)| (*rule, position(key))).collect()
    }

    /// Moves what is in memory into tables.
    pub(super) fn index(&self) -> fjall::Result<()> {
        let fresh = self.fresh();
        let mut tables = self.tables.start_ingestion()?;
        for (key, rule) in &*fresh {
            tables.write(*key, rule.0.to_be_bytes())?;
        }
        tables.finish()?;
        drop(fresh);
        self.fresh_mut().clear();
        Ok(())
    }

    fn fresh(&self) -> RwLockReadGuard<'_, BTreeMap<Key, RuleId>> {
        self.fresh.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<Key, RuleId>> {
        self.fresh.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For each rule a place before which it holds nothing: what is told there of an id is needed no more.
pub(super) struct Fronts(Box<[AtomicU64]>);

impl Default for Fronts {
    fn default() -> Self {
        Self((0..RuleId::COUNT).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Fronts {
    /// What takes the ids away that are needed no more.
    pub(super) fn filter(low_watermarks: &Arc<Self>) -> Arc<dyn Factory> {
        Arc::new(Filter(Arc::clone(low_watermarks)))
    }

    fn of(&self, rule: RuleId) -> &AtomicU64 {
        &self.0[usize::from(rule.0)]
    }
}

#[derive(Clone)]
struct Filter(Arc<Fronts>);

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filter(..)")
    }
}

impl Factory for Filter {
    fn name(&self) -> &'static str {
        "fronts"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(self.clone())
    }
}

impl CompactionFilter for Filter {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> CompactionFilterResult {
        let place = item.key().first_chunk().zip(item.value()?.first_chunk().copied());
        let needed = place.is_none_or(|(key, rule)| {
            let rule = u16::from_be_bytes(rule);
            rule >= RuleId::COUNT || position(key).0 >= self.0.of(RuleId(rule)).load(Ordering::Relaxed)
        });
        // An older one below would be needed as little.
        Ok(if needed { Verdict::Keep } else { Verdict::Destroy })
    }
}

fn position(key: &Key) -> Position {
    Position(u64::from_be_bytes(key[16..].try_into().expect("eight bytes")))
}
