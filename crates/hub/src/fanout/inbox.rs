//! Message queue of a fan-out thread.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mio::Waker;

use super::Subscription;
use super::replay::Page;
use super::sink::Sink;

/// Message queue of a fan-out thread.
#[derive(Debug)]
pub(super) struct Inbox {
    messages: Mutex<Vec<Message>>,
    waker: Arc<Waker>,
}

/// Message; the numbers are the slot and the generation of a subscriber.
#[derive(Debug)]
pub(super) enum Message {
    Join(Box<(Sink, Subscription)>),
    /// The subscriber's body channel has room again.
    Room(u32, u32),
    /// The subscriber's response has been dropped.
    Gone(u32, u32),
    /// A requested page.
    Page(u32, u32, Page),
    /// The log of a requested page cannot be read.
    Unreadable(u32, u32),
    /// Keys have been replaced: the tokens of some streams may no longer verify.
    KeysReplaced,
    /// All streams end, within this time.
    End(Duration),
}

impl Inbox {
    pub(super) fn new(waker: Arc<Waker>) -> Self {
        Self { messages: Mutex::default(), waker }
    }

    pub(super) fn send(&self, message: Message) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.push(message);
        let first = messages.len() == 1;
        drop(messages);
        if first {
            self.wake();
        }
    }

    pub(super) fn wake(&self) {
        // Waking fails when the thread has ended; then nobody needs the message.
        let _ = self.waker.wake();
    }

    pub(super) fn take(&self) -> Vec<Message> {
        std::mem::take(&mut *self.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
