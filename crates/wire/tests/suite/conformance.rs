//! Every entry of `tests/conformance`, wherever its bytes are cut.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use serde::Deserialize;
use ssekit_wire::{DEFAULT_MAX_EVENT_BYTES, Event, Field, FieldError, encode_comment};

use crate::reference::{Given, Outcome, Reading, feed, outcome};

#[test]
fn decoding_gives_the_events_of_the_fixtures() {
    for entry in decode_entries() {
        for comments in [true, false] {
            for cut in [Cut::AsGiven, Cut::Whole, Cut::Every(1), Cut::Every(2), Cut::Every(7)] {
                let given = entry.read(comments, cut);
                let wanted = entry.gives.outcome(comments);
                assert_eq!(
                    given, wanted,
                    "case {}; cut: {cut:?}; comments asked for: {comments}",
                    entry.name
                );
            }
        }
    }
}

#[test]
fn encoding_gives_the_text_of_the_fixtures() {
    for entry in encode_entries() {
        let name = &entry.name;
        // Bytes that are in the buffer already stay.
        let mut out = b"before".to_vec();
        match (&entry.event, &entry.comment) {
            (Some(event), None) => event.build().expect(name).encode(&mut out),
            (None, Some(comment)) => encode_comment(comment, &mut out),
            _ => panic!("case {name}: wants an event or a comment"),
        }
        let written = out.strip_prefix(b"before").expect(name);
        assert_eq!(written, entry.bytes.bytes(), "case {name}: {:?}", String::from_utf8_lossy(written));

        let reading = Reading { comments: true, max_event_bytes: DEFAULT_MAX_EVENT_BYTES };
        let mut decoder = reading.decoder();
        let mut items = Vec::new();
        feed(&mut decoder, written, &mut items);
        assert_eq!(outcome(&decoder, items), entry.gives.outcome(true), "case {name}, read back");
    }
}

#[test]
fn case_098_a_name_that_would_break_a_line_is_refused_and_nothing_is_written() {
    for entry in refused_entries() {
        let error = entry.event.build().expect_err(&entry.name);
        assert_eq!(error.field(), entry.refused.field(), "case {}", entry.name);
        assert_eq!(error.position(), entry.position, "case {}", entry.name);
    }
}

/// A fixture that was lost would be missed by nobody else.
#[test]
fn every_case_of_the_format_has_its_entry() {
    let mut names: Vec<String> = decode_entries().into_iter().map(|entry| entry.name).collect();
    names.extend(encode_entries().into_iter().map(|entry| entry.name));
    names.extend(refused_entries().into_iter().map(|entry| entry.name));
    let distinct: HashSet<&String> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "two entries have the same name");

    let present: BTreeSet<u32> =
        names.iter().map(|name| name[..3].parse().expect("a name begins with three digits")).collect();
    // 60 needs megabytes (`limits.rs`); 62 and 101 hold for every text (`properties.rs`).
    let wanted = (1..=62).chain(97..=101).filter(|case| ![60, 62, 101].contains(case));
    let missing: Vec<u32> = wanted.filter(|case| !present.contains(case)).collect();
    assert!(missing.is_empty(), "no entry for {missing:?}");
}

fn decode_entries() -> Vec<DecodeEntry> {
    serde_json::from_str(include_str!("../conformance/decode.json"))
        .expect("decode.json is as its README says")
}

fn encode_entries() -> Vec<EncodeEntry> {
    serde_json::from_str(include_str!("../conformance/encode.json"))
        .expect("encode.json is as its README says")
}

fn refused_entries() -> Vec<RefusedEntry> {
    serde_json::from_str(include_str!("../conformance/refuse.json"))
        .expect("refuse.json is as its README says")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DecodeEntry {
    name: String,
    chunks: Vec<Chunk>,
    limit: Option<usize>,
    start_id: Option<String>,
    gives: Gives,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EncodeEntry {
    name: String,
    event: Option<EventEntry>,
    comment: Option<String>,
    bytes: Text,
    gives: Gives,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefusedEntry {
    name: String,
    event: EventEntry,
    refused: FieldEntry,
    position: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Gives {
    items: Vec<ItemEntry>,
    #[serde(default)]
    last_event_id: String,
    retry: Option<Millis>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ItemEntry {
    Message(Text, Text, Text),
    Comment { comment: Text },
    Error { error: ErrorEntry },
}

#[derive(Deserialize)]
enum ErrorEntry {
    #[serde(rename = "event too large")]
    EventTooLarge,
    #[serde(rename = "comment too large")]
    CommentTooLarge,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Chunk {
    Reconnect { reconnect: bool },
    Bytes(Text),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    Repeat { repeat: String, times: usize },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Millis {
    Number(u64),
    Digits(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventEntry {
    data: Option<String>,
    event: Option<String>,
    id: Option<String>,
    retry: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum FieldEntry {
    Event,
    Id,
}

#[derive(Clone, Copy, Debug)]
enum Cut {
    AsGiven,
    Whole,
    Every(usize),
}

impl DecodeEntry {
    fn read(&self, comments: bool, cut: Cut) -> Outcome {
        let reading = Reading { comments, max_event_bytes: self.limit.unwrap_or(DEFAULT_MAX_EVENT_BYTES) };
        let mut decoder = reading.decoder();
        if let Some(id) = &self.start_id {
            decoder = decoder.with_last_event_id(id).expect(&self.name);
        }
        let mut items = Vec::new();
        for (at, pieces) in self.connections().iter().enumerate() {
            if at > 0 {
                decoder.reconnect();
            }
            let whole = pieces.concat();
            match cut {
                Cut::AsGiven => pieces.iter().for_each(|piece| feed(&mut decoder, piece, &mut items)),
                Cut::Whole => feed(&mut decoder, &whole, &mut items),
                Cut::Every(size) => {
                    whole.chunks(size).for_each(|piece| feed(&mut decoder, piece, &mut items))
                }
            }
        }
        outcome(&decoder, items)
    }

    fn connections(&self) -> Vec<Vec<Vec<u8>>> {
        let mut connections = vec![Vec::new()];
        for chunk in &self.chunks {
            match chunk {
                Chunk::Bytes(text) => connections.last_mut().expect("one at least").push(text.bytes()),
                Chunk::Reconnect { reconnect } => {
                    assert!(reconnect, "case {}", self.name);
                    connections.push(Vec::new());
                }
            }
        }
        connections
    }
}

impl Gives {
    fn outcome(&self, comments: bool) -> Outcome {
        let items = self.items.iter().map(ItemEntry::given);
        Outcome {
            items: items
                .filter(|item| comments || !matches!(item, Given::Comment(_) | Given::CommentTooLarge))
                .collect(),
            last_event_id: self.last_event_id.clone(),
            retry_millis: self.retry.as_ref().map(Millis::millis),
        }
    }
}

impl ItemEntry {
    fn given(&self) -> Given {
        match self {
            Self::Message(event, data, last_event_id) => {
                Given::Message { event: event.text(), data: data.text(), last_event_id: last_event_id.text() }
            }
            Self::Comment { comment } => Given::Comment(comment.text()),
            Self::Error { error: ErrorEntry::EventTooLarge } => Given::EventTooLarge,
            Self::Error { error: ErrorEntry::CommentTooLarge } => Given::CommentTooLarge,
        }
    }
}

impl EventEntry {
    fn build(&self) -> Result<Event<'_>, FieldError> {
        let mut event = match &self.data {
            Some(data) => Event::new(data),
            None => Event::empty(),
        };
        if let Some(name) = &self.event {
            event = event.with_event(name)?;
        }
        if let Some(id) = &self.id {
            event = event.with_id(id)?;
        }
        if let Some(millis) = self.retry {
            event = event.with_retry(Duration::from_millis(millis));
        }
        Ok(event)
    }
}

impl Text {
    fn text(&self) -> String {
        match self {
            Self::Plain(text) => text.clone(),
            Self::Repeat { repeat, times } => repeat.repeat(*times),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let byte = |character| u8::try_from(character).expect("bytes are written as U+0000 to U+00FF");
        self.text().chars().map(byte).collect()
    }
}

impl Millis {
    fn millis(&self) -> u128 {
        match self {
            Self::Number(millis) => u128::from(*millis),
            Self::Digits(digits) => digits.parse().expect("digits"),
        }
    }
}

impl FieldEntry {
    fn field(&self) -> Field {
        match self {
            Self::Event => Field::Event,
            Self::Id => Field::Id,
        }
    }
}
