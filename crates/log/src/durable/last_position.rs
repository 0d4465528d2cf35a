//! The file of the last assigned position, by which a start detects that the store has lost records.
//!
//! The writer writes it after the store, and before it confirms a record or shows it to readers. `kill -9`
//! does not lose it. Writes alternate between two copies in different blocks of the disk, so that one
//! interrupted write or one damaged block leaves the other copy.
//!
//! ```text
//! copy      position u64 · checksum u64, at 0 and at 4096; little-endian
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use crate::Position;

/// The open file, with its two copies.
#[derive(Debug)]
pub(super) struct LastPositionFile {
    file: File,
    /// The index of the copy that the next write replaces.
    next: u64,
}

/// The content of the file at a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastPosition {
    Upto(Position),
    /// The file is missing, or neither copy is valid.
    Unknown,
}

impl LastPositionFile {
    /// Opens the file, or creates it.
    pub(super) fn open(path: &Path) -> io::Result<(Self, LastPosition)> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        Read::by_ref(&mut file).take(2 * COPY_DISTANCE).read_to_end(&mut bytes)?;
        let copies = [0, COPY_DISTANCE as usize].map(|at| bytes.get(at..at + 16).and_then(decode));
        let last = copies.into_iter().flatten().max();
        // The next write replaces the older copy.
        let next = u64::from(copies[0].is_some() && copies[0] == last);
        Ok((Self { file, next }, last.map_or(LastPosition::Unknown, LastPosition::Upto)))
    }

    pub(super) fn write(&mut self, last: Position) -> io::Result<()> {
        let number = last.0.to_le_bytes();
        let copy = [number, checksum(&number).to_le_bytes()].concat();
        self.file.seek(SeekFrom::Start(self.next * COPY_DISTANCE))?;
        self.file.write_all(&copy)?;
        self.next = 1 - self.next;
        Ok(())
    }
}

fn decode(copy: &[u8]) -> Option<Position> {
    let (number, sum) = copy.split_first_chunk::<8>()?;
    (checksum(number).to_le_bytes() == *sum).then(|| Position(u64::from_le_bytes(*number)))
}

/// Zeros have a nonzero checksum, so that an empty block is no valid copy.
fn checksum(number: &[u8; 8]) -> u64 {
    xxh3_64(&[b"used".as_slice(), number].concat())
}

/// The distance of the copies in bytes.
const COPY_DISTANCE: u64 = 4096;
