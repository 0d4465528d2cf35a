//! The algorithm of the standard (9.2.6) in its own words, without regard for speed. Every decoder must agree
//! with it. The fuzz targets read this file too.

use ssekit_wire::{DecodeError, Decoder, Item};

/// All that a stream gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) items: Vec<Given>,
    pub(crate) last_event_id: String,
    pub(crate) retry_millis: Option<u128>,
}

/// An item that no longer borrows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    Message { event: String, data: String, last_event_id: String },
    Comment(String),
    EventTooLarge,
    CommentTooLarge,
}

/// How a stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) comments: bool,
    pub(crate) max_event_bytes: usize,
}

impl Reading {
    pub(crate) fn decoder(self) -> Decoder {
        let decoder = Decoder::new().with_max_event_bytes(self.max_event_bytes);
        if self.comments { decoder.with_comments() } else { decoder }
    }
}

/// The result of the decoder for a stream in these pieces.
pub(crate) fn decoded<'a>(mut decoder: Decoder, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut items = Vec::new();
    for piece in pieces {
        feed(&mut decoder, piece, &mut items);
    }
    outcome(&decoder, items)
}

pub(crate) fn outcome(decoder: &Decoder, items: Vec<Given>) -> Outcome {
    Outcome {
        items,
        last_event_id: decoder.last_event_id().to_owned(),
        retry_millis: decoder.reconnection_time().map(|time| time.as_millis()),
    }
}

pub(crate) fn feed(decoder: &mut Decoder, piece: &[u8], given: &mut Vec<Given>) {
    let mut items = decoder.feed(piece);
    while let Some(item) = items.next() {
        given.push(match item {
            Ok(Item::Message(message)) => Given::Message {
                event: message.event.to_owned(),
                data: message.data.to_owned(),
                last_event_id: message.last_event_id.to_owned(),
            },
            Ok(Item::Comment(comment)) => Given::Comment(comment.to_owned()),
            Err(DecodeError::EventTooLarge { .. }) => Given::EventTooLarge,
            Err(DecodeError::CommentTooLarge { .. }) => Given::CommentTooLarge,
            Err(error) => panic!("an error that the reference does not know: {error}"),
        });
    }
}

/// The result of the standard's algorithm for the whole stream.
pub(crate) fn standard(stream: &[u8], reading: Reading) -> Outcome {
    // "Streams must be decoded using the UTF-8 decode algorithm", which takes one byte order mark off the
    // front.
    let stream = stream.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(stream);
    let decoded = String::from_utf8_lossy(stream);
    let (lines, _) = split_lines(decoded.as_bytes());
    // The same lines before decoding: only the limit, which the standard does not know, looks at their
    // lengths.
    let (raw_lines, raw_last_line) = split_lines(stream);

    let mut interpreter = Interpreter::new(reading);
    for (line, raw) in lines.into_iter().zip(raw_lines) {
        if interpreter.admit(raw) {
            interpreter.process_line(str::from_utf8(line).expect("text is split at ASCII"));
        }
    }
    // "Once the end of the file is reached, any pending data must be discarded": but once a line has its
    // colon, it is known whether it is too large.
    if raw_last_line.contains(&b':') {
        interpreter.admit(raw_last_line);
    }
    Outcome {
        items: interpreter.items,
        last_event_id: interpreter.last_event_id,
        retry_millis: interpreter.reconnection_time,
    }
}

struct Interpreter {
    reading: Reading,
    items: Vec<Given>,
    last_event_id: String,
    reconnection_time: Option<u128>,
    data_buffer: String,
    event_type_buffer: String,
    last_event_id_buffer: String,
    /// Bytes of the block's values, a separator before each data line but the first.
    size: usize,
    data_lines: usize,
    too_large: bool,
}

impl Interpreter {
    fn new(reading: Reading) -> Self {
        Self {
            reading,
            items: Vec::new(),
            last_event_id: String::new(),
            reconnection_time: None,
            data_buffer: String::new(),
            event_type_buffer: String::new(),
            last_event_id_buffer: String::new(),
            size: 0,
            data_lines: 0,
            too_large: false,
        }
    }

    /// The limit, which counts values as they came, whatever becomes of them. False for a line that is not
    /// kept.
    fn admit(&mut self, raw: &[u8]) -> bool {
        let limit = self.reading.max_event_bytes;
        let (name, value) = name_and_value(raw);
        match name {
            b"" if raw.is_empty() => return true,
            b"" => {
                let too_large = self.reading.comments && value.len() > limit;
                if too_large {
                    self.items.push(Given::CommentTooLarge);
                }
                return !too_large;
            }
            b"data" => {
                self.size += usize::from(self.data_lines > 0);
                self.data_lines += 1;
            }
            b"event" | b"id" => {}
            _ => return true,
        }
        self.size += value.len();
        if self.size > limit && !self.too_large {
            self.too_large = true;
            self.items.push(Given::EventTooLarge);
        }
        // The id of an event that was too large counts, unless it is itself the reason.
        name != b"id" || value.len() <= limit
    }

    fn process_line(&mut self, line: &str) {
        if line.is_empty() {
            self.dispatch();
        } else if let Some(comment) = line.strip_prefix(':') {
            if self.reading.comments {
                self.items.push(Given::Comment(comment.strip_prefix(' ').unwrap_or(comment).to_owned()));
            }
        } else if let Some((field, value)) = line.split_once(':') {
            self.process_field(field, value.strip_prefix(' ').unwrap_or(value));
        } else {
            self.process_field(line, "");
        }
    }

    fn process_field(&mut self, field: &str, value: &str) {
        match field {
            "event" => value.clone_into(&mut self.event_type_buffer),
            "data" => {
                self.data_buffer.push_str(value);
                self.data_buffer.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.last_event_id_buffer),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                let millis = value.bytes().fold(0_u64, |number, digit| {
                    number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
                });
                self.reconnection_time = Some(u128::from(millis));
            }
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        self.last_event_id.clone_from(&self.last_event_id_buffer);
        let mut data = std::mem::take(&mut self.data_buffer);
        let event = std::mem::take(&mut self.event_type_buffer);
        self.size = 0;
        self.data_lines = 0;
        if std::mem::take(&mut self.too_large) || data.is_empty() {
            return;
        }
        data.pop();
        self.items.push(Given::Message {
            event: if event.is_empty() { "message".to_owned() } else { event },
            data,
            last_event_id: self.last_event_id.clone(),
        });
    }
}

/// The lines that have ended, and the rest after the last one. CRLF, CR and LF each end a line.
fn split_lines(text: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.iter().position(|&byte| byte == b'\r' || byte == b'\n') {
        lines.push(&rest[..end]);
        rest = &rest[end..];
        rest = rest.strip_prefix(b"\r\n").unwrap_or_else(|| &rest[1..]);
    }
    (lines, rest)
}

fn name_and_value(line: &[u8]) -> (&[u8], &[u8]) {
    let Some(colon) = line.iter().position(|&byte| byte == b':') else { return (line, b"") };
    let value = &line[colon + 1..];
    (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
}
