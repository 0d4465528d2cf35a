use alloc::borrow::ToOwned;
use alloc::string::String;
use core::time::Duration;

use crate::block::Block;
use crate::{Field, FieldError, Items, scan};

/// The largest event that a [`Decoder`] takes by default: 16 MiB.
pub const DEFAULT_MAX_EVENT_BYTES: usize = 16 << 20;

/// Reads an event stream in pieces of any size: the events are the same wherever the pieces were cut.
///
/// One pass, linear time. An event that lies in one piece is borrowed from it; one that was cut, or that has
/// several `data` lines, is put together in buffers that are used again, so that a decoder at work allocates
/// nothing.
///
/// ```
/// use ssekit::wire::{Decoder, Item};
///
/// let mut decoder = Decoder::new();
/// let mut seen = Vec::new();
/// for piece in ["event: greeting\nda", "ta: hel", "lo\nid: 1\n\n"] {
///     let mut items = decoder.feed(piece.as_bytes());
///     while let Some(item) = items.next() {
///         if let Item::Message(message) = item? {
///             let [event, data, id] = [message.event, message.data, message.last_event_id].map(str::to_owned);
///             seen.push((event, data, id));
///         }
///     }
/// }
/// assert_eq!(seen, [("greeting".to_owned(), "hello".to_owned(), "1".to_owned())]);
/// # Ok::<(), ssekit::wire::DecodeError>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    pub(crate) comments: bool,
    /// Bytes of a byte order mark at the beginning so far; `None` once that is decided.
    pub(crate) mark: Option<usize>,
    /// The last piece ended in CR: an LF that comes next belongs to it.
    pub(crate) after_cr: bool,
    pub(crate) block: Block,
    pub(crate) last_event_id: String,
    pub(crate) reconnection_time: Option<Duration>,
}

/// An item of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A dispatched event.
    Message(Message<'a>),
    /// A comment without its colon and one leading space, as soon as its line ends; only
    /// [when asked](Decoder::with_comments).
    Comment(&'a str),
}

/// An event as the standard dispatches it (9.2.6, "dispatch the event").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The event's name, `message` when it had none.
    pub event: &'a str,
    /// The data, with LF between its lines.
    pub data: &'a str,
    /// The last event ID after this event: its own, or the latest before it, or empty.
    pub last_event_id: &'a str,
}

/// Why something was left out. The decoder goes on behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The values of an event's lines add up to more than the limit. Its id, if it has one, still counts.
    #[error(
        "an event is larger than {limit} bytes and was skipped: raise max_event_bytes if you expect such \
         events"
    )]
    EventTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// A comment that was asked for is longer than the limit of one event.
    #[error("a comment is longer than {limit} bytes and was skipped")]
    CommentTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The stream ended inside an event, which was dropped (9.2.6, "once the end of the file is reached").
    /// The decoder itself does not report this: the reader of the stream does at its end, by
    /// [`Decoder::is_inside_event`].
    #[error("the stream ended inside an event, which was dropped: the blank line at its end is missing")]
    IncompleteEvent,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder at the start of a stream, without a last event ID.
    pub fn new() -> Self {
        Self {
            comments: false,
            mark: Some(0),
            after_cr: false,
            block: Block::new(DEFAULT_MAX_EVENT_BYTES),
            last_event_id: String::new(),
            reconnection_time: None,
        }
    }

    /// Limits the size of one event, in bytes of its data, names and ids. The default is
    /// [16 MiB](DEFAULT_MAX_EVENT_BYTES).
    #[must_use]
    pub fn with_max_event_bytes(mut self, limit: usize) -> Self {
        self.block.limit = limit;
        self
    }

    /// Reports comments too. By default they are skipped without being kept.
    #[must_use]
    pub fn with_comments(mut self) -> Self {
        self.comments = true;
        self
    }

    /// Starts from a last event ID that was kept from an earlier stream.
    ///
    /// # Errors
    /// When the id holds CR, LF or NUL.
    pub fn with_last_event_id(mut self, id: &str) -> Result<Self, FieldError> {
        if !scan::is_one_line_without_nul(id.as_bytes()) {
            return Err(FieldError::new(Field::Id, id, id.find(['\n', '\r', '\0'])));
        }
        id.clone_into(&mut self.last_event_id);
        Ok(self)
    }

    /// Takes the next piece of the stream. Dropping the iterator skips the remaining items.
    #[inline]
    pub fn feed<'a>(&'a mut self, piece: &'a [u8]) -> Items<'a> {
        Items::new(self, piece)
    }

    /// Ends the stream as if a blank line followed: gives the event whose blank line is missing, if there is
    /// one.
    ///
    /// The standard drops such an event. This is for servers that are known to leave out the last blank line.
    ///
    /// ```
    /// use ssekit::wire::{Decoder, Item};
    ///
    /// let mut decoder = Decoder::new();
    /// assert!(decoder.feed(b"data: the last one").next().is_none());
    /// let mut items = decoder.finish();
    /// assert!(matches!(items.next(), Some(Ok(Item::Message(message))) if message.data == "the last one"));
    /// ```
    pub fn finish(&mut self) -> Items<'_> {
        // The first one ends a line, or is the LF of a CR, or ends the block.
        self.feed(b"\n\n")
    }

    /// Whether an event, an id or a part of one would be lost if the stream ended here.
    pub fn is_inside_event(&self) -> bool {
        self.block.holds_event()
    }

    /// The last event ID, to be sent when the stream is opened again; empty for none.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// The reconnection time that the stream last set, in whole milliseconds.
    pub fn reconnection_time(&self) -> Option<Duration> {
        self.reconnection_time
    }

    /// The connection ended and another one begins: a cut event is dropped, as the standard says (9.2.6,
    /// "once the end of the file is reached"); the last event ID and the reconnection time stay.
    pub fn reconnect(&mut self) {
        self.mark = Some(0);
        self.after_cr = false;
        self.block.reset();
    }

    /// Whether the next byte begins a block.
    #[inline]
    pub(crate) fn is_between_blocks(&self) -> bool {
        self.block.is_at_start() && !self.after_cr && self.mark.is_none()
    }

    /// Decides whether the stream begins with a byte order mark; returns its bytes in `piece`.
    #[cold]
    pub(crate) fn skip_mark(&mut self, piece: &[u8]) -> usize {
        const MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];
        let Some(seen) = self.mark else { return 0 };
        let wanted = &MARK[seen..];
        let same = wanted.iter().zip(piece).take_while(|(mark, byte)| mark == byte).count();
        if same == wanted.len() {
            self.mark = None;
        } else if same < piece.len() {
            self.mark = None;
            if seen + same > 0 {
                self.block.begin_unknown_line();
            }
        } else {
            self.mark = Some(seen + same);
        }
        same
    }
}
