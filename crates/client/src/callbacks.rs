//! The callbacks of sources. A panic of one affects no other.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use crate::connection::Connection;
use crate::latest::{lock, panic_text};
use crate::runtime::{MaybeSend, MaybeSync, Resident};
use crate::subscribers::Delivery;
use crate::{CloseReason, Error, Message, Notice, Response};

/// The callbacks of one source. Each is called, whoever else shares the connection.
#[derive(Clone, Default)]
pub(crate) struct Callbacks {
    pub(crate) open: Vec<Callback<Notice<Response>>>,
    pub(crate) close: Vec<Callback<Notice<CloseReason>>>,
    pub(crate) error: Vec<Callback<Notice<Error>>>,
    pub(crate) message: Vec<Callback<Notice<Message>>>,
    pub(crate) comment: Vec<Callback<str>>,
}

pub(crate) type Callback<T> = Arc<dyn Fn(&T) + Send + Sync>;

pub(crate) fn callback<T: ?Sized>(closure: impl Fn(&T) + MaybeSend + MaybeSync + 'static) -> Callback<T> {
    let closure = Resident::new(closure);
    Arc::new(move |told: &T| (*closure)(told))
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callbacks")
            .field("open", &self.open.len())
            .field("close", &self.close.len())
            .field("error", &self.error.len())
            .field("message", &self.message.len())
            .field("comment", &self.comment.len())
            .finish()
    }
}

impl Connection {
    /// Calls callbacks and subscribers with the delivery, as long as none of them closes the connection.
    pub(crate) fn call(self: &Arc<Self>, delivery: &Delivery) {
        let (callbacks, subscribers) = self.called(delivery);
        if let (Delivery::Message(message), false) = (delivery, callbacks.is_empty()) {
            let notice = Notice::new(message.clone(), self);
            for callback in callbacks {
                self.guard("on_message", || callback(&notice));
            }
        }
        for subscriber in subscribers {
            if self.is_told_to_close() {
                return;
            }
            self.guard("the closure of a latest value", || lock(&subscriber)(delivery));
        }
    }

    pub(crate) fn tell_opened(self: &Arc<Self>) {
        if let Some(response) = self.response() {
            self.tell("on_open", |callbacks| &callbacks.open, || Notice::new((*response).clone(), self));
        }
    }

    pub(crate) fn tell_comment(self: &Arc<Self>, comment: &Arc<str>) {
        for callback in self.callbacks(|callbacks| &callbacks.comment) {
            self.guard("on_comment", || callback(comment));
        }
    }

    pub(crate) fn tell_closed(self: &Arc<Self>, reason: &CloseReason) {
        self.tell("on_close", |callbacks| &callbacks.close, || Notice::new(reason.clone(), self));
    }

    /// Tells the error to every source.
    pub(crate) fn report(self: &Arc<Self>, error: Error) {
        tracing::debug!(url = self.url, error = &error as &dyn std::error::Error, "event stream error");
        let notice = Notice::new(error, self);
        for callback in self.callbacks(|callbacks| &callbacks.error) {
            if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(|| callback(&notice))) {
                tracing::error!(url = self.url, "on_error panicked: {}", panic_text(&*panic));
            }
        }
    }

    fn tell<T>(
        self: &Arc<Self>,
        name: &'static str,
        which: impl Fn(&Callbacks) -> &Vec<Callback<Notice<T>>>,
        notice: impl FnOnce() -> Notice<T>,
    ) {
        let callbacks = self.callbacks(which);
        if callbacks.is_empty() {
            return;
        }
        let notice = notice();
        for callback in callbacks {
            self.guard(name, || callback(&notice));
        }
    }

    /// Runs a closure of the caller; its panic is an error like any other.
    fn guard(self: &Arc<Self>, what: &'static str, closure: impl FnOnce()) {
        if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(closure)) {
            let text = panic_text(&*panic);
            tracing::error!(url = self.url, "{what} panicked: {text}");
            self.report(Error::Panicked { what, text });
        }
    }
}
