use ssekit_wire::FieldError;

/// Why an event was not taken. The stream itself goes on, unless it is `Closed`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The stream was closed or has ended, or its client is gone.
    #[error("the event stream has ended: stop emitting to it")]
    Closed,
    /// The client reads more slowly than events come.
    #[error(
        "the buffer of the stream is full ({waiting} of {limit} bytes): drop the event, or wait with `send`"
    )]
    Full {
        /// Bytes in the stream's buffer.
        waiting: usize,
        /// Bytes that the buffer takes.
        limit: usize,
    },
    /// A full [`Channel`](crate::Channel) is to [wait](crate::Overtaken::Wait) for a subscriber.
    #[error(
        "the channel is full, and its slowest subscriber has {unread} unread events: drop the event, or wait \
         with `send`"
    )]
    Behind {
        /// Events that the slowest subscriber has yet to read.
        unread: u64,
    },
    /// The encoded event is larger than any stream takes.
    #[error("the event has up to {size} bytes; the limit is {limit}: send it in parts")]
    TooLarge {
        /// Bytes of the encoded event, at most.
        size: usize,
        /// Bytes that one event may have.
        limit: usize,
    },
    /// The id is longer than the [last event ID](crate::LastEventId) of a request may be: its client could
    /// not come back.
    #[error("the id of the event has {bytes} bytes; the limit is {limit}: use shorter ids")]
    IdTooLong {
        /// Its length.
        bytes: usize,
        /// Bytes that an id may have.
        limit: usize,
    },
    /// The id is one that the [`Channel`](crate::Channel) gives its own events: a client that has seen the
    /// other event of this id would come back to the wrong position.
    #[error("the id `{id}` is reserved for events of this channel: omit it, or use another id")]
    ReservedId {
        /// The id.
        id: Box<str>,
    },
    /// A [run](crate::Runs) has reached a limit.
    #[error("the limit of the {limit} is reached: end the run, or raise the limit")]
    RunFull {
        /// The limit and its option.
        limit: &'static str,
    },
    /// The name or the id holds a character that would end its line.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The value has no JSON form, or is not the enum that [`Event::typed`](crate::Event::typed) takes.
    #[cfg(feature = "json")]
    #[error("cannot serialize the data of the event as JSON")]
    Json(#[from] serde_json::Error),
}
