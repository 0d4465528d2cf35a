//! Keys of rows in the store (see store.rs).

use crate::Position;

/// The number of a rule in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RuleId(pub(super) u16);

impl RuleId {
    /// The rule of the records that no other rule matches.
    pub(super) const REST: Self = Self(0);

    /// The number of rules that a store can name, with the rest.
    pub(super) const COUNT: u16 = 1024;
}

/// The key of a group of records, by the position of its last record.
pub(super) fn record_key(rule: RuleId, position: Position) -> [u8; 10] {
    let mut key = [0; 10];
    key[..2].copy_from_slice(&rule.0.to_be_bytes());
    key[2..].copy_from_slice(&position.0.to_be_bytes());
    key
}

/// The key of the row of idempotency keys of a write.
pub(super) fn keys_key(write: Position) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(KEYS);
    key[4..].copy_from_slice(&write.0.to_be_bytes());
    key
}

/// The prefix of the rows of idempotency keys.
pub(super) const KEYS: &[u8; 4] = b"keys";
