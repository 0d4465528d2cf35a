use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use futures_util::future::{Either, select};

use crate::runtime::{MaybeSend, MaybeSync, Resident};
use crate::seat::Seat;
use crate::wake::{Change, Changes};

/// The latest value of something that changes, as a readable store: [`get`](Self::get) it, wait until it has
/// [`changed`](Self::changed), or [`subscribe`](Self::subscribe) to it.
///
/// Made by [`Select::latest`](crate::Select::latest), and by [`Source::statuses`](crate::Source::statuses)
/// for the connection's status. Values that come faster than they are looked at replace each other; a
/// [stream](crate::Select) gives every one.
///
/// A view of events subscribes when it is made, and opens the connection when it is first used. It is left
/// when the view, its clones and its subscriptions are dropped.
pub struct Latest<T> {
    store: Arc<Store<T>>,
    /// The version that `changed` gave last.
    seen: u64,
    seat: Option<Arc<Seat>>,
}

/// A listener of a [`Latest`]; dropping it ends the listening.
#[must_use = "dropping a subscription ends it"]
pub struct Subscription {
    _leave: Box<dyn Send + Sync>,
}

impl<T> Latest<T> {
    pub(crate) fn of(store: Arc<Store<T>>) -> Self {
        Self { store, seen: 0, seat: None }
    }

    pub(crate) fn fed_by(store: Arc<Store<T>>, seat: Seat) -> Self {
        Self { store, seen: 0, seat: Some(Arc::new(seat)) }
    }

    /// The latest value, `None` before the first one.
    pub fn get(&self) -> Option<T>
    where
        T: Clone,
    {
        self.open();
        self.store.value().as_deref().cloned()
    }

    /// Waits for a value that this view has not given yet, and gives it; the first call gives the value that
    /// is there, if there is one. `None` once the connection is closed for good.
    ///
    /// Cancel safe: a value that was not given is given by the next call.
    pub async fn changed(&mut self) -> Option<T>
    where
        T: Clone,
    {
        let mut is_closed = false;
        loop {
            self.open();
            let changed = self.store.changed.next();
            let (value, version) = self.store.read();
            if version != self.seen {
                self.seen = version;
                return value.as_deref().cloned();
            }
            if is_closed {
                return None;
            }
            let closed = async {
                match &self.seat {
                    Some(seat) => seat.closed().await,
                    None => std::future::pending().await,
                }
            };
            is_closed = matches!(select(changed, pin!(closed)).await, Either::Right(_));
        }
    }

    /// Calls `listener` with the latest value, if there is one, and then with every value that follows.
    ///
    /// It is called where the connection runs: it should be quick, and must not block. If it panics, that is
    /// logged and it is called for the next value all the same.
    pub fn subscribe(&self, listener: impl FnMut(&T) + MaybeSend + 'static) -> Subscription
    where
        T: MaybeSend + MaybeSync + 'static,
    {
        let mut listener = Resident::new(listener);
        let id = self.store.listen(Box::new(move |value| (*listener)(value)));
        self.open();
        let store = Arc::clone(&self.store);
        let seat = self.seat.clone();
        let leave = Leave(Some(move || {
            store.leave(id);
            drop(seat);
        }));
        Subscription { _leave: Box::new(Resident::new(leave)) }
    }

    fn open(&self) {
        if let Some(seat) = &self.seat {
            seat.open();
        }
    }
}

impl<T> Clone for Latest<T> {
    fn clone(&self) -> Self {
        Self { store: Arc::clone(&self.store), seen: self.seen, seat: self.seat.clone() }
    }
}

impl<T: fmt::Debug> fmt::Debug for Latest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latest").field("value", &self.store.value()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

struct Leave<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for Leave<F> {
    fn drop(&mut self) {
        if let Some(leave) = self.0.take() {
            leave();
        }
    }
}

/// A value, its version and its listeners. Listeners are called without a lock on the value, so that they may
/// read it, and never two at once for one listener, so that each sees the versions in order.
pub(crate) struct Store<T> {
    /// The value and how often it was set.
    value: Mutex<(Option<Arc<T>>, u64)>,
    listeners: Mutex<Vec<Arc<Listener<T>>>>,
    next: AtomicU64,
    changed: Changes,
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
            changed: Changes::default(),
        }
    }

    pub(crate) fn value(&self) -> Option<Arc<T>> {
        lock(&self.value).0.clone()
    }

    /// Sets the value; [`tell`](Self::tell) follows once no lock is held.
    pub(crate) fn put(&self, value: T) {
        let mut place = lock(&self.value);
        let replaced = place.0.replace(Arc::new(value));
        place.1 += 1;
        drop(place);
        drop(replaced);
    }

    /// Wakes waiting tasks and calls listeners after a change of the value.
    pub(crate) fn tell(&self) {
        self.changed.tell();
        let listeners = lock(&self.listeners).clone();
        for listener in listeners {
            self.call(&listener);
        }
    }

    /// The next change since it was asked for.
    pub(crate) fn next_change(&self) -> Change<'_> {
        self.changed.next()
    }

    fn read(&self) -> (Option<Arc<T>>, u64) {
        lock(&self.value).clone()
    }

    fn listen(&self, listener: Box<dyn FnMut(&T) + Send>) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let listener = Arc::new(Listener { id, called: Mutex::new(Called { listener, seen: 0 }) });
        lock(&self.listeners).push(Arc::clone(&listener));
        self.call(&listener);
        id
    }

    fn leave(&self, id: u64) {
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

/// The text of a panic.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a text".to_owned())
}

/// Locks a mutex and ignores poison: a panic of a caller's closure leaves the guarded value intact.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
