//! The terminal: lines for stderr, exit codes, and escaped text.

mod escape;

use std::io::{IsTerminal, Write, stderr};

use anyhow::Error;
use ssekit_client::TransportError;

pub use self::escape::Escaped;
#[cfg(test)]
pub(crate) use self::escape::is_interpreted;
pub(crate) use self::escape::{escape, escape_json};

/// Error that ends a command.
#[derive(Debug)]
pub struct Failure {
    /// Exit code.
    pub code: u8,
    /// Error with its causes.
    pub error: Error,
}

pub(crate) const FAILED: u8 = 1;
pub(crate) const USAGE: u8 = 2;
pub(crate) const NO_CONNECTION: u8 = 7;
pub(crate) const REFUSED: u8 = 22;
pub(crate) const TIMED_OUT: u8 = 28;
pub(crate) const NOT_TRUSTED: u8 = 60;
pub(crate) const NO_EVENT_STREAM: u8 = 65;

/// Text of an error and of its causes. The text of a transport's error already has its causes.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut error = error;
    while let Some(cause) = error.source().filter(|_| !error.is::<TransportError>()) {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        error = cause;
    }
    text
}

/// Writes a line to stderr, with control characters escaped.
pub fn say(text: &str) {
    // If standard error is closed, there is nowhere to report to.
    let _ = writeln!(stderr(), "ssekit: {}", escape(text));
}

/// Whether the output is a terminal and NO_COLOR is not set.
pub fn colors(terminal: &impl IsTerminal) -> bool {
    terminal.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
