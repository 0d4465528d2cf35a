//! Values of settings as their sources have them.

use std::fmt;

/// Value as its source has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Value {
    pub(super) raw: Raw,
    /// Line in the file, counted from 1; `None` outside of files.
    pub(super) line: Option<usize>,
}

/// Types of TOML; flags and variables have texts alone.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Raw {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Value>),
    Table(Vec<(String, Value)>),
    /// A fraction, a date, or an integer that is too large: no setting accepts these.
    Other(String),
}

/// Reason why a value is refused.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal {
    /// Line in the file, if it differs from that of the setting.
    pub(super) line: Option<usize>,
    /// The fault, and the permitted values.
    pub(super) why: String,
}

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self { raw: Raw::Text(text.into()), line: None }
    }

    /// Returns the text, also of a number or boolean: `SSEKIT_THREADS=2` is a text, `threads = 2` is not.
    pub(super) fn as_text(&self) -> Option<String> {
        match &self.raw {
            Raw::Text(text) => Some(text.clone()),
            Raw::Integer(number) => Some(number.to_string()),
            Raw::Boolean(truth) => Some(truth.to_string()),
            Raw::List(_) | Raw::Table(_) | Raw::Other(_) => None,
        }
    }

    /// Refusal of the value, with the permitted ones.
    pub(super) fn refused(&self, allowed: &str) -> Refusal {
        Refusal { line: self.line, why: format!("{self} is not {allowed}") }
    }
}

/// Writes the value for an error: on one line, and shortened.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.raw {
            Raw::Text(text) => {
                let shown: String = text.chars().take(MAX_SHOWN).collect();
                let rest = if shown.len() < text.len() { "…" } else { "" };
                write!(f, "{shown:?}{rest}")
            }
            Raw::Integer(number) => number.fmt(f),
            Raw::Boolean(truth) => truth.fmt(f),
            Raw::List(_) => f.write_str("a list"),
            Raw::Table(_) => f.write_str("a table"),
            Raw::Other(text) => f.write_str(text),
        }
    }
}

/// Maximum number of characters of a value in an error.
const MAX_SHOWN: usize = 80;
