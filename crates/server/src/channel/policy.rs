//! Choices of a channel and its subscribers: where to begin, and the fate of slow ones.

/// The policy for a subscriber that reads so slowly that the channel drops events that it has not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overtaken {
    /// Its stream is cut. The client comes back with its last event ID, and a `reset` event says how much it
    /// missed.
    ///
    /// A stream that has not given its client an event yet gets a `gap` event instead, and goes on:
    /// otherwise a client that comes back while events come fast might be closed again and again, and get
    /// none.
    Close,
    /// It gets a `gap` event, whose data is `{"missed":42}`, and goes on with the oldest held event.
    Gap,
    /// No event that a subscriber has not read is dropped: publishers get
    /// [`EmitError::Behind`](crate::EmitError::Behind), or wait in [`send`](crate::Channel::send).
    ///
    /// One client that does not read then holds up everybody, until its
    /// [stall time](crate::Produce::stall_timeout) is over.
    Wait,
}

/// The first events of a subscriber without a last event ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum First {
    /// Events that are published from now on.
    New,
    /// As many of the latest events as are held; `Last(1)` is the last value.
    Last(u64),
    /// All events since the channel began. When the oldest are not [held](crate::ChannelBuilder::keep_last)
    /// any more, a `gap` event, whose data is `{"missed":976}`, comes first. A channel that may not miss any
    /// [keeps all](crate::ChannelBuilder::keep_all); one that shows the latest has [`Last`](Self::Last).
    All,
}
