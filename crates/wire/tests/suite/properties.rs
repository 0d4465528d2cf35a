//! Properties of every stream and every text.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use ssekit_wire::{DEFAULT_MAX_EVENT_BYTES, Decoder, Event, encode_comment};

use crate::reference::{Given, Outcome, Reading, decoded, standard};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn case_062_any_chunking_gives_the_events_of_the_standard(
        stream in stream(),
        cuts in vec(any::<Index>(), 0..12),
        size in 1_usize..20,
        comments: bool,
    ) {
        let reading = Reading { comments, max_event_bytes: DEFAULT_MAX_EVENT_BYTES };
        check_every_chunking(&stream, &cuts, size, reading)?;
    }

    /// The end of a stream loses an event exactly when the stream says that it is inside one, and has data of
    /// it; and it can be asked to give that event.
    #[test]
    fn the_end_of_a_stream_gives_the_same_event_as_a_blank_line(
        stream in stream(),
        cuts in vec(any::<Index>(), 0..4),
    ) {
        let feed = |decoder: &mut Decoder, pieces: &[&[u8]]| {
            let mut seen = Vec::new();
            for piece in pieces {
                let mut items = decoder.feed(piece);
                while let Some(item) = items.next() {
                    seen.push(format!("{item:?}"));
                }
            }
            seen
        };
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts.into_iter().chain([stream.len()]) {
            pieces.push(&stream[from..cut]);
            from = cut;
        }
        let (mut finished, mut continued) = (Decoder::new(), Decoder::new());
        feed(&mut finished, &pieces);
        feed(&mut continued, &[&stream]);
        let is_inside = finished.is_inside_event();
        prop_assert_eq!(is_inside, continued.is_inside_event(), "it does not depend on chunking");
        let wanted = feed(&mut continued, &[b"\n", b"\n"]);
        let mut given = Vec::new();
        let mut items = finished.finish();
        while let Some(item) = items.next() {
            given.push(format!("{item:?}"));
        }
        drop(items);
        prop_assert!(given.is_empty() || is_inside, "{given:?} is no loss");
        prop_assert_eq!(given, wanted);
        prop_assert_eq!(finished.last_event_id(), continued.last_event_id());
        prop_assert!(!finished.is_inside_event());
    }

    /// Small limits, so that events just below and just above them are both common.
    #[test]
    fn case_061_any_chunking_gives_the_same_errors(
        stream in stream(),
        cuts in vec(any::<Index>(), 0..12),
        size in 1_usize..20,
        comments: bool,
        max_event_bytes in prop_oneof![0_usize..80, Just(usize::MAX)],
    ) {
        check_every_chunking(&stream, &cuts, size, Reading { comments, max_event_bytes })?;
    }

    /// A size that stands exactly at the limit is where a count that is off by one shows.
    #[test]
    fn case_061_an_event_is_too_large_from_one_byte_more_than_the_limit(
        name in option::of("[a-z]{0,9}"),
        id in option::of("[a-z]{0,9}"),
        data in "[a-z\n]{0,40}",
    ) {
        let mut size = data.len();
        let mut event = Event::new(data.as_str());
        if let Some(name) = &name {
            size += name.len();
            event = event.with_event(name)?;
        }
        if let Some(id) = &id {
            size += id.len();
            event = event.with_id(id)?;
        }
        let mut stream = Vec::new();
        event.encode(&mut stream);
        for (max_event_bytes, too_large) in [(size, false), (size + 1, false), (size.wrapping_sub(1), size > 0)] {
            let reading = Reading { comments: false, max_event_bytes };
            for piece in [stream.len(), 1] {
                let given = decoded(reading.decoder(), stream.chunks(piece));
                prop_assert_eq!(given.items.contains(&Given::EventTooLarge), too_large);
                prop_assert_eq!(given.items.len(), 1);
            }
        }
    }

    #[test]
    fn case_101_an_encoded_event_decodes_to_itself(written in vec(written(), 0..8), size in 1_usize..100) {
        let mut stream = Vec::new();
        let mut wanted = Outcome::default();
        for written in &written {
            written.encode(&mut stream);
            written.add_to(&mut wanted);
        }
        let reading = Reading { comments: true, max_event_bytes: DEFAULT_MAX_EVENT_BYTES };
        for pieces in [stream.chunks(stream.len().max(1)), stream.chunks(size)] {
            prop_assert_eq!(decoded(reading.decoder(), pieces), wanted.clone());
        }
        prop_assert_eq!(standard(&stream, reading), wanted);
    }

    /// Counted on the bytes themselves, so that it does not depend on any decoder.
    #[test]
    fn case_101_no_text_adds_a_field_or_an_event(written in written()) {
        let mut stream = Vec::new();
        written.encode(&mut stream);
        let text = String::from_utf8(stream).expect("text is written as text");
        prop_assert!(!text.contains('\r'), "{text:?}");
        prop_assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
        let mut lines: Vec<&str> = text.split_terminator('\n').collect();
        match &written {
            Written::Comment(comment) => {
                prop_assert!(lines.iter().all(|line| line.starts_with(':')), "{text:?}");
                prop_assert_eq!(lines.len(), normalised(comment).split('\n').count());
            }
            Written::Event { event, id, retry, data } => {
                if !lines.is_empty() {
                    prop_assert_eq!(lines.pop(), Some(""), "a blank line ends the event");
                }
                let count = |prefix: &str| lines.iter().filter(|line| line.starts_with(prefix)).count();
                let data_lines = data.as_ref().map_or(0, |data| normalised(data).split('\n').count());
                prop_assert_eq!(count("event: "), usize::from(event.is_some()));
                prop_assert_eq!(count("id: "), usize::from(id.is_some()));
                prop_assert_eq!(count("retry: "), usize::from(retry.is_some()));
                prop_assert_eq!(count("data: "), data_lines);
                prop_assert_eq!(
                    lines.len(),
                    data_lines + usize::from(event.is_some()) + usize::from(id.is_some()) + usize::from(retry.is_some())
                );
            }
        }
    }

    #[test]
    fn case_098_names_and_ids_are_refused_exactly_when_a_line_or_a_header_cannot_hold_them(text in text()) {
        let line_end = text.find(['\r', '\n']);
        let name = Event::new("x").with_event(text.as_str());
        prop_assert_eq!(name.as_ref().err().map(|error| error.position()), line_end);
        if let Ok(event) = name {
            prop_assert_eq!(event.event(), Some(text.as_str()));
        }
        let id = Event::new("x").with_id(text.as_str());
        let control = text.find(|character: char| character.is_ascii_control() && character != '\t');
        let blank = text.starts_with([' ', '\t']).then_some(0);
        let at_end = text.ends_with([' ', '\t']).then(|| text.len() - 1);
        prop_assert_eq!(id.as_ref().err().map(|error| error.position()), blank.or(control).or(at_end));
        if let Ok(event) = id {
            prop_assert_eq!(event.id(), Some(text.as_str()));
        }
    }

    #[test]
    fn an_event_that_owns_its_text_is_the_same_event(written in written()) {
        let Written::Event { .. } = &written else { return Ok(()) };
        let event = written.event();
        let owned = event.clone().into_owned();
        prop_assert_eq!(&owned, &event);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        event.encode(&mut first);
        owned.encode(&mut second);
        prop_assert_eq!(first, second);
    }
}

fn check_every_chunking(
    stream: &[u8],
    cuts: &[Index],
    size: usize,
    reading: Reading,
) -> Result<(), TestCaseError> {
    let wanted = standard(stream, reading);
    prop_assert_eq!(decoded(reading.decoder(), [stream]), wanted.clone(), "whole");
    prop_assert_eq!(decoded(reading.decoder(), stream.chunks(1)), wanted.clone(), "byte by byte");
    prop_assert_eq!(decoded(reading.decoder(), stream.chunks(size)), wanted.clone(), "in pieces of {}", size);
    prop_assert_eq!(decoded(reading.decoder(), cut(stream, cuts)), wanted, "cut anywhere");
    Ok(())
}

/// The stream cut at these places; two cuts at one place make an empty piece.
fn cut<'a>(stream: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

/// Something that is sent.
#[derive(Clone, Debug)]
enum Written {
    Event { event: Option<String>, id: Option<String>, retry: Option<u64>, data: Option<String> },
    Comment(String),
}

impl Written {
    fn event(&self) -> Event<'_> {
        let Self::Event { event, id, retry, data } = self else { panic!("a comment") };
        let mut built = data.as_ref().map_or_else(Event::empty, Event::new);
        if let Some(event) = event {
            built = built.with_event(event).expect("names are generated without line ends");
        }
        if let Some(id) = id {
            built = built.with_id(id).expect("ids are generated as a header holds them");
        }
        if let Some(millis) = retry {
            built = built.with_retry(Duration::from_millis(*millis));
        }
        built
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Comment(comment) => encode_comment(comment, out),
            Self::Event { .. } => self.event().encode(out),
        }
    }

    /// Adds the result of decoding it.
    fn add_to(&self, outcome: &mut Outcome) {
        match self {
            Self::Comment(comment) => {
                let comment = normalised(comment);
                outcome.items.extend(comment.split('\n').map(|line| Given::Comment(line.to_owned())));
            }
            Self::Event { event, id, retry, data } => {
                if let Some(id) = id {
                    id.clone_into(&mut outcome.last_event_id);
                }
                if let Some(millis) = retry {
                    outcome.retry_millis = Some(u128::from(*millis));
                }
                if let Some(data) = data {
                    outcome.items.push(Given::Message {
                        event: event
                            .clone()
                            .filter(|event| !event.is_empty())
                            .unwrap_or_else(|| "message".to_owned()),
                        data: normalised(data),
                        last_event_id: outcome.last_event_id.clone(),
                    });
                }
            }
        }
    }
}

fn normalised(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

fn written() -> impl Strategy<Value = Written> {
    let name = option::of(text().prop_map(|text| text.replace(['\r', '\n'], "")));
    let id = option::of(text().prop_map(|text| {
        let held = text.replace(|character: char| character.is_ascii_control() && character != '\t', "");
        held.trim_matches([' ', '\t']).to_owned()
    }));
    let retry = option::of(prop_oneof![0_u64..10_000, any::<u64>()]);
    let event = (name, id, retry, option::weighted(0.9, text()))
        .prop_map(|(event, id, retry, data)| Written::Event { event, id, retry, data });
    prop_oneof![4 => event, 1 => text().prop_map(Written::Comment)]
}

/// Text made of the characters and words of the format.
fn text() -> impl Strategy<Value = String> {
    let scrap = select(vec![
        "\r", "\n", "\r\n", "\n\n", ":", " ", "\0", "\u{FEFF}", "data", "data:", "data: x", "event: e",
        "id: 1", "retry: 5", "é", "豆", "😀", "\u{2028}", "\u{85}", "\t", "x",
    ])
    .prop_map(str::to_owned);
    let run = length().prop_map(|length| "y".repeat(length));
    vec(prop_oneof![8 => scrap, 2 => run, 1 => any::<String>()], 0..12).prop_map(|parts| parts.concat())
}

/// Bytes that are nearly an event stream.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let mark = prop_oneof![
        6 => Just(&b""[..]),
        2 => Just(&b"\xEF\xBB\xBF"[..]),
        1 => select(vec![&b"\xEF"[..], b"\xEF\xBB", b"\xEF\xBB\xBF\xEF\xBB\xBF", b"\xEF\xBF"]),
    ];
    (mark, vec(piece(), 0..24)).prop_map(|(mark, pieces)| [mark.to_vec(), pieces.concat()].concat())
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let line = (field_name(), colon(), value(), line_end());
    prop_oneof![
        12 => line.prop_map(|(name, colon, value, end)| [name, colon, value, end].concat()),
        4 => line_end(),
        // Text without a grammar.
        1 => vec(select(b"\r\n\r\n: \0datevnirx\xEF\xBB\xBF\xE2\x82\xFF".to_vec()), 0..20),
        1 => vec(any::<u8>(), 0..20),
    ]
}

fn field_name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => select(vec!["data", "event", "id", "retry", ""]).prop_map(Vec::from),
        1 => select(vec![
            "d", "da", "dat", "datas", "Data", "data ", " data", "da\0ta", "e", "even", "events", "i", "ids", "r",
            "retr", "retrys", "x", "unknown name", "\u{FEFF}data", "data\u{FEFF}",
        ])
        .prop_map(Vec::from),
        1 => length().prop_map(|length| vec![b'n'; length]),
    ]
}

fn colon() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![6 => Just(": "), 4 => Just(":"), 1 => Just(":  "), 1 => Just("::"), 1 => Just(" :"), 2 => Just("")]
        .prop_map(Vec::from)
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let scrap = select(vec![
        &b"x"[..],
        b"",
        b" ",
        b":",
        b"\0",
        b"7",
        b"02000",
        b"99999999999999999999",
        b"1x",
        b"+5",
        b"data: y",
        b"\xEF\xBB\xBF",
        b"\xEF\xBB",
        b"\xE2\x82",
        b"\xE2\x82\xAC",
        b"\xFF",
        b"\xC0\xAF",
        b"\xED\xA0\x80",
        b"\xF0\x9F\x98",
        b"\xF0\x9F\x98\x80",
        b"caf\xC3\xA9",
    ])
    .prop_map(<[u8]>::to_vec);
    let run = length().prop_map(|length| vec![b'v'; length]);
    vec(prop_oneof![3 => scrap, 2 => run], 0..4).prop_map(|parts| parts.concat())
}

fn line_end() -> impl Strategy<Value = Vec<u8>> {
    select(vec!["\n", "\n", "\n", "\n\n", "\n\n", "\r", "\r\r", "\r\n", "\r\n\r\n", "\n\r", "\r\n\n", ""])
        .prop_map(Vec::from)
}

/// Lengths around the sizes that code reads at once.
fn length() -> impl Strategy<Value = usize> {
    let around = select(vec![8_usize, 16, 32, 64, 128]);
    prop_oneof![6 => 0_usize..12, 4 => (around, 0_usize..5).prop_map(|(size, off)| size - 2 + off), 1 => 0_usize..300]
}
