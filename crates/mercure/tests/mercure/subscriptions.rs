//! Active subscriptions: events and the API.

use std::sync::Arc;

use http::HeaderMap;
use proptest::prelude::*;
use serde_json::{Value, json};
use ssekit_mercure::subscriptions::{
    Asked, Subscription, authorize, collection, etag, is_current, subscriber_id,
};
use ssekit_mercure::{ProblemKind, Selector, discovery, may_read};

use crate::request::{HUB, access, bearer, get, now, subscriber};

fn subscription(selector: &str, payload: Option<Value>) -> Subscription {
    let selector = Selector::parse(selector).unwrap();
    Subscription { selector, subscriber: "urn:uuid:1".into(), payload: payload.map(Arc::new) }
}

const PATH: &str = "/.well-known/mercure/subscriptions/https%3A%2F%2Fexample.com%2F%7Bid%7D/urn%3Auuid%3A1";

fn example() -> Subscription {
    subscription("https://example.com/{id}", Some(json!({"user": "ada"})))
}

fn data(record: &ssekit_log::Record) -> Value {
    let body = std::str::from_utf8(&record.body).unwrap();
    serde_json::from_str(body.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap()).unwrap()
}

#[test]
fn line_98_the_topic_of_an_event_is_a_path_whose_values_are_encoded_once() {
    assert_eq!(example().path(HUB), PATH);
    assert_eq!(&*example().event(HUB, true).topics, [Box::from(PATH)]);
    assert_eq!(subscription("*", None).path("/hub/"), "/hub/subscriptions/%2A/urn%3Auuid%3A1");
    assert_eq!(subscription("a%2Fb é~", None).path(HUB).split('/').nth(4), Some("a%252Fb%20%C3%A9~"));
}

#[test]
fn line_100_a_subscriber_has_a_random_id_of_its_own() {
    assert_eq!(subscriber_id(0), "urn:uuid:00000000-0000-4000-8000-000000000000");
    assert_eq!(subscriber_id(u128::MAX), "urn:uuid:ffffffff-ffff-4fff-bfff-ffffffffffff");
    assert_eq!(
        subscriber_id(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
        "urn:uuid:01234567-89ab-4def-8123-456789abcdef"
    );
}

#[test]
fn line_101_an_event_names_subscriber_and_selector() {
    let wanted = |active: bool| {
        json!({
            "@context": "https://mercure.rocks/", "id": PATH, "type": "Subscription", "topic": "https://example.com/{id}",
            "subscriber": "urn:uuid:1", "active": active, "payload": {"user": "ada"},
        })
    };
    assert_eq!(data(&example().event(HUB, true)), wanted(true));
    assert_eq!(data(&example().event(HUB, false)), wanted(false));
    assert!(data(&subscription("a", None).event(HUB, true)).get("payload").is_none());
}

#[test]
fn line_84_the_payload_of_the_token_is_in_events_and_api() {
    let event = data(&example().event(HUB, true));
    let one: Value = serde_json::from_str(&example().json(HUB, "urn:1")).unwrap();
    let all: Value = serde_json::from_str(&collection(PATH, HUB, "urn:1", [&example()], None)).unwrap();
    for payload in [&event["payload"], &one["payload"], &all["subscriptions"][0]["payload"]] {
        assert_eq!(payload["user"], "ada");
    }
}

#[test]
fn line_102_an_event_is_private() {
    let event = example().event(HUB, true);
    assert!(event.private && event.id.is_none());
    let token = |selector: &str| {
        let header = bearer(&subscriber(&[selector]));
        access().subscriber(&get(HUB, &[("authorization", &header)]), now()).unwrap().unwrap()
    };
    assert!(!may_read(None, &event.topics, event.private));
    for (selector, may) in [
        ("/.well-known/mercure/subscriptions{/topic}{/subscriber}", true),
        ("/.well-known/mercure/subscriptions/https%3A%2F%2Fexample.com%2F%7Bid%7D{/subscriber}", true),
        ("*", true),
        ("/.well-known/mercure/subscriptions{/topic}", false),
        // Read access to the topics does not grant access to the list of subscribers.
        ("https://example.com/{id}", false),
    ] {
        assert_eq!(may_read(Some(&token(selector)), &event.topics, event.private), may, "{selector}");
    }
}

#[test]
fn line_103_the_api_has_three_paths() {
    let asked = |path: &str| Asked::read(path, HUB).unwrap();
    let one = |topic: &str| Asked::One { topic: topic.to_owned(), subscriber: "urn:uuid:1".to_owned() };
    assert_eq!(asked("/.well-known/mercure/subscriptions"), Some(Asked::All));
    assert_eq!(asked("/.well-known/mercure/subscriptions/a%2Fb"), Some(Asked::Topic("a/b".to_owned())));
    assert_eq!(asked(PATH), Some(one("https://example.com/{id}")));
    for path in [
        "/.well-known/mercure",
        "/.well-known/mercure/",
        "/.well-known/mercure/subscription",
        "/.well-known/mercure/subscriptionsx",
        "/.well-known/mercure/subscriptions/",
        "/.well-known/mercure/subscriptions//a",
        "/.well-known/mercure/subscriptions/a/",
        "/.well-known/mercure/subscriptions/a/b/c",
        "/",
    ] {
        assert_eq!(asked(path), None, "{path}");
    }
    let problem = Asked::read("/.well-known/mercure/subscriptions/%FF", HUB).unwrap_err();
    assert_eq!((problem.kind, problem.status().as_u16()), (ProblemKind::NotUtf8, 400));
}

#[test]
fn line_104_the_api_needs_a_grant_of_its_path() {
    let check = |path: &str, selector: Option<&str>| {
        let headers: Vec<_> =
            selector.iter().map(|selector| ("authorization", bearer(&subscriber(&[*selector])))).collect();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
        let token = access().subscriber(&get(&format!("{path}?x=1"), &headers), now()).unwrap();
        authorize(path, token.as_deref()).map_err(|problem| problem.status().as_u16())
    };
    let all = "/.well-known/mercure/subscriptions";
    assert_eq!(check(all, None), Err(401));
    assert_eq!(check(all, Some("https://example.com/{id}")), Err(403));
    assert_eq!(check(all, Some(all)), Ok(()));
    assert_eq!(check(all, Some("/.well-known/mercure/subscriptions{/topic}{/subscriber}")), Ok(()));
    assert_eq!(check(PATH, Some("/.well-known/mercure/subscriptions{/topic}{/subscriber}")), Ok(()));
    assert_eq!(check(PATH, Some(all)), Err(403));
    assert_eq!(check(PATH, Some("*")), Ok(()));
}

#[test]
fn line_106_a_single_one_is_the_document_of_its_event() {
    let mut wanted = data(&example().event(HUB, true));
    wanted["lastEventID"] = json!("urn:5");
    let shown: Value = serde_json::from_str(&example().json(HUB, "urn:5")).unwrap();
    assert_eq!(shown, wanted);
    let one = Asked::read(PATH, HUB).unwrap().unwrap();
    assert!(one.includes(&example()));
    assert!(!one.includes(&Subscription { subscriber: "urn:uuid:2".into(), ..example() }));
    assert!(!one.includes(&subscription("https://example.com/1", None)));
}

#[test]
fn line_107_several_are_a_collection() {
    let (a, b) = (example(), subscription("b", None));
    let asked = Asked::read("/.well-known/mercure/subscriptions/b", HUB).unwrap().unwrap();
    let some: Vec<_> = [&a, &b].into_iter().filter(|one| asked.includes(one)).collect();
    assert_eq!(some.len(), 1);
    let shown: Value =
        serde_json::from_str(&collection("/.well-known/mercure/subscriptions", HUB, "urn:5", [&a, &b], None))
            .unwrap();
    let wanted = json!({
        "@context": "https://mercure.rocks/", "id": "/.well-known/mercure/subscriptions", "type": "Subscriptions", "lastEventID": "urn:5",
        "subscriptions": [
            {"id": PATH, "type": "Subscription", "topic": "https://example.com/{id}", "subscriber": "urn:uuid:1", "active": true, "payload": {"user": "ada"}},
            {"id": "/.well-known/mercure/subscriptions/b/urn%3Auuid%3A1", "type": "Subscription", "topic": "b", "subscriber": "urn:uuid:1", "active": true},
        ],
    });
    assert_eq!(shown, wanted);
    let none: Value = serde_json::from_str(&collection("/x", HUB, "earliest", [], None)).unwrap();
    assert_eq!(none["subscriptions"], json!([]));
}

#[test]
fn line_108_an_answer_names_the_id_to_continue_from() {
    let link = |id: &str| {
        let mut headers = HeaderMap::new();
        discovery::link_after(HUB, id, ssekit_mercure::subscriptions::CONTENT_TYPE, &mut headers);
        std::str::from_utf8(headers["link"].as_bytes()).unwrap().to_owned()
    };
    assert_eq!(
        link("urn:5"),
        "</.well-known/mercure>; rel=\"mercure\"; last-event-id=\"urn:5\"; content-type=\"application/ld+json\""
    );
    assert!(link("a\"; x=\"\\é").contains("last-event-id=\"a\\\"; x=\\\"\\\\é\";"));
}

#[test]
fn line_109_an_unchanged_answer_is_recognized_by_its_tag() {
    let tag = etag("urn:5");
    let with = |value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("if-none-match", value.parse().unwrap());
        is_current(&headers, &tag)
    };
    assert_eq!(tag, "\"urn:5\"");
    for (value, current) in [
        ("\"urn:5\"", true),
        ("W/\"urn:5\"", true),
        ("\"a\", \"urn:5\"", true),
        ("*", true),
        ("\"urn:6\"", false),
        ("urn:5", false),
        ("", false),
    ] {
        assert_eq!(with(value), current, "{value}");
    }
    assert!(!is_current(&HeaderMap::new(), &tag));
    assert_eq!(etag("a\"%é b"), "\"a%22%25%C3%A9%20b\"");
}

proptest! {
    #[test]
    fn the_path_of_a_subscription_is_parsed_into_a_filter_that_includes_it(topic in "\\PC{1,20}", id in "\\PC{1,20}") {
        if let Ok(selector) = Selector::parse(&topic) {
            let subscription = Subscription { selector, subscriber: id.into(), payload: None };
            let asked = Asked::read(&subscription.path(HUB), HUB).unwrap().unwrap();
            prop_assert!(asked.includes(&subscription));
        }
    }
}
