use std::io;
use std::path::PathBuf;

use crate::Position;

/// Why records were not appended.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// There is no room, on the disk or by a quota.
    #[error("the log is full: {0}")]
    Full(String),
    /// The storage does not take it now: a read-only folder, a server out of reach.
    #[error("cannot write to the log: {0}")]
    Unavailable(String),
    /// More is being appended than can be processed.
    #[error("records are appended faster than they can be processed: {0}")]
    Busy(String),
    /// One of the records can never be appended.
    #[error("the log does not accept the records: {0}")]
    Invalid(String),
    /// The idempotency key was used before, for other content.
    #[error("the idempotency key was already used for other content")]
    KeyReused,
    /// The log has been closed.
    #[error("the log is closed")]
    Closed,
}

/// Why the log was not read.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The storage does not answer now.
    #[error("cannot read the log: {0}")]
    Unavailable(String),
    /// What is stored is not what was written.
    #[error("the log is damaged: {0}")]
    Damaged(String),
    /// A tail was slower than retention.
    #[error(
        "the records after {after} up to {horizon} were removed before they were read: increase the retention"
    )]
    Missed {
        /// The place after which was to be read.
        after: Position,
        /// [`Bounds::horizon`](crate::Bounds::horizon), where reading goes on.
        horizon: Position,
    },
}

/// Why a log was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The system has no random bytes.
    #[error("cannot get random bytes for the epoch of a new log")]
    Random(#[source] io::Error),
    /// Another process, or another log of this one, has the folder.
    #[error("the log in {0} is in use: stop the process that has it open, or choose another folder")]
    InUse(PathBuf),
    /// The folder is of a newer version.
    #[error(
        "the log in {folder} has the format {found}, but this program reads {known}: use the program that wrote it, or a newer one"
    )]
    Newer {
        /// The log's folder.
        folder: PathBuf,
        /// Its version.
        found: String,
        /// The version that would have been understood.
        known: u32,
    },
    /// The folder holds something else.
    #[error("{0} is not empty and is not a log: choose another folder")]
    Foreign(PathBuf),
    /// The system did not open, read or write a file.
    #[error("{what} {path}")]
    Io {
        /// What was tried, as in `cannot read`.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is stored is not what was written, and cannot be repaired without losing more than an unfinished write.
    #[error(
        "the log in {folder} is damaged: {problem}; restore the folder from a backup, or move it away to start with an empty log"
    )]
    Damaged {
        /// The log's folder.
        folder: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A name that the rules give cannot be kept.
    #[error(
        "the log in {folder} has stored {count} names of retention rules, the limit: use names that it has stored"
    )]
    Names {
        /// The log's folder.
        folder: PathBuf,
        /// How many it knows.
        count: usize,
    },
}
