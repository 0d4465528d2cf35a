//! RFC 1952: a header, raw deflate, a checksum. Deflate's blocks can be put one after the other when each
//! piece ends in a flush and refers to nothing before it.

use std::io::{self, Write};

use crc32fast::Hasher;
use flate2::write::DeflateEncoder;
use flate2::{Compress, Compression, FlushCompress};

/// No name, no time, no system.
pub(super) const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// The last block, which is empty.
const LAST: [u8; 2] = [3, 0];
const LEVEL: Compression = Compression::new(6);

/// About 260 KiB of memory.
pub(super) struct Compressor(DeflateEncoder<Vec<u8>>);

impl Compressor {
    pub(super) fn new() -> Self {
        Self(DeflateEncoder::new(Vec::new(), LEVEL))
    }

    pub(super) fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        self.0.write_all(bytes)?;
        self.0.flush()?;
        out.append(self.0.get_mut());
        Ok(())
    }
}

pub(super) fn compress(bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let mut compress = Compress::new(LEVEL, false);
    out.reserve(bytes.len() / 2 + 64);
    loop {
        let read = usize::try_from(compress.total_in()).unwrap_or(usize::MAX);
        compress.compress_vec(&bytes[read..], out, FlushCompress::Sync)?;
        // A flush is over when it has left room.
        if out.len() < out.capacity() {
            return Ok(());
        }
        out.reserve(out.len());
    }
}

/// The checksum and length that the receiver compares.
#[derive(Clone, Debug, Default)]
pub(super) struct Checksum {
    hasher: Hasher,
    length: u32,
}

impl Checksum {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut checksum = Self::default();
        checksum.add(bytes);
        checksum
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.length = self.length.wrapping_add(bytes.len() as u32);
    }

    pub(super) fn append(&mut self, other: &Self) {
        self.hasher.combine(&other.hasher);
        self.length = self.length.wrapping_add(other.length);
    }

    pub(super) fn finish(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&LAST);
        out.extend_from_slice(&self.hasher.finalize().to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
    }
}
