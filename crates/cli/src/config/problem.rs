//! Sources of values, and problems that name them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Source of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The default.
    Default,
    /// The setting `dev`, which changes some defaults.
    Dev,
    /// A file and a line, counted from 1.
    File(PathBuf, usize),
    /// An environment variable.
    Variable(String),
    /// A flag, without the dashes.
    Flag(String),
}

/// Problem of a setting, with the source of its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// The source of the value.
    pub origin: Origin,
    /// The fault, and the permitted values.
    pub what: String,
}

/// Writes the source of the value, unless it is a default, and the fault.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Default => f.write_str(&self.what),
            origin => write!(f, "{origin}: {}", self.what),
        }
    }
}

/// All problems of a configuration; at least one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

/// Writes one problem per line.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Dev => f.write_str("--dev"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// Sources of the values; a setting that is absent has its default.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins(pub(super) BTreeMap<&'static str, Origin>);

impl Origins {
    pub(super) fn of(&self, key: &str) -> Origin {
        self.get(key).unwrap_or(Origin::Default)
    }

    /// Source of a setting; `None` for a default.
    pub(super) fn get(&self, key: &str) -> Option<Origin> {
        self.0.get(key).cloned()
    }
}
