//! Ledger of the events of one honest subscriber.

use std::collections::HashMap;

use crate::stream::Event;

/// Events that one honest subscriber has received; it detects missing and repeated ones.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Next number of each publisher.
    next: HashMap<u32, u64>,
    /// Id of the newest event.
    pub(crate) last: String,
    pub(crate) events: u64,
    /// Number of `gap` and `reset` events; after one, any number may follow.
    pub(crate) notices: u64,
}

/// Update of the test: its publisher, its number, and the time of its publication in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Update {
    pub(crate) publisher: u32,
    pub(crate) number: u64,
    pub(crate) sent: u64,
}

impl Update {
    pub(crate) fn data(&self) -> String {
        format!("{} {} {}", self.publisher, self.number, self.sent)
    }

    fn parse(data: &str) -> Option<Self> {
        let mut parts = data.split(' ');
        let mut part = || parts.next()?.parse().ok();
        Some(Self { publisher: u32::try_from(part()?).ok()?, number: part()?, sent: part()? })
    }
}

impl Ledger {
    /// Records an event; returns the update, unless it is a notice.
    ///
    /// # Panics
    /// When an update is missing or repeated without a notice.
    pub(crate) fn record(&mut self, event: Event) -> Option<Update> {
        self.last = event.id;
        if matches!(event.name.as_str(), "gap" | "reset") {
            self.notices += 1;
            self.next.clear();
            return None;
        }
        let update = Update::parse(&event.data).unwrap_or_else(|| panic!("not an update: {:?}", event.data));
        let next = self.next.insert(update.publisher, update.number + 1);
        assert!(
            next.is_none_or(|next| next == update.number),
            "of publisher {}, {} came where {next:?} should, after {} notices",
            update.publisher,
            update.number,
            self.notices
        );
        self.events += 1;
        Some(update)
    }

    /// Whether all updates of a publisher have arrived, of which there are `count`.
    pub(crate) fn has(&self, publisher: u32, count: u64) -> bool {
        self.next.get(&publisher) == Some(&count)
    }
}
