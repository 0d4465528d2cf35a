use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};

/// Where an event stands in its [`Channel`](crate::Channel): the channel's epoch, and the event's number in
/// it.
///
/// It prints as `epoch-sequence`, which is the id that subscribers see, unless the event has one of its own.
/// The epoch is new for each channel and each run of the program, so an id from before a restart is
/// recognised as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventId {
    epoch: Epoch,
    sequence: u64,
}

impl EventId {
    pub(crate) fn new(epoch: Epoch, sequence: u64) -> Self {
        Self { epoch, sequence }
    }

    /// The event's number in its channel; the first is 1.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Appends it as [`Display`](fmt::Display) writes it.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.epoch.0);
        out.push(b'-');
        out.extend_from_slice(itoa::Buffer::new().format(self.sequence).as_bytes());
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.sequence)
    }
}

/// Tells one channel's ids from another's, and one run's from the run before: 50 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Epoch([u8; 10]);

impl Epoch {
    /// An epoch that no channel had before, but for a negligible chance.
    pub(crate) fn random() -> Self {
        let mut bits = RandomState::new().build_hasher().finish();
        Self(std::array::from_fn(|_| {
            let digit = (bits % 32) as u8;
            bits /= 32;
            if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }
        }))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&digit| fmt::Write::write_char(f, digit.into()))
    }
}

/// The positions that a last event ID names, one for each channel that the stream reads:
/// `epoch-sequence,epoch-sequence`.
///
/// `None` stands for a part that is no position.
pub(crate) fn positions(id: &str) -> impl Iterator<Item = Option<(&str, u64)>> {
    id.split(',').map(|part| {
        let (epoch, sequence) = part.rsplit_once('-')?;
        let is_number = sequence.bytes().all(|byte| byte.is_ascii_digit());
        Some((epoch, sequence.parse().ok().filter(|_| is_number)?))
    })
}

/// Whether an id has the form of those that the channel of this epoch gives its own events.
pub(crate) fn is_id_of(epoch: Epoch, id: &str) -> bool {
    positions(id).flatten().any(|(of, _)| epoch == *of)
}

impl PartialEq<str> for Epoch {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}
