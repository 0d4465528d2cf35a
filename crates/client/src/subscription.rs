use std::sync::Arc;
use std::task::{Context, Poll};

use crate::connection::NextItem;
use crate::options::SourceState;
use crate::subscribers;

/// A subscriber of a connection: added when this is made, removed when it is dropped.
#[derive(Debug)]
pub(crate) struct EventSubscription {
    /// Keeps the source, with its callbacks and its connection.
    source: Arc<SourceState>,
    id: u64,
}

impl EventSubscription {
    pub(crate) fn new(source: Arc<SourceState>, event: Option<Arc<str>>) -> Self {
        let id = source.connection().subscribe(event);
        Self { source, id }
    }

    pub(crate) fn open(&self) {
        self.source.connection().open();
    }

    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<NextItem> {
        self.source.connection().poll(self.id, context)
    }

    pub(crate) fn call_with(&self, callback: &subscribers::Callback) {
        self.source.connection().call_with(self.id, callback);
    }

    pub(crate) async fn closed(&self) {
        self.source.connection().closed().await;
    }

    pub(crate) fn source(&self) -> &Arc<SourceState> {
        &self.source
    }
}

impl Drop for EventSubscription {
    fn drop(&mut self) {
        self.source.connection().unsubscribe(self.id);
    }
}
