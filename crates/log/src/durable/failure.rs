//! The reason why an operation of the store failed, and the error that an append gets for it.

use std::io;

use super::directory::MIN_FREE_BYTES;
use crate::{AppendError, ReadError};

/// The reason why an operation of the store failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0:?}")]
    Store(fjall::Error),
    #[error("{0}")]
    Read(#[from] ReadError),
    #[error("the store is not open")]
    Closed,
}

impl From<fjall::Error> for Failure {
    fn from(error: fjall::Error) -> Self {
        match error {
            fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => Self::Io(error),
            error => Self::Store(error),
        }
    }
}

impl Failure {
    /// The error of the appends that the failure refuses.
    pub(super) fn append_error(&self) -> AppendError {
        let Self::Io(error) = self else { return AppendError::Unavailable(self.to_string()) };
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => AppendError::Full(format!(
                "{error}; free at least {} MiB on its disk, or reduce the retention",
                MIN_FREE_BYTES >> 20
            )),
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                AppendError::Unavailable(format!("{error}; allow this process to write to its folder"))
            }
            _ => AppendError::Unavailable(error.to_string()),
        }
    }
}
