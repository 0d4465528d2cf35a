//! Repair of the store's journals before `fjall` opens them.
//!
//! A killed process leaves an unfinished write at the end of the newest journal. `fjall` truncates such a
//! write without a report, and refuses to open a journal with a write that looks finished and has a wrong
//! checksum. This module truncates both, and reports the removed bytes. It reads this format of `fjall`:
//!
//! ```text
//! 1 · count u32 · number u64
//! (2 · kind u8 · 0 · keyspace u64 · length u16 · length u32 · length u32 · key · value)*
//! 3 · XXH3 of the items u64 · "FJL" · 3
//! ```
//! Numbers are little-endian. Zeros may follow the last write.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tracing::warn;
use xxhash_rust::xxh3::Xxh3;

use super::directory::Directory;
use crate::OpenError;

/// The ends of the complete writes and of the data in a journal.
#[derive(Debug)]
struct JournalEnd {
    path: PathBuf,
    /// The end of the last complete write.
    complete: u64,
    /// The end of the data; zeros follow.
    data: u64,
}

impl JournalEnd {
    /// Reads a journal up to its end.
    fn find(path: PathBuf) -> io::Result<Self> {
        let mut journal = JournalReader {
            file: BufReader::with_capacity(1 << 16, File::open(&path)?),
            offset: 0,
            buffer: Vec::new(),
        };
        let mut complete = 0;
        while journal.read_write()? {
            complete = journal.offset;
        }
        let data = data_end(&path, complete)?;
        Ok(Self { path, complete, data })
    }

    /// The bytes after the last complete write.
    fn torn_bytes(&self) -> u64 {
        self.data - self.complete
    }

    fn path(&self) -> &Path {
        &self.path
    }

    /// Truncates the journal after its last complete write.
    ///
    /// Saves the removed bytes in another file, if the disk has room for them.
    fn truncate(&self, saved: &Path) -> io::Result<()> {
        let mut journal = File::open(&self.path)?;
        journal.seek(SeekFrom::Start(self.complete))?;
        let copied = File::create(saved)
            .and_then(|mut saved| io::copy(&mut journal.take(self.torn_bytes()), &mut saved));
        if let Err(error) = copied {
            warn!("cannot save the removed bytes of an unfinished write in {}: {error}", saved.display());
        }
        let file = OpenOptions::new().write(true).open(&self.path)?;
        file.set_len(self.complete)?;
        file.sync_all()
    }
}

/// The result of a repair of the journals.
#[derive(Debug, Default)]
pub(super) struct Repaired {
    /// The removed bytes.
    pub(super) bytes: u64,
    /// Finished writes were removed, in this start or in an earlier one that was interrupted.
    pub(super) damaged: bool,
}

/// Truncates each journal after its last complete write.
///
/// Only the newest journal can end with an unfinished write. An older one that does is damaged.
pub(super) fn truncate_torn_tail(directory: &Directory) -> Result<Repaired, OpenError> {
    let store = directory.store_path();
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
    let mut repaired = Repaired { bytes: 0, damaged: directory.is_damaged() };
    let newest = journals.last().map(|(number, _)| *number);
    for (number, path) in journals {
        let end = JournalEnd::find(path.clone()).map_err(io("cannot read", &path))?;
        if end.torn_bytes() > 0 {
            let saved = match Some(number) == newest {
                true => directory.torn_path(),
                false => directory.torn_path().with_extension(number.to_string()),
            };
            if Some(number) != newest {
                repaired.damaged = true;
                if let Err(error) = directory.mark_damaged() {
                    warn!(
                        folder = %directory.path().display(),
                        %error,
                        "damage of a journal cannot be noted, and is forgotten if this start is interrupted"
                    );
                }
            }
            end.truncate(&saved).map_err(io("cannot repair", end.path()))?;
            repaired.bytes += end.torn_bytes();
        }
    }
    Ok(repaired)
}

/// Empties the journals of a closed store whose data is all in tables, so that the next start is fast.
pub(super) fn clear_journals(store: &Path) -> io::Result<()> {
    for (_, path) in journals(store)? {
        let file = OpenOptions::new().write(true).open(&path)?;
        file.set_len(0)?;
        file.sync_all()?;
    }
    Ok(())
}

/// The paths of the journals, with their numbers.
fn journals(store: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut journals = Vec::new();
    for file in fs::read_dir(store)? {
        let path = file?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse().ok());
        journals.extend(number.map(|number| (number, path)));
    }
    Ok(journals)
}

/// Reader of the writes of a journal.
///
/// No journal makes it allocate more than [`MAX_VALUE`] and the longest key.
struct JournalReader<R> {
    file: R,
    offset: u64,
    buffer: Vec<u8>,
}

impl<R: Read> JournalReader<R> {
    /// Reads one write; returns false if the bytes are no complete write.
    fn read_write(&mut self) -> io::Result<bool> {
        if !self.fill(13)? || self.buffer[0] != 1 {
            return Ok(false);
        }
        let count = u32::from_le_bytes(self.buffer[1..5].try_into().expect("four bytes"));
        let mut sum = Xxh3::new();
        for _ in 0..count {
            if !self.fill(1)? {
                return Ok(false);
            }
            sum.update(&self.buffer);
            let rest = match self.buffer[0] {
                // An item that clears a keyspace has only the number of the keyspace.
                4 => 8,
                2 => {
                    if !self.fill(20)? {
                        return Ok(false);
                    }
                    sum.update(&self.buffer);
                    let key = u16::from_le_bytes(self.buffer[10..12].try_into().expect("two bytes"));
                    let value = u32::from_le_bytes(self.buffer[16..20].try_into().expect("four bytes"));
                    if self.buffer[1] > 1 || value > MAX_VALUE {
                        return Ok(false);
                    }
                    usize::from(key) + value as usize
                }
                _ => return Ok(false),
            };
            if !self.fill(rest)? {
                return Ok(false);
            }
            sum.update(&self.buffer);
        }
        let end = [3].into_iter().chain(sum.digest().to_le_bytes()).chain(*b"FJL\x03");
        Ok(self.fill(13)? && self.buffer.iter().copied().eq(end))
    }

    /// Reads this number of bytes into the buffer; returns false if the journal has less.
    fn fill(&mut self, length: usize) -> io::Result<bool> {
        self.buffer.resize(length, 0);
        match self.file.read_exact(&mut self.buffer) {
            Ok(()) => {
                self.offset += length as u64;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The offset from which a file consists of zeros; at least `from`.
fn data_end(path: &Path, from: u64) -> io::Result<u64> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let (mut offset, mut end) = (from, from);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(end);
        }
        if let Some(last) = buffer[..read].iter().rposition(|byte| *byte != 0) {
            end = offset + last as u64 + 1;
        }
        offset += read as u64;
    }
}

/// The largest value: more than a record of [`Record::SIZE`](crate::Record::SIZE) and its fields.
const MAX_VALUE: u32 = 64 * 1024 * 1024;
