//! Encoding of records and idempotency keys in the store.
//!
//! A group holds records of one rule that were written at once. The decoders accept any bytes.
//!
//! ```text
//! group    (position u64 · length u32 · record)*
//! record   flags u8 · time u64 · topics u16 · (length u32 · topic)* · [length u32 · id] · body
//! keys     time u64 · (key [u8; 16] · publisher [u8; 8] · content [u8; 16] · position u64 · records u32)*
//! ```
//! Numbers are little-endian. Times are milliseconds since 1970. Keys, publishers and contents are hashes.
//! The position is that of the first record of the append.

use std::time::SystemTime;

use bytes::{Buf, Bytes};

use crate::clock::{from_millis, to_millis};
use crate::idempotency::KeyedAppend;
use crate::{Entry, IdempotencyKey, Position, ReadError, Record};

/// Adds a record to a group.
pub(super) fn encode(entry: &Entry, group: &mut Vec<u8>) {
    let Record { topics, private, id, body } = &entry.record;
    let strings: usize = topics.iter().chain(id).map(|text| 4 + text.len()).sum();
    group.extend(entry.position.0.to_le_bytes());
    group.extend(length(11 + strings + body.len()));
    group.push(if *private { PRIVATE } else { 0 } | if id.is_some() { ID } else { 0 });
    group.extend(to_millis(entry.time).to_le_bytes());
    group.extend(
        u16::try_from(topics.len()).expect("a record's topics are counted when it is appended").to_le_bytes(),
    );
    for text in topics.iter().chain(id) {
        group.extend(length(text.len()));
        group.extend(text.as_bytes());
    }
    group.extend(body);
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("a record's size is limited when it is appended").to_le_bytes()
}

/// Iterator over the records of a group, from a position on.
#[derive(Debug)]
pub(super) struct Group {
    bytes: Bytes,
    from: Position,
}

impl Group {
    pub(super) fn new(bytes: Bytes, from: Position) -> Self {
        Self { bytes, from }
    }

    /// Decodes the next record.
    ///
    /// Returns `Some(None)` for a record before `from`, and `None` if the bytes are damaged.
    fn decode(&mut self) -> Option<Option<Entry>> {
        let position = Position(self.bytes.try_get_u64_le().ok()?);
        let length = usize::try_from(self.bytes.try_get_u32_le().ok()?).ok()?;
        if length > self.bytes.len() {
            return None;
        }
        let record = self.bytes.split_to(length);
        if position < self.from {
            return Some(None);
        }
        decode_fields(position, record).map(Some)
    }
}

impl Iterator for Group {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.bytes.is_empty() {
            match self.decode() {
                Some(None) => {}
                Some(Some(entry)) => return Some(Ok(entry)),
                None => {
                    self.bytes.clear();
                    let from = self.from;
                    return Some(Err(ReadError::Damaged(format!("the records from {from} on are damaged"))));
                }
            }
        }
        None
    }
}

fn decode_fields(position: Position, mut bytes: Bytes) -> Option<Entry> {
    let flags = bytes.try_get_u8().ok()?;
    let time = from_millis(bytes.try_get_u64_le().ok()?);
    let count = bytes.try_get_u16_le().ok()?;
    if count == 0 || flags & !(PRIVATE | ID) != 0 {
        return None;
    }
    let topics = (0..count).map(|_| decode_text(&mut bytes)).collect::<Option<_>>()?;
    let id = if flags & ID != 0 { Some(decode_text(&mut bytes)?) } else { None };
    Some(Entry { position, time, record: Record { topics, private: flags & PRIVATE != 0, id, body: bytes } })
}

fn decode_text(bytes: &mut Bytes) -> Option<Box<str>> {
    let length = usize::try_from(bytes.try_get_u32_le().ok()?).ok()?;
    if length > bytes.len() {
        return None;
    }
    let text = std::str::from_utf8(&bytes[..length]).ok()?.into();
    bytes.advance(length);
    Some(text)
}

/// Encodes the idempotency keys of a write.
pub(super) fn encode_keys(appends: &[KeyedAppend], time: SystemTime) -> Vec<u8> {
    let mut group = Vec::with_capacity(8 + appends.len() * KEY_BYTES);
    group.extend(to_millis(time).to_le_bytes());
    for KeyedAppend { key, first, count } in appends {
        group.extend(key.hash);
        group.extend(key.publisher);
        group.extend(key.content);
        group.extend(first.0.to_le_bytes());
        group.extend(count.to_le_bytes());
    }
    group
}

/// Decodes the idempotency keys of a write; `None` if the bytes are damaged.
pub(super) fn decode_keys(mut bytes: &[u8]) -> Option<(SystemTime, Vec<KeyedAppend>)> {
    let time = from_millis(bytes.try_get_u64_le().ok()?);
    let mut appends = Vec::with_capacity(bytes.len() / KEY_BYTES);
    while !bytes.is_empty() {
        let (mut hash, mut publisher, mut content) = ([0; 16], [0; 8], [0; 16]);
        bytes.try_copy_to_slice(&mut hash).ok()?;
        bytes.try_copy_to_slice(&mut publisher).ok()?;
        bytes.try_copy_to_slice(&mut content).ok()?;
        let first = Position(bytes.try_get_u64_le().ok()?);
        let count = bytes.try_get_u32_le().ok()?;
        let in_bounds = count as usize <= Record::BATCH && first.0.checked_add(count.into()).is_some();
        in_bounds.then_some(())?;
        appends.push(KeyedAppend { key: IdempotencyKey { hash, publisher, content }, first, count });
    }
    Some((time, appends))
}

/// The bytes of one encoded key.
const KEY_BYTES: usize = 52;

const PRIVATE: u8 = 1;
const ID: u8 = 2;

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use super::*;

    fn entry() -> impl Strategy<Value = Entry> {
        let topics = prop::collection::vec(".{0,20}", 1..5);
        let id = prop::option::of(".{0,20}");
        let millis = 0..u64::from(u32::MAX) * 1000;
        (topics, any::<bool>(), id, any::<Vec<u8>>(), millis).prop_map(
            |(topics, private, id, body, millis)| {
                let topics = topics.into_iter().map(String::into_boxed_str).collect();
                let record =
                    Record { topics, private, id: id.map(String::into_boxed_str), body: body.into() };
                let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
                Entry { position: Position::START, time, record }
            },
        )
    }

    proptest! {
        #[test]
        fn decoding_returns_the_encoded_records_from_a_position_on(
            entries in prop::collection::vec((entry(), 1u64..4), 0..5),
            from in 0u64..16,
        ) {
            let mut group = Vec::new();
            let mut position = 0;
            let mut expected = Vec::new();
            for (entry, step) in entries {
                position += step;
                let entry = Entry { position: Position(position), ..entry };
                encode(&entry, &mut group);
                expected.push(entry);
            }
            expected.retain(|entry| entry.position.0 >= from);
            let read: Vec<_> = Group::new(group.into(), Position(from)).map(Result::unwrap).collect();
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn any_bytes_decode_to_records_or_damage(bytes: Vec<u8>, position: u64) {
            let framed = [&position.to_le_bytes()[..], &length(bytes.len()), &bytes].concat();
            for bytes in [bytes, framed] {
                let mut reencoded = Vec::new();
                let mut complete = true;
                for entry in Group::new(bytes.clone().into(), Position::START) {
                    match entry {
                        Ok(entry) => encode(&entry, &mut reencoded),
                        Err(_) => complete = false,
                    }
                }
                prop_assert!(bytes.starts_with(&reencoded));
                prop_assert_eq!(complete, reencoded.len() == bytes.len());
            }
        }
    }
}
