//! The callbacks of sources.

use std::fmt;
use std::sync::Arc;

use crate::runtime::{MaybeSend, MaybeSync, ThreadBound};
use crate::{CloseReason, Error, Message, Notice, Response};

/// The callbacks of one source. Sources that share a connection each have their own.
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
    let closure = ThreadBound::new(closure);
    Arc::new(move |argument: &T| (*closure)(argument))
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
