use std::sync::Arc;
use std::time::Duration;

use super::Channel;
use super::log::Retention;
use super::policy::{First, Overtaken};
use super::shared::ChannelShared;

/// Builds a [`Channel`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct ChannelBuilder {
    retention: Retention,
    gather: Option<Duration>,
    name: Option<Box<str>>,
    overtaken: Overtaken,
    first: First,
    after_reset: First,
}

impl ChannelBuilder {
    pub(super) fn new() -> Self {
        Self {
            retention: Retention { events: DEFAULT_EVENTS, bytes: DEFAULT_BYTES, time: None },
            gather: None,
            name: None,
            overtaken: Overtaken::Close,
            first: First::New,
            after_reset: First::All,
        }
    }

    /// The most events that are held, for slow and returning subscribers: 1,024 by default, at least one.
    #[doc(alias("history", "replay"))]
    pub fn keep_last(mut self, events: u64) -> Self {
        self.retention.events = events.max(1);
        self
    }

    /// Holds all events, of any number and size, for as long as the channel lives: for a log that is finite,
    /// as that of a job. Its memory grows with every event.
    #[doc(alias("history", "replay"))]
    pub fn keep_all(mut self) -> Self {
        self.retention = Retention { events: u64::MAX, bytes: usize::MAX, time: None };
        self
    }

    /// Bytes of encoded events that are held at most: 16 MiB unless set. The newest event is held whatever
    /// its size.
    ///
    /// Memory follows it up to some 130 KiB: events are dropped one by one, and their memory in pieces.
    pub fn keep_bytes(mut self, bytes: usize) -> Self {
        self.retention.bytes = bytes;
        self
    }

    /// How long an event is held at most. Unless set, for as long as there is room. See also
    /// [`Channel::sweep`].
    pub fn keep_for(mut self, time: Duration) -> Self {
        self.retention.time = Some(time);
        self
    }

    /// Sends at most once in this time: events of that time leave together, in one write for each subscriber.
    /// By default, an event leaves at once.
    ///
    /// For channels with many events. A write costs many times as much as an event, so that 10 ms at 1,000
    /// events per second save most of the work and most packets. An event after a silence still leaves at
    /// once; the next one waits for this time at most, or until 256 events or half of those that are
    /// [kept](Self::keep_last) are gathered. The time counts in whole milliseconds.
    pub fn gather(mut self, time: Duration) -> Self {
        self.gather = Some(time).filter(|time| !time.is_zero());
        self
    }

    /// Sets the policy for subscribers that have not read a dropped event; [`Overtaken::Close`] by default.
    pub fn when_overtaken(mut self, policy: Overtaken) -> Self {
        self.overtaken = policy;
        self
    }

    /// Sets the first events of a subscriber without a last event ID; [`First::New`] by default.
    pub fn first(mut self, first: First) -> Self {
        self.first = first;
        self
    }

    /// Sets the events after a `reset`; [`First::All`] by default, because the client has seen none of them.
    pub fn after_reset(mut self, first: First) -> Self {
        self.after_reset = first;
        self
    }

    /// A name for `reset` and `gap` events to mention, and for metrics.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into().into());
        self
    }

    /// The channel.
    #[must_use]
    pub fn build(self) -> Channel {
        let Self { retention, gather, name, overtaken, first, after_reset } = self;
        Channel {
            shared: Arc::new(ChannelShared::new(retention, gather, name, overtaken, first, after_reset)),
        }
    }
}

const DEFAULT_EVENTS: u64 = 1024;
const DEFAULT_BYTES: usize = 16 << 20;
