use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::SelectError;

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

/// Parses the data of a message as JSON.
pub(crate) fn parse_json<T: DeserializeOwned>(message: Message) -> Result<T, SelectError> {
    serde_json::from_str(message.data())
        .map_err(|error| SelectError::Json { message, source: Arc::new(error) })
}

/// Reads a message as a variant of an enum; `None` if the enum has no variant of its name.
pub(crate) fn parse_typed<T: DeserializeOwned>(message: Message) -> Option<Result<T, SelectError>> {
    let (event, data, last_event_id) = (message.event(), message.data(), message.last_event_id());
    let value = ssekit_wire::Message { event, data, last_event_id }.typed()?;
    Some(value.map_err(|error| SelectError::Json { message, source: Arc::new(error) }))
}

/// Returns true if a stream ends at this message.
pub(crate) fn is_last(message: &Message, until: Option<&str>) -> bool {
    until.is_some_and(|until| until == message.data())
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
