use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::connection::Connection;
use crate::{CloseReason, Response, Status};

/// The argument of a callback: a message, response, error or reason, and its connection.
///
/// It dereferences to the former: a `Notice<Message>` has the message's [`data`](crate::Message::data), a
/// `Notice<CloseReason>` can be matched on after `&*notice`.
pub struct Notice<T> {
    content: T,
    response: Option<Arc<Response>>,
    connection: Arc<Connection>,
}

impl<T> Notice<T> {
    pub(crate) fn new(content: T, connection: &Arc<Connection>) -> Self {
        Self { content, response: connection.response(), connection: Arc::clone(connection) }
    }

    /// The last answer of the server in this attempt; `None` while there is none. It has the status and
    /// headers.
    pub fn response(&self) -> Option<&Response> {
        self.response.as_deref()
    }

    /// Where the connection stands now: whether it comes back after an error, for example, and when.
    pub fn connection_status(&self) -> Status {
        self.connection.status()
    }

    /// Closes the connection for good, for all sources that share it.
    pub fn close(&self) {
        self.connection.close(CloseReason::Local);
    }
}

impl Notice<CloseReason> {
    /// Connects again, as long as somebody listens: a stream, a [latest value](crate::Latest), or, unless the
    /// last of these has just left, an [`on_message`](crate::Source::on_message) callback.
    ///
    /// While the callback runs, that is after the delay that the policy has for another retry, so that a
    /// callback that always does this makes no storm of requests.
    pub fn connect(&self) {
        self.connection.connect_after(&self.content);
    }
}

impl<T> Deref for Notice<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.content
    }
}

impl<T: fmt::Display> fmt::Display for Notice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.content.fmt(f)
    }
}

impl<T: fmt::Debug> fmt::Debug for Notice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notice")
            .field("content", &self.content)
            .field("response", &self.response)
            .finish_non_exhaustive()
    }
}
