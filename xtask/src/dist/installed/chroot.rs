//! Programs in a root file system of their own.

use std::fs;
use std::path::PathBuf;

use super::hub::clean;
use crate::command::Command;

/// A root file system for `chroot`.
pub(super) struct Root(pub(super) PathBuf);

impl Root {
    /// A program in it, run as a user.
    pub(super) fn command(&self, user: &str, line: &str) -> Command {
        clean(Command::new("chroot --userspec").arg(user).arg(&self.0).args(line.split(' ')))
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .within(&self.0)
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    pub(super) fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.path(path)).is_ok()
    }
}
