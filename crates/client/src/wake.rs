//! Waiting for each other, on any runtime.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use futures_util::task::AtomicWaker;

use crate::latest::lock;

/// Wakes one task that waits, now or later: a wake-up without a waiting task is not lost.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: AtomicBool,
    waker: AtomicWaker,
}

impl Bell {
    pub(crate) fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Resolves once it was rung. Only one may wait at a time. Cancel safe.
    pub(crate) async fn rung(&self) {
        poll_fn(|context| {
            self.waker.register(context.waker());
            if self.rung.swap(false, Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Something changes, and any number of tasks wait for that.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    state: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// How often it has changed.
    changes: u64,
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

/// The next change since it was asked for.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    changes: &'a Changes,
    /// How many there had been.
    seen: u64,
    id: Option<u64>,
}

impl Changes {
    pub(crate) fn tell(&self) {
        let mut state = lock(&self.state);
        state.changes += 1;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_values().for_each(Waker::wake);
    }

    pub(crate) fn next(&self) -> Change<'_> {
        Change { changes: self, seen: lock(&self.state).changes, id: None }
    }
}

impl Future for Change<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let waker = context.waker().clone();
        let mut state = lock(&self.changes.state);
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

impl Drop for Change<'_> {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        let left = lock(&self.changes.state).wakers.remove(&id);
        drop(left);
    }
}
