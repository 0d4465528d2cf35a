//! The part of a connection that its subscribers use.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::{Connection, NextItem};
use crate::CloseReason;
use crate::panics::lock;
use crate::subscribers;

impl Connection {
    pub(crate) fn subscribe(&self, event: Option<Arc<str>>) -> u64 {
        let mut state = lock(&self.state);
        state.holds_events = false;
        self.wake_for_room(&mut state);
        state.subscribers.add(event)
    }

    pub(crate) fn unsubscribe(&self, id: u64) {
        let mut state = lock(&self.state);
        let left = state.subscribers.remove(id);
        if state.subscribers.is_empty() && state.session.is_none() && state.end.is_none() {
            // An earlier command to connect was for subscribers that have left.
            state.commands.connect = None;
            state.commands.close = Some(CloseReason::Unsubscribed);
            self.wake_for_commands();
        }
        self.wake_for_room(&mut state);
        drop(state);
        drop(left);
    }

    /// The next thing for a subscriber. Opens the connection when that was not done yet.
    pub(crate) fn poll(self: &Arc<Self>, id: u64, context: &mut Context<'_>) -> Poll<NextItem> {
        let mut state = lock(&self.state);
        let polled = state.subscribers.poll(id, context);
        self.wake_for_room(&mut state);
        match polled {
            Poll::Ready(item) => Poll::Ready(NextItem::Inbox(item)),
            Poll::Pending => match &state.end {
                Some(reason) => Poll::Ready(NextItem::Closed(reason.clone())),
                None => {
                    let idle = state.session.is_some();
                    drop(state);
                    if idle {
                        self.open();
                    }
                    Poll::Pending
                }
            },
        }
    }

    /// Calls the subscriber from now on; its unread deliveries come first.
    pub(crate) fn call_with(&self, id: u64, callback: &subscribers::Callback) {
        // The driver waits with the next delivery until the unread ones have been given.
        let mut called = lock(callback);
        let mut state = lock(&self.state);
        let left = state.subscribers.call(id, Arc::clone(callback));
        self.wake_for_room(&mut state);
        drop(state);
        for delivery in left {
            called(&delivery);
        }
    }
}
