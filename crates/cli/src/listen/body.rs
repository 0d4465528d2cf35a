//! Request body of `ssekit listen`: a text, a file, or standard input.

use std::io::{Read, stdin};
use std::path::PathBuf;

use anyhow::{Context, Error};

/// Body as an argument names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Text(String),
    File(PathBuf),
    Stdin,
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        match text.strip_prefix('@') {
            _ if text == "-" || text == "@-" => Self::Stdin,
            Some(path) => Self::File(path.into()),
            None => Self::Text(text),
        }
    }
}

impl Body {
    pub(super) fn read(&self) -> Result<Vec<u8>, Error> {
        match self {
            Self::Text(text) => Ok(text.clone().into_bytes()),
            Self::File(path) => {
                std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
            }
            Self::Stdin => {
                let mut body = Vec::new();
                stdin().lock().read_to_end(&mut body).context("cannot read stdin")?;
                Ok(body)
            }
        }
    }
}
