//! Characters that protocol texts must not have, and texts in messages.

use std::fmt;

/// Character that no topic, id, type or selector may have.
///
/// It could end a line, be invisible, or change the reading order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    character: char,
    at: usize,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.character.is_control() { "control" } else { "invisible format" };
        write!(f, "the {what} character U+{:04X} at byte {}", u32::from(self.character), self.at)
    }
}

/// Refuses the controls C0, C1 and DEL, and Unicode's format characters (Cf).
pub(crate) fn check(text: &str) -> Result<(), Refused> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Ok(());
    }
    match text.char_indices().find(|(_, character)| character.is_control() || is_format(*character)) {
        Some((at, character)) => Err(Refused { character, at }),
        None => Ok(()),
    }
}

/// Quotes a text for a message: in quotation marks, with control characters escaped, at most 100 characters.
pub fn shown(text: &str) -> String {
    const MOST: usize = 100;
    let mut shown: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    format!("“{shown}”")
}

fn is_format(character: char) -> bool {
    FORMAT.iter().any(|(first, last)| (*first..=*last).contains(&character))
}

/// Unicode's general category Cf, which the standard library does not provide.
const FORMAT: [(char, char); 21] = [
    ('\u{AD}', '\u{AD}'),
    ('\u{600}', '\u{605}'),
    ('\u{61C}', '\u{61C}'),
    ('\u{6DD}', '\u{6DD}'),
    ('\u{70F}', '\u{70F}'),
    ('\u{890}', '\u{891}'),
    ('\u{8E2}', '\u{8E2}'),
    ('\u{180E}', '\u{180E}'),
    ('\u{200B}', '\u{200F}'),
    ('\u{202A}', '\u{202E}'),
    ('\u{2060}', '\u{2064}'),
    ('\u{2066}', '\u{206F}'),
    ('\u{FEFF}', '\u{FEFF}'),
    ('\u{FFF9}', '\u{FFFB}'),
    ('\u{110BD}', '\u{110BD}'),
    ('\u{110CD}', '\u{110CD}'),
    ('\u{13430}', '\u{1343F}'),
    ('\u{1BCA0}', '\u{1BCA3}'),
    ('\u{1D173}', '\u{1D17A}'),
    ('\u{E0001}', '\u{E0001}'),
    ('\u{E0020}', '\u{E007F}'),
];
