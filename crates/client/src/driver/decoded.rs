use std::collections::VecDeque;
use std::sync::Arc;

use ssekit_session::{DecodeError, Item};

use crate::Message;

/// Decoded items that are not delivered yet.
pub(super) struct DecodedQueue {
    pub(super) items: VecDeque<DecodedItem>,
    /// The last name and id, shared by the messages that repeat them.
    event: Arc<str>,
    last_event_id: Arc<str>,
}

pub(super) enum DecodedItem {
    Message(Message),
    Comment(Arc<str>),
    TooLarge {
        limit: usize,
    },
    /// In the place of an event whose blank line is missing.
    Incomplete,
}

impl Default for DecodedQueue {
    fn default() -> Self {
        Self { items: VecDeque::new(), event: Arc::from("message"), last_event_id: Arc::default() }
    }
}

impl DecodedQueue {
    pub(super) fn take(&mut self, item: Result<Item<'_>, DecodeError>) {
        self.items.push_back(match item {
            Ok(Item::Message(message)) => {
                if *self.event != *message.event {
                    self.event = Arc::from(message.event);
                }
                if *self.last_event_id != *message.last_event_id {
                    self.last_event_id = Arc::from(message.last_event_id);
                }
                DecodedItem::Message(Message::new(
                    Arc::clone(&self.event),
                    Arc::from(message.data),
                    Arc::clone(&self.last_event_id),
                ))
            }
            Ok(Item::Comment(text)) => DecodedItem::Comment(Arc::from(text)),
            Err(DecodeError::EventTooLarge { limit } | DecodeError::CommentTooLarge { limit }) => {
                DecodedItem::TooLarge { limit }
            }
            Err(DecodeError::IncompleteEvent) => DecodedItem::Incomplete,
            Err(_) => return,
        });
    }
}
