//! Subscriptions: selectors and last event IDs.

use proptest::prelude::*;
use ssekit_mercure::{Cursor, Kind, Limits, Problem, ProblemKind, Subscribe};

use crate::publication::REFUSED;
use crate::request::{HUB, access, bearer, encoded, get, now, subscriber, token};

fn read(query: &str, headers: &[(&str, &str)]) -> Result<Subscribe, Problem> {
    Subscribe::read(&get(&format!("{HUB}?{query}"), headers), &access(), &Limits::default(), now())
}

fn texts(subscribe: &Subscribe) -> Vec<&str> {
    subscribe.selectors.iter().map(|selector| selector.text()).collect()
}

fn check_refused(query: &str, kind: ProblemKind, words: &str) {
    let problem = read(query, &[]).expect_err(query);
    assert_eq!((problem.kind, problem.status().as_u16()), (kind, 400), "{query}: {problem}");
    assert!(problem.detail.contains(words), "{query}: {problem}");
}

#[test]
fn line_8_the_query_is_a_form() {
    let subscribe =
        read("topic=a+b&topic=a%2Bb&topic=%26%3D%3B%25&topic=a=b;c&&x&%74opic=encoded&topic=100%", &[])
            .unwrap();
    assert_eq!(texts(&subscribe), ["a b", "a+b", "&=;%", "a=b;c", "encoded", "100%"]);
    // A name without a value has an empty one.
    check_refused("topic", ProblemKind::InvalidSelector, "empty");
    check_refused("topic=", ProblemKind::InvalidSelector, "empty");
    // Names are case-sensitive, so these are other parameters.
    check_refused("Topic=a&TOPIC=b", ProblemKind::MissingTopic, "?topic=");
}

#[test]
fn line_10_a_way_to_match_that_is_not_known_is_refused() {
    for name in ["match_urlpattern", "match_regex", "matchx", "Match", "MATCH_EXACT", "mAtCh", "match%5Fglob"]
    {
        check_refused(&format!("topic=a&{name}=b"), ProblemKind::UnsupportedMatcher, "“match_exact”");
    }
    let subscribe = read("match=https://a/{b}&match_exact=c&mat=d", &[]).unwrap();
    assert_eq!(texts(&subscribe), ["https://a/{b}", "c"]);
    assert!(subscribe.selectors.iter().all(|selector| selector.kind() == Kind::Exact));
}

#[test]
fn line_27_an_unsupported_type_refuses_the_whole_request() {
    check_refused(
        "topic=a&match_urlpattern=https://a/:b",
        ProblemKind::UnsupportedMatcher,
        "match_urlpattern",
    );
}

#[test]
fn line_11_a_selector_holds_no_control_and_no_invisible_character() {
    for character in REFUSED {
        let words = format!("U+{:04X} at byte 1", u32::from(character));
        check_refused(
            &format!("topic={}", encoded(&format!("a{character}"))),
            ProblemKind::InvalidSelector,
            &words,
        );
        check_refused(
            &format!("match={}", encoded(&format!("a{character}"))),
            ProblemKind::InvalidSelector,
            &words,
        );
    }
    check_refused("topic=%FF", ProblemKind::NotUtf8, "“topic”");
    check_refused("other=a", ProblemKind::MissingTopic, "URI template");
    check_refused("topic%5B%5D=a&topic[]=b", ProblemKind::MissingTopic, "has the parameter “topic[]”");
    check_refused("", ProblemKind::MissingTopic, "URI template");
}

#[test]
fn line_12_one_selector_that_matches_is_enough() {
    let subscribe = read(&format!("topic=a&topic={}", encoded("b/{x}")), &[]).unwrap();
    let wants = |topic: &str| subscribe.selectors.iter().any(|selector| selector.matches(topic));
    assert!(wants("a") && wants("b/1") && !wants("c"));
}

#[test]
fn line_13_there_are_not_too_many_selectors_and_none_too_long() {
    let limits = Limits::default();
    let many =
        |count: usize| (0..count).map(|number| format!("topic={number}")).collect::<Vec<_>>().join("&");
    assert_eq!(read(&many(limits.selectors), &[]).unwrap().selectors.len(), limits.selectors);
    check_refused(&many(limits.selectors + 1), ProblemKind::InvalidSelector, "100");
    // A repeated selector counts too: it costs as much to read.
    check_refused(&"topic=a&".repeat(limits.selectors + 1), ProblemKind::InvalidSelector, "100");
    let long = |length: usize| format!("topic={}", "a".repeat(length));
    assert!(read(&long(limits.selector), &[]).is_ok());
    check_refused(&long(limits.selector + 1), ProblemKind::InvalidSelector, "4096");
    check_refused(
        &format!("topic={}", encoded(&"{a}".repeat(33))),
        ProblemKind::InvalidSelector,
        "33 variables",
    );
}

#[test]
fn line_14_each_selector_is_one_subscription() {
    assert_eq!(texts(&read("topic=a&topic=b&topic=a", &[]).unwrap()), ["a", "b"]);
}

#[test]
fn line_88_the_header_takes_precedence_over_the_query() {
    let after = |id: &str| Some(Cursor::After(id.into()));
    for (query, header, cursor) in [
        ("", None, None),
        ("", Some("h"), after("h")),
        ("lastEventID=1&Last-Event-ID=2&last_event_id=3", Some("h"), after("h")),
        ("last_event_id=3&Last-Event-ID=2&lastEventID=1", None, after("1")),
        ("last_event_id=3&Last-Event-ID=2", None, after("2")),
        ("last_event_id=3", None, after("3")),
        ("lastEventID=1&lastEventID=2", None, after("1")),
        // As scripts in browsers and libraries write it: such clients used to lose events silently.
        ("lastEventId=5", None, after("5")),
        ("last-event-id=5", None, after("5")),
        ("LASTEVENTID=5", None, after("5")),
        ("lastEventId=5&last_event_id=3", None, after("3")),
        ("lastEvent=5&last_event=5&eventId=5", None, None),
        ("lastEventID=a%20b", None, after("a b")),
        ("", Some("\u{e9}"), after("\u{e9}")),
        // An empty id counts only if there is no other.
        ("lastEventID=1", Some(""), after("1")),
        ("lastEventID=&last_event_id=3", None, after("3")),
        ("lastEventID=", None, Some(Cursor::Now)),
        ("", Some(""), Some(Cursor::Now)),
    ] {
        let headers: Vec<_> = header.iter().map(|id| ("last-event-id", *id)).collect();
        assert_eq!(read(&format!("topic=a&{query}"), &headers).unwrap().cursor, cursor, "{query} {header:?}");
    }
    let limits = Limits::default();
    assert!(read(&format!("topic=a&lastEventID={}", "x".repeat(limits.id)), &[]).is_ok());
    check_refused(
        &format!("topic=a&lastEventID={}", "x".repeat(limits.id + 1)),
        ProblemKind::InvalidId,
        "1025 bytes",
    );
    check_refused("topic=a&lastEventID=1%0A2", ProblemKind::InvalidId, "U+000A");
    check_refused("topic=a&lastEventID=%FF", ProblemKind::NotUtf8, "lastEventID");
}

#[test]
fn line_91_earliest_is_the_start_of_the_history() {
    assert_eq!(read("topic=a&lastEventID=earliest", &[]).unwrap().cursor, Some(Cursor::Earliest));
    assert_eq!(read("topic=a", &[("last-event-id", "earliest")]).unwrap().cursor, Some(Cursor::Earliest));
    assert_eq!(
        read("topic=a&lastEventID=EARLIEST", &[]).unwrap().cursor,
        Some(Cursor::After("EARLIEST".into()))
    );
}

/// The subscription holds the end of its token, so that its stream can end with it.
#[test]
fn a_subscription_holds_its_token() {
    let header = bearer(&token(
        crate::request::OTHER_SECRET,
        &serde_json::json!({"mercure": {"subscribe": ["a"]}, "exp": 1_900_000_000}),
    ));
    let token = read("topic=b", &[("authorization", &header)]).unwrap().token.unwrap();
    assert_eq!(token.expires, Some(crate::request::at(1_900_000_000)));
    assert!(token.may_subscribe("a") && !token.may_subscribe("b"));
    let refused = read("topic=b", &[("authorization", "Bearer x")]).unwrap_err();
    assert_eq!(refused.status(), 401);
    assert!(read(&format!("topic=b&authorization={}", subscriber(&[])), &[]).unwrap().token.is_some());
}

proptest! {
    #[test]
    fn any_query_is_read_without_a_panic(query in "((topic|match|match_|lastEventID|authorization|)(=|&|%|[0-9A-F]{2}|\\+|[a{}*]|\\.)){0,30}", id in "[ -~]{0,20}") {
        if let Ok(subscribe) = read(&query, &[("last-event-id", &id)]) {
            prop_assert!(!subscribe.selectors.is_empty());
        }
    }
}
