//! How a record lies in the store.
//!
//! ```text
//! flags u8 · time u64, ms since 1970 · topics u16 · (length u32 · topic)* · [length u32 · id] · body
//! ```
//! Numbers are little-endian.

use bytes::{Buf, Bytes};

use crate::clock::{from_millis, to_millis};
use crate::{Entry, Position, ReadError, Record};

pub(super) fn encode(entry: &Entry) -> Vec<u8> {
    let Record { topics, private, id, body } = &entry.record;
    let mut bytes = Vec::with_capacity(entry.record.size() + 15 + 4 * topics.len());
    bytes.push(if *private { PRIVATE } else { 0 } | if id.is_some() { ID } else { 0 });
    bytes.extend(to_millis(entry.time).to_le_bytes());
    bytes.extend(
        u16::try_from(topics.len()).expect("a record's topics are counted when it is appended").to_le_bytes(),
    );
    for text in topics.iter().chain(id) {
        bytes.extend(
            u32::try_from(text.len()).expect("a record's size is limited when it is appended").to_le_bytes(),
        );
        bytes.extend(text.as_bytes());
    }
    bytes.extend(body);
    bytes
}

pub(super) fn decode(position: Position, bytes: Bytes) -> Result<Entry, ReadError> {
    fields(position, bytes)
        .ok_or_else(|| ReadError::Damaged(format!("the record at {position} is not what was written")))
}

fn fields(position: Position, mut bytes: Bytes) -> Option<Entry> {
    let flags = bytes.try_get_u8().ok()?;
    let time = from_millis(bytes.try_get_u64_le().ok()?);
    let count = bytes.try_get_u16_le().ok()?;
    if count == 0 || flags & !(PRIVATE | ID) != 0 {
        return None;
    }
    let topics = (0..count).map(|_| text(&mut bytes)).collect::<Option<_>>()?;
    let id = if flags & ID != 0 { Some(text(&mut bytes)?) } else { None };
    Some(Entry { position, time, record: Record { topics, private: flags & PRIVATE != 0, id, body: bytes } })
}

fn text(bytes: &mut Bytes) -> Option<Box<str>> {
    let length = usize::try_from(bytes.try_get_u32_le().ok()?).ok()?;
    if length > bytes.len() {
        return None;
    }
    let text = std::str::from_utf8(&bytes[..length]).ok()?.into();
    bytes.advance(length);
    Some(text)
}

const PRIVATE: u8 = 1;
const ID: u8 = 2;

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            topics in prop::collection::vec(".{0,20}", 1..5),
            private: bool,
            id in prop::option::of(".{0,20}"),
            body: Vec<u8>,
            millis in 0..u64::from(u32::MAX) * 1000,
        ) {
            let topics = topics.into_iter().map(String::into_boxed_str).collect();
            let record = Record { topics, private, id: id.map(String::into_boxed_str), body: body.into() };
            let entry = Entry { position: Position(7), time: SystemTime::UNIX_EPOCH + Duration::from_millis(millis), record };
            prop_assert_eq!(decode(Position(7), encode(&entry).into()).unwrap(), entry);
        }

        #[test]
        fn any_bytes_are_a_record_or_damage(bytes: Vec<u8>) {
            if let Ok(entry) = decode(Position(7), Bytes::from(bytes.clone())) {
                prop_assert_eq!(encode(&entry), bytes);
            }
        }
    }
}
