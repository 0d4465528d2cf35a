//! A selector is refused, or matches itself; a match with any topic terminates.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ssekit_mercure::{Kind, Selector};

fuzz_target!(|text: &str| {
    let (text, topic) = text.split_once("\n\n").unwrap_or((text, text));
    let Ok(selector) = Selector::parse(text) else { return };
    assert!(
        selector.matches(text) && text.starts_with(selector.literal_prefix()) || selector.kind() == Kind::Any
    );
    if selector.matches(topic) {
        assert!(topic.starts_with(selector.literal_prefix()), "{text} matches {topic}");
        assert!(selector.kind() != Kind::Exact || topic == text);
    }
});
