use std::fmt;

use crate::OpenError;

/// A place in the order of a log.
///
/// Sixty-four bits hold what every kept storage counts with: a sequence of NATS JetStream or PostgreSQL as it is; of Redis
/// Streams, the milliseconds in the upper 44 bits and the number within one in the lower 20.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// Before everything.
    pub const START: Self = Self(0);

    /// The place behind it.
    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which log this is: 128 random bits. It is the key by which the hub hides positions in ids, so it is as secret as the log itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub [u8; 16]);

impl Epoch {
    /// One that no other log has.
    pub(crate) fn random() -> Result<Self, OpenError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| OpenError::Random(error.into()))?;
        Ok(Self(bytes))
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Epoch(..)")
    }
}
