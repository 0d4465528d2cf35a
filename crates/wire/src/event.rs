//! An event to send, and its encoding.

use alloc::borrow::Cow;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::scan;

/// One event to send: valid, or not built.
///
/// Data may hold anything; it is written as one `data` line for each of its lines, which CR, LF or CRLF end,
/// and arrives with LF between them. A name holds no CR and no LF; an id fits into a header, because clients
/// send it back as `Last-Event-ID`. Others are refused here, so that no text from a stranger can add a field
/// or an event.
///
/// ```
/// use ssekit::wire::Event;
///
/// let mut out = Vec::new();
/// Event::new("72 °F\nsunny").with_event("weather")?.with_id("7")?.encode(&mut out);
/// assert_eq!(out, "id: 7\nevent: weather\ndata: 72 °F\ndata: sunny\n\n".as_bytes());
/// # Ok::<(), ssekit::wire::FieldError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Event<'a> {
    event: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    retry: Option<Duration>,
    data: Option<Cow<'a, str>>,
}

impl<'a> Event<'a> {
    /// An event with this data and the default name, which receivers see as `message`.
    #[inline]
    pub fn new(data: impl Into<Cow<'a, str>>) -> Self {
        Self { event: None, id: None, retry: None, data: Some(data.into()) }
    }

    /// A block without data: receivers take its id and reconnection time and dispatch no event.
    ///
    /// ```
    /// # use ssekit::wire::Event;
    /// let mut out = Vec::new();
    /// Event::empty().with_id("41")?.encode(&mut out);
    /// assert_eq!(out, b"id: 41\n\n");
    /// # Ok::<(), ssekit::wire::FieldError>(())
    /// ```
    #[inline]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Names the event.
    ///
    /// # Errors
    /// When the name holds CR or LF.
    #[inline(always)]
    pub fn with_event(self, name: impl Into<Cow<'a, str>>) -> Result<Self, FieldError> {
        let name = name.into();
        if !scan::is_one_line(name.as_bytes()) {
            return Err(FieldError::new(Field::Event, &name, scan::line_end(name.as_bytes())));
        }
        Ok(Self { event: Some(name), ..self })
    }

    /// Sets the last event ID that receivers keep, and send as `Last-Event-ID` when they return. Empty resets
    /// it.
    ///
    /// # Errors
    /// When the id would not come back as it is: it holds a control character (CR, LF, NUL, …; a tab may
    /// stand inside), or begins or ends with a space or tab, which HTTP strips from a header.
    #[inline(always)]
    pub fn with_id(self, id: impl Into<Cow<'a, str>>) -> Result<Self, FieldError> {
        let id = id.into();
        if !scan::is_header_value(id.as_bytes()) {
            return Err(FieldError::new(Field::Id, &id, scan::not_in_header(id.as_bytes())));
        }
        Ok(Self { id: Some(id), ..self })
    }

    /// Sets this number as the last event ID that receivers keep. A number is always a valid id.
    #[inline]
    #[must_use]
    pub fn with_numeric_id(mut self, id: u64) -> Self {
        self.id = Some(Cow::Owned(id.to_string()));
        self
    }

    /// Sets the receiver's reconnection time, in whole milliseconds; a part of one is cut off.
    #[inline]
    #[must_use]
    pub fn with_retry(mut self, retry: Duration) -> Self {
        self.retry = Some(retry);
        self
    }

    /// The event's name, if it has one of its own.
    pub fn event(&self) -> Option<&str> {
        self.event.as_deref()
    }

    /// The event's id, if it sets one.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The reconnection time, if it sets one.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// The data as given, before it is split into lines.
    pub fn data(&self) -> Option<&str> {
        self.data.as_deref()
    }

    /// The same event, owning its text.
    pub fn into_owned(self) -> Event<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Event {
            event: self.event.map(owned),
            id: self.id.map(owned),
            retry: self.retry,
            data: self.data.map(owned),
        }
    }

    /// Appends the event to `out` with the blank line that ends it. Nothing is written for an event without
    /// fields.
    #[inline(always)]
    pub fn encode(&self, out: &mut Vec<u8>) {
        let before = out.len();
        if let Some(retry) = self.retry {
            push_retry(out, retry);
        }
        if let Some(id) = &self.id {
            push(out, b"id: ", id.as_bytes(), b"\n");
        }
        if let Some(event) = &self.event {
            push(out, b"event: ", event.as_bytes(), b"\n");
        }
        match &self.data {
            Some(data) if scan::is_short_line(data.as_bytes()) => {
                push(out, b"data: ", data.as_bytes(), b"\n\n")
            }
            Some(data) => {
                push_lines(out, b"data: ", data.as_bytes());
                out.push(b'\n');
            }
            None if out.len() > before => out.push(b'\n'),
            None => {}
        }
    }
}

/// Appends a comment, which receivers ignore: a line for each of its lines, `:` alone when it is empty.
///
/// No blank line follows, so that a comment is never taken for the end of an event.
pub fn encode_comment(text: &str, out: &mut Vec<u8>) {
    if text.is_empty() {
        out.extend_from_slice(b":\n");
    } else {
        push_lines(out, b": ", text.as_bytes());
    }
}

#[inline]
fn push(out: &mut Vec<u8>, name: &[u8], value: &[u8], end: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(value);
    out.extend_from_slice(end);
}

/// A line for each line of the text.
fn push_lines(out: &mut Vec<u8>, name: &[u8], mut text: &[u8]) {
    while let Some(end) = scan::line_end(text) {
        push(out, name, &text[..end], b"\n");
        text = &text[end + scan::line_break(&text[end..])..];
    }
    push(out, name, text, b"\n");
}

#[cold]
fn push_retry(out: &mut Vec<u8>, retry: Duration) {
    let mut number = u64::try_from(retry.as_millis()).unwrap_or(u64::MAX);
    out.extend_from_slice(b"retry: ");
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
    out.push(b'\n');
}

/// A field that takes one line, and refuses text that would need two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Field {
    /// The event's name.
    Event,
    /// The last event ID.
    Id,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Event => "event name",
            Self::Id => "event id",
        })
    }
}

/// A name holds a character that would end its line, or an id one that does not come back in the header
/// `Last-Event-ID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the {field} contains {} at byte {at}: remove it before sending", character_name(*character))]
pub struct FieldError {
    field: Field,
    character: u8,
    at: usize,
}

impl FieldError {
    #[cold]
    pub(crate) fn new(field: Field, text: &str, at: Option<usize>) -> Self {
        let at = at.unwrap_or_default();
        Self { field, character: text.as_bytes().get(at).copied().unwrap_or_default(), at }
    }

    /// The field that was refused.
    pub fn field(&self) -> Field {
        self.field
    }

    /// Where the character stands, in bytes from the start of the text.
    pub fn position(&self) -> usize {
        self.at
    }
}

fn character_name(character: u8) -> &'static str {
    match character {
        b'\r' => "a carriage return",
        b'\n' => "a line feed",
        0 => "a NUL character",
        b' ' => "a leading or trailing space, which HTTP removes,",
        b'\t' => "a leading or trailing tab, which HTTP removes,",
        _ => "a control character",
    }
}
