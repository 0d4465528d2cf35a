//! Reads of pages and ids from the store. Damaged records are skipped and reported as missing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::snapshot::{RuleRow, Snapshot};
use super::store::Store;
use crate::tail::PageBuilder;
use crate::{Limit, Page, Position, ReadError};

/// Reads the records of all rules, in the order of their positions.
///
/// Damaged records are skipped: the horizon of the page lies after them, so that the reader learns of it.
pub(super) fn read_page(store: &Store, after: Position, limit: Limit) -> Result<Page, ReadError> {
    match read_intact_page(store, after, limit) {
        Err(ReadError::Damaged(problem)) => skip_damage(store, after, problem),
        page => page,
    }
}

/// Finds the position after which records can be read again, and returns an empty page up to it.
fn skip_damage(store: &Store, after: Position, problem: String) -> Result<Page, ReadError> {
    let last = Snapshot::new(store).state()?.last;
    if after >= last {
        return Err(ReadError::Damaged(problem));
    }
    let one = Limit { records: 1, bytes: 1 };
    let is_readable = |from: u64| from >= last.0 || read_intact_page(store, Position(from), one).is_ok();
    let mut step = 1;
    while !is_readable(after.0.saturating_add(step)) {
        step *= 2;
    }
    let (mut damaged, mut readable) = (after.0 + step / 2, after.0.saturating_add(step).min(last.0));
    while damaged + 1 < readable {
        let middle = damaged + (readable - damaged) / 2;
        if is_readable(middle) { readable = middle } else { damaged = middle }
    }
    let state = Snapshot::new(store).state()?;
    store.damage.report(after, Position(readable), &problem);
    Ok(Page {
        entries: Vec::new(),
        through: Position(readable),
        end: readable >= last.0,
        horizons: state.horizons(store.order()).with_common(Position(readable)),
    })
}

/// Reads a page; returns an error if its first records are damaged.
fn read_intact_page(store: &Store, after: Position, limit: Limit) -> Result<Page, ReadError> {
    let snapshot = Snapshot::new(store);
    let state = snapshot.state()?;
    let horizons = state.horizons(store.order());
    let mut rules = Vec::new();
    let mut heads = BinaryHeap::new();
    for RuleRow { id: rule, held, low_watermark, .. } in state.rules {
        if held.records == 0 || after.0 == u64::MAX {
            continue;
        }
        let mut entries = snapshot
            .records(rule, after.next().max(low_watermark))
            .map(|entry| entry.map(|(_, entry)| entry));
        if let Some(entry) = entries.next().transpose()? {
            heads.push(Reverse((entry.position, rules.len())));
            rules.push((entry, entries));
        }
    }
    let mut builder = PageBuilder::new(limit);
    while let Some(Reverse((_, rule))) = heads.pop() {
        let (head, entries) = &mut rules[rule];
        if !builder.has_room(head.record.size()) {
            return Ok(builder.finish(after, false, horizons));
        }
        match entries.next() {
            Some(Ok(entry)) => {
                heads.push(Reverse((entry.position, rule)));
                builder.push(std::mem::replace(head, entry));
            }
            // The read of the next page reports the error.
            Some(Err(_)) => {
                builder.push(head.clone());
                return Ok(builder.finish(after, false, horizons));
            }
            None => builder.push(head.clone()),
        }
    }
    let mut page = builder.finish(after, true, horizons);
    page.through = page.through.max(state.last);
    Ok(page)
}

/// Finds the oldest record with an id.
pub(super) fn find_id(store: &Store, id: &str) -> Result<Option<Position>, ReadError> {
    let unindexed = store.ids.unindexed_positions(store.hash(id));
    let snapshot = Snapshot::new(store);
    let rules = snapshot.state()?.rules;
    let holding = || rules.iter().filter(|row| row.held.records > 0);
    let Some(from) = holding().map(|row| row.low_watermark).min() else { return Ok(None) };
    for candidate in snapshot.id_positions(id, from).chain(unindexed.into_iter().map(Ok)) {
        let (rule, position) = candidate?;
        // The tables may still have ids of dropped records.
        let is_held = holding().any(|row| row.id == rule && row.low_watermark <= position);
        if is_held
            && snapshot.record(rule, position)?.is_some_and(|entry| entry.record.id.as_deref() == Some(id))
        {
            return Ok(Some(position));
        }
    }
    Ok(None)
}
