use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, TryLockError};

use crate::notify::{Changed, Watch};
use crate::panics::{lock, panic_text};

/// A value, its version and its listeners. Listeners are called without a lock on the value, so that they may
/// read it, and never two at once for one listener, so that each sees the versions in order.
pub(crate) struct Store<T> {
    /// The value and how often it was set.
    value: Mutex<(Option<Arc<T>>, u64)>,
    listeners: Mutex<Vec<Arc<Listener<T>>>>,
    next: AtomicU64,
    changed: Watch,
}

struct Listener<T> {
    id: u64,
    called: Mutex<Called<T>>,
}

struct Called<T> {
    listener: Box<dyn FnMut(&T) + Send>,
    /// The version that it was called with last.
    seen: u64,
}

impl<T> Store<T> {
    pub(crate) fn empty() -> Self {
        Self {
            value: Mutex::new((None, 0)),
            listeners: Mutex::new(Vec::new()),
            next: AtomicU64::new(0),
            changed: Watch::default(),
        }
    }

    pub(crate) fn value(&self) -> Option<Arc<T>> {
        lock(&self.value).0.clone()
    }

    /// Sets the value; [`notify`](Self::notify) follows once no lock is held.
    pub(crate) fn put(&self, value: T) {
        let mut slot = lock(&self.value);
        let replaced = slot.0.replace(Arc::new(value));
        slot.1 += 1;
        drop(slot);
        drop(replaced);
    }

    /// Wakes waiting tasks and calls listeners after a change of the value.
    pub(crate) fn notify(&self) {
        self.changed.notify_all();
        let listeners = lock(&self.listeners).clone();
        for listener in listeners {
            self.call(&listener);
        }
    }

    /// Returns a future of the next change.
    pub(crate) fn changed(&self) -> Changed<'_> {
        self.changed.changed()
    }

    pub(crate) fn read(&self) -> (Option<Arc<T>>, u64) {
        lock(&self.value).clone()
    }

    pub(crate) fn listen(&self, listener: Box<dyn FnMut(&T) + Send>) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let listener = Arc::new(Listener { id, called: Mutex::new(Called { listener, seen: 0 }) });
        lock(&self.listeners).push(Arc::clone(&listener));
        self.call(&listener);
        id
    }

    pub(crate) fn leave(&self, id: u64) {
        let mut listeners = lock(&self.listeners);
        let left = listeners.iter().position(|listener| listener.id == id).map(|at| listeners.remove(at));
        drop(listeners);
        drop(left);
    }

    /// Calls the listener until it has seen the latest version. If it is being called already, perhaps by
    /// itself, the running call does that.
    fn call(&self, listener: &Listener<T>) {
        loop {
            let mut called = match listener.called.try_lock() {
                Ok(called) => called,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            let (value, version) = self.read();
            let mut outcome = Ok(());
            if let Some(value) = value.filter(|_| version != called.seen) {
                called.seen = version;
                outcome = panic::catch_unwind(AssertUnwindSafe(|| (called.listener)(&value)));
            }
            drop(called);
            if let Err(panic) = outcome {
                tracing::error!("a listener of a latest value panicked: {}", panic_text(&*panic));
            }
            // A value that was put while this call had the lock is seen here.
            if self.read().1 == version {
                return;
            }
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Store<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("value", &self.value()).finish_non_exhaustive()
    }
}
