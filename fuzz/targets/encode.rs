//! Every event that can be built is decoded to the same fields, and only events that the format cannot carry
//! are refused.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use ssekit_wire::{DEFAULT_MAX_EVENT_BYTES, Event, encode_comment};

#[allow(dead_code, reason = "shared with the tests")]
#[path = "../../crates/wire/tests/suite/reference.rs"]
mod reference;

use reference::{Given, Outcome, Reading, decoded, standard};

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Event { event: Option<&'a str>, id: Option<&'a str>, retry: Option<u64>, data: Option<&'a str> },
    Comment(&'a str),
}

fuzz_target!(|inputs: Vec<Input<'_>>| {
    let mut stream = Vec::new();
    let mut expected = Outcome::default();
    for input in inputs {
        write(input, &mut stream, &mut expected);
    }
    let reading = Reading { comments: true, max_event_bytes: DEFAULT_MAX_EVENT_BYTES };
    assert_eq!(standard(&stream, reading), expected, "as the standard reads it");
    assert_eq!(decoded(reading.decoder(), [stream.as_slice()]), expected, "as the decoder reads it");
});

fn write(input: Input<'_>, stream: &mut Vec<u8>, expected: &mut Outcome) {
    let before = stream.len();
    match input {
        Input::Comment(comment) => {
            encode_comment(comment, stream);
            let comment = normalised(comment);
            expected.items.extend(comment.split('\n').map(|line| Given::Comment(line.to_owned())));
        }
        Input::Event { event: name, id, retry, data } => {
            let mut event = data.map_or_else(Event::empty, Event::new);
            if let Some(name) = name {
                let named = event.with_event(name);
                assert_eq!(named.as_ref().err().map(|error| error.position()), name.find(['\r', '\n']));
                let Ok(named) = named else { return };
                event = named;
            }
            if let Some(id) = id {
                let identified = event.with_id(id);
                assert_eq!(identified.as_ref().err().map(|error| error.position()), not_in_header(id));
                let Ok(identified) = identified else { return };
                event = identified;
            }
            if let Some(millis) = retry {
                event = event.with_retry(Duration::from_millis(millis));
                expected.retry_millis = Some(u128::from(millis));
            }
            event.encode(stream);
            if let Some(id) = id {
                id.clone_into(&mut expected.last_event_id);
            }
            if let Some(data) = data {
                expected.items.push(Given::Message {
                    event: name.filter(|name| !name.is_empty()).unwrap_or("message").to_owned(),
                    data: normalised(data),
                    last_event_id: expected.last_event_id.clone(),
                });
            }
        }
    }
    let written = &stream[before..];
    assert!(written.is_empty() || written.ends_with(b"\n"), "{written:?}");
    assert!(!written.contains(&b'\r'), "{written:?}");
}

/// The first offset at which an id is no header value: a control character, or a blank at an end.
fn not_in_header(id: &str) -> Option<usize> {
    let ends = [0, id.len().saturating_sub(1)];
    let is_wrong = |&(at, character): &(usize, char)| match character {
        ' ' | '\t' => ends.contains(&at),
        other => other < ' ' || other == '\u{7f}',
    };
    id.char_indices().find(is_wrong).map(|(at, _)| at)
}

fn normalised(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}
