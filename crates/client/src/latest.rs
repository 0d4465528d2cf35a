use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};

use crate::runtime::{MaybeSend, MaybeSync, ThreadBound};
use crate::store::Store;
use crate::subscription::EventSubscription;

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
    subscription: Option<Arc<EventSubscription>>,
}

/// A listener of a [`Latest`]; dropping it ends the listening.
#[must_use = "dropping a subscription ends it"]
pub struct Subscription {
    _leave: Box<dyn Send + Sync>,
}

impl<T> Latest<T> {
    pub(crate) fn of(store: Arc<Store<T>>) -> Self {
        Self { store, seen: 0, subscription: None }
    }

    pub(crate) fn fed_by(store: Arc<Store<T>>, subscription: EventSubscription) -> Self {
        Self { store, seen: 0, subscription: Some(Arc::new(subscription)) }
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
            let changed = self.store.changed();
            let (value, version) = self.store.read();
            if version != self.seen {
                self.seen = version;
                return value.as_deref().cloned();
            }
            if is_closed {
                return None;
            }
            let closed = async {
                match &self.subscription {
                    Some(subscription) => subscription.closed().await,
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
        let mut listener = ThreadBound::new(listener);
        let id = self.store.listen(Box::new(move |value| (*listener)(value)));
        self.open();
        let store = Arc::clone(&self.store);
        let subscription = self.subscription.clone();
        let leave = Leave(Some(move || {
            store.leave(id);
            drop(subscription);
        }));
        Subscription { _leave: Box::new(ThreadBound::new(leave)) }
    }

    fn open(&self) {
        if let Some(subscription) = &self.subscription {
            subscription.open();
        }
    }
}

impl<T> Clone for Latest<T> {
    fn clone(&self) -> Self {
        Self { store: Arc::clone(&self.store), seen: self.seen, subscription: self.subscription.clone() }
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
