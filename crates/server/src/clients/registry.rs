use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::audience::Losses;
use crate::emitter::Emitter;
use crate::presence::{PendingWakes, PresenceChange, Watchers};
use crate::refusal::{Refusal, RefusalReason, jittered_retry};
use crate::stop::{Membership, StopReason};

pub(super) struct ClientsShared<K> {
    pub(super) max_per_key: Option<usize>,
    pub(super) replace_oldest: bool,
    pub(super) retry: Duration,
    pub(super) losses: Arc<Losses>,
    pub(super) registry: Mutex<Registry<K>>,
    pub(super) watchers: Watchers<K>,
    pub(super) name: Option<Box<str>>,
    #[cfg(feature = "metrics")]
    pub(super) recorded: crate::recorded::Recorded,
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
    /// In the order in which they joined, which is that of their numbers.
    pub(super) streams: Vec<OpenStream>,
}

pub(super) struct OpenStream {
    pub(super) number: u64,
    pub(super) emitter: Emitter,
}

impl<K> ClientsShared<K> {
    /// Under this lock, no task is woken, no emitter is dropped, and of keys' code only `eq` and `hash` run.
    pub(super) fn registry(&self) -> MutexGuard<'_, Registry<K>> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> ClientsShared<K> {
    /// Adds a stream to its key, or refuses it.
    ///
    /// `key` is shared with others, `own` is for the map. Neither is dropped under the lock.
    pub(super) fn join(&self, key: Arc<K>, own: K, emitter: Emitter) -> Result<(Arc<K>, u64), Refusal> {
        let mut pending = Vec::new();
        let mut registry = self.registry();
        let Registry { keys, streams, next, refused } = &mut *registry;
        let number = *next;
        let mut replaced = Vec::new();
        let (of_key, key) = match keys.get_mut(&own) {
            Some(group) => {
                if let Some(max) = self.max_per_key.filter(|max| group.streams.len() >= *max) {
                    if !self.replace_oldest || max == 0 {
                        *refused += 1;
                        return Err(self.refusal());
                    }
                    replaced.extend(group.streams.drain(..=group.streams.len() - max));
                    for left in (0..replaced.len()).rev() {
                        let (key, streams) = (group.key.clone(), group.streams.len() + left);
                        pending.push(self.watchers.record(PresenceChange::Left { key, streams }));
                    }
                }
                group.streams.push(OpenStream { number, emitter });
                (group.streams.len(), group.key.clone())
            }
            None if self.max_per_key == Some(0) => {
                *refused += 1;
                return Err(self.refusal());
            }
            None => {
                keys.insert(own, Group { key: key.clone(), streams: vec![OpenStream { number, emitter }] });
                (1, key)
            }
        };
        *next += 1;
        *streams = *streams + 1 - replaced.len();
        pending.push(self.watchers.record(PresenceChange::Joined { key: key.clone(), streams: of_key }));
        drop(registry);
        pending.into_iter().for_each(PendingWakes::wake);
        for stream in replaced {
            stream.emitter.outbox().end_with_retry(StopReason::Replaced, jittered_retry(self.retry));
        }
        Ok((key, number))
    }

    fn refusal(&self) -> Refusal {
        Refusal::new(RefusalReason::KeyFull, jittered_retry(self.retry))
    }

    /// Removes this stream alone, if it is still there.
    fn leave(&self, key: &Arc<K>, number: u64) {
        let mut registry = self.registry();
        let Some(group) = registry.keys.get_mut(&**key) else { return };
        let Ok(index) = group.streams.binary_search_by_key(&number, |stream| stream.number) else { return };
        let stream = group.streams.remove(index);
        let streams = group.streams.len();
        let group = if streams == 0 { registry.keys.remove_entry(&**key) } else { None };
        registry.streams -= 1;
        let pending = self.watchers.record(PresenceChange::Left { key: key.clone(), streams });
        drop(registry);
        pending.wake();
        drop((stream, group));
    }
}

/// A stream's membership among those of its key.
pub(super) struct ClientsMembership<K: Eq + Hash + Send + Sync> {
    pub(super) shared: Arc<ClientsShared<K>>,
    pub(super) key: Arc<K>,
    pub(super) number: u64,
}

impl<K: Eq + Hash + Send + Sync> Membership for ClientsMembership<K> {
    fn leave(&mut self, _reason: &StopReason) {
        self.shared.leave(&self.key, self.number);
    }
}

impl<K: Eq + Hash + Send + Sync> Drop for ClientsMembership<K> {
    fn drop(&mut self) {
        self.shared.leave(&self.key, self.number);
    }
}

/// The membership of a stream that was refused.
pub(super) struct NoMembership;

impl Membership for NoMembership {
    fn leave(&mut self, _reason: &StopReason) {}
}
