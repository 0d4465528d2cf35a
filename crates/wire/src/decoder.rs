use alloc::borrow::ToOwned;
use alloc::string::String;
use core::mem;
use core::ops::Range;
use core::time::Duration;

use crate::block::{Block, Name, Step, millis};
use crate::scan::{self, LineEnds};
use crate::{Field, FieldError};

/// The largest event that a [`Decoder`] takes unless told otherwise: 16 MiB.
pub const DEFAULT_MAX_EVENT_BYTES: usize = 16 << 20;

/// Reads an event stream in pieces of any size: the events are the same wherever the pieces were cut.
///
/// One pass, linear time. An event that lies in one piece is borrowed from it; one that was cut, or that has several
/// `data` lines, is put together in buffers that are used again, so that a decoder at work allocates nothing.
///
/// ```
/// use ssekit_wire::{Decoder, Item};
///
/// let mut decoder = Decoder::new();
/// let mut seen = Vec::new();
/// for piece in ["event: greeting\nda", "ta: hel", "lo\nid: 1\n\n"] {
///     let mut items = decoder.feed(piece.as_bytes());
///     while let Some(item) = items.next() {
///         if let Item::Message(message) = item? {
///             seen.push((message.event.to_owned(), message.data.to_owned(), message.last_event_id.to_owned()));
///         }
///     }
/// }
/// assert_eq!(seen, [("greeting".to_owned(), "hello".to_owned(), "1".to_owned())]);
/// # Ok::<(), ssekit_wire::DecodeError>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    comments: bool,
    /// How much of a byte order mark the stream has begun with; `None` once that is settled.
    mark: Option<usize>,
    /// The last piece ended in CR: an LF that comes next belongs to it.
    after_cr: bool,
    block: Block,
    last_event_id: String,
    reconnection_time: Option<Duration>,
}

/// What a stream holds, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A dispatched event.
    Message(Message<'a>),
    /// A comment without its colon and one leading space, as soon as its line ends; only [when asked](Decoder::with_comments).
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
        "an event is larger than {limit} bytes and was skipped: raise max_event_bytes if you expect such events"
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

    /// Limits what one event may hold, in bytes of its data, names and ids. The default is
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
            return Err(FieldError::new(Field::Id, id));
        }
        id.clone_into(&mut self.last_event_id);
        Ok(self)
    }

    /// Takes the next piece of the stream. What of it is not read when the result is dropped is skipped.
    pub fn feed<'a>(&'a mut self, piece: &'a [u8]) -> Items<'a> {
        Items {
            decoder: self,
            piece,
            at: 0,
            text: "",
            text_start: 0,
            text_step: TEXT_AT_ONCE,
            line_ends: LineEnds::new(piece),
        }
    }

    /// The last event ID, to be sent when the stream is opened again; empty for none.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// The reconnection time that the stream last set, in whole milliseconds.
    pub fn reconnection_time(&self) -> Option<Duration> {
        self.reconnection_time
    }

    /// The connection ended and another one begins: what was cut off is dropped, as the standard says (9.2.6, "once the
    /// end of the file is reached"); the last event ID and the reconnection time stay.
    pub fn reconnect(&mut self) {
        self.mark = Some(0);
        self.after_cr = false;
        self.block.reset();
    }

    /// Whether the next byte begins a block.
    #[inline]
    fn is_between_blocks(&self) -> bool {
        self.block.is_at_start() && !self.after_cr && self.mark.is_none()
    }

    /// Settles whether the stream begins with a byte order mark; gives how much of `piece` that took.
    #[cold]
    fn skip_mark(&mut self, piece: &[u8]) -> usize {
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

/// The items of one piece; made by [`Decoder::feed`].
///
/// Not an `Iterator`, because each item borrows from the decoder until the next one is asked for.
#[derive(Debug)]
pub struct Items<'a> {
    decoder: &'a mut Decoder,
    piece: &'a [u8],
    /// How far the piece has been read.
    at: usize,
    /// A part of the piece from `text_start` that is known to be UTF-8.
    text: &'a str,
    text_start: usize,
    /// How much to check at once, in bytes.
    text_step: usize,
    line_ends: LineEnds<'a>,
}

impl<'a> Items<'a> {
    /// The next item of the piece, `None` when the rest of it holds no whole one.
    ///
    /// # Errors
    /// When an event or a comment is too large; the next call goes on behind it.
    #[allow(
        clippy::should_implement_trait,
        reason = "an item borrows from the decoder; an iterator's must not"
    )]
    #[inline]
    pub fn next(&mut self) -> Option<Result<Item<'_>, DecodeError>> {
        let found = self.find()?;
        let Decoder { block, last_event_id, .. } = &mut *self.decoder;
        let limit = block.limit;
        Some(match found {
            Found::Whole { event, data } => {
                Ok(Item::Message(Message { event: or_message(event), data, last_event_id }))
            }
            Found::Joined { event } => {
                let data = block.joined();
                Ok(Item::Message(Message { event: or_message(event), data, last_event_id }))
            }
            Found::Step(Step::Message) => Ok(Item::Message(block.message(last_event_id))),
            Found::Step(Step::Comment) => Ok(Item::Comment(block.comment())),
            Found::Step(Step::EventTooLarge) => Err(DecodeError::EventTooLarge { limit }),
            Found::Step(Step::CommentTooLarge) => Err(DecodeError::CommentTooLarge { limit }),
        })
    }

    #[inline]
    fn find(&mut self) -> Option<Found<'a>> {
        while self.at < self.piece.len() {
            if self.decoder.is_between_blocks() {
                self.skip_idle();
                if self.piece.len() - self.at >= WORTH_BORROWING {
                    let found = self.whole_block();
                    if found.is_some() {
                        return found;
                    }
                }
            }
            if let Some(step) = self.lines() {
                return Some(Found::Step(step));
            }
        }
        None
    }

    /// Reads to the end without giving what there is.
    #[cold]
    fn skip(&mut self) {
        while self.find().is_some() {}
    }

    /// Skips what an idle stream is made of: empty comments and blank lines.
    #[inline]
    fn skip_idle(&mut self) {
        let comments = self.decoder.comments;
        let mut at = self.at;
        loop {
            let rest = &self.piece[at..];
            if !comments && rest.starts_with(b":\n\n") {
                at += 3;
            } else if !comments && rest.starts_with(b":\n") {
                at += 2;
            } else if rest.starts_with(b"\n") {
                at += 1;
            } else {
                break;
            }
        }
        self.at = at;
    }

    /// Reads on to the next event if it lies whole in the piece, and borrows it. Blocks without data are read on the way.
    ///
    /// `None` leaves the reading position before a block that is in some way special, for [`lines`](Self::lines): it is
    /// cut, too large, not UTF-8, or holds a comment that was asked for.
    #[inline(never)]
    fn whole_block(&mut self) -> Option<Found<'a>> {
        let piece = self.piece;
        let comments = self.decoder.comments;
        let limit = self.decoder.block.limit;
        let mut at = self.at;
        loop {
            let start = at;
            let mut event = "";
            let mut id = None;
            let mut retry = None;
            let mut data = None;
            let mut joined = false;
            loop {
                let rest = piece.get(at..)?;
                let (name, skip) = if rest.starts_with(b"data: ") {
                    (Name::Data, 6)
                } else {
                    match rest {
                        [b'\n' | b'\r', ..] => break,
                        [b':', ..] if comments => return None,
                        _ => Name::at(rest, false),
                    }
                };
                let value_at = at + skip;
                let value_end = self.line_ends.next(value_at)?;
                at = value_end + scan::line_break(&piece[value_end..]);
                match name {
                    Name::Data => match data {
                        None => data = Some(value_at..value_end),
                        Some(ref first) => {
                            let lines = &mut self.decoder.block.data;
                            if !mem::replace(&mut joined, true) {
                                lines.clear();
                                lines.extend_from_slice(&piece[first.clone()]);
                            }
                            lines.push(b'\n');
                            lines.extend_from_slice(&piece[value_at..value_end]);
                            at = self.join(at);
                        }
                    },
                    Name::Event => event = self.text(start, value_at..value_end)?,
                    Name::Id => {
                        let value = self.text(start, value_at..value_end)?;
                        if memchr::memchr(0, value.as_bytes()).is_none() {
                            id = Some(value);
                        }
                    }
                    Name::Retry => retry = millis(&piece[value_at..value_end]).or(retry),
                    Name::Comment | Name::Other => {}
                }
            }
            if at - start > limit {
                return None;
            }
            let found = match data {
                Some(_) if joined => Some(Found::Joined { event }),
                Some(data) => Some(Found::Whole { event, data: self.text(start, data)? }),
                None => None,
            };
            at += scan::line_break(&piece[at..]);
            let decoder = &mut *self.decoder;
            decoder.after_cr = at == piece.len() && piece.ends_with(b"\r");
            self.at = at;
            if let Some(id) = id {
                id.clone_into(&mut decoder.last_event_id);
            }
            if let Some(millis) = retry {
                decoder.reconnection_time = Some(Duration::from_millis(millis));
            }
            if found.is_some() {
                return found;
            }
        }
    }

    /// Puts the lines of data that begin at `at` and lie whole in the piece to those before them; gives where they end.
    fn join(&mut self, mut at: usize) -> usize {
        let piece = self.piece;
        let mut line_ends = self.line_ends;
        let lines = &mut self.decoder.block.data;
        // Each line is taken with its LF, and what stands behind the last one goes.
        lines.push(b'\n');
        while piece[at..].starts_with(b"data: ") {
            let value_at = at + 6;
            let Some(value_end) = line_ends.next(value_at) else { break };
            lines.extend_from_slice(&piece[value_at..=value_end]);
            at = value_end + 1;
            if piece[value_end] == b'\r' {
                at = value_end + scan::line_break(&piece[value_end..]);
                lines.pop();
                lines.push(b'\n');
            }
        }
        lines.pop();
        self.line_ends = line_ends;
        at
    }

    /// A part of the block that begins at `start`, `None` if it is not UTF-8.
    #[inline]
    fn text(&mut self, start: usize, part: Range<usize>) -> Option<&'a str> {
        if part.end > self.text_start + self.text.len() {
            self.read_text(start, part.end);
        }
        self.text.get(part.start - self.text_start..part.end - self.text_start)
    }

    /// Takes as text what begins at `start` and goes at least to `end`, if it is UTF-8 so far.
    #[cold]
    fn read_text(&mut self, start: usize, end: usize) {
        let rest = &self.piece[start..];
        let rest = whole_characters(&rest[..(end - start).max(self.text_step).min(rest.len())]);
        let same_block = mem::replace(&mut self.text_start, start) == start;
        (self.text, self.text_step) = match simdutf8::basic::from_utf8(rest) {
            // More the next time, so that a block which goes on and on is not read again and again.
            Ok(text) if same_block => (text, (2 * text.len()).max(TEXT_AT_ONCE)),
            Ok(text) => (text, TEXT_AT_ONCE),
            // No more than asked for the next time, so that what is not UTF-8 is not read again and again.
            Err(_) => (rest.utf8_chunks().next().map_or("", |chunk| chunk.valid()), 0),
        };
    }

    /// Reads line by line to the end of a block or of the piece, or until there is something to say.
    fn lines(&mut self) -> Option<Step> {
        while self.at < self.piece.len() {
            let step = self.line();
            if step.is_some() {
                return step;
            }
            if self.decoder.is_between_blocks() {
                break;
            }
        }
        None
    }

    /// Reads to the end of a line or of the piece.
    fn line(&mut self) -> Option<Step> {
        let decoder = &mut *self.decoder;
        if decoder.mark.is_some() || decoder.after_cr {
            self.at += decoder.skip_mark(&self.piece[self.at..]);
            if mem::take(&mut decoder.after_cr) && self.piece.get(self.at) == Some(&b'\n') {
                self.at += 1;
            }
        }
        let Some(end) = self.line_ends.next(self.at) else {
            let rest = &self.piece[self.at..];
            self.at = self.piece.len();
            return decoder.block.push(rest, decoder.comments);
        };
        let rest = &self.piece[end..];
        let line = &self.piece[self.at..end];
        if decoder.block.is_at_line_start() {
            let (name, value_at) = Name::at(&self.piece[self.at..], decoder.comments);
            self.at = end + scan::line_break(rest);
            decoder.after_cr = rest == b"\r";
            if line.is_empty() {
                return decoder.block.end(&mut decoder.last_event_id);
            }
            let value = line.get(value_at..).unwrap_or_default();
            let step = decoder.block.line(name, value, &mut decoder.reconnection_time);
            if name == Name::Data && step.is_none() {
                return self.more_data();
            }
            return step;
        }
        self.at = end;
        let step = decoder.block.push(line, decoder.comments);
        if step.is_some() {
            // The line's end is still to be read.
            return step;
        }
        let length = scan::line_break(rest);
        self.at += length;
        let ends_in_cr = rest == b"\r";
        let step = decoder.block.end_line(&mut decoder.last_event_id, &mut decoder.reconnection_time);
        match step {
            Some(Step::EventTooLarge) => self.at -= length,
            _ => decoder.after_cr = ends_in_cr,
        }
        step
    }
}

impl Items<'_> {
    /// Takes the lines of data that follow a line of data.
    fn more_data(&mut self) -> Option<Step> {
        if self.decoder.after_cr || !self.decoder.block.has_room() {
            return None;
        }
        let before = self.decoder.block.data.len();
        let at = self.join(self.at);
        let taken = at > self.at;
        self.at = at;
        self.decoder.after_cr = taken && at == self.piece.len() && self.piece.ends_with(b"\r");
        self.decoder.block.count(before)
    }
}

impl Drop for Items<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.at < self.piece.len() {
            self.skip();
        }
    }
}

/// The text without the character that its end may cut.
fn whole_characters(text: &[u8]) -> &[u8] {
    let last = text.iter().rev().take(3).position(|byte| !matches!(byte, 0x80..=0xBF));
    let Some(behind) = last else { return text };
    let (before, character) = text.split_at(text.len() - behind - 1);
    let whole = match character.first() {
        Some(0xC0..=0xDF) => 2,
        Some(0xE0..=0xEF) => 3,
        Some(0xF0..) => 4,
        _ => 1,
    };
    if character.len() < whole { before } else { text }
}

/// Enough that a call pays, and little enough to be still in the cache when its lines are read.
const TEXT_AT_ONCE: usize = 16 << 10;

/// Fewer bytes than that are sooner copied.
const WORTH_BORROWING: usize = 64;

/// An event without a name is a message (9.2.6, "dispatch the event").
pub(crate) fn or_message(event: &str) -> &str {
    if event.is_empty() { "message" } else { event }
}

/// What [`Items::find`] has come to.
enum Found<'a> {
    /// An event that lies in one piece and has one line of data.
    Whole { event: &'a str, data: &'a str },
    /// An event that lies in one piece; its lines of data were put together.
    Joined { event: &'a str },
    /// What reading line by line has brought.
    Step(Step),
}
