use alloc::string::String;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use crate::decoder::Message;

/// The block of lines that is being read, kept across pieces.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) limit: usize,
    line: Line,
    /// Bytes of all values taken for this block, replaced ones included, so that the limit does not depend on chunking.
    size: usize,
    /// The limit was passed and reported: what the block still holds is skipped.
    too_large: bool,
    /// The block has ended; its buffers are read until the next line begins.
    ended: bool,
    event: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The id that the end of the block will commit.
    id: Vec<u8>,
    has_id: bool,
    /// The value of the `id` line or the comment that is being read.
    value: Vec<u8>,
    /// What stands for a name, and for data or a comment, that is not UTF-8.
    replaced: [String; 2],
}

/// What there is to say after a part of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Message,
    Comment,
    EventTooLarge,
    CommentTooLarge,
}

/// The line that is being read.
#[derive(Clone, Copy, Debug)]
enum Line {
    /// Its name as far as it was read. No name that counts is longer than five bytes.
    Name { name: [u8; 5], len: usize },
    /// Its value; a space that comes first is not part of it.
    Value { field: Kind, begun: bool },
    /// A field that nobody knows, or a comment that nobody asked for.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Data,
    Event,
    Id,
    Retry(Number),
    Comment,
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
            replaced: [String::new(), String::new()],
        }
    }

    /// Forgets what was read of the block and of its last line.
    pub(crate) fn reset(&mut self) {
        self.line = Line::START;
        self.ended = true;
    }

    /// Whether the next byte begins a block.
    #[inline]
    pub(crate) fn is_at_start(&self) -> bool {
        self.ended
    }

    /// The stream began with a part of a byte order mark, and no name does.
    pub(crate) fn begin_unknown_line(&mut self) {
        self.begin();
        self.line = Line::Unknown;
    }

    /// Takes the next part of the current line, without what ends it.
    pub(crate) fn push(&mut self, part: &[u8], comments: bool) -> Option<Step> {
        if part.is_empty() {
            return None;
        }
        self.begin();
        let Line::Name { mut name, len } = self.line else { return self.push_value(part) };
        // The name and its colon.
        let head = &part[..part.len().min(name.len() + 1 - len)];
        let Some(colon) = head.iter().position(|&byte| byte == b':') else {
            self.line = match name.get_mut(len..len + head.len()) {
                Some(place) => {
                    place.copy_from_slice(head);
                    Line::Name { name, len: len + head.len() }
                }
                None => Line::Unknown,
            };
            return None;
        };
        name[len..len + colon].copy_from_slice(&head[..colon]);
        match self.begin_value(&name[..len + colon], comments) {
            None => self.push_value(&part[colon + 1..]),
            step => step,
        }
    }

    /// Ends the current line (9.2.6, "process the line" and "process the field").
    pub(crate) fn end_line(
        &mut self,
        last_event_id: &mut String,
        reconnection_time: &mut Option<Duration>,
    ) -> Option<Step> {
        if let Line::Name { name, len } = self.line {
            if len == 0 {
                return self.end(last_event_id);
            }
            // A name without a colon has an empty value.
            let step = self.begin_value(&name[..len], false);
            if step.is_some() {
                // The end of the line is still to be read.
                return step;
            }
        }
        match mem::replace(&mut self.line, Line::START) {
            Line::Value { field: Kind::Id, .. } if memchr::memchr(0, &self.value).is_none() => {
                mem::swap(&mut self.id, &mut self.value);
                self.has_id = true;
            }
            Line::Value { field: Kind::Retry(Number::Millis(millis)), .. } => {
                *reconnection_time = Some(Duration::from_millis(millis));
            }
            Line::Value { field: Kind::Comment, .. } => return Some(Step::Comment),
            _ => {}
        }
        None
    }

    /// The message of the block that has just ended.
    pub(crate) fn message<'a>(&'a mut self, last_event_id: &'a str) -> Message<'a> {
        let [event, data] = &mut self.replaced;
        let event = if self.event.is_empty() { "message" } else { text(&self.event, event) };
        Message { event, data: text(&self.data, data), last_event_id }
    }

    /// The comment whose line has just ended.
    pub(crate) fn comment(&mut self) -> &str {
        text(&self.value, &mut self.replaced[1])
    }

    /// Where a reader that holds the whole block puts the lines of its data together.
    #[inline]
    pub(crate) fn joined(&mut self) -> &mut Vec<u8> {
        &mut self.data
    }

    /// What was put together, as text.
    #[inline]
    pub(crate) fn joined_text(&mut self) -> &str {
        text(&self.data, &mut self.replaced[1])
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

    /// A blank line ended the block (9.2.6, "dispatch the event").
    fn end(&mut self, last_event_id: &mut String) -> Option<Step> {
        self.begin();
        self.ended = true;
        if self.has_id {
            last_event_id.clear();
            last_event_id.push_str(text(&self.id, &mut self.replaced[1]));
        }
        (self.has_data && !self.too_large).then_some(Step::Message)
    }

    fn begin_value(&mut self, name: &[u8], comments: bool) -> Option<Step> {
        let field = match name {
            b"data" => Kind::Data,
            b"event" => Kind::Event,
            b"id" => Kind::Id,
            b"retry" => Kind::Retry(Number::Empty),
            b"" if comments => Kind::Comment,
            _ => {
                self.line = Line::Unknown;
                return None;
            }
        };
        self.line = Line::Value { field, begun: false };
        match field {
            Kind::Data => {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.grow(1)
            }
            Kind::Event => {
                self.event.clear();
                None
            }
            Kind::Id | Kind::Comment => {
                self.value.clear();
                None
            }
            Kind::Retry(_) => None,
        }
    }

    fn push_value(&mut self, mut part: &[u8]) -> Option<Step> {
        let Line::Value { field, begun } = &mut self.line else { return None };
        if part.is_empty() {
            return None;
        }
        if !mem::replace(begun, true) {
            part = part.strip_prefix(b" ").unwrap_or(part);
        }
        match field {
            Kind::Retry(number) => {
                *number = part.iter().fold(*number, Number::push);
                None
            }
            Kind::Comment => {
                if part.len() <= self.limit - self.value.len() {
                    self.value.extend_from_slice(part);
                    return None;
                }
                self.line = Line::Unknown;
                Some(Step::CommentTooLarge)
            }
            Kind::Id => {
                // Kept even if the event is too large: its loss is reported, and must not be asked for again.
                if part.len() <= self.limit - self.value.len() {
                    self.value.extend_from_slice(part);
                } else {
                    self.line = Line::Unknown;
                }
                self.grow(part.len())
            }
            Kind::Data => {
                let step = self.grow(part.len());
                if !self.too_large {
                    self.data.extend_from_slice(part);
                }
                step
            }
            Kind::Event => {
                let step = self.grow(part.len());
                if !self.too_large {
                    self.event.extend_from_slice(part);
                }
                step
            }
        }
    }

    /// Counts what the block takes, and says so once when that is too much.
    fn grow(&mut self, by: usize) -> Option<Step> {
        self.size = self.size.saturating_add(by);
        if self.size <= self.limit || self.too_large {
            return None;
        }
        self.too_large = true;
        self.data = Vec::new();
        self.event.clear();
        Some(Step::EventTooLarge)
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

/// The bytes as text, or in `replaced` what the standard makes of them: U+FFFD for what is not UTF-8.
fn text<'a>(bytes: &'a [u8], replaced: &'a mut String) -> &'a str {
    match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => {
            *replaced = String::from_utf8_lossy(bytes).into_owned();
            replaced
        }
    }
}
