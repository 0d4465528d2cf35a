//! Escapes for text of other machines, so that a terminal does not obey it.

use std::fmt::Write as _;
use std::io::{self, Write};

/// Escapes characters that a terminal obeys, or that change the order or the lines of a text.
///
/// ESC becomes `\u{1b}`.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\t' => escaped.push('\t'),
            character if is_interpreted(character) => escaped.extend(character.escape_unicode()),
            character => escaped.push(character),
        }
    }
    escaped
}

/// Escapes a line of JSON.
///
/// JSON itself escapes only C0; the other characters get JSON escapes, which keep the meaning.
pub(crate) fn escape_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if is_interpreted(character) {
            let _ = write!(escaped, "\\u{:04x}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// Whether a terminal interprets the character instead of showing it.
///
/// These are control characters including C1, line and paragraph separators, and characters that change the
/// direction of text (Unicode, UAX #9).
pub(crate) fn is_interpreted(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}'
        )
}

/// Writer that escapes log lines. Each write is one or more whole lines.
#[derive(Debug)]
pub struct Escaped<W> {
    inner: W,
    escape: fn(&str) -> String,
}

impl<W: Write> Escaped<W> {
    /// Escapes lines of text.
    pub fn text(inner: W) -> Self {
        Self { inner, escape }
    }

    /// Escapes lines of JSON.
    pub fn json(inner: W) -> Self {
        Self { inner, escape: escape_json }
    }
}

impl<W: Write> Write for Escaped<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let mut escaped = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
            escaped.push_str(&(self.escape)(line));
            escaped.push_str(end);
        }
        self.inner.write_all(escaped.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readable_text_stays_unchanged() {
        for text in ["", "plain", "tab\there", "Zoë 👩‍🚀 שלום", "back\\slash"] {
            assert_eq!(escape(text), text);
            assert!(!escape_json(text).contains('\t'), "a tab is no JSON");
        }
    }

    #[test]
    fn no_character_that_a_terminal_interprets_stays() {
        let controls = (0..0x20).chain(0x7F..0xA0).filter(|&control| control != u32::from(b'\t'));
        let directions = [0x61C, 0x200E, 0x200F].into_iter().chain(0x2028..=0x202E).chain(0x2066..=0x2069);
        for character in controls.chain(directions).filter_map(char::from_u32) {
            let written = format!("\\u{{{:x}}}", u32::from(character));
            assert_eq!(escape(&format!("a{character}b")), format!("a{written}b"));
            let json = format!("\"a{}b\"", escape_json(&character.to_string()));
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), format!("a{character}b"));
        }
    }

    #[test]
    fn lines_of_a_log_stay_lines() {
        let mut log = Vec::new();
        Escaped::text(&mut log).write_all("one\u{202e}\r\ntwo\u{1b}[2J\n".as_bytes()).unwrap();
        assert_eq!(String::from_utf8(log).unwrap(), "one\\u{202e}\\u{d}\ntwo\\u{1b}[2J\n");
        let mut log = Vec::new();
        Escaped::json(&mut log).write_all("{\"a\":\"\u{202e}\"}\n".as_bytes()).unwrap();
        assert_eq!(String::from_utf8(log).unwrap(), "{\"a\":\"\\u202e\"}\n");
    }
}
