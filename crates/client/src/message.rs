use std::fmt;
use std::sync::Arc;

/// An event as the HTML standard dispatches it (9.2.6, "dispatch the event"). Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Message {
    event: Arc<str>,
    data: Arc<str>,
    last_event_id: Arc<str>,
}

impl Message {
    pub(crate) fn new(event: Arc<str>, data: Arc<str>, last_event_id: Arc<str>) -> Self {
        Self { event, data, last_event_id }
    }

    /// Its name; `message` when the server gave it none.
    pub fn event(&self) -> &str {
        &self.event
    }

    /// Its data, with LF between the lines.
    pub fn data(&self) -> &str {
        &self.data
    }

    /// The last event ID after it: its own id, or the latest before it, or empty.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// Its approximate size in memory.
    pub(crate) fn size(&self) -> usize {
        const OVERHEAD: usize = 96;
        self.event.len() + self.data.len() + self.last_event_id.len() + OVERHEAD
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("event", &self.event)
            .field("data", &self.data)
            .field("last_event_id", &self.last_event_id)
            .finish()
    }
}
