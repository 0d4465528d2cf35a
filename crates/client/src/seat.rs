use std::sync::Arc;
use std::task::{Context, Poll};

use crate::connection::Found;
use crate::source::Shared as Source;
use crate::subscribers;

/// A subscriber's place in a connection: taken when it is made, left when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    /// Keeps the source, with its callbacks and its connection.
    source: Arc<Source>,
    id: u64,
}

impl Seat {
    pub(crate) fn take(source: Arc<Source>, event: Option<Arc<str>>) -> Self {
        let id = source.connection().subscribe(event);
        Self { source, id }
    }

    pub(crate) fn open(&self) {
        self.source.connection().open();
    }

    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Found> {
        self.source.connection().poll(self.id, context)
    }

    pub(crate) fn call_with(&self, callback: &subscribers::Callback) {
        self.source.connection().call_with(self.id, callback);
    }

    pub(crate) async fn closed(&self) {
        self.source.connection().closed().await;
    }

    pub(crate) fn source(&self) -> &Arc<Source> {
        &self.source
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.source.connection().unsubscribe(self.id);
    }
}
