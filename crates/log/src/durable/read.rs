//! What is read from the store.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::store::Store;
use crate::tail::PageBuilder;
use crate::{Limit, Page, Position, ReadError};

/// Reads the records of all rules, in their order. Records that are damaged are passed over: the page says that up to behind them
/// something is missing.
pub(super) fn page(store: &Store, after: Position, limit: Limit) -> Result<Page, ReadError> {
    match whole_page(store, after, limit) {
        Err(ReadError::Damaged(problem)) => pass_over(store, after, problem),
        page => page,
    }
}

/// Finds the first position behind damage from where records can be read, and says that those before it are missing.
fn pass_over(store: &Store, after: Position, problem: String) -> Result<Page, ReadError> {
    let last = store.view().state()?.last;
    if after >= last {
        return Err(ReadError::Damaged(problem));
    }
    let one = Limit { records: 1, bytes: 1 };
    let is_readable = |from: u64| from >= last.0 || whole_page(store, Position(from), one).is_ok();
    let mut step = 1;
    while !is_readable(after.0.saturating_add(step)) {
        step *= 2;
    }
    let (mut damaged, mut readable) = (after.0 + step / 2, after.0.saturating_add(step).min(last.0));
    while damaged + 1 < readable {
        let middle = damaged + (readable - damaged) / 2;
        if is_readable(middle) { readable = middle } else { damaged = middle }
    }
    let state = store.view().state()?;
    let (horizon, separate_horizon) = (state.horizon.max(Position(readable)), state.separate_horizon);
    store.damage.note(after, Position(readable), &problem);
    Ok(Page {
        entries: Vec::new(),
        through: Position(readable),
        end: readable >= last.0,
        horizon,
        separate_horizon,
    })
}

fn whole_page(store: &Store, after: Position, limit: Limit) -> Result<Page, ReadError> {
    let view = store.view();
    let state = view.state()?;
    let mut rules = Vec::new();
    let mut heads = BinaryHeap::new();
    for (rule, held, low_watermark) in state.rules {
        if held.records == 0 || after.0 == u64::MAX {
            continue;
        }
        let mut entries =
            view.records(rule, after.next().max(low_watermark)).map(|entry| entry.map(|(_, entry)| entry));
        if let Some(entry) = entries.next().transpose()? {
            heads.push(Reverse((entry.position, rules.len())));
            rules.push((entry, entries));
        }
    }
    let mut taken = PageBuilder::new(limit);
    while let Some(Reverse((_, rule))) = heads.pop() {
        let (head, entries) = &mut rules[rule];
        if !taken.has_room(head.record.size()) {
            return Ok(taken.page(after, false, [state.horizon, state.separate_horizon]));
        }
        match entries.next() {
            Some(Ok(entry)) => {
                heads.push(Reverse((entry.position, rule)));
                taken.push(std::mem::replace(head, entry));
            }
            // The read of the next page reports the error.
            Some(Err(_)) => {
                taken.push(head.clone());
                return Ok(taken.page(after, false, [state.horizon, state.separate_horizon]));
            }
            None => taken.push(head.clone()),
        }
    }
    let mut page = taken.page(after, true, [state.horizon, state.separate_horizon]);
    page.through = page.through.max(state.last);
    Ok(page)
}

/// Looks for the oldest record with an id.
pub(super) fn find(store: &Store, id: &str) -> Result<Option<Position>, ReadError> {
    let fresh = store.ids.fresh_places(store.hash(id));
    let view = store.view();
    let rules = view.state()?.rules;
    let holding = || rules.iter().filter(|(_, held, _)| held.records > 0);
    let Some(from) = holding().map(|(_, _, low_watermark)| *low_watermark).min() else { return Ok(None) };
    for place in view.id_places(id, from).chain(fresh.into_iter().map(Ok)) {
        let (rule, position) = place?;
        // What is let go may be in the tables yet.
        let held = holding().any(|(held, _, low_watermark)| *held == rule && *low_watermark <= position);
        if held && view.record(rule, position)?.is_some_and(|entry| entry.record.id.as_deref() == Some(id)) {
            return Ok(Some(position));
        }
    }
    Ok(None)
}
