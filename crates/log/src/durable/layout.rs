//! The layout of the store: its keyspaces, the numbers of its rules, and the keys of its rows.
//!
//! ```text
//! records   rule u16 · position u64       a group of records; the position is that of its last (codec.rs)
//! ids       hash of the id · position     rule u16; only for records with an id (id_index.rs)
//! topics    rule u16 · hash of the topic  positions of the newest records, for rules with `last_per_topic`
//! meta      "epoch"                       16 bytes
//!           "reserved"                    the position up to which positions may have been used
//!           "rule" · rule u16             the name of the rule; rule 0 is the rest
//!           "order"                       the position of the last change of the rules, and their numbers
//!                                         u16 in the order of their precedence
//!           "held" · rule u16             of the rule: records, bytes, low watermark; of the log at that
//!                                         write: last position, common horizon, position up to which all
//!                                         ids are in tables; of the rule: horizon
//!           "keys" · position u64         idempotency keys of the write with this first position (codec.rs)
//! ```
//! Numbers are big-endian, so that the order of keys is that of their numbers. The key of a group begins with
//! the rule, so that the records which retention drops are neighbors. The position of the last record of the
//! group follows, so that one seek finds the records after a position.

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
