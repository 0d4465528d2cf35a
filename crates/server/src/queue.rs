use std::time::Duration;

use bytes::Bytes;
use ssekit_wire::{Event, encode_comment};

use crate::emit_error::EmitError;
use crate::last_event_id::MAX_ID_BYTES;

/// The encoded events that wait for the connection to take them: bounded, in order, and always whole events.
#[derive(Debug)]
pub(crate) struct Queue {
    bytes: Vec<u8>,
    limit: usize,
    /// Whole events among the bytes; the rest are `retry` lines and comments.
    events: usize,
    next_id: Option<u64>,
    /// The bytes that the connection took last: room for as many is made at once, so that a fast stream does
    /// not grow the buffer in steps.
    last_taken: usize,
}

/// Bytes of one encoded event.
pub(crate) const MAX_EVENT_BYTES: usize = 16 << 20;

/// The name of an event that has none of its own. It is written, since pages that use the npm package
/// `sveltekit-sse` do not know that `message` is the default.
pub(crate) const DEFAULT_NAME: &str = "message";

/// More than the fields of an event take beside its name, its id and its data.
const FIELDS: usize = "retry: \nid: \nevent: \ndata: \n\n".len() + 2 * 20;

impl Queue {
    /// A queue of this many bytes. Events without an id get this one and the following; the first line is the
    /// reconnection time.
    pub(crate) fn new(limit: usize, next_id: Option<u64>, retry: Option<Duration>) -> Self {
        let mut bytes = Vec::new();
        if let Some(retry) = retry {
            encode_retry(retry, &mut bytes);
        }
        Self { bytes, limit, events: 0, next_id, last_taken: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn event(&mut self, event: &Event<'_>) -> Result<(), EmitError> {
        let least = event.data().map_or(0, str::len) + event.event().map_or(0, str::len);
        if self.events > 0 && self.bytes.len() + least > self.limit {
            return Err(self.full());
        }
        check_size(event)?;

        let is_event = event.data().is_some();
        let mut digits = itoa::Buffer::new();
        let number = self.next_id.filter(|_| is_event && event.id().is_none());
        let (before, events) = (self.bytes.len(), self.events);
        if before == 0 {
            self.bytes.reserve(self.last_taken);
        }
        if number.is_none() && (event.event().is_some() || !is_event) {
            event.encode(&mut self.bytes);
        } else {
            let mut complete = Event::new(event.data().unwrap_or_default())
                .with_event(event.event().unwrap_or(DEFAULT_NAME))?;
            if let Some(id) = number.map(|number| digits.format(number)).or_else(|| event.id()) {
                complete = complete.with_id(id)?;
            }
            if let Some(retry) = event.retry() {
                complete = complete.with_retry(retry);
            }
            complete.encode(&mut self.bytes);
        }
        if events > 0 && self.bytes.len() > self.limit {
            self.bytes.truncate(before);
            return Err(self.full());
        }
        self.events += usize::from(self.bytes.len() > before);
        self.next_id = self.next_id.map(|id| id.wrapping_add(u64::from(number.is_some())));
        Ok(())
    }

    /// An event that other queues take, too. A queue that numbers its events encodes it anew.
    pub(crate) fn copy(&mut self, event: &Encoded<'_>) -> Result<(), EmitError> {
        if self.next_id.is_some() {
            return self.event(&event.event);
        }
        if self.events > 0 && self.bytes.len() + event.bytes.len() > self.limit {
            return Err(self.full());
        }
        self.bytes.extend_from_slice(&event.bytes);
        self.events += usize::from(!event.bytes.is_empty());
        Ok(())
    }

    /// A comment. No blank line follows it, so that no receiver takes it for an event without data.
    pub(crate) fn comment(&mut self, text: &str) -> Result<(), EmitError> {
        self.lines(text.len(), |out| encode_comment(text, out))
    }

    /// The reconnection time as a line of its own, which becomes part of the next event.
    pub(crate) fn retry(&mut self, retry: Duration) -> Result<(), EmitError> {
        self.lines(0, |out| encode_retry(retry, out))
    }

    /// The reconnection time as the last line of the stream: no blank line follows, and there is room for it
    /// always.
    pub(crate) fn push_last_retry(&mut self, retry: Duration) {
        encode_retry(retry, &mut self.bytes);
    }

    /// Everything that waits.
    pub(crate) fn take(&mut self) -> Bytes {
        self.events = 0;
        self.last_taken = self.bytes.len().min(self.limit);
        Bytes::from(std::mem::take(&mut self.bytes))
    }

    fn lines(&mut self, least: usize, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), EmitError> {
        let before = self.bytes.len();
        if before + least <= self.limit {
            write(&mut self.bytes);
            if self.bytes.len() <= self.limit {
                return Ok(());
            }
            self.bytes.truncate(before);
        }
        Err(self.full())
    }

    #[cold]
    fn full(&self) -> EmitError {
        EmitError::Full { waiting: self.bytes.len(), limit: self.limit }
    }
}

/// An event for several queues.
pub(crate) struct Encoded<'a> {
    event: Event<'a>,
    bytes: Bytes,
}

impl<'a> Encoded<'a> {
    pub(crate) fn new(event: Event<'a>) -> Result<Self, EmitError> {
        let mut queue = Queue::new(MAX_EVENT_BYTES, None, None);
        queue.event(&event)?;
        Ok(Self { event, bytes: queue.take() })
    }
}

/// The ping of an idle stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ping {
    Event,
    Comment,
}

impl Ping {
    /// It has no id.
    pub(crate) fn bytes(self) -> Bytes {
        Bytes::from_static(match self {
            Self::Event => b"event: ping\ndata: \n\n",
            Self::Comment => b":\n",
        })
    }
}

/// The line alone: the blank line that ends an event is left to the next one.
pub(crate) fn encode_retry(retry: Duration, out: &mut Vec<u8>) {
    Event::empty().with_retry(retry).encode(out);
    out.pop();
}

/// Refuses an event that would be too large, before memory is taken for it. Also one with an id that no
/// request could carry back.
pub(crate) fn check_size(event: &Event<'_>) -> Result<(), EmitError> {
    if let Some(bytes) = event.id().map(str::len).filter(|bytes| *bytes > MAX_ID_BYTES) {
        return Err(EmitError::IdTooLong { bytes, limit: MAX_ID_BYTES });
    }
    let data = event.data().unwrap_or_default();
    let fixed = FIELDS + event.event().map_or(0, str::len) + event.id().map_or(0, str::len);
    // Each line of the data costs its `data: ` and its line feed: seven bytes for one, at worst.
    if fixed.saturating_add(data.len().saturating_mul(7)) <= MAX_EVENT_BYTES {
        return Ok(());
    }
    let breaks = data.bytes().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
    match fixed.saturating_add(data.len()).saturating_add(breaks.saturating_mul("data: \n".len() - 1)) {
        size if size > MAX_EVENT_BYTES => Err(EmitError::TooLarge { size, limit: MAX_EVENT_BYTES }),
        _ => Ok(()),
    }
}
