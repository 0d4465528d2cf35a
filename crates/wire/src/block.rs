use alloc::string::String;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use crate::decoder::Message;
use crate::items::or_message;

/// The block of lines that is being read, kept across pieces.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) limit: usize,
    line: Line,
    /// Bytes of all values taken for this block. It includes replaced ones, so that the limit does not depend
    /// on chunking.
    size: usize,
    /// The limit was passed and reported: the rest of the block is skipped.
    too_large: bool,
    /// The block has ended; its buffers are read until the next line begins.
    ended: bool,
    event: Vec<u8>,
    /// Its lines, with LF between them. A reader that holds the whole block puts them together here, too.
    pub(crate) data: Vec<u8>,
    has_data: bool,
    /// The id that the end of the block will commit.
    id: Vec<u8>,
    has_id: bool,
    /// The value of the `id` line or the comment that is being read.
    value: Vec<u8>,
    value_too_large: bool,
    /// The value of the `retry` line that is being read.
    millis: Number,
    /// The replacements of a name, and of data or a comment, that are not UTF-8.
    replaced: [String; 2],
}

/// The item that a part of a line completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Message,
    Comment,
    EventTooLarge,
    CommentTooLarge,
}

/// The line that is being read, when a piece ended in it.
#[derive(Clone, Copy, Debug)]
enum Line {
    /// Its name as far as it was read. No name that counts is longer than five bytes.
    Name { name: [u8; 5], len: usize },
    /// Its value; a space that comes first is not part of it.
    Value { field: Name, begun: bool },
}

/// The field of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Data,
    Event,
    Id,
    Retry,
    Comment,
    /// A field that nobody knows.
    Other,
}

/// The value of a `retry` line as far as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Empty,
    Millis(u64),
    Invalid,
}

/// Buffers keep up to this many bytes for the next event.
const KEEP: usize = 1 << 20;

impl Block {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Line::START,
            size: 0,
            too_large: false,
            ended: true,
            event: Vec::new(),
            data: Vec::new(),
            has_data: false,
            id: Vec::new(),
            has_id: false,
            value: Vec::new(),
            value_too_large: false,
            millis: Number::Empty,
            replaced: [String::new(), String::new()],
        }
    }

    /// Forgets the block and its last line.
    pub(crate) fn reset(&mut self) {
        self.line = Line::START;
        self.ended = true;
    }

    /// Whether the next byte begins a block.
    #[inline]
    pub(crate) fn is_at_start(&self) -> bool {
        self.ended
    }

    /// Whether the current block holds an event or an id, or a part of one, that was not reported yet.
    pub(crate) fn holds_event(&self) -> bool {
        let is_cut_in_one = match self.line {
            Line::Name { len, .. } => len > 0,
            Line::Value { field, .. } => matches!(field, Name::Data | Name::Event | Name::Id),
        };
        let holds_one = self.has_data || self.has_id || !self.event.is_empty();
        !self.ended && !self.too_large && (holds_one || is_cut_in_one)
    }

    /// Whether the next byte begins a line.
    #[inline]
    pub(crate) fn is_at_line_start(&self) -> bool {
        matches!(self.line, Line::Name { len: 0, .. })
    }

    /// Whether the next byte belongs to a line of data that has begun.
    #[inline]
    pub(crate) fn is_in_data(&self) -> bool {
        matches!(self.line, Line::Value { field: Name::Data, begun: true })
    }

    /// The stream began with a part of a byte order mark, and no name does.
    pub(crate) fn begin_unknown_line(&mut self) {
        self.begin();
        self.line = Line::Value { field: Name::Other, begun: true };
    }

    /// Takes the next part of a cut line, without its line end.
    #[inline]
    pub(crate) fn push(&mut self, part: &[u8], comments: bool) -> Option<Step> {
        match self.line {
            Line::Value { field: Name::Data, begun: true } => self.push_data(part),
            Line::Value { field, begun: true } => self.push_value(field, part),
            _ if part.is_empty() => None,
            Line::Value { field, begun: false } => {
                self.line = Line::Value { field, begun: true };
                self.push_value(field, part.strip_prefix(b" ").unwrap_or(part))
            }
            Line::Name { name, len } => self.push_name(name, len, part, comments),
        }
    }

    fn push_name(&mut self, mut name: [u8; 5], len: usize, part: &[u8], comments: bool) -> Option<Step> {
        self.begin();
        // The name and its colon.
        let head = &part[..part.len().min(name.len() + 1 - len)];
        let Some(colon) = head.iter().position(|&byte| byte == b':') else {
            self.line = match name.get_mut(len..len + head.len()) {
                Some(place) => {
                    place.copy_from_slice(head);
                    Line::Name { name, len: len + head.len() }
                }
                None => Line::Value { field: Name::Other, begun: true },
            };
            return None;
        };
        name[len..len + colon].copy_from_slice(&head[..colon]);
        let field = Name::of(&name[..len + colon], comments);
        self.line = Line::Value { field, begun: false };
        let step = self.begin_value(field);
        if step.is_some() { step } else { self.push(&part[colon + 1..], comments) }
    }

    /// Ends a line that was cut (9.2.6, "process the line").
    pub(crate) fn end_line(
        &mut self,
        last_event_id: &mut String,
        reconnection_time: &mut Option<Duration>,
    ) -> Option<Step> {
        let field = match self.line {
            Line::Name { len: 0, .. } => return self.end(last_event_id),
            // A name without a colon has an empty value.
            Line::Name { name, len } => {
                let field = Name::of(&name[..len], false);
                self.line = Line::Value { field, begun: true };
                let step = self.begin_value(field);
                if step.is_some() {
                    // The end of the line is still to be read.
                    return step;
                }
                field
            }
            Line::Value { field, .. } => field,
        };
        self.line = Line::START;
        self.end_value(field, reconnection_time)
    }

    /// Takes a line that lies in one piece and is not blank.
    #[inline]
    pub(crate) fn line(
        &mut self,
        field: Name,
        value: &[u8],
        reconnection_time: &mut Option<Duration>,
    ) -> Option<Step> {
        self.begin();
        if field == Name::Other {
            return None;
        }
        let begun = self.begin_value(field);
        let taken = self.push_value(field, value);
        let ended = self.end_value(field, reconnection_time);
        begun.or(taken).or(ended)
    }

    /// The message of the block that has just ended.
    pub(crate) fn message<'a>(&'a mut self, last_event_id: &'a str) -> Message<'a> {
        let [event, data] = &mut self.replaced;
        Message { event: or_message(text(&self.event, event)), data: text(&self.data, data), last_event_id }
    }

    /// The data alone, as text.
    #[inline]
    pub(crate) fn joined(&mut self) -> &str {
        text(&self.data, &mut self.replaced[1])
    }

    /// Whether more of the block is taken.
    pub(crate) fn has_room(&self) -> bool {
        !self.too_large
    }

    /// Counts the bytes that were added to the data since it was this long.
    pub(crate) fn count(&mut self, before: usize) -> Option<Step> {
        self.grow(self.data.len() - before)
    }

    /// The comment whose line has just ended.
    pub(crate) fn comment(&mut self) -> &str {
        text(&self.value, &mut self.replaced[1])
    }

    /// Makes room for a block if the one before it has ended.
    fn begin(&mut self) {
        if mem::take(&mut self.ended) {
            self.size = 0;
            self.too_large = false;
            self.has_data = false;
            self.has_id = false;
            for buffer in [&mut self.event, &mut self.data, &mut self.id, &mut self.value] {
                buffer.clear();
                buffer.shrink_to(KEEP);
            }
        }
    }

    /// A blank line ends the block (9.2.6, "dispatch the event").
    #[inline]
    pub(crate) fn end(&mut self, last_event_id: &mut String) -> Option<Step> {
        if mem::replace(&mut self.ended, true) {
            return None;
        }
        if self.has_id {
            last_event_id.clear();
            last_event_id.push_str(text(&self.id, &mut self.replaced[1]));
        }
        (self.has_data && !self.too_large).then_some(Step::Message)
    }

    #[inline]
    fn begin_value(&mut self, field: Name) -> Option<Step> {
        match field {
            Name::Data => {
                if mem::replace(&mut self.has_data, true) {
                    if !self.too_large {
                        self.data.push(b'\n');
                    }
                    return self.grow(1);
                }
            }
            Name::Event => self.event.clear(),
            Name::Id | Name::Comment => {
                self.value.clear();
                self.value_too_large = false;
            }
            Name::Retry => self.millis = Number::Empty,
            Name::Other => {}
        }
        None
    }

    #[inline]
    fn push_value(&mut self, field: Name, part: &[u8]) -> Option<Step> {
        match field {
            Name::Data => self.push_data(part),
            Name::Event => {
                let step = self.grow(part.len());
                if !self.too_large {
                    self.event.extend_from_slice(part);
                }
                step
            }
            Name::Id => {
                // Kept even if the event is too large: its loss is reported, and must not be asked for again.
                self.keep(part);
                self.grow(part.len())
            }
            Name::Comment => self.keep(part).then_some(Step::CommentTooLarge),
            Name::Retry => {
                self.millis = part.iter().fold(self.millis, Number::push);
                None
            }
            Name::Other => None,
        }
    }

    /// Takes the next part of a line of data that has begun.
    #[inline]
    pub(crate) fn push_data(&mut self, part: &[u8]) -> Option<Step> {
        let step = self.grow(part.len());
        if !self.too_large {
            self.data.extend_from_slice(part);
        }
        step
    }

    /// The end of a value (9.2.6, "process the field").
    #[inline]
    fn end_value(&mut self, field: Name, reconnection_time: &mut Option<Duration>) -> Option<Step> {
        match field {
            Name::Id if !self.value_too_large && memchr::memchr(0, &self.value).is_none() => {
                mem::swap(&mut self.id, &mut self.value);
                self.has_id = true;
            }
            Name::Retry => {
                if let Number::Millis(millis) = self.millis {
                    *reconnection_time = Some(Duration::from_millis(millis));
                }
            }
            Name::Comment if !self.value_too_large => return Some(Step::Comment),
            _ => {}
        }
        None
    }

    /// Adds to the value of an `id` line or a comment; gives whether that has just become too large.
    fn keep(&mut self, part: &[u8]) -> bool {
        if self.value_too_large {
            return false;
        }
        self.value_too_large = part.len() > self.limit - self.value.len();
        if self.value_too_large {
            self.value.clear();
        } else {
            self.value.extend_from_slice(part);
        }
        self.value_too_large
    }

    /// Counts the bytes of the block, and reports once that they are too many.
    #[inline]
    fn grow(&mut self, by: usize) -> Option<Step> {
        self.size = self.size.saturating_add(by);
        if self.size <= self.limit || self.too_large { None } else { self.refuse() }
    }

    #[cold]
    fn refuse(&mut self) -> Option<Step> {
        self.too_large = true;
        self.data = Vec::new();
        self.event.clear();
        Some(Step::EventTooLarge)
    }
}

impl Name {
    fn of(name: &[u8], comments: bool) -> Self {
        match name {
            b"data" => Self::Data,
            b"event" => Self::Event,
            b"id" => Self::Id,
            b"retry" => Self::Retry,
            b"" if comments => Self::Comment,
            _ => Self::Other,
        }
    }

    /// Returns the field of the line at the start of `text`, and where its value begins. Without the end of
    /// the line in `text`, the result is of no use yet.
    #[inline]
    pub(crate) fn at(text: &[u8], comments: bool) -> (Self, usize) {
        // The usual spelling first: one comparison each.
        if !comments && text.starts_with(b":") {
            return (Self::Other, 0);
        }
        if text.starts_with(b"data: ") {
            return (Self::Data, 6);
        }
        if text.starts_with(b"id: ") {
            return (Self::Id, 4);
        }
        if text.starts_with(b"event: ") {
            return (Self::Event, 7);
        }
        let head = text.first_chunk::<6>().map_or(text, |head| head);
        let Some(length) = head.iter().position(|byte| matches!(byte, b':' | b'\n' | b'\r')) else {
            return (Self::Other, 0);
        };
        if text[length] != b':' {
            return (Self::of(&text[..length], false), length);
        }
        let space = usize::from(text.get(length + 1) == Some(&b' '));
        (Self::of(&text[..length], comments), length + 1 + space)
    }
}

impl Line {
    const START: Self = Self::Name { name: [0; 5], len: 0 };
}

/// The value of a whole `retry` line, if it is one that counts.
pub(crate) fn millis(value: &[u8]) -> Option<u64> {
    match value.iter().fold(Number::Empty, Number::push) {
        Number::Millis(millis) => Some(millis),
        Number::Empty | Number::Invalid => None,
    }
}

impl Number {
    /// Digits alone make a number; one that is too large stays as large as can be.
    fn push(self, digit: &u8) -> Self {
        match (self, digit) {
            (Self::Empty, b'0'..=b'9') => Self::Millis(u64::from(digit - b'0')),
            (Self::Millis(number), b'0'..=b'9') => {
                Self::Millis(number.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
            }
            _ => Self::Invalid,
        }
    }
}

/// Returns the bytes as text, or as the standard decodes them into `replaced`, with U+FFFD for invalid UTF-8.
fn text<'a>(bytes: &'a [u8], replaced: &'a mut String) -> &'a str {
    match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => {
            *replaced = String::from_utf8_lossy(bytes).into_owned();
            replaced
        }
    }
}
