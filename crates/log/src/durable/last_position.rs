//! The last position that was given to a record, in a file of its own, so that a start knows whether the store has lost records.
//!
//! It is written after the store and before a record is answered or shown. `kill -9` does not lose it. Two copies in turn, each in a
//! block of the disk of its own, so that one write or one damaged block does not spoil both.
//!
//! ```text
//! copy      position u64 · checksum u64, at 0 and at 4096; little-endian
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use crate::Position;

#[derive(Debug)]
pub(super) struct Used {
    file: File,
    /// Which copy is written next.
    next: u64,
}

/// What the file said at a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    Upto(Position),
    /// It is missing, or nothing in it is what was written.
    Unknown,
}

impl Used {
    /// Opens the file, or makes it.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Last)> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        Read::by_ref(&mut file).take(2 * COPY).read_to_end(&mut bytes)?;
        let copies = [0, COPY as usize].map(|at| bytes.get(at..at + 16).and_then(decode));
        let last = copies.into_iter().flatten().max();
        // The older one is written first.
        let next = u64::from(copies[0].is_some() && copies[0] == last);
        Ok((Self { file, next }, last.map_or(Last::Unknown, Last::Upto)))
    }

    pub(super) fn write(&mut self, last: Position) -> io::Result<()> {
        let number = last.0.to_le_bytes();
        let copy = [number, checksum(&number).to_le_bytes()].concat();
        self.file.seek(SeekFrom::Start(self.next * COPY))?;
        self.file.write_all(&copy)?;
        self.next = 1 - self.next;
        Ok(())
    }
}

fn decode(copy: &[u8]) -> Option<Position> {
    let (number, sum) = copy.split_first_chunk::<8>()?;
    (checksum(number).to_le_bytes() == *sum).then(|| Position(u64::from_le_bytes(*number)))
}

/// Also of zeros it is none.
fn checksum(number: &[u8; 8]) -> u64 {
    xxh3_64(&[b"used".as_slice(), number].concat())
}

/// The distance of the copies.
const COPY: u64 = 4096;
