//! Publications: forms, and batches of lines.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use ssekit_log::{Epoch, Position, Record};
use ssekit_mercure::{Ids, Limits, Problem, ProblemKind, publication, publications_ndjson};
use ssekit_wire::{Decoder, Item};

use crate::request::{HUB, encoded};

const FORM: Option<&str> = Some("application/x-www-form-urlencoded");

fn form(fields: &[(&str, &str)]) -> Result<Record, Problem> {
    let body: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    read(&body.join("&"))
}

fn read(body: &str) -> Result<Record, Problem> {
    publication(FORM, body.as_bytes(), HUB, &Limits::default())
}

fn body(record: &Record) -> &str {
    std::str::from_utf8(&record.body).unwrap()
}

/// Events as a subscriber receives them: type, data and id.
fn received(record: &Record) -> Vec<(String, String, String)> {
    let mut decoder = Decoder::new();
    let mut messages = Vec::new();
    let mut items = decoder.feed(&record.body);
    while let Some(item) = items.next() {
        if let Item::Message(message) = item.unwrap() {
            messages.push((
                message.event.to_owned(),
                message.data.to_owned(),
                message.last_event_id.to_owned(),
            ));
        }
    }
    messages
}

/// Checks that each of these is refused for this reason, in words that name it.
fn check_refused(fields: &[(&str, &str)], kind: ProblemKind, words: &str) {
    let problem = form(fields).expect_err(&format!("{fields:?}"));
    assert_eq!(problem.kind, kind, "{fields:?}: {problem}");
    assert!(problem.detail.contains(words), "{fields:?}: {problem}");
}

#[test]
fn line_23_every_field_arrives() {
    let record =
        form(&[("topic", "a"), ("data", "hi"), ("id", "urn:1"), ("type", "chat"), ("retry", "1500")])
            .unwrap();
    assert_eq!(record.id.as_deref(), Some("urn:1"));
    assert_eq!(body(&record), "retry: 1500\nevent: chat\ndata: hi\n\n");
    let mut decoder = Decoder::new();
    assert!(matches!(decoder.feed(&record.body).next(), Some(Ok(Item::Message(_)))));
    assert_eq!(decoder.reconnection_time(), Some(Duration::from_millis(1500)));
}

#[test]
fn line_36_a_publication_is_a_form_with_a_topic() {
    check_refused(&[("data", "x")], ProblemKind::MissingTopic, "“topic”");
    check_refused(&[("topic", ""), ("data", "x")], ProblemKind::InvalidTopic, "empty");
    for (content_type, taken) in [
        (FORM, true),
        (Some("Application/X-WWW-Form-Urlencoded; charset=UTF-8"), true),
        (Some("application/x-www-form-urlencoded; charset=\"utf8\""), true),
        (None, true),
        (Some("application/x-www-form-urlencoded; charset=iso-8859-1"), false),
        (Some("application/json"), false),
        (Some("multipart/form-data; boundary=x"), false),
        (Some(""), false),
    ] {
        let result = publication(content_type, b"topic=a", HUB, &Limits::default());
        assert_eq!(result.as_ref().is_ok(), taken, "{content_type:?}");
        if let Err(problem) = result {
            assert_eq!(problem.status(), 415);
        }
    }
    let problem = read("topic=a&data=%FF").unwrap_err();
    assert_eq!(problem.kind, ProblemKind::NotUtf8);
    assert!(problem.detail.contains("“data”"), "{problem}");
}

#[test]
fn line_37_the_first_topic_is_canonical_and_the_others_follow() {
    let record = form(&[("topic", "a"), ("data", "x"), ("topic", "b"), ("topic", "c")]).unwrap();
    assert_eq!(record.topics.iter().map(|topic| &**topic).collect::<Vec<_>>(), ["a", "b", "c"]);
}

/// Characters that topics, types, ids and selectors must not have.
pub(crate) const REFUSED: [char; 12] = [
    '\0',
    '\n',
    '\r',
    '\t',
    '\u{7F}',
    '\u{85}',
    '\u{AD}',
    '\u{200B}',
    '\u{202E}',
    '\u{2066}',
    '\u{FEFF}',
    '\u{E0041}',
];

#[test]
fn line_1_a_topic_holds_no_control_and_no_invisible_character() {
    for character in REFUSED {
        let topic = format!("ab{character}c");
        check_refused(
            &[("topic", &topic)],
            ProblemKind::InvalidTopic,
            &format!("U+{:04X} at byte 2", u32::from(character)),
        );
    }
    for topic in ["a b", "\u{e9}", "日本", "\u{1F980}", "%00", "{\"a\": 1}"] {
        assert_eq!(&*form(&[("topic", topic)]).unwrap().topics[0], topic);
    }
    let problem = read("topic=%C3%28").unwrap_err();
    assert_eq!(problem.kind, ProblemKind::NotUtf8);
}

#[test]
fn line_38_every_topic_is_checked() {
    check_refused(&[("topic", "a"), ("topic", "b\n")], ProblemKind::InvalidTopic, "b\\n");
    check_refused(
        &[("topic", "a"), ("topic", "/.well-known/mercure")],
        ProblemKind::ReservedTopic,
        "/.well-known/mercure",
    );
}

#[test]
fn line_39_publications_in_the_hubs_namespace_are_refused() {
    let reserved = [
        "/.well-known/mercure",
        "/.well-known/mercure/",
        "/.well-known/mercure/subscriptions/a/b",
        "/.well-known/mercure?x=1",
        "/.well-known/mercure#x",
        "https://example.com/.well-known/mercure/subscriptions",
        "http://other.example/.well-known/mercure",
        "ftp://x/.well-known/mercure",
        "foo://x/.well-known/mercure",
        "foo:/.well-known/mercure/a",
        "//host/.well-known/mercure",
        "mercure",
        "mercure/subscriptions",
        "./mercure",
        "?x",
        "#x",
        "https:mercure",
        "https:?x",
        "http:?x",
        "/.well-known/./mercure",
        "/.well-known/a/../mercure",
        "/a/%2e%2E/.well-known/mercure",
        "/.well-known/%6dercure",
        "/%2Ewell%2Dknown/mercure/x",
        "/.well-known\\mercure",
        "HTTPS://EXAMPLE.COM/.well-known/mercure",
        " /.well-known/mercure",
    ];
    for topic in reserved {
        check_refused(&[("topic", topic)], ProblemKind::ReservedTopic, "/.well-known/mercure");
    }
    let free = [
        "https://example.com/",
        "/.well-known/mercurex",
        "/.well-known/Mercure",
        "/.well-known",
        "/mercure",
        "/a/.well-known/mercure",
        "https://mercure/",
        "urn:mercure",
        "tag:.well-known/mercure",
        "https://example.com/?/.well-known/mercure",
        "https://exa mple/.well-known/mercure",
        "/.well-known/mercure%2Fsubscriptions",
        "a",
    ];
    for topic in free {
        assert!(form(&[("topic", topic)]).is_ok(), "{topic}");
    }
    // It depends on the hub's path.
    let other = |topic: &str| {
        publication(FORM, format!("topic={}", encoded(topic)).as_bytes(), "/hub", &Limits::default())
    };
    assert_eq!(other("https://example.com/hub/subscriptions").unwrap_err().kind, ProblemKind::ReservedTopic);
    assert!(other("/.well-known/mercure").is_ok());
    assert!(other("/hubs").is_ok());
}

#[test]
fn line_121_the_namespace_and_the_type_of_the_hub_are_reserved() {
    check_refused(
        &[("topic", "/.well-known/mercure/subscriptions/a/b")],
        ProblemKind::ReservedTopic,
        "choose another",
    );
    check_refused(&[("topic", "a"), ("type", "mercure")], ProblemKind::InvalidType, "choose another");
}

#[test]
fn line_40_the_star_is_no_topic() {
    check_refused(&[("topic", "*")], ProblemKind::InvalidTopic, "“*”");
    check_refused(&[("topic", "a"), ("topic", "*")], ProblemKind::InvalidTopic, "“*”");
    assert!(form(&[("topic", "a*")]).is_ok());
}

#[test]
fn line_41_data_is_a_line_for_each_of_its_lines() {
    let record = form(&[("topic", "a"), ("data", "1\n2\r3\r\n4\n\n5\r")]).unwrap();
    assert_eq!(body(&record), "data: 1\ndata: 2\ndata: 3\ndata: 4\ndata: \ndata: 5\ndata: \n\n");
    // An update without data is an event too.
    assert_eq!(body(&form(&[("topic", "a")]).unwrap()), "data: \n\n");
}

#[test]
fn line_43_a_field_private_makes_it_private_whatever_its_value() {
    for (body, private) in [
        ("topic=a&private=on", true),
        ("topic=a&private=", true),
        ("topic=a&private", true),
        ("topic=a&private=false", true),
        ("topic=a&private=0&private=", true),
        ("topic=a&private=%FF", true),
        ("topic=a", false),
        ("topic=a&data=private", false),
    ] {
        assert_eq!(read(body).unwrap().private, private, "{body}");
    }
}

#[test]
fn line_44_an_id_must_differ_from_the_hubs_own() {
    for id in ["#1", "#", "earliest"] {
        check_refused(&[("topic", "a"), ("id", id)], ProblemKind::InvalidId, id);
    }
    // A subscriber with the id of another update would continue after that one, and get events twice.
    let own = Ids::new(Epoch([7; 16])).id(Position(1));
    for id in [&*own, "urn:ssekit:", "urn:ssekit:anything"] {
        check_refused(
            &[("topic", "a"), ("id", id)],
            ProblemKind::InvalidId,
            "has the format of ids that the hub generates",
        );
    }
    // HTTP strips these spaces from `Last-Event-ID`: a returning subscriber would get everything again.
    for id in ["order 7 ", " a", " ", "a  "] {
        check_refused(&[("topic", "a"), ("id", id)], ProblemKind::InvalidId, "begins or ends with a space");
        let line = serde_json::json!({"topic": "a", "id": id}).to_string();
        let problem = publications_ndjson(None, line.as_bytes(), HUB, &Limits::default()).unwrap_err();
        assert_eq!(problem.kind, ProblemKind::InvalidId, "{problem}");
    }
    for character in REFUSED {
        check_refused(
            &[("topic", "a"), ("id", &format!("1{character}"))],
            ProblemKind::InvalidId,
            "at byte 1",
        );
    }
    for id in ["urn:uuid:1", "urn:ssekitten:1", "a b", "1#", "Earliest", "\u{e9}"] {
        assert_eq!(form(&[("topic", "a"), ("id", id)]).unwrap().id.as_deref(), Some(id));
    }
    // The hub then makes an id.
    assert_eq!(form(&[("topic", "a"), ("id", "")]).unwrap().id, None);
    assert_eq!(form(&[("topic", "a")]).unwrap().id, None);
}

#[test]
fn line_46_a_type_is_one_line_and_not_the_hubs() {
    // The hub uses these types to report losses to subscribers.
    for name in ["mercure", "reset", "gap"] {
        check_refused(&[("topic", "a"), ("type", name)], ProblemKind::InvalidType, name);
        let line = serde_json::json!({"topic": "a", "type": name}).to_string();
        let problem = publications_ndjson(None, line.as_bytes(), HUB, &Limits::default()).unwrap_err();
        assert_eq!(problem.kind, ProblemKind::InvalidType, "{problem}");
    }
    for name in ["message", "Reset", "gaps"] {
        assert!(form(&[("topic", "a"), ("type", name)]).is_ok(), "{name}");
    }
    for character in REFUSED {
        check_refused(
            &[("topic", "a"), ("type", &format!("1{character}"))],
            ProblemKind::InvalidType,
            "at byte 1",
        );
    }
    assert_eq!(
        body(&form(&[("topic", "a"), ("type", "Mercure é")]).unwrap()),
        "event: Mercure é\ndata: \n\n"
    );
    assert_eq!(body(&form(&[("topic", "a"), ("type", "")]).unwrap()), "data: \n\n");
}

#[test]
fn line_47_a_reconnection_time_is_digits() {
    for retry in ["1s", "-1", "+1", "1.5", " 1", "1e3", "\u{661}", "99999999999999999999"] {
        check_refused(&[("topic", "a"), ("retry", retry)], ProblemKind::InvalidRetry, "milliseconds");
    }
    for (retry, line) in [
        ("0", "retry: 0\n"),
        ("007", "retry: 7\n"),
        ("18446744073709551615", "retry: 18446744073709551615\n"),
        ("", ""),
    ] {
        let record = form(&[("topic", "a"), ("retry", retry)]).unwrap();
        assert_eq!(body(&record), format!("{line}data: \n\n"));
    }
}

#[test]
fn line_48_unknown_fields_are_refused_and_known_ones_not_repeated() {
    let plain = form(&[("topic", "a"), ("data", "x")]).unwrap();
    assert_eq!(read("&topic=a&&data=x&").unwrap(), plain);
    // An update with a misspelt `private` would be public.
    for (name, words) in [
        (
            "privat",
            "unknown field “privat”; the fields of a publication are topic, data, private, id, type, retry; did you mean “private”?",
        ),
        ("Private", "did you mean “private”?"),
        ("private[]", "did you mean “private”?"),
        ("target", "did you mean “private”?"),
        (
            "topic[]",
            "unknown field “topic[]”; the fields of a publication are topic, data, private, id, type, retry; did you mean “topic”?",
        ),
        ("topics", "did you mean “topic”?"),
        ("topic[0]", "did you mean “topic”?"),
        ("event", "did you mean “type”?"),
        ("retyr", "did you mean “retry”?"),
        ("what", "type, retry"),
        ("", "“”"),
        (" ", "“ ”"),
        ("{\"topic\": \"a\"}", "“{\\\"topic\\\": \\\"a\\\"}”"),
    ] {
        check_refused(&[("topic", "a"), (name, "on")], ProblemKind::UnknownField, words);
    }
    for (name, meant) in [("topic[]", true), ("what", false), ("i", false)] {
        let problem = form(&[(name, "a")]).unwrap_err();
        assert_eq!(
            (problem.kind, problem.detail.contains("did you mean")),
            (ProblemKind::UnknownField, meant),
            "{problem}"
        );
    }
    assert_eq!(read("topic=a&%FF=%FF").unwrap_err().kind, ProblemKind::UnknownField);
    for name in ["data", "id", "type", "retry"] {
        check_refused(&[("topic", "a"), (name, "1"), (name, "1")], ProblemKind::RepeatedField, name);
    }
}

#[test]
fn line_51_data_beyond_a_limit_is_413() {
    let limits = Limits::default();
    let long = |length: usize| "x".repeat(length);
    let at_limit = |name: &str, most: usize| {
        let read = |length| {
            form(&[("topic", "t"), (name, &long(length))])
                .map(drop)
                .map_err(|problem| problem.status().as_u16())
        };
        assert_eq!((read(most), read(most + 1)), (Ok(()), Err(413)), "{name}");
    };
    at_limit("topic", limits.topic);
    at_limit("id", limits.id);
    at_limit("type", limits.event_type);
    let topics =
        |count: usize| read(&"topic=a&".repeat(count)).map(drop).map_err(|problem| problem.status().as_u16());
    assert_eq!((topics(limits.topics), topics(limits.topics + 1)), (Ok(()), Err(413)));
    let body = |length: usize| {
        let problem = read(&format!("topic=a&data={}", long(length - "topic=a&data=".len())));
        problem.map(drop).map_err(|problem| problem.status().as_u16())
    };
    assert_eq!((body(limits.body), body(limits.body + 1)), (Ok(()), Err(413)));
}

#[test]
fn a_batch_is_accepted_as_a_whole_or_refused() {
    let batch = |lines: &str| {
        publications_ndjson(Some("application/x-ndjson"), lines.as_bytes(), HUB, &Limits::default())
    };
    let records = batch(concat!(
        "{\"topic\": \"a\", \"data\": \"x\\ny\", \"private\": true, \"id\": \"1\", \"type\": \"t\", \"retry\": 5}\r\n",
        "\n",
        "{\"topic\": [\"b\", \"c\"], \"data\": {\"n\": [1, null]}}\n",
        "{\"topic\": \"d\", \"data\": null}\n",
        "{\"topic\": \"e\"}",
    ))
    .unwrap();
    let first = form(&[
        ("topic", "a"),
        ("data", "x\ny"),
        ("private", ""),
        ("id", "1"),
        ("type", "t"),
        ("retry", "5"),
    ]);
    assert_eq!(records[0], first.unwrap());
    assert_eq!(records[1].topics.len(), 2);
    let bodies: Vec<&str> = records[1..].iter().map(body).collect();
    assert_eq!(bodies, ["data: {\"n\": [1, null]}\n\n", "data: \n\n", "data: \n\n"]);

    let good = "{\"topic\": \"a\"}\n";
    for (line, words) in [
        ("{\"topic\": \"*\"}", "line 2: "),
        ("{}", "line 2: the publication has no topic"),
        ("{\"topic\": []}", "line 2: the publication has no topic"),
        ("{\"topic\": 1}", "a topic or a list of topics"),
        ("{\"topic\": \"a\", \"dta\": 1}", "dta"),
        ("{\"topic\": \"a\", \"data\": 1, \"data\": 2}", "duplicate"),
        ("{\"topic\": \"a\", \"retry\": -1}", "line 2: "),
        ("{\"topic\": \"a\"} {}", "line 2: "),
        ("[]", "line 2: "),
        ("{", "line 2: "),
    ] {
        let problem = batch(&format!("{good}{line}\n{good}")).unwrap_err();
        assert_eq!(problem.status(), 400, "{line}");
        assert!(
            problem.detail.contains(words) && problem.detail.starts_with("line 2: "),
            "{line}: {problem}"
        );
    }
    assert_eq!(batch("\n\n").unwrap_err().kind, ProblemKind::InvalidBatch);
    assert_eq!(batch(&good.repeat(Limits::default().batch + 1)).unwrap_err().status(), 413);
    let wrong = publications_ndjson(FORM, good.as_bytes(), HUB, &Limits::default()).unwrap_err();
    assert_eq!(wrong.status(), 415);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whatever the fields contain, a subscriber receives one event, with the data and the type unchanged.
    #[test]
    fn line_120_no_value_adds_a_field_or_an_event(
        topic in "/[a-z é]{0,6}", data in "[\\PC\\r\\n\\x00:]{0,30}", name in "[a-z\\r\\n\\x00: é]{0,8}", id in "[a-z\\r\\n\\x00:é]{0,8}",
    ) {
        if let Ok(record) = form(&[("topic", &topic), ("data", &data), ("type", &name), ("id", &id)]) {
            let name = if name.is_empty() { "message".to_owned() } else { name };
            let data = data.replace("\r\n", "\n").replace('\r', "\n");
            prop_assert_eq!(received(&record), [(name, data, String::new())]);
            prop_assert!(!id.contains(['\r', '\n', '\0']));
        } else {
            prop_assert!(name.contains(char::is_control) || id.contains(char::is_control), "{topic:?}");
        }
    }

    /// Compares with the Unicode tables of proptest.
    #[test]
    fn line_1_the_refused_characters_are_unicodes(hidden in "[\\p{Cf}\\p{Cc}]", shown in "[\\P{C}\\p{Co}]") {
        prop_assert!(form(&[("topic", &format!("/a{hidden}"))]).is_err(), "{hidden:?}");
        prop_assert!(form(&[("topic", &format!("/a{shown}"))]).is_ok(), "{shown:?}");
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..200), form in "((topic|data|id|type|retry|private|)(=|&|%|[0-9A-F]{2}|\\+|a)){0,20}") {
        let limits = Limits::default();
        for body in [&bytes[..], form.as_bytes()] {
            if let Ok(record) = publication(None, body, HUB, &limits) {
                prop_assert!(!record.topics.is_empty());
                prop_assert_eq!(received(&record).len(), 1);
            }
            drop(publications_ndjson(None, body, HUB, &limits));
        }
    }
}
