//! The callbacks of a source. They run where the connection runs: they should be quick, and must not block.

use super::Source;
use crate::callbacks;
use crate::runtime::{MaybeSend, MaybeSync};
use crate::{CloseReason, Error, Message, Notice, Response};

impl Source {
    /// Calls this for each answer that is an event stream, before any event. It gets the answer's status and
    /// headers.
    pub fn on_open(self, callback: impl Fn(&Notice<Response>) + MaybeSend + MaybeSync + 'static) -> Self {
        self.set(|options| options.callbacks_mut().open.push(callbacks::callback(callback)))
    }

    /// Calls this once when the connection is closed for good, with the reason.
    ///
    /// ```
    /// use ssekit::source;
    ///
    /// let connection = source("http://localhost:3000/events").on_close(|closed| {
    ///     eprintln!("{closed}");
    ///     closed.connect(); // after the policy's delay, if somebody still listens
    /// });
    /// ```
    pub fn on_close(self, callback: impl Fn(&Notice<CloseReason>) + MaybeSend + MaybeSync + 'static) -> Self {
        self.set(|options| options.callbacks_mut().close.push(callbacks::callback(callback)))
    }

    /// Calls this for everything that goes wrong, retried or not: [`Notice::connection_status`] says which.
    pub fn on_error(self, callback: impl Fn(&Notice<Error>) + MaybeSend + MaybeSync + 'static) -> Self {
        self.set(|options| options.callbacks_mut().error.push(callbacks::callback(callback)))
    }

    /// Calls this for every event, whatever its name, before its subscribers get it. By itself it does not
    /// open the connection, and does not keep it open; but [`connect`](Self::connect) opens it for a
    /// callback, too.
    pub fn on_message(self, callback: impl Fn(&Notice<Message>) + MaybeSend + MaybeSync + 'static) -> Self {
        self.set(|options| options.callbacks_mut().message.push(callbacks::callback(callback)))
    }

    /// Calls this for every comment, without its colon and one leading space, in order with the events.
    pub fn on_comment(self, callback: impl Fn(&str) + MaybeSend + MaybeSync + 'static) -> Self {
        self.set(|options| {
            options.config.comments = true;
            options.callbacks_mut().comment.push(callbacks::callback(callback));
        })
    }
}
