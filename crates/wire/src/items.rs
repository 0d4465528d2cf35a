use alloc::borrow::ToOwned;
use core::mem;
use core::ops::Range;
use core::str;
use core::time::Duration;

use crate::block::{Name, Step, millis};
use crate::decoder::{DecodeError, Decoder, Item, Message};
use crate::scan::{self, LineEnds};

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
    #[inline]
    pub(crate) fn new(decoder: &'a mut Decoder, piece: &'a [u8]) -> Self {
        let line_ends = LineEnds::new(piece);
        Self { decoder, piece, at: 0, text: "", text_start: 0, text_step: TEXT_AT_ONCE, line_ends }
    }

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
        // A small piece of a long line, as a slow peer or a proxy with a small buffer sends them.
        if self.at == 0 && self.decoder.block.is_in_data() && self.line_ends.is_none_in_small_text() {
            self.at = self.piece.len();
            return self.decoder.block.push_data(self.piece).map(Found::Step);
        }
        self.read_on()
    }

    fn read_on(&mut self) -> Option<Found<'a>> {
        while self.at < self.piece.len() {
            if self.decoder.is_between_blocks() {
                self.skip_idle();
                let mut found = self.one_line_block();
                if found.is_none() && self.piece.len() - self.at >= WORTH_BORROWING {
                    found = self.whole_block();
                }
                if found.is_some() {
                    return found;
                }
            }
            if let Some(step) = self.lines() {
                return Some(Found::Step(step));
            }
        }
        None
    }

    /// Reads to the end and drops the items.
    #[cold]
    fn skip(&mut self) {
        while self.find().is_some() {}
    }

    /// Skips the bytes of an idle stream: empty comments and blank lines.
    #[inline]
    fn skip_idle(&mut self) {
        let comments = self.decoder.comments;
        let mut at = self.at;
        loop {
            let rest = &self.piece[at..];
            if !comments && rest.starts_with(b":\n") {
                // The usual keep-alives, if they have come.
                let (threes, _) = rest.as_chunks();
                let usual = threes.iter().take_while(|three| *three == b":\n\n").count();
                at += (3 * usual).max(2);
            } else if rest.starts_with(b"\n") {
                at += 1;
            } else {
                break;
            }
        }
        self.at = at;
    }

    /// The most frequent block of all, which [`whole_block`](Self::whole_block) would read, too: one line of
    /// data.
    #[inline]
    fn one_line_block(&mut self) -> Option<Found<'a>> {
        let piece = self.piece;
        let start = self.at;
        if !piece[start..].starts_with(b"data: ") {
            return None;
        }
        let value_at = start + 6;
        let value_end = self.line_ends.next(value_at)?;
        if !piece[value_end..].starts_with(b"\n\n") || value_end - start >= self.decoder.block.limit {
            return None;
        }
        let data = self.text(start, value_at..value_end)?;
        self.at = value_end + 2;
        Some(Found::Whole { event: "", data })
    }

    /// Reads on to the next event if it lies whole in the piece, and borrows it. Blocks without data are read
    /// on the way.
    ///
    /// `None` leaves the reading position before a block that is in some way special, for
    /// [`lines`](Self::lines): it is cut, too large, not UTF-8, or holds a comment that was asked for.
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
                // Before any of it is copied.
                if at - start > limit {
                    return None;
                }
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
            // The joined bytes were not counted yet.
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

    /// Joins the whole lines of data from `at` on to those before them, up to the limit; returns their end.
    fn join(&mut self, mut at: usize) -> usize {
        let piece = self.piece;
        let mut line_ends = self.line_ends;
        let limit = self.decoder.block.limit;
        let lines = &mut self.decoder.block.data;
        // Each line is taken with its LF, and the last LF is removed.
        lines.push(b'\n');
        while piece[at..].starts_with(b"data: ") {
            let value_at = at + 6;
            let Some(value_end) = line_ends.next(value_at) else { break };
            if lines.len() + (value_end - value_at) > limit {
                break;
            }
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

    /// Reads as text the bytes from `start` to at least `end`, as far as they are UTF-8.
    #[cold]
    fn read_text(&mut self, start: usize, end: usize) {
        let rest = &self.piece[start..];
        let rest = whole_characters(&rest[..(end - start).max(self.text_step).min(rest.len())]);
        let same_block = mem::replace(&mut self.text_start, start) == start;
        (self.text, self.text_step) = match simdutf8::basic::from_utf8(rest) {
            // More the next time, so that a block which goes on and on is not read again and again.
            Ok(text) if same_block => (text, (2 * text.len()).max(TEXT_AT_ONCE)),
            Ok(text) => (text, TEXT_AT_ONCE),
            // Only the requested part the next time, so that invalid UTF-8 is not read again and again.
            Err(_) => (rest.utf8_chunks().next().map_or("", |chunk| chunk.valid()), 0),
        };
    }

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

/// In fewer bytes than that, only the most frequent block is borrowed: others are sooner copied.
const WORTH_BORROWING: usize = 64;

/// An event without a name is a message (9.2.6, "dispatch the event").
pub(crate) fn or_message(event: &str) -> &str {
    if event.is_empty() { "message" } else { event }
}

/// The result of [`Items::find`].
enum Found<'a> {
    /// An event that lies in one piece and has one line of data.
    Whole { event: &'a str, data: &'a str },
    /// An event that lies in one piece; its lines of data were put together.
    Joined { event: &'a str },
    /// An item that was read line by line.
    Step(Step),
}
