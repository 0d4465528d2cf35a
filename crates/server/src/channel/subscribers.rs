use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::task::Waker;

use slab::Slab;

/// The subscribers of a channel: how far each is, and which of them wait.
///
/// Joining, leaving and waiting cost the same for any number of subscribers; waking costs as much as there
/// are waiting ones.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    all: Slab<Subscriber>,
    waiting: Vec<usize>,
    /// How many read each sequence next, where publishers wait for the slowest: it is found without a scan.
    positions: Option<BTreeMap<u64, usize>>,
}

#[derive(Debug)]
struct Subscriber {
    /// The sequence that it reads next.
    next: u64,
    waits: Option<Waits>,
}

#[derive(Debug)]
struct Waits {
    waker: Waker,
    /// Its index in `waiting`.
    index: usize,
}

impl Subscribers {
    /// `finds_slowest`: the slowest is asked for often, so that it is indexed.
    pub(crate) fn new(finds_slowest: bool) -> Self {
        Self { positions: finds_slowest.then(BTreeMap::new), ..Self::default() }
    }

    pub(crate) fn join(&mut self, next: u64) -> usize {
        self.count_position(next);
        self.all.insert(Subscriber { next, waits: None })
    }

    /// Removes a subscriber, and returns its waker, which must be dropped when no lock is held.
    #[must_use]
    pub(crate) fn leave(&mut self, key: usize) -> Option<Waker> {
        let waker = self.stop_waiting(key);
        let Subscriber { next, .. } = self.all.remove(key);
        self.uncount_position(next);
        waker
    }

    /// It has read on.
    pub(crate) fn advance(&mut self, key: usize, next: u64) {
        let before = std::mem::replace(&mut self.all[key].next, next);
        if before != next {
            self.count_position(next);
            self.uncount_position(before);
        }
    }

    /// Registers a waiting subscriber, and returns its earlier waker. The waker must be dropped when no lock
    /// is held.
    #[must_use]
    pub(crate) fn wait(&mut self, key: usize, waker: &Waker) -> Option<Waker> {
        match &mut self.all[key].waits {
            Some(waits) if waits.waker.will_wake(waker) => None,
            Some(waits) => Some(std::mem::replace(&mut waits.waker, waker.clone())),
            waits @ None => {
                *waits = Some(Waits { waker: waker.clone(), index: self.waiting.len() });
                self.waiting.push(key);
                None
            }
        }
    }

    /// Removes all waiting subscribers; their wakers must be woken when no lock is held.
    pub(crate) fn take_waiting(&mut self, wakers: &mut Vec<Waker>) {
        let waiting = self.waiting.drain(..);
        wakers.extend(waiting.filter_map(|key| Some(self.all.get_mut(key)?.waits.take()?.waker)));
    }

    /// Removes one waiting subscriber; its waker must be woken when no lock is held.
    pub(crate) fn take_one_waiting(&mut self) -> Option<Waker> {
        let key = *self.waiting.last()?;
        self.stop_waiting(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The sequence that the slowest of them reads next.
    pub(crate) fn slowest(&self) -> Option<u64> {
        match &self.positions {
            Some(positions) => positions.first_key_value().map(|(next, _)| *next),
            None => self.all.iter().map(|(_, subscriber)| subscriber.next).min(),
        }
    }

    fn count_position(&mut self, next: u64) {
        if let Some(positions) = &mut self.positions {
            *positions.entry(next).or_default() += 1;
        }
    }

    fn uncount_position(&mut self, next: u64) {
        if let Some(positions) = &mut self.positions
            && let Entry::Occupied(mut count) = positions.entry(next)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    fn stop_waiting(&mut self, key: usize) -> Option<Waker> {
        let Waits { waker, index } = self.all.get_mut(key)?.waits.take()?;
        self.waiting.swap_remove(index);
        if let Some(&moved) = self.waiting.get(index)
            && let Some(waits) = &mut self.all[moved].waits
        {
            waits.index = index;
        }
        Some(waker)
    }
}
