//! A publication is refused, or each of its records is one event, whatever its fields contain.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ssekit_mercure::{Limits, publication, publications_ndjson};
use ssekit_wire::{Decoder, Item};

fuzz_target!(|body: &[u8]| {
    let limits = Limits::default();
    let mut records = publications_ndjson(None, body, "/.well-known/mercure", &limits).unwrap_or_default();
    records.extend(publication(None, body, "/.well-known/mercure", &limits));
    for record in records {
        let names = record.topics.iter().chain(&record.id);
        assert!(names.clone().all(|text| !text.is_empty() && !text.contains(char::is_control)), "{record:?}");
        assert!(!record.topics.is_empty() && record.topics.iter().all(|topic| **topic != *"*"), "{record:?}");
        let mut decoder = Decoder::new().with_comments();
        let mut items = decoder.feed(&record.body);
        assert!(
            matches!(items.next(), Some(Ok(Item::Message(message))) if message.last_event_id.is_empty()),
            "{record:?}"
        );
        assert!(items.next().is_none(), "{record:?}");
    }
});
