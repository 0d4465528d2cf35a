//! Index from the ids that publishers chose to the positions of their records.
//!
//! The ids of the newest records are in memory only, since a start reads them from the records. When there
//! are many, the index writes them into tables, all at once and in order, without the store's journal. A
//! merge of tables removes the ids of records that retention has dropped.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use fjall::Keyspace;
use fjall::compaction::filter::{
    CompactionFilter, CompactionFilterResult, Context, Factory, ItemAccessor, Verdict,
};

use super::layout::RuleId;
use crate::Position;

/// The hash of an id, and the position of its record.
pub(super) type IdKey = [u8; 24];

/// The ids in memory and in tables.
pub(super) struct IdIndex {
    unindexed: RwLock<BTreeMap<IdKey, RuleId>>,
    tables: Keyspace,
    low_watermarks: Arc<LowWatermarks>,
}

impl IdIndex {
    pub(super) fn new(tables: Keyspace, low_watermarks: Arc<LowWatermarks>) -> Self {
        Self { unindexed: RwLock::default(), tables, low_watermarks }
    }

    pub(super) fn tables(&self) -> &Keyspace {
        &self.tables
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unindexed().is_empty()
    }

    /// Adds ids in memory.
    pub(super) fn insert(&self, ids: impl IntoIterator<Item = (IdKey, RuleId)>) {
        self.unindexed_mut().extend(ids);
    }

    /// Removes ids from memory.
    pub(super) fn remove(&self, ids: &[IdKey]) {
        if !ids.is_empty() {
            let mut unindexed = self.unindexed_mut();
            for id in ids {
                unindexed.remove(id);
            }
        }
    }

    /// Sets the position before which a rule holds no record.
    pub(super) fn set_low_watermark(&self, rule: RuleId, low_watermark: Position) {
        self.low_watermarks.of_rule(rule).store(low_watermark.0, Ordering::Relaxed);
    }

    /// The positions in memory of ids with this hash, oldest first.
    ///
    /// An id is in a table before it leaves memory. So a search reads this first, and the tables after it.
    pub(super) fn unindexed_positions(&self, hash: [u8; 16]) -> Vec<(RuleId, Position)> {
        let key = |end: u8| {
            let mut key = [end; 24];
            key[..16].copy_from_slice(&hash);
            key
        };
        let unindexed = self.unindexed();
        let range = unindexed.range((Bound::Included(key(0)), Bound::Included(key(u8::MAX))));
        range.map(|(key, rule)| (*rule, position(key))).collect()
    }

    /// Moves the ids from memory into tables.
    pub(super) fn write_tables(&self) -> fjall::Result<()> {
        let unindexed = self.unindexed();
        let mut tables = self.tables.start_ingestion()?;
        for (key, rule) in &*unindexed {
            tables.write(*key, rule.0.to_be_bytes())?;
        }
        tables.finish()?;
        drop(unindexed);
        self.unindexed_mut().clear();
        Ok(())
    }

    fn unindexed(&self) -> RwLockReadGuard<'_, BTreeMap<IdKey, RuleId>> {
        self.unindexed.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn unindexed_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<IdKey, RuleId>> {
        self.unindexed.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For each rule, the position before which it holds no record. Ids before it are obsolete.
pub(super) struct LowWatermarks(Box<[AtomicU64]>);

impl Default for LowWatermarks {
    fn default() -> Self {
        Self((0..RuleId::COUNT).map(|_| AtomicU64::new(0)).collect())
    }
}

impl LowWatermarks {
    /// A compaction filter that removes the obsolete ids.
    pub(super) fn filter(low_watermarks: &Arc<Self>) -> Arc<dyn Factory> {
        Arc::new(Filter(Arc::clone(low_watermarks)))
    }

    fn of_rule(&self, rule: RuleId) -> &AtomicU64 {
        &self.0[usize::from(rule.0)]
    }
}

#[derive(Clone)]
struct Filter(Arc<LowWatermarks>);

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filter(..)")
    }
}

impl Factory for Filter {
    fn name(&self) -> &'static str {
        "low_watermarks"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(self.clone())
    }
}

impl CompactionFilter for Filter {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> CompactionFilterResult {
        let entry = item.key().first_chunk().zip(item.value()?.first_chunk().copied());
        let is_needed = entry.is_none_or(|(key, rule)| {
            let rule = u16::from_be_bytes(rule);
            rule >= RuleId::COUNT || position(key).0 >= self.0.of_rule(RuleId(rule)).load(Ordering::Relaxed)
        });
        // `Destroy` writes no tombstone: the same key in an older table is obsolete, too.
        Ok(if is_needed { Verdict::Keep } else { Verdict::Destroy })
    }
}

fn position(key: &IdKey) -> Position {
    Position(u64::from_be_bytes(key[16..].try_into().expect("eight bytes")))
}
