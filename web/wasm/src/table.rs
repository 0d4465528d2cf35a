//! The events of one piece as a table of numbers that cuts them out of two texts.
//!
//! ```text
//! numbers   0 how many events   1, 2 address and length of the text   3 whether the piece is ASCII
//!           then for each event, five:
//!           name     its number; a new one is the next number, UNNAMED_AGAIN is not kept, TOO_LARGE,
//!                    ID_ALONE and INCOMPLETE are no events
//!           name's length, if it is in the text, else ABSENT
//!           id's length, if it is another one than before, else ABSENT
//!           data's start in the piece, or ABSENT if it is in the text
//!           data's length
//! text      for each event: name, id, data, as far as they are there
//! ```
//!
//! JavaScript has the piece: if the piece is ASCII and contains the data unchanged, it decodes the piece once
//! and slices it. Lengths are in UTF-16 code units.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use ssekit_session::{DecodeError, Item, Message};
use wide::u8x16;

/// Numbers before the first event's.
pub const HEAD: usize = 4;
/// Numbers of an event.
pub const ROW: usize = 5;
/// The length or start of an absent text.
pub const ABSENT: i32 = -1;
/// A name beyond the first [`MAX_NAMES`]: its text comes with every event.
pub const UNNAMED_AGAIN: i32 = -1;
/// In the place of an event that was larger than the limit.
pub const TOO_LARGE: i32 = -2;
/// In the place of a block that had an id and no data.
pub const ID_ALONE: i32 = -3;
/// In the place of an event that was dropped because its blank line is missing at the end of the stream.
pub const INCOMPLETE: i32 = -4;
/// How many names of a connection get numbers.
pub const MAX_NAMES: usize = 256;

/// The names and the id of a connection that both sides know, so that they do not cross again.
#[derive(Debug)]
pub struct Known {
    /// Number 0 is `message`.
    names: Vec<String>,
    /// The number of the last event's name.
    last_name: usize,
    id: String,
}

impl Known {
    /// The knowledge at the beginning of a connection that resumes after this event.
    pub fn new(last_event_id: &str) -> Self {
        Self { names: [String::from("message")].into(), last_name: 0, id: last_event_id.to_owned() }
    }

    /// Returns the number of the name, perhaps a new one, and whether it is new.
    #[inline]
    fn number(&mut self, name: &str) -> (i32, bool) {
        if self.names[self.last_name] == name {
            return (self.last_name as i32, false);
        }
        self.other_number(name)
    }

    fn other_number(&mut self, name: &str) -> (i32, bool) {
        if let Some(number) = self.names.iter().position(|known| known == name) {
            self.last_name = number;
            return (number as i32, false);
        }
        if self.names.len() == MAX_NAMES {
            return (UNNAMED_AGAIN, true);
        }
        self.last_name = self.names.len();
        self.names.push(name.to_owned());
        (self.last_name as i32, true)
    }
}

/// The events of one piece.
#[derive(Debug, Default)]
pub struct Table {
    numbers: Vec<i32>,
    text: Vec<u8>,
    /// The addresses of a piece that is ASCII. (They are compared, and nothing is read there.)
    ascii: Range<usize>,
}

impl Table {
    /// Without events.
    pub const fn new() -> Self {
        Self { numbers: Vec::new(), text: Vec::new(), ascii: 0..0 }
    }

    /// Removes the last events, and begins with this piece.
    pub fn begin(&mut self, piece: &[u8]) {
        self.numbers.clear();
        self.numbers.resize(HEAD, 0);
        self.text.clear();
        if self.text.capacity() > MAX_KEPT {
            self.text = Vec::new();
        }
        let start = piece.as_ptr() as usize;
        self.ascii = if is_ascii(piece) { start..start + piece.len() } else { 0..0 };
    }

    /// Adds an item that the session has read.
    #[inline]
    pub fn push(&mut self, item: Result<Item<'_>, DecodeError>, known: &mut Known) {
        match item {
            Ok(Item::Message(message)) => self.push_message(message, known),
            Ok(Item::Comment(_)) => {}
            Err(DecodeError::IncompleteEvent) => {
                self.numbers.extend_from_slice(&[INCOMPLETE, ABSENT, ABSENT, ABSENT, 0]);
            }
            Err(_) => self.numbers.extend_from_slice(&[TOO_LARGE, ABSENT, ABSENT, ABSENT, 0]),
        }
    }

    /// Adds the last event ID after the piece, if no event of the piece has it.
    pub fn push_id(&mut self, last_event_id: &str, known: &mut Known) {
        if known.id != last_event_id {
            last_event_id.clone_into(&mut known.id);
            let length = self.push_text(last_event_id);
            self.numbers.extend_from_slice(&[ID_ALONE, ABSENT, length, ABSENT, 0]);
        }
    }

    #[inline]
    fn push_message(&mut self, message: Message<'_>, known: &mut Known) {
        let (name, is_new) = known.number(message.event);
        let name_length = if is_new { self.push_text(message.event) } else { ABSENT };
        let id_length = if known.id == message.last_event_id {
            ABSENT
        } else {
            message.last_event_id.clone_into(&mut known.id);
            self.push_text(message.last_event_id)
        };
        let data = message.data;
        let at = data.as_ptr() as usize;
        let (start, length) = if at >= self.ascii.start && at + data.len() <= self.ascii.end {
            ((at - self.ascii.start) as i32, data.len() as i32)
        } else {
            (ABSENT, self.push_text(data))
        };
        self.numbers.extend_from_slice(&[name, name_length, id_length, start, length]);
    }

    /// Appends a text; returns its length.
    #[inline]
    fn push_text(&mut self, text: &str) -> i32 {
        self.text.extend_from_slice(text.as_bytes());
        utf16_length(text.as_bytes()) as i32
    }

    /// The numbers, complete.
    pub fn finish(&mut self) -> &[i32] {
        let count = (self.numbers.len() - HEAD) / ROW;
        let is_ascii = i32::from(!self.ascii.is_empty());
        let head = [count as i32, address(&self.text) as i32, self.text.len() as i32, is_ascii];
        self.numbers[..HEAD].copy_from_slice(&head);
        &self.numbers
    }

    /// The text, for one that is no event, such as a refusal's body.
    pub fn text_mut(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// All texts, one after another.
    pub fn text(&self) -> &[u8] {
        &self.text
    }
}

/// The most bytes that a text buffer keeps between pieces.
const MAX_KEPT: usize = 1 << 20;

/// The address for JavaScript.
pub(crate) fn address<T>(slice: &[T]) -> u32 {
    slice.as_ptr() as usize as u32
}

/// The number of UTF-16 code units of UTF-8 text: one for a character, two for one of four bytes.
fn utf16_length(text: &[u8]) -> usize {
    let (parts, tail) = text.as_chunks();
    let units = |part: &[u8; 16]| {
        let part = u8x16::new(*part);
        let inside = (part & u8x16::splat(0xC0)).simd_eq(u8x16::splat(0x80)).to_bitmask();
        let four = part.max(u8x16::splat(0xF0)).simd_eq(part).to_bitmask();
        16 - inside.count_ones() as usize + four.count_ones() as usize
    };
    let tail_units = tail
        .iter()
        .map(|&byte| usize::from((byte as i8) >= -0x40) + usize::from(byte >= 0xF0))
        .sum::<usize>();
    parts.iter().map(units).sum::<usize>() + tail_units
}

fn is_ascii(piece: &[u8]) -> bool {
    let (parts, tail) = piece.as_chunks();
    let bits = parts.iter().fold(u8x16::ZERO, |bits, part| bits | u8x16::new(*part));
    bits.to_bitmask() == 0 && tail.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<'a>(event: &'a str, id: &'a str, data: &'a str) -> Result<Item<'a>, DecodeError> {
        Ok(Item::Message(Message { event, data, last_event_id: id }))
    }

    #[test]
    fn known_names_and_ids_do_not_cross_again() {
        let mut known = Known::new("");
        let mut table = Table::new();
        table.begin(b"");
        table.push(message("message", "", "a"), &mut known);
        table.push(message("chat", "7", "b"), &mut known);
        table.push(message("chat", "7", "c"), &mut known);
        table.push_id("7", &mut known);
        table.push_id("8", &mut known);
        let numbers = table.finish();
        assert_eq!(numbers[0], 4);
        let expected = [0, -1, -1, -1, 1, 1, 4, 1, -1, 1, 1, -1, -1, -1, 1, ID_ALONE, -1, 1, -1, 0];
        assert_eq!(numbers[HEAD..], expected);
        assert_eq!(table.text(), b"achat7bc8");
    }

    #[test]
    fn data_of_an_ascii_piece_stay_there() {
        let mut known = Known::new("");
        let mut table = Table::new();
        let piece = "data: hello\n\n";
        table.begin(piece.as_bytes());
        table.push(message("message", "", &piece[6..11]), &mut known);
        table.push(message("message", "", "elsewhere"), &mut known);
        assert_eq!(table.finish()[HEAD..], [0, -1, -1, 6, 5, 0, -1, -1, -1, 9]);
        assert_eq!(table.text(), b"elsewhere");

        let piece = "data: héllo\n\n";
        table.begin(piece.as_bytes());
        table.push(message("message", "", &piece[6..12]), &mut known);
        assert_eq!(table.finish()[3..], [0, 0, -1, -1, -1, 5]);
    }

    #[test]
    fn lengths_are_those_of_javascript() {
        let long = "🦀xé".repeat(1000);
        for text in ["", "plain", "ü", "漢字", "\u{10FFFF}\u{FFFF}\u{80}", &long] {
            assert_eq!(utf16_length(text.as_bytes()), text.encode_utf16().count(), "{text}");
            assert_eq!(is_ascii(text.as_bytes()), text.is_ascii());
        }
    }

    #[test]
    fn only_so_many_names_get_numbers() {
        let mut known = Known::new("");
        let mut table = Table::new();
        table.begin(b"");
        for name in 0..MAX_NAMES + 2 {
            table.push(message(&name.to_string(), "", ""), &mut known);
        }
        table.push(message("3", "", ""), &mut known);
        let numbers = table.finish();
        let names: Vec<_> = numbers[HEAD..].chunks(ROW).map(|event| (event[0], event[1])).collect();
        assert_eq!(names[0], (1, 1));
        assert_eq!(names[MAX_NAMES - 2], (MAX_NAMES as i32 - 1, 3));
        assert_eq!(names[MAX_NAMES - 1..], [(-1, 3), (-1, 3), (-1, 3), (4, -1)]);
    }
}
