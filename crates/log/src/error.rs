//! The errors of a log. Operators read their messages, so each names the cause and, if possible, a remedy.

use std::io;
use std::path::PathBuf;

use crate::Position;

/// The reason why an append was refused.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The disk or the quota is full.
    #[error("the log is full: {0}")]
    Full(String),
    /// The storage refuses writes now: for example a read-only folder, or an unreachable server.
    #[error("cannot write to the log: {0}")]
    Unavailable(String),
    /// Records are appended faster than they can be processed.
    #[error("records are appended faster than they can be processed: {0}")]
    Busy(String),
    /// A record or the batch exceeds a limit; a retry fails, too.
    #[error("the log does not accept the records: {0}")]
    Invalid(String),
    /// An earlier append with the same idempotency key had other content.
    #[error("the idempotency key was already used for other content")]
    KeyReused,
    /// The log has been closed.
    #[error("the log is closed")]
    Closed,
}

/// The reason why a read failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The storage cannot be read now.
    #[error("cannot read the log: {0}")]
    Unavailable(String),
    /// The stored bytes are not the written ones.
    #[error("the log is damaged: {0}")]
    Damaged(String),
    /// Retention dropped records before the tail had read them.
    #[error(
        "the records after {after} up to {horizon} were removed before they were read: increase the retention"
    )]
    Missed {
        /// The position up to which the tail had read.
        after: Position,
        /// [`Bounds::horizons`](crate::Bounds::horizons), after which the tail continues.
        horizon: Position,
    },
}

/// The reason why a log was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The system has no random bytes.
    #[error("cannot get random bytes for the epoch of a new log")]
    Random(#[source] io::Error),
    /// Another process, or another log of this process, has locked the folder.
    #[error("the log in {0} is in use: stop the process that has it open, or choose another folder")]
    InUse(PathBuf),
    /// A newer version of the program has written the folder.
    #[error(
        "the log in {folder} has the format {found}, but this program reads {known}: use the program that \
         wrote it, or a newer one"
    )]
    Newer {
        /// The log's folder.
        folder: PathBuf,
        /// The version of its format.
        found: String,
        /// The version that this program reads.
        known: u32,
    },
    /// The folder has other files than those of a log.
    #[error("{0} is not empty and is not a log: choose another folder")]
    Foreign(PathBuf),
    /// An operation on a file or folder failed.
    #[error("{what} {path}")]
    Io {
        /// The failed operation, such as `cannot read`.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The stored bytes are damaged, and a repair would lose more than an unfinished write.
    #[error(
        "the log in {folder} is damaged: {problem}; restore the folder from a backup, or move it away to \
         start with an empty log"
    )]
    Damaged {
        /// The log's folder.
        folder: PathBuf,
        /// The damage.
        problem: String,
    },
    /// The folder has no room for the name of a further rule.
    #[error(
        "the log in {folder} has stored {count} names of retention rules, the limit: use names that it has \
         stored"
    )]
    Names {
        /// The log's folder.
        folder: PathBuf,
        /// The number of stored names.
        count: usize,
    },
}
