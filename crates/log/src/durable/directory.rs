//! A log's folder: whose it is, of which version, and whether it was left in order.
//!
//! ```text
//! lock      locked while a log is open
//! version   "ssekit-log 1"
//! running   there while a log may be written: who finds it at a start knows that the last one did not end well
//! store/    the store
//! torn      what an unfinished write left, when there was one last
//! damaged   there while records are missing that a damaged journal held, and the store does not tell readers yet
//! used      the last position that was given to a record, twice (last_position.rs)
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::OpenError;

#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    _lock: File,
    running: bool,
}

impl Directory {
    /// Takes the folder, or makes it. Also says whether the log in it was left without an end.
    pub(super) fn open(path: &Path) -> Result<(Self, bool), OpenError> {
        let io = |what, path: PathBuf| move |source| OpenError::Io { what, path, source };
        make(path).map_err(io("cannot create the folder", path.to_owned()))?;
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
                // What a process leaves that was killed here, or a fresh file system.
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
        let deadline = Instant::now() + HANDOVER;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(HANDOVER / 50)
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
        // Some file systems and owners do not allow it: the log is usable all the same.
        if let Err(error) = close_to_others(&path) {
            tracing::warn!(folder = %path.display(), %error, "cannot restrict the log's folder to its owner, so other users may be able to read the log: set the folder's mode to 700");
        }
        let running = path.join("running").exists();
        Ok((Self { path, _lock: file, running }, running))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn store(&self) -> PathBuf {
        self.path.join("store")
    }

    /// The file of the last position that was used.
    pub(super) fn used(&self) -> PathBuf {
        self.path.join("used")
    }

    /// Where is kept what an unfinished write left.
    pub(super) fn torn(&self) -> PathBuf {
        self.path.join("torn")
    }

    /// Notes that the log may be written from now on.
    pub(super) fn begin(&mut self) -> io::Result<()> {
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

    /// Notes that a journal is about to lose records, so that the next start knows it if this process is killed before it has told the store.
    pub(super) fn note_damage(&self) -> io::Result<()> {
        write(&self.damaged(), b"")?;
        sync(&self.path)
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.damaged().exists()
    }

    /// Notes that the store tells readers of the lost records.
    pub(super) fn clear_damage(&self) {
        if let Err(error) = fs::remove_file(self.damaged())
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(file = %self.damaged().display(), %error, "the next start reports the same lost records again: delete this file");
        }
    }

    fn damaged(&self) -> PathBuf {
        self.path.join("damaged")
    }

    /// Notes that all is written.
    pub(super) fn end(&mut self) -> io::Result<()> {
        if self.running {
            fs::remove_file(self.path.join("running"))?;
            self.running = false;
        }
        Ok(())
    }

    /// Whether there is room, and files can be made: tries it.
    pub(super) fn probe(&self) -> io::Result<()> {
        let path = self.store().join("probe");
        let tried = File::create(&path).and_then(|mut file| {
            let zeros = vec![0; 1 << 20];
            (0..PROBE >> 20).try_for_each(|_| file.write_all(&zeros))?;
            file.sync_all()
        });
        let removed = fs::remove_file(&path);
        tried.and(removed)
    }
}

/// Makes a folder that only its owner can open: it has what is private, and the key of all ids.
fn make(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut folder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, OWNER);
    match folder.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Takes the rights of all others away from a folder that is a log's.
#[cfg(unix)]
fn close_to_others(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(path)?.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(OWNER))?;
    tracing::warn!(folder = %path.display(), "other users had access to the log's folder (mode {mode:o}): its mode was changed to 700");
    Ok(())
}

#[cfg(not(unix))]
fn close_to_others(_: &Path) -> io::Result<()> {
    Ok(())
}

/// The rights of the owner alone.
#[cfg(unix)]
const OWNER: u32 = 0o700;

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

/// So much has to be free before a log that was full is written again.
pub(super) const PROBE: u64 = 16 * 1024 * 1024;

/// So long a start waits for one that is about to end.
const HANDOVER: Duration = Duration::from_secs(1);
