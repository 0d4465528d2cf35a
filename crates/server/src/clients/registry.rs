use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::audience::Losses;
use crate::emitter::Emitter;
use crate::presence::{PresenceChange, Told, Watchers};
use crate::stop::{Place, StopReason};
use crate::streams::{Refusal, Why, jittered_retry};

pub(super) struct Shared<K> {
    pub(super) max_per_key: Option<usize>,
    pub(super) replace_oldest: bool,
    pub(super) retry: Duration,
    pub(super) losses: Arc<Losses>,
    pub(super) registry: Mutex<Registry<K>>,
    pub(super) watchers: Watchers<K>,
    pub(super) name: Option<Box<str>>,
    #[cfg(feature = "metrics")]
    pub(super) recorded: crate::metrics::Recorded,
}

pub(super) struct Registry<K> {
    pub(super) keys: HashMap<K, Group<K>>,
    pub(super) streams: usize,
    pub(super) next: u64,
    pub(super) refused: u64,
}

/// The streams of one key.
pub(super) struct Group<K> {
    pub(super) key: Arc<K>,
    /// In the order in which they came, which is that of their numbers.
    pub(super) tabs: Vec<Tab>,
}

pub(super) struct Tab {
    pub(super) number: u64,
    pub(super) emitter: Emitter,
}

impl<K> Shared<K> {
    /// Nobody is woken, no emitter dropped and of keys' code only `eq` and `hash` run under this lock.
    pub(super) fn registry(&self) -> MutexGuard<'_, Registry<K>> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Shared<K> {
    /// Adds a stream to its key, or refuses it.
    ///
    /// `key` is shared with others, `own` is for the map. Neither is dropped under the lock.
    pub(super) fn join(&self, key: Arc<K>, own: K, emitter: Emitter) -> Result<(Arc<K>, u64), Refusal> {
        let mut told = Vec::new();
        let mut registry = self.registry();
        let Registry { keys, streams, next, refused } = &mut *registry;
        let number = *next;
        let mut replaced = Vec::new();
        let (of_key, key) = match keys.get_mut(&own) {
            Some(group) => {
                if let Some(max) = self.max_per_key.filter(|max| group.tabs.len() >= *max) {
                    if !self.replace_oldest || max == 0 {
                        *refused += 1;
                        return Err(self.refusal());
                    }
                    replaced.extend(group.tabs.drain(..=group.tabs.len() - max));
                    for left in (0..replaced.len()).rev() {
                        let (key, streams) = (group.key.clone(), group.tabs.len() + left);
                        told.push(self.watchers.tell(PresenceChange::Left { key, streams }));
                    }
                }
                group.tabs.push(Tab { number, emitter });
                (group.tabs.len(), group.key.clone())
            }
            None if self.max_per_key == Some(0) => {
                *refused += 1;
                return Err(self.refusal());
            }
            None => {
                keys.insert(own, Group { key: key.clone(), tabs: vec![Tab { number, emitter }] });
                (1, key)
            }
        };
        *next += 1;
        *streams = *streams + 1 - replaced.len();
        told.push(self.watchers.tell(PresenceChange::Joined { key: key.clone(), streams: of_key }));
        drop(registry);
        told.into_iter().for_each(Told::wake);
        for tab in replaced {
            tab.emitter.outbox().dismiss(StopReason::Replaced, jittered_retry(self.retry));
        }
        Ok((key, number))
    }

    fn refusal(&self) -> Refusal {
        Refusal::new(Why::KeyFull, jittered_retry(self.retry))
    }

    /// Removes this stream alone, if it is still there.
    fn leave(&self, key: &Arc<K>, number: u64) {
        let mut registry = self.registry();
        let Some(group) = registry.keys.get_mut(&**key) else { return };
        let Ok(index) = group.tabs.binary_search_by_key(&number, |tab| tab.number) else { return };
        let tab = group.tabs.remove(index);
        let streams = group.tabs.len();
        let group = if streams == 0 { registry.keys.remove_entry(&**key) } else { None };
        registry.streams -= 1;
        let told = self.watchers.tell(PresenceChange::Left { key: key.clone(), streams });
        drop(registry);
        told.wake();
        drop((tab, group));
    }
}

/// A stream's place among those of its key.
pub(super) struct Seat<K: Eq + Hash + Send + Sync> {
    pub(super) shared: Arc<Shared<K>>,
    pub(super) key: Arc<K>,
    pub(super) number: u64,
}

impl<K: Eq + Hash + Send + Sync> Place for Seat<K> {
    fn leave(&mut self, _reason: &StopReason) {
        self.shared.leave(&self.key, self.number);
    }
}

impl<K: Eq + Hash + Send + Sync> Drop for Seat<K> {
    fn drop(&mut self) {
        self.shared.leave(&self.key, self.number);
    }
}

/// The place of a stream that was refused.
pub(super) struct Nowhere;

impl Place for Nowhere {
    fn leave(&mut self, _reason: &StopReason) {}
}
