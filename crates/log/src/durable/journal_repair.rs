//! The end of the store's newest journal, as a process leaves it that was killed: `fjall` cuts an unfinished write off, but gives
//! up on one that looks finished and is not what was written, and says nothing of either.
//!
//! ```text
//! 1 · count u32 · number u64
//! (2 · kind u8 · 0 · keyspace u64 · length u16 · length u32 · length u32 · key · value)*
//! 3 · XXH3 of all of these u64 · "FJL" · 3
//! ```
//! Numbers are little-endian; zeros follow.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tracing::warn;
use xxhash_rust::xxh3::Xxh3;

use super::directory::Directory;
use crate::OpenError;

/// What lies at the end of a journal.
#[derive(Debug)]
struct End {
    path: PathBuf,
    /// Everything up to here is whole writes.
    whole: u64,
    /// Up to here there is something.
    used: u64,
}

impl End {
    /// Looks through a journal.
    fn find(path: PathBuf) -> io::Result<Self> {
        let mut journal = Journal {
            file: BufReader::with_capacity(1 << 16, File::open(&path)?),
            at: 0,
            buffer: Vec::new(),
        };
        let mut whole = 0;
        while journal.write()? {
            whole = journal.at;
        }
        let used = used(&path, whole)?;
        Ok(Self { path, whole, used })
    }

    /// How much of it is an unfinished write.
    fn torn(&self) -> u64 {
        self.used - self.whole
    }

    fn path(&self) -> &Path {
        &self.path
    }

    /// Cuts it off, and keeps it in another file, if there is room for that.
    fn cut(&self, kept: &Path) -> io::Result<()> {
        let mut journal = File::open(&self.path)?;
        journal.seek(SeekFrom::Start(self.whole))?;
        let copied =
            File::create(kept).and_then(|mut kept| io::copy(&mut journal.take(self.torn()), &mut kept));
        if let Err(error) = copied {
            warn!("cannot save the removed bytes of an unfinished write in {}: {error}", kept.display());
        }
        let file = OpenOptions::new().write(true).open(&self.path)?;
        file.set_len(self.whole)?;
        file.sync_all()
    }
}

/// What was cut off the journals.
#[derive(Debug, Default)]
pub(super) struct Repaired {
    pub(super) bytes: u64,
    /// Some of it was no unfinished write, since other writes followed, now or before an interrupted start.
    pub(super) damaged: bool,
}

/// Cuts off each journal what follows its last whole write, and says how much it was. Only the newest ends with an unfinished write: an
/// older one is damaged.
pub(super) fn truncate_torn_tail(folder: &Directory) -> Result<Repaired, OpenError> {
    let store = folder.store();
    let io = |what, path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { what, path, source }
    };
    let mut journals = match journals(&store) {
        Ok(journals) => journals,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Repaired::default()),
        Err(error) => return Err(io("cannot read", &store)(error)),
    };
    journals.sort_unstable();
    let mut repaired = Repaired { bytes: 0, damaged: folder.is_damaged() };
    let newest = journals.last().map(|(number, _)| *number);
    for (number, path) in journals {
        let end = End::find(path.clone()).map_err(io("cannot read", &path))?;
        if end.torn() > 0 {
            let kept = match Some(number) == newest {
                true => folder.torn(),
                false => folder.torn().with_extension(number.to_string()),
            };
            if Some(number) != newest {
                repaired.damaged = true;
                if let Err(error) = folder.note_damage() {
                    warn!(folder = %folder.path().display(), %error, "damage of a journal cannot be noted, and is forgotten if this start is interrupted");
                }
            }
            end.cut(&kept).map_err(io("cannot repair", end.path()))?;
            repaired.bytes += end.torn();
        }
    }
    Ok(repaired)
}

/// Empties the journals of a store that is closed and has all of it in tables: a start would read them for nothing.
pub(super) fn empty(store: &Path) -> io::Result<()> {
    for (_, path) in journals(store)? {
        let file = OpenOptions::new().write(true).open(&path)?;
        file.set_len(0)?;
        file.sync_all()?;
    }
    Ok(())
}

/// The journals with their numbers.
fn journals(store: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut journals = Vec::new();
    for file in fs::read_dir(store)? {
        let path = file?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse().ok());
        journals.extend(number.map(|number| (number, path)));
    }
    Ok(journals)
}

struct Journal<R> {
    file: R,
    at: u64,
    buffer: Vec<u8>,
}

impl<R: Read> Journal<R> {
    /// Reads a whole write; false if there is none.
    fn write(&mut self) -> io::Result<bool> {
        if !self.take(13)? || self.buffer[0] != 1 {
            return Ok(false);
        }
        let count = u32::from_le_bytes(self.buffer[1..5].try_into().expect("four bytes"));
        let mut sum = Xxh3::new();
        for _ in 0..count {
            if !self.take(1)? {
                return Ok(false);
            }
            sum.update(&self.buffer);
            let rest = match self.buffer[0] {
                // A keyspace is emptied.
                4 => 8,
                2 => {
                    if !self.take(20)? {
                        return Ok(false);
                    }
                    sum.update(&self.buffer);
                    let key = u16::from_le_bytes(self.buffer[10..12].try_into().expect("two bytes"));
                    let value = u32::from_le_bytes(self.buffer[16..20].try_into().expect("four bytes"));
                    if self.buffer[1] > 1 || value > VALUE {
                        return Ok(false);
                    }
                    usize::from(key) + value as usize
                }
                _ => return Ok(false),
            };
            if !self.take(rest)? {
                return Ok(false);
            }
            sum.update(&self.buffer);
        }
        let end = [3].into_iter().chain(sum.digest().to_le_bytes()).chain(*b"FJL\x03");
        Ok(self.take(13)? && self.buffer.iter().copied().eq(end))
    }

    /// Reads so much; false if there is less.
    fn take(&mut self, length: usize) -> io::Result<bool> {
        self.buffer.resize(length, 0);
        match self.file.read_exact(&mut self.buffer) {
            Ok(()) => {
                self.at += length as u64;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Where the zeros begin that end a file, from a place on.
fn used(path: &Path, from: u64) -> io::Result<u64> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let (mut at, mut used) = (from, from);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(used);
        }
        if let Some(last) = buffer[..read].iter().rposition(|byte| *byte != 0) {
            used = at + last as u64 + 1;
        }
        at += read as u64;
    }
}

/// No value is larger: a record of [`Record::SIZE`](crate::Record::SIZE), with what is told of it.
const VALUE: u32 = 64 * 1024 * 1024;
