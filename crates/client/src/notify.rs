//! Wake-ups between tasks, on any runtime.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use futures_util::task::AtomicWaker;

use crate::panics::lock;

/// Wakes one task that waits, now or later: a wake-up without a waiting task is not lost.
#[derive(Debug, Default)]
pub(crate) struct Notify {
    is_notified: AtomicBool,
    waker: AtomicWaker,
}

impl Notify {
    pub(crate) fn notify(&self) {
        self.is_notified.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Resolves after a [`notify`](Self::notify). Only one task may wait at a time. Cancel safe.
    pub(crate) async fn notified(&self) {
        poll_fn(|context| {
            self.waker.register(context.waker());
            if self.is_notified.swap(false, Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Wakes any number of tasks that wait for a change.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    state: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The number of changes so far.
    changes: u64,
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

/// A future of the next change after its making.
#[derive(Debug)]
pub(crate) struct Changed<'a> {
    watch: &'a Watch,
    /// The number of changes when it was made.
    seen: u64,
    id: Option<u64>,
}

impl Watch {
    pub(crate) fn notify_all(&self) {
        let mut state = lock(&self.state);
        state.changes += 1;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_values().for_each(Waker::wake);
    }

    pub(crate) fn changed(&self) -> Changed<'_> {
        Changed { watch: self, seen: lock(&self.state).changes, id: None }
    }
}

impl Future for Changed<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let waker = context.waker().clone();
        let mut state = lock(&self.watch.state);
        if state.changes != self.seen {
            return Poll::Ready(());
        }
        let id = self.id.unwrap_or(state.next);
        state.next = state.next.max(id + 1);
        let replaced = state.wakers.insert(id, waker);
        drop(state);
        self.id = Some(id);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Changed<'_> {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        let left = lock(&self.watch.state).wakers.remove(&id);
        drop(left);
    }
}
