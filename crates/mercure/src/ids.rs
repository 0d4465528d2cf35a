//! Ids of updates: positions in the log, encrypted.

use std::fmt;

use aes::cipher::{BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit as _};
use aes::{Aes128, Block};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ssekit_log::{Epoch, Position};

/// The ids that the hub gives to updates: encrypted positions in the log.
///
/// An id reveals neither the number of updates nor the time of one, and the hub finds its update without an
/// index. The hub takes an id of another log, or a made-up id, for its own with a probability of 2⁻⁶⁴.
///
/// ```
/// use ssekit_mercure::Ids;
/// use ssekit_log::{Epoch, Position};
///
/// let ids = Ids::new(Epoch([7; 16]));
/// let id = ids.id(Position(42));
/// assert_eq!(id.len(), "urn:ssekit:".len() + 22);
/// assert_eq!(ids.position(&id), Some(Position(42)));
/// assert_eq!(Ids::new(Epoch([8; 16])).position(&id), None);
/// ```
#[derive(Clone)]
pub struct Ids(Aes128);

impl Ids {
    /// The ids of the log with this epoch.
    pub fn new(epoch: Epoch) -> Self {
        Self(Aes128::new(&epoch.0.into()))
    }

    /// Returns the id of the update at a position.
    pub fn id(&self, position: Position) -> String {
        let mut id = String::with_capacity(PREFIX.len() + ENCODED);
        id.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(self.block(position), &mut id);
        id
    }

    /// Appends the line `id: …` of an event.
    pub fn line(&self, position: Position, out: &mut Vec<u8>) {
        let mut encoded = [0; ENCODED];
        // The buffer has exactly the length that 16 bytes need.
        let length = URL_SAFE_NO_PAD.encode_slice(self.block(position), &mut encoded).unwrap_or_default();
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(PREFIX.as_bytes());
        out.extend_from_slice(&encoded[..length]);
        out.push(b'\n');
    }

    /// Returns the position of the update with this id, if the id belongs to this log.
    pub fn position(&self, id: &str) -> Option<Position> {
        let encoded = id.strip_prefix(PREFIX).filter(|encoded| encoded.len() == ENCODED)?;
        let mut bytes = [0; 18];
        let length = URL_SAFE_NO_PAD.decode_slice(encoded, &mut bytes).ok()?;
        let mut block = Block::try_from(&bytes[..length]).ok()?;
        self.0.decrypt_block(&mut block);
        let number = u128::from_be_bytes(block.into());
        u64::try_from(number).ok().map(Position)
    }

    /// Whether an id has the form of the hub's ids, of this log or another.
    ///
    /// Publishers may not choose such an id: subscribers with it would continue after another update.
    pub fn have_the_form_of(id: &str) -> bool {
        id.starts_with(PREFIX)
    }

    fn block(&self, position: Position) -> Block {
        let mut block = Block::from(u128::from(position.0).to_be_bytes());
        self.0.encrypt_block(&mut block);
        block
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ids(..)")
    }
}

const PREFIX: &str = "urn:ssekit:";
/// Length of 16 bytes in base64 without padding.
const ENCODED: usize = 22;
