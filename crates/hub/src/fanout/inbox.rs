use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mio::Waker;

use super::Subscription;
use super::replay::Page;
use super::sink::Sink;

/// What others tell a fan-out thread.
#[derive(Debug)]
pub(super) struct Inbox {
    messages: Mutex<Vec<Message>>,
    waker: Arc<Waker>,
}

/// With a subscriber's slot and generation, where it is about one.
#[derive(Debug)]
pub(super) enum Message {
    Join(Box<(Sink, Subscription)>),
    /// There is room in its pipe again.
    Room(u32, u32),
    /// Its response has been dropped.
    Gone(u32, u32),
    /// What it had asked for.
    Page(u32, u32, Page),
    /// What it had asked for cannot be read.
    Unreadable(u32, u32),
    /// Keys have been replaced: streams may have tokens that no longer verify.
    KeysReplaced,
    /// Everybody is to be sent away, within this time.
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
        // It fails when the thread has ended: then nobody is left to be told.
        let _ = self.waker.wake();
    }

    pub(super) fn take(&self) -> Vec<Message> {
        std::mem::take(&mut *self.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
