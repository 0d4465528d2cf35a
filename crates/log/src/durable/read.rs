//! What is read from the store.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::store::Store;
use crate::tail::Taken;
use crate::{Limit, Page, Position, ReadError};

/// Reads the records of all rules, in their order.
pub(super) fn page(store: &Store, after: Position, limit: Limit) -> Result<Page, ReadError> {
    let view = store.view();
    let state = view.state()?;
    let mut rules = Vec::new();
    let mut heads = BinaryHeap::new();
    for (rule, held, front) in state.rules {
        if held.records == 0 || after.0 == u64::MAX {
            continue;
        }
        let mut entries =
            view.records(rule, after.next().max(front)).map(|entry| entry.map(|(_, entry)| entry));
        if let Some(entry) = entries.next().transpose()? {
            heads.push(Reverse((entry.position, rules.len())));
            rules.push((entry, entries));
        }
    }
    let mut taken = Taken::new(limit);
    while let Some(Reverse((_, rule))) = heads.pop() {
        let (head, entries) = &mut rules[rule];
        let size = head.record.size();
        if !taken.take(size, || head.clone()) {
            return Ok(taken.page(after, false, state.horizon.max(state.separate_horizon)));
        }
        if let Some(entry) = entries.next().transpose()? {
            heads.push(Reverse((entry.position, rule)));
            *head = entry;
        }
    }
    let mut page = taken.page(after, true, state.horizon.max(state.separate_horizon));
    page.through = page.through.max(state.last);
    Ok(page)
}

/// Looks for the oldest record with an id.
pub(super) fn find(store: &Store, id: &str) -> Result<Option<Position>, ReadError> {
    let fresh = store.ids.fresh_places(store.hash(id));
    let view = store.view();
    let rules = view.state()?.rules;
    let holding = || rules.iter().filter(|(_, held, _)| held.records > 0);
    let Some(from) = holding().map(|(_, _, front)| *front).min() else { return Ok(None) };
    for place in view.id_places(id, from).chain(fresh.into_iter().map(Ok)) {
        let (rule, position) = place?;
        // What is let go may be in the tables yet.
        let held = holding().any(|(held, _, front)| *held == rule && *front <= position);
        if held && view.record(rule, position)?.is_some_and(|entry| entry.record.id.as_deref() == Some(id)) {
            return Ok(Some(position));
        }
    }
    Ok(None)
}
