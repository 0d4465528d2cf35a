//! Positions of records, and the epoch that identifies a log.

use std::fmt;
use std::io;

/// The number of a record in a log.
///
/// 64 bits hold the numbers of other storages: the sequences of NATS JetStream and PostgreSQL as they are; an
/// id of Redis Streams with its milliseconds in the upper 44 bits and its sequence number in the lower 20.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// The position before the first record.
    pub const START: Self = Self(0);

    /// The next position.
    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// 128 random bits that identify a log.
///
/// The hub encrypts the positions in ids with them, so they are as secret as the log itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub [u8; 16]);

impl Epoch {
    /// Draws a random epoch, which differs from that of every other log.
    pub(crate) fn random() -> io::Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Epoch(..)")
    }
}
