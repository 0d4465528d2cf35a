//! Parsers of arguments that several commands have.

use std::time::Duration;

use crate::config::{Secret, time};

/// Parses a time limit.
pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    let time = time(text).filter(|time| !time.is_zero());
    time.ok_or_else(|| "expected a time above 0, such as 500ms, 30s or 5m".to_owned())
}

/// Parses a token, without the spaces and line feeds around it.
#[expect(clippy::unnecessary_wraps, reason = "the parser of flags asks for it")]
pub(crate) fn token(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text.trim()))
}
