//! The part of a connection that calls closures of the caller. A panic of one affects no other.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use super::Connection;
use crate::callbacks::{Callback, Callbacks};
use crate::panics::{lock, panic_text};
use crate::subscribers::Delivery;
use crate::{CloseReason, Error, Notice};

impl Connection {
    /// Calls callbacks and subscribers with the delivery, as long as none of them closes the connection.
    pub(crate) fn call(self: &Arc<Self>, delivery: &Delivery) {
        let (callbacks, subscribers) = self.called(delivery);
        if let (Delivery::Message(message), false) = (delivery, callbacks.is_empty()) {
            let notice = Notice::new(message.clone(), self);
            for callback in callbacks {
                self.catch_panic("on_message", || callback(&notice));
            }
        }
        for subscriber in subscribers {
            if self.is_close_requested() {
                return;
            }
            self.catch_panic("the closure of a latest value", || lock(&subscriber)(delivery));
        }
    }

    pub(crate) fn call_on_open(self: &Arc<Self>) {
        if let Some(response) = self.response() {
            self.call_all("on_open", |callbacks| &callbacks.open, || Notice::new((*response).clone(), self));
        }
    }

    pub(crate) fn call_on_comment(self: &Arc<Self>, comment: &Arc<str>) {
        for callback in self.callbacks(|callbacks| &callbacks.comment) {
            self.catch_panic("on_comment", || callback(comment));
        }
    }

    pub(crate) fn call_on_close(self: &Arc<Self>, reason: &CloseReason) {
        self.call_all("on_close", |callbacks| &callbacks.close, || Notice::new(reason.clone(), self));
    }

    /// Reports the error to every source.
    pub(crate) fn report(self: &Arc<Self>, error: Error) {
        tracing::debug!(url = self.url, error = &error as &dyn std::error::Error, "event stream error");
        let notice = Notice::new(error, self);
        for callback in self.callbacks(|callbacks| &callbacks.error) {
            if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(|| callback(&notice))) {
                tracing::error!(url = self.url, "on_error panicked: {}", panic_text(&*panic));
            }
        }
    }

    fn call_all<T>(
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
            self.catch_panic(name, || callback(&notice));
        }
    }

    /// Runs a closure of the caller; its panic is an error like any other.
    fn catch_panic(self: &Arc<Self>, closure_name: &'static str, run: impl FnOnce()) {
        if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(run)) {
            let text = panic_text(&*panic);
            tracing::error!(url = self.url, "{closure_name} panicked: {text}");
            self.report(Error::Panicked { closure: closure_name, text });
        }
    }
}
