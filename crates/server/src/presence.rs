//! Joins and leaves for watchers: changes in their order, up to a limit.

mod settled;

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream;
use slab::Slab;

pub use self::settled::SettledPresence;

/// A stream of joins and leaves since it was made, in their order.
///
/// The last 1,024 changes are kept for watchers. A slower watcher gets the number of
/// [missed](PresenceChange::Missed) ones. The stream ends when the last handle of the watched registry and
/// the last stream are gone.
#[must_use = "it does nothing unless it is polled"]
pub struct Presence<K> {
    log: Arc<Mutex<ChangeLog<K>>>,
    /// The change that is read next.
    next: u64,
    watcher: usize,
}

/// One join or leave.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PresenceChange<K> {
    /// A stream has come.
    Joined {
        /// Whose.
        key: K,
        /// Streams of this key there are now.
        streams: usize,
    },
    /// A stream has gone.
    Left {
        /// Whose.
        key: K,
        /// Streams of this key there are now: none when the last has gone.
        streams: usize,
    },
    /// This many changes are forgotten, because the stream was not read in time. Read the present keys again.
    Missed(u64),
}

/// The changes that are kept for watchers.
const MAX_CHANGES: usize = 1024;

/// The watchers of changes.
pub(crate) struct Watchers<K> {
    log: Arc<Mutex<ChangeLog<K>>>,
}

struct ChangeLog<K> {
    changes: VecDeque<PresenceChange<Arc<K>>>,
    /// The number of the oldest of them.
    first: u64,
    watchers: Slab<Option<Waker>>,
    ended: bool,
}

/// The wakers and changes to wake and drop after a change, when no lock is held.
#[must_use = "the watchers are to be woken"]
pub(crate) struct PendingWakes<K> {
    wakers: Vec<Waker>,
    forgotten: Option<PresenceChange<Arc<K>>>,
}

impl<K> Watchers<K> {
    pub(crate) fn new() -> Self {
        let log = ChangeLog { changes: VecDeque::new(), first: 0, watchers: Slab::new(), ended: false };
        Self { log: Arc::new(Mutex::new(log)) }
    }

    /// Adds a change, in the order of changes: under the lock under which they happen.
    pub(crate) fn record(&self, change: PresenceChange<Arc<K>>) -> PendingWakes<K> {
        let mut log = lock(&self.log);
        if log.watchers.is_empty() {
            return PendingWakes { wakers: Vec::new(), forgotten: Some(change) };
        }
        let mut forgotten = None;
        if log.changes.len() >= MAX_CHANGES {
            forgotten = log.changes.pop_front();
            log.first += 1;
        }
        log.changes.push_back(change);
        let wakers = log.watchers.iter_mut().filter_map(|(_, waker)| waker.take()).collect();
        PendingWakes { wakers, forgotten }
    }

    pub(crate) fn watch(&self) -> Presence<K> {
        let mut log = lock(&self.log);
        let next = log.first + log.changes.len() as u64;
        let watcher = log.watchers.insert(None);
        Presence { log: self.log.clone(), next, watcher }
    }
}

impl<K> Drop for Watchers<K> {
    fn drop(&mut self) {
        let mut log = lock(&self.log);
        log.ended = true;
        let wakers: Vec<_> = log.watchers.iter_mut().filter_map(|(_, waker)| waker.take()).collect();
        drop(log);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl<K> PendingWakes<K> {
    pub(crate) fn wake(self) {
        self.wakers.into_iter().for_each(Waker::wake);
        drop(self.forgotten);
    }
}

impl<K> Presence<K> {
    /// Keys that are online, instead of streams: a key that is back within this time has not left, as when
    /// its user reloads the page or the connection was lost for a moment.
    ///
    /// ```
    /// use std::time::Duration;
    /// use ssekit::{Clients, PresenceChange};
    ///
    /// async fn tell(clients: Clients<String>) {
    ///     let mut presence = clients.presence().settled(Duration::from_secs(10));
    ///     while let Some(change) = presence.next().await {
    ///         match change {
    ///             PresenceChange::Joined { key, .. } => println!("{key} is online"),
    ///             PresenceChange::Left { key, .. } => println!("{key} is offline"),
    ///             PresenceChange::Missed(_) => println!("online: {:?}", clients.keys()),
    ///             _ => {}
    ///         }
    ///     }
    /// }
    /// # let _ = tell;
    /// ```
    pub fn settled(self, time: Duration) -> SettledPresence<K> {
        SettledPresence::new(self, time)
    }
}

impl<K: Clone> Presence<K> {
    /// The next change; `None` when nobody can join or leave any more. Cancel-safe.
    ///
    /// The same as the stream's, for programs that need no more than this.
    pub async fn next(&mut self) -> Option<PresenceChange<K>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<K: Clone> Stream for Presence<K> {
    type Item = PresenceChange<K>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<PresenceChange<K>>> {
        let this = self.get_mut();
        let mut log = lock(&this.log);
        if let Some(missed) = log.first.checked_sub(this.next).filter(|missed| *missed > 0) {
            this.next = log.first;
            return Poll::Ready(Some(PresenceChange::Missed(missed)));
        }
        if let Some(change) = log.changes.get((this.next - log.first) as usize) {
            let change = change.clone();
            this.next += 1;
            drop(log);
            return Poll::Ready(Some(change.owned()));
        }
        if log.ended {
            return Poll::Ready(None);
        }
        let other = log.watchers[this.watcher].replace(cx.waker().clone());
        drop(log);
        drop(other);
        Poll::Pending
    }
}

impl<K> Drop for Presence<K> {
    fn drop(&mut self) {
        let mut log = lock(&self.log);
        let waker = log.watchers.remove(self.watcher);
        let mut changes = VecDeque::new();
        if log.watchers.is_empty() {
            changes = std::mem::take(&mut log.changes);
            log.first += changes.len() as u64;
        }
        drop(log);
        drop((waker, changes));
    }
}

impl<K: Clone> PresenceChange<Arc<K>> {
    fn owned(self) -> PresenceChange<K> {
        match self {
            Self::Joined { key, streams } => {
                PresenceChange::Joined { key: Arc::unwrap_or_clone(key), streams }
            }
            Self::Left { key, streams } => PresenceChange::Left { key: Arc::unwrap_or_clone(key), streams },
            Self::Missed(changes) => PresenceChange::Missed(changes),
        }
    }
}

/// No foreign code runs under this lock: keys are shared, so that they are neither cloned nor dropped.
fn lock<K>(log: &Mutex<ChangeLog<K>>) -> MutexGuard<'_, ChangeLog<K>> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K> fmt::Debug for Presence<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presence").field("next", &self.next).finish_non_exhaustive()
    }
}
