use std::fmt;

/// A value as its source gives it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Value {
    pub(super) raw: Raw,
    /// Where it begins in the file, counted from 1; none outside of files.
    pub(super) line: Option<usize>,
}

/// What TOML has; flags and variables have text alone.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Raw {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Value>),
    Table(Vec<(String, Value)>),
    /// A fraction, a date, an integer that is too large: nothing that any setting takes.
    Other(String),
}

/// Why a value is not taken.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal {
    /// Where in the file, when that is not where the setting stands.
    pub(super) line: Option<usize>,
    /// What is wrong, and what is allowed.
    pub(super) why: String,
}

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self { raw: Raw::Text(text.into()), line: None }
    }

    /// The text, also of a number or a truth value: `SSEKIT_THREADS=2` is a text, `threads = 2` is none.
    pub(super) fn as_text(&self) -> Option<String> {
        match &self.raw {
            Raw::Text(text) => Some(text.clone()),
            Raw::Integer(number) => Some(number.to_string()),
            Raw::Boolean(truth) => Some(truth.to_string()),
            Raw::List(_) | Raw::Table(_) | Raw::Other(_) => None,
        }
    }

    /// That it is none of what is allowed.
    pub(super) fn refused(&self, allowed: &str) -> Refusal {
        Refusal { line: self.line, why: format!("{self} is not {allowed}") }
    }
}

/// As it may stand in an error: on one line, and not all of a long one.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.raw {
            Raw::Text(text) => {
                let shown: String = text.chars().take(MOST_SHOWN).collect();
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

/// Characters of a value in an error.
const MOST_SHOWN: usize = 80;
