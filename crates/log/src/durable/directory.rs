//! The folder of a log: its lock, its version, and the files that mark an unfinished run.
//!
//! ```text
//! lock      locked while a log is open
//! version   "ssekit-log 1"
//! running   exists while the log may be written; if a start finds it, the last run was not closed
//! store/    the store
//! torn      the removed bytes of the last unfinished write
//! damaged   exists while a damaged journal has lost records and the store has not recorded the loss yet
//! used      the last assigned position, in two copies (last_position.rs)
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::OpenError;

/// The locked folder of an open log.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    _lock: File,
    running: bool,
}

impl Directory {
    /// Locks the folder, or creates it. Also returns whether the last run was not closed.
    pub(super) fn open(path: &Path) -> Result<(Self, bool), OpenError> {
        let io = |what, path: PathBuf| move |source| OpenError::Io { what, path, source };
        create_private_folder(path).map_err(io("cannot create the folder", path.to_owned()))?;
        let path = path.canonicalize().map_err(io("cannot find the folder", path.to_owned()))?;
        let version = path.join("version");
        match fs::read_to_string(&version) {
            Ok(found) if found.trim_end() == format!("{FORMAT} {VERSION}") => {}
            Ok(found) => {
                let found = found.trim_end();
                let newer = found
                    .strip_prefix(FORMAT)
                    .map(str::trim_start)
                    .filter(|found| found.parse::<u32>().is_ok());
                return Err(match newer {
                    Some(found) => OpenError::Newer { folder: path, found: found.to_owned(), known: VERSION },
                    None => OpenError::Foreign(path),
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut files = fs::read_dir(&path).map_err(io("cannot list", path.clone()))?;
                // A process that was killed at this point, or a new file system, leaves these files.
                let ours = ["lock", "version.new", "lost+found"];
                if files.any(|file| file.is_ok_and(|file| !ours.iter().any(|ours| file.file_name() == *ours)))
                {
                    return Err(OpenError::Foreign(path));
                }
            }
            Err(error) => return Err(io("cannot read", version)(error)),
        }
        let lock = path.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&lock);
        let file = file.map_err(io("cannot write", lock.clone()))?;
        let deadline = Instant::now() + LOCK_TIMEOUT;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(LOCK_TIMEOUT / 50)
                }
                Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(path)),
                Err(TryLockError::Error(error)) => return Err(io("cannot lock", lock)(error)),
            }
        }
        if !version.exists() {
            let new = path.join("version.new");
            write(&new, format!("{FORMAT} {VERSION}\n").as_bytes())
                .map_err(io("cannot write", new.clone()))?;
            fs::rename(&new, &version).map_err(io("cannot write", version))?;
            sync(&path).map_err(io("cannot write", path.clone()))?;
        }
        // Some file systems and owners do not allow this change; the log is usable without it.
        if let Err(error) = restrict_to_owner(&path) {
            tracing::warn!(
                folder = %path.display(),
                %error,
                "cannot restrict the log's folder to its owner, so other users may be able to read the log: \
                 set the folder's mode to 700"
            );
        }
        let running = path.join("running").exists();
        Ok((Self { path, _lock: file, running }, running))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn store_path(&self) -> PathBuf {
        self.path.join("store")
    }

    /// The file of the last assigned position.
    pub(super) fn last_position_path(&self) -> PathBuf {
        self.path.join("used")
    }

    /// The file for the removed bytes of an unfinished write.
    pub(super) fn torn_path(&self) -> PathBuf {
        self.path.join("torn")
    }

    /// Marks that the log may be written from now on.
    pub(super) fn mark_running(&mut self) -> io::Result<()> {
        if !self.running {
            write(&self.path.join("running"), b"")?;
            sync(&self.path)?;
            self.running = true;
        }
        Ok(())
    }

    pub(super) fn is_running(&self) -> bool {
        self.running
    }

    /// Marks that a journal is about to lose records.
    ///
    /// So the next start knows of the loss if this process is killed before it has written it to the store.
    pub(super) fn mark_damaged(&self) -> io::Result<()> {
        write(&self.damaged_path(), b"")?;
        sync(&self.path)
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.damaged_path().exists()
    }

    /// Removes the mark of a damaged journal, after the store has recorded the loss.
    pub(super) fn clear_damage(&self) {
        if let Err(error) = fs::remove_file(self.damaged_path())
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(
                file = %self.damaged_path().display(),
                %error,
                "cannot remove the mark of a damaged journal: delete this file, or the next start reports \
                 the same lost records again"
            );
        }
    }

    fn damaged_path(&self) -> PathBuf {
        self.path.join("damaged")
    }

    /// Marks that all records are written and the log is closed.
    pub(super) fn mark_closed(&mut self) -> io::Result<()> {
        if self.running {
            fs::remove_file(self.path.join("running"))?;
            self.running = false;
        }
        Ok(())
    }

    /// Checks that the store can create files and has enough free space, by writing a file.
    pub(super) fn probe(&self) -> io::Result<()> {
        let path = self.store_path().join("probe");
        let written = File::create(&path).and_then(|mut file| {
            let zeros = vec![0; 1 << 20];
            (0..MIN_FREE_BYTES >> 20).try_for_each(|_| file.write_all(&zeros))?;
            file.sync_all()
        });
        let removed = fs::remove_file(&path);
        written.and(removed)
    }
}

/// Creates a folder that only its owner can open.
///
/// It holds private updates, and the key that encrypts all ids.
fn create_private_folder(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut folder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, OWNER_ONLY);
    match folder.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        created => created,
    }
}

/// Removes the rights of other users on the folder of a log.
#[cfg(unix)]
fn restrict_to_owner(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(path)?.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(OWNER_ONLY))?;
    tracing::warn!(
        folder = %path.display(),
        "other users had access to the log's folder (mode {mode:o}): its mode was changed to 700"
    );
    Ok(())
}

#[cfg(not(unix))]
fn restrict_to_owner(_: &Path) -> io::Result<()> {
    Ok(())
}

/// All rights for the owner, and none for others.
#[cfg(unix)]
const OWNER_ONLY: u32 = 0o700;

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

const FORMAT: &str = "ssekit-log";
const VERSION: u32 = 1;

/// The free space at which a log that was full is written again.
pub(super) const MIN_FREE_BYTES: u64 = 16 * 1024 * 1024;

/// The time for which a start waits for the end of another log in the folder.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
