//! What is read from the store.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::store::{RuleId, Store};
use crate::tail::Taken;
use crate::{Limit, Page, Position, ReadError};

/// Reads the records of all rules, in their order.
pub(super) fn page(store: &Store, after: Position, limit: Limit) -> Result<Page, ReadError> {
    let view = store.view();
    let (last, horizon) = view.log()?;
    let mut rules = Vec::new();
    let mut heads = BinaryHeap::new();
    let known = view.rules()?.into_iter().map(|(rule, _)| rule);
    for rule in known.chain([RuleId::REST]) {
        let (held, front) = view.held(rule)?;
        if held.records == 0 || after.0 == u64::MAX {
            continue;
        }
        let mut entries = view.records(rule, after.next().max(front));
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
            return Ok(taken.page(after, false, horizon));
        }
        if let Some(entry) = entries.next().transpose()? {
            heads.push(Reverse((entry.position, rule)));
            *head = entry;
        }
    }
    let mut page = taken.page(after, true, horizon);
    page.through = page.through.max(last);
    Ok(page)
}

/// Looks for the oldest record with an id.
pub(super) fn find(store: &Store, id: &str) -> Result<Option<Position>, ReadError> {
    let view = store.view();
    for place in view.id_places(id) {
        let (rule, position) = place?;
        if view.record(rule, position)?.is_some_and(|entry| entry.record.id.as_deref() == Some(id)) {
            return Ok(Some(position));
        }
    }
    Ok(None)
}
