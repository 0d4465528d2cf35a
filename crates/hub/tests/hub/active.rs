//! Active subscriptions: the events that announce them, and the subscription API.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::{Value, json};
use ssekit_hub::hub::retention_rule;
use ssekit_log::{DurableLog, DurableOptions, Keep, Log, MemoryLog, Retention, Rule};

use crate::client::{Answer, Request};
use crate::setup::{HUB, Setup, TestHub, claims_with_payload, encoded, sign, token, within};
use crate::stream::{Stream, Way};

const API: &str = "/.well-known/mercure/subscriptions";
/// Selects the path of every subscription.
const EVERY: &str = "/.well-known/mercure/subscriptions/{topic}/{subscriber}";

async fn telling_hub() -> TestHub {
    TestHub::start(|setup| setup.subscriptions = true).await
}

fn watching() -> String {
    token(&[], &[EVERY, API, "/.well-known/mercure/subscriptions/{topic}"])
}

/// Subscribes to the events of all subscriptions, with a token that grants them.
async fn watch(way: Way, hub: &TestHub, after: Option<&str>) -> Stream {
    let mut request = Request::get(format!("{HUB}?topic={}", encoded(EVERY))).bearer(&watching());
    if let Some(after) = after {
        request = request.with("last-event-id", after);
    }
    way.open(hub, &request).await
}

/// Returns the next event that is not about a subscriber of such events.
async fn told(watcher: &mut Stream) -> Value {
    loop {
        let got = watcher.event().await;
        assert_eq!(got.name, "message", "clients of today expect no type");
        let document: Value = serde_json::from_str(&got.data).unwrap();
        if document["topic"] != EVERY {
            return document;
        }
    }
}

async fn list(way: Way, hub: &TestHub, path: &str) -> Answer {
    let answer = way.ask(hub, &Request::get(path).bearer(&watching())).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer
}

/// Waits until the API lists exactly these topics.
async fn until_listed(hub: &TestHub, topics: &[&str]) -> Value {
    within(&format!("{topics:?} in the list"), async {
        loop {
            let list = list(Way::KeptAlive, hub, API).await.json();
            let mut found: Vec<_> = list["subscriptions"].as_array().unwrap().iter().collect();
            found.sort_by_key(|one| one["topic"].as_str());
            if found.iter().map(|one| &one["topic"]).eq(topics) {
                return Value::Array(found.into_iter().cloned().collect());
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn line_97_begins_and_ends_are_announced_and_line_101_by_the_document_of_a_subscription() {
    Way::each(async |way| {
        let hub = telling_hub().await;
        let mut watcher = watch(way, &hub, None).await;
        let payload = json!({"name": "Ada", "n": [1, 2]});
        let owner = sign(&claims_with_payload(&["a"], payload.clone()));
        let topics = ["a", "https://example.com/ü?x=1&y/{id}"];
        let query: String = topics.iter().map(|topic| format!("topic={}&", encoded(topic))).collect();
        let stream = way.open(&hub, &Request::get(format!("{HUB}?{query}topic=a")).bearer(&owner)).await;
        let mut subscriber = None;
        for topic in topics {
            let document = told(&mut watcher).await;
            let id = document["subscriber"].as_str().unwrap().to_owned();
            assert!(id.starts_with("urn:uuid:"), "{id}");
            let path = format!("{API}/{}/{}", unreserved(topic), unreserved(&id));
            let wanted = json!({
                "@context": "https://mercure.rocks/", "id": path, "type": "Subscription",
                "topic": topic, "subscriber": id, "active": true, "payload": payload,
            });
            assert_eq!(document, wanted);
            assert_eq!(*subscriber.get_or_insert_with(|| id.clone()), id, "one for all of a connection");
        }
        drop(stream);
        let subscriber = subscriber.unwrap();
        for topic in topics {
            let document = told(&mut watcher).await;
            assert_eq!((&document["topic"], &document["active"]), (&json!(topic), &json!(false)));
            assert_eq!(document["subscriber"], *subscriber);
            assert_eq!(document["payload"], payload);
        }
    })
    .await;
}

/// RFC 6570, section 3.2.2: all characters but unreserved ones are encoded, once.
fn unreserved(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn line_100_a_subscriber_has_an_id_of_its_own_that_it_cannot_choose() {
    let hub = telling_hub().await;
    let mut streams = Vec::new();
    for way in Way::ALL {
        let query = "topic=a&subscriber=urn:chosen&id=urn:chosen";
        let request = Request::get(format!("{HUB}?{query}")).with("subscriber", "urn:chosen");
        streams.push(way.open(&hub, &request).await);
    }
    let list = until_listed(&hub, &["a", "a", "a"]).await;
    let ids: BTreeSet<_> =
        list.as_array().unwrap().iter().map(|one| one["subscriber"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 3);
    for id in ids {
        let uuid = id.strip_prefix("urn:uuid:").expect("an IRI");
        // RFC 9562, section 5.4: random, apart from the version and the variant.
        let form: String = uuid.chars().map(|one| if one.is_ascii_hexdigit() { 'x' } else { one }).collect();
        assert_eq!(form, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");
        assert!(uuid[14..].starts_with('4') && uuid[19..].starts_with(['8', '9', 'a', 'b']), "{uuid}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn line_102_without_a_grant_of_the_path_there_are_no_subscription_events() {
    Way::each(async |way| {
        let hub = telling_hub().await;
        let get = Request::get(format!("{HUB}?topic=*&lastEventID=earliest"));
        let mut curious = vec![way.open(&hub, &get).await];
        for grants in [&[][..], &["a"], &[API], &["/.well-known/mercure/subscriptions/b/{subscriber}"]] {
            curious.push(way.open(&hub, &get.clone().bearer(&token(&[], grants))).await);
        }
        let mut granted = way.open(&hub, &get.clone().bearer(&token(&[], &[EVERY]))).await;
        drop(way.subscribe(&hub, "topic=a").await);
        while {
            let document: Value = serde_json::from_str(&granted.data().await).unwrap();
            (&document["topic"], &document["active"]) != (&json!("a"), &json!(false))
        } {}
        hub.publish("topic=x&data=end").await;
        for stream in &mut curious {
            assert_eq!(stream.until("end").await, []);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn line_103_to_108_the_api_has_three_paths_and_the_id_of_the_last_event() {
    let hub = telling_hub().await;
    let first = Way::Socket.subscribe(&hub, "topic=a&topic=b/{x}").await;
    let _second = Way::Http2.subscribe(&hub, "topic=a").await;
    let all = until_listed(&hub, &["a", "a", "b/{x}"]).await;
    let single = all[2]["id"].as_str().unwrap().to_owned();
    Way::each(async |way| {
        let mut one = all[2].clone();
        for (path, id, count) in [
            (API.to_owned(), API, 3),
            (format!("{API}/a"), "/a", 2),
            (format!("{API}/b%2F%7Bx%7D?query"), "%7D", 1),
        ] {
            let answer = list(way, &hub, &path).await;
            let json = answer.json();
            let shown = format!("{path}: {json}");
            assert_eq!(answer.header("content-type"), Some("application/ld+json"), "{shown}");
            assert_eq!(json["@context"], "https://mercure.rocks/", "{shown}");
            assert_eq!(json["type"], "Subscriptions", "{shown}");
            assert!(json["id"].as_str().unwrap().ends_with(id), "{shown}");
            let found = json["subscriptions"].as_array().unwrap();
            assert_eq!(found.len(), count, "{shown}");
            assert!(
                found.iter().all(|one| one["active"] == true && one["type"] == "Subscription"),
                "{shown}"
            );
            let last = json["lastEventID"].as_str().unwrap();
            let link = answer.header("link").unwrap();
            assert!(
                link.starts_with(&format!("<{HUB}>; rel=\"mercure\"; last-event-id=\"{last}\"")),
                "{link}"
            );
        }
        let answer = list(way, &hub, &single).await;
        one["@context"] = json!("https://mercure.rocks/");
        one["lastEventID"] = answer.json()["lastEventID"].clone();
        assert_eq!(answer.json(), one);
        for (status, path) in [
            (404, format!("{API}/b%2F%7Bx%7D/urn%3Auuid%3A0")),
            (404, format!("{API}/a/b/c")),
            (404, format!("{API}/a/")),
            (400, format!("{API}/%FF")),
        ] {
            let answer = way.ask(&hub, &Request::get(&*path).bearer(&watching())).await;
            assert_eq!(answer.status, status, "{path}: {}", answer.body);
        }
        let empty = list(way, &hub, &format!("{API}/nobody")).await;
        assert_eq!(empty.json()["subscriptions"], json!([]));
    })
    .await;
    drop(first);
    until_listed(&hub, &["a"]).await;
    let gone = hub.ask(&Request::get(single).bearer(&watching())).await;
    assert_eq!(gone.status, 404, "{}", gone.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn line_104_the_path_alone_must_be_granted() {
    let hub = telling_hub().await;
    let _stream = Way::Socket.subscribe(&hub, "topic=a").await;
    let single = until_listed(&hub, &["a"]).await[0]["id"].as_str().unwrap().to_owned();
    let by_topic = format!("{API}/a");
    let cases: [(&str, &[&str], u16); 11] = [
        (API, &[API], 200),
        (API, &["*"], 200),
        (API, &["/.well-known/mercure/subscriptions{/topic}{/subscriber}"], 200),
        (API, &[EVERY], 403),
        (API, &["https://hub.test/.well-known/mercure/subscriptions"], 403),
        (&by_topic, &["/.well-known/mercure/subscriptions/{topic}"], 200),
        (&by_topic, &[API], 403),
        (&by_topic, &["a"], 403),
        (&single, &[EVERY], 200),
        (&single, &[&by_topic], 403),
        (&single, &[], 403),
    ];
    Way::each(async |way| {
        for (path, granted, status) in cases {
            for query in ["", "?x=/.well-known/mercure/subscriptions"] {
                let request = Request::get(format!("{path}{query}")).bearer(&token(&["*"], granted));
                let answer = way.ask(&hub, &request).await;
                assert_eq!(answer.status, status, "{path}{query} by {granted:?}: {}", answer.body);
                if status == 403 {
                    assert!(answer.header("www-authenticate").unwrap().contains("insufficient_scope"));
                    assert!(answer.json()["detail"].as_str().unwrap().contains(path), "{}", answer.body);
                }
            }
        }
        let anonymous = way.ask(&hub, &Request::get(API)).await;
        assert_eq!((anonymous.status, anonymous.header("www-authenticate")), (401, Some("Bearer")));
        let post = way.ask(&hub, &Request::post(API, "").bearer(&watching())).await;
        assert_eq!(post.status, 405);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn line_105_to_108_the_answer_names_earliest_where_nothing_was_ever_published() {
    let hub = telling_hub().await;
    Way::each(async |way| {
        let answer = list(way, &hub, API).await;
        assert_eq!(answer.json()["lastEventID"], "earliest");
        assert!(answer.header("link").unwrap().contains("last-event-id=\"earliest\""));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn line_109_an_answer_that_still_holds_is_304_and_one_that_does_not_is_new() {
    // Also if the log keeps nothing: every change is a change.
    for records in [None, Some(0)] {
        let hub = TestHub::start(|setup| {
            setup.subscriptions = true;
            setup.keep = Keep { records, ..Keep::ALL };
        })
        .await;
        let revalidate = |etag: &str| Request::get(API).bearer(&watching()).with("if-none-match", etag);
        let mut streams = Vec::new();
        let mut tags = BTreeSet::new();
        for count in 0..4 {
            if count > 0 {
                streams.push(Way::ALL[count - 1].subscribe(&hub, "topic=a").await);
            }
            // When the log has the event of the newest subscription, the answer remains the same.
            hub.until_figure("ssekit_subscribers", count as u64).await;
            let settled = async {
                while hub.log.bounds().await.unwrap().last.0 != count as u64 {
                    tokio::task::yield_now().await
                }
            };
            within("the event of a subscription", settled).await;
            let answer = list(Way::KeptAlive, &hub, API).await;
            assert_eq!(answer.json()["subscriptions"].as_array().unwrap().len(), count);
            assert!(answer.header("cache-control").unwrap().contains("must-revalidate"));
            let etag = answer.header("etag").unwrap().to_owned();
            assert!(tags.insert(etag.clone()), "{etag} again, with {count} subscriptions");
            let same = hub.ask(&revalidate(&etag)).await;
            assert_eq!((same.status, &*same.body, same.header("etag")), (304, "", Some(&*etag)));
            for old in tags.iter().filter(|old| **old != etag) {
                assert_eq!(hub.ask(&revalidate(old)).await.status, 200, "{old} is not {etag}");
            }
        }
    }
}

/// After a hub was killed, the next one has none of its subscribers, and no event has announced that.
#[tokio::test(flavor = "multi_thread")]
async fn a_cached_answer_of_one_hub_is_not_valid_for_the_next_on_the_same_log() {
    let log = Arc::new(MemoryLog::new(Retention::of_everything(Keep::ALL).unwrap()).unwrap());
    let setup = || Setup { subscriptions: true, ..Setup::default() };
    let first = TestHub::over(log.clone(), setup()).await;
    let _stream = Way::Socket.subscribe(&first, "topic=a").await;
    until_listed(&first, &["a"]).await;
    let etag = list(Way::KeptAlive, &first, API).await.header("etag").unwrap().to_owned();
    let second = TestHub::over(log, setup()).await;
    let answer = second.ask(&Request::get(API).bearer(&watching()).with("if-none-match", &etag)).await;
    assert_eq!(answer.status, 200, "it has other subscribers");
    assert_eq!(answer.json()["subscriptions"], json!([]));
}

/// A client that reads the list and then the events after its id ends up with the same state as one that
/// reads the list later.
#[tokio::test(flavor = "multi_thread")]
async fn the_list_and_the_events_after_it_agree_while_subscribers_connect_and_leave() {
    let hub = telling_hub().await;
    let churn = join_all((0..6).map(async |number| {
        let mut staying = Vec::new();
        for round in 0..25 {
            let way = Way::ALL[(number + round) % 3];
            let stream = way.subscribe(&hub, &format!("topic=t{number}-{round}&topic=all")).await;
            if round % 3 == 0 {
                staying.push(stream);
            }
        }
        staying
    }));
    let mut audits = Vec::new();
    let audit = async {
        loop {
            let json = list(Way::KeptAlive, &hub, API).await.json();
            audits.push((json["lastEventID"].as_str().unwrap().to_owned(), ids(&json)));
        }
    };
    let staying = tokio::select! {
        staying = churn => staying,
        () = audit => unreachable!("it goes on"),
    };
    hub.until_figure("ssekit_subscribers", staying.iter().flatten().count() as u64).await;
    let finally = list(Way::KeptAlive, &hub, API).await.json();
    assert_eq!(ids(&finally).len(), 2 * staying.iter().flatten().count());
    hub.publish("topic=end&data=end").await;
    assert!(audits.len() > 3, "{} audits", audits.len());
    for (after, mut active) in audits {
        let request = Request::get(format!("{HUB}?topic=end&topic={}", encoded(EVERY)))
            .bearer(&watching())
            .with("last-event-id", &after);
        let mut stream = Way::Socket.open(&hub, &request).await;
        for got in stream.until("end").await {
            let document: Value = serde_json::from_str(&got.data).unwrap();
            let id = document["id"].as_str().unwrap().to_owned();
            if document["active"] == true {
                active.insert(id);
            } else {
                active.remove(&id);
            }
        }
        // The clients that check the list come and go as well.
        active.retain(|id| !id.contains(&unreserved(EVERY)) && !id.contains("/end/"));
        assert_eq!(active, ids(&finally), "from the list at {after}");
    }
}

fn ids(list: &Value) -> BTreeSet<String> {
    let subscriptions = list["subscriptions"].as_array().unwrap();
    subscriptions.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn very_many_are_listed_a_part_at_a_time() {
    let hub = telling_hub().await;
    let topics = |of: usize| (0..100).map(move |number| format!("topics/{of}/{number}"));
    let mut streams = Vec::new();
    for of in 0..101 {
        let query: Vec<_> = topics(of).map(|topic| format!("topic={topic}")).collect();
        streams.push(Way::Socket.subscribe(&hub, &query.join("&")).await);
    }
    let (mut listed, mut path, mut parts) = (Vec::new(), Some(API.to_owned()), 0);
    while let Some(next) = path {
        let document = list(Way::KeptAlive, &hub, &next).await.json();
        let some = document["subscriptions"].as_array().unwrap();
        assert!(some.len() <= 10_100, "{}", some.len());
        listed.extend(some.iter().map(|one| one["topic"].as_str().unwrap().to_owned()));
        path = document.get("next").map(|next| next.as_str().unwrap().to_owned());
        parts += 1;
    }
    assert_eq!(parts, 2);
    listed.sort_unstable();
    let mut all: Vec<_> = (0..101).flat_map(topics).collect();
    all.sort_unstable();
    assert!(listed == all, "{} of {}", listed.len(), all.len());
}

/// Keeps this number of updates, and of subscription events.
fn kept(updates: u64, events: u64) -> Retention {
    let keep = |records| Keep { records: Some(records), ..Keep::ALL };
    let updates = Rule::new("*", |_| true, keep(updates));
    Retention::new(vec![retention_rule(HUB, keep(events)), updates], Keep::ALL).unwrap()
}

fn telling() -> Setup {
    Setup { subscriptions: true, ..Setup::default() }
}

/// Updates that a new subscriber of a topic gets from the history.
async fn held(hub: &TestHub, topic: &str) -> Vec<String> {
    let mut stream =
        Way::Socket.subscribe(hub, &format!("topic={topic}&topic=end&lastEventID=earliest")).await;
    hub.publish("topic=end&data=end").await;
    stream.until("end").await.into_iter().map(|got| got.data).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_short_connections_with_64_selectors_drop_no_update_and_reset_only_their_watchers() {
    let log = Arc::new(MemoryLog::new(kept(300, 50)).unwrap());
    let hub = TestHub::over(log.clone(), telling()).await;
    let mut ids = Vec::new();
    for number in 0..200 {
        ids.push(hub.publish(&format!("topic=important&data={number}")).await);
    }
    let query: Vec<_> = (0..64).map(|number| format!("topic=selector-{number}")).collect();
    let query = query.join("&");
    for round in 0..800 {
        drop(Way::ALL[usize::from(round % 100 == 0)].subscribe(&hub, &query).await);
    }
    hub.until_figure("ssekit_subscribers", 0).await;
    let wanted: Vec<_> = (0..200).map(|number| number.to_string()).collect();
    assert_eq!(held(&hub, "important").await, wanted);
    Way::each(async |way| {
        let resumed = Request::get(format!("{HUB}?topic=important&topic=*")).with("last-event-id", &ids[150]);
        let mut stream = way.open(&hub, &resumed).await;
        assert_eq!(stream.header("ssekit-reset"), None, "what it missed is not for it");
        assert_eq!(stream.datas(49).await, wanted[151..]);
        let mut watcher = watch(way, &hub, Some(&ids[150])).await;
        assert_eq!(watcher.header("ssekit-reset"), Some("expired"), "some events are gone");
        assert_eq!(watcher.event().await.name, "reset");
    })
    .await;
    assert!(log.bounds().await.unwrap().records <= 300 + 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_with_subscribers_keep_all_updates_that_the_rule_keeps() {
    let folder = tempfile::tempdir().unwrap();
    for restart in 0..5 {
        let options = DurableOptions { retention: kept(12, 5), ..DurableOptions::default() };
        let log = Arc::new(DurableLog::open(folder.path(), options).await.unwrap());
        let mut hub = TestHub::over(log.clone(), telling()).await;
        if restart == 0 {
            for number in 0..10 {
                hub.publish(&format!("topic=a&data={number}")).await;
            }
        }
        let _streams =
            [Way::Socket.subscribe(&hub, "topic=a").await, Way::Http2.subscribe(&hub, "topic=*").await];
        until_listed(&hub, &["*", "a"]).await;
        hub.end(std::time::Duration::ZERO).await;
        drop(hub);
        log.close().await.unwrap();
    }
    let options = DurableOptions { retention: kept(12, 5), ..DurableOptions::default() };
    let hub =
        TestHub::over(Arc::new(DurableLog::open(folder.path(), options).await.unwrap()), telling()).await;
    let wanted: Vec<_> = (0..10).map(|number| number.to_string()).collect();
    assert_eq!(held(&hub, "a").await, wanted);
    let mut watcher = watch(Way::Socket, &hub, None).await;
    let bounds = hub.log.bounds().await.unwrap();
    assert!(
        bounds.separate_horizon > bounds.horizon,
        "it is known after a restart what was dropped: {bounds:?}"
    );
    drop(Way::Socket.subscribe(&hub, "topic=b").await);
    // After the ends of the earlier subscriptions.
    while told(&mut watcher).await["topic"] != "b" {}
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_without_a_token_are_announced_only_where_that_is_asked_for() {
    Way::each(async |way| {
        let hub = TestHub::start(|setup| {
            setup.subscriptions = true;
            setup.announces_anonymous = false;
        })
        .await;
        let mut watcher = watch(way, &hub, None).await;
        let _visitor = way.subscribe(&hub, "topic=visited").await;
        let request = Request::get(format!("{HUB}?topic=known")).bearer(&token(&[], &["a"]));
        let known = way.open(&hub, &request).await;
        assert_eq!(told(&mut watcher).await["topic"], "known");
        let list = list(way, &hub, API).await.json();
        let topics: BTreeSet<_> = list["subscriptions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["topic"].as_str().unwrap())
            .collect();
        assert_eq!(topics, BTreeSet::from([EVERY, "known"]));
        drop(known);
        assert_eq!(told(&mut watcher).await["active"], false);
    })
    .await;
}

/// A subscriber whose event would have to wait is not announced, and one that is announced does not leave
/// without an event.
#[tokio::test(flavor = "multi_thread")]
async fn more_subscribers_than_events_have_room_are_announced_as_far_as_they_stay() {
    let hub = TestHub::start(|setup| {
        setup.subscriptions = true;
        setup.access.limits.selectors = 100;
    })
    .await;
    let query: Vec<_> = (0..4).map(|number| format!("topic={number}{}", "x".repeat(3900))).collect();
    let query = query.join("&");
    // Each has some 65 kB of events: 16 MiB are written at once, and 16 MiB more wait.
    let mut streams = Vec::new();
    for _ in 0..700 {
        streams.push(Way::KeptAlive.subscribe(&hub, &query).await);
    }
    let listed = list(Way::KeptAlive, &hub, API).await.json()["subscriptions"].as_array().unwrap().len();
    assert!((4 * 200..4 * 700).contains(&listed), "{listed} listed of 2,800");
    drop(streams);
    hub.until_figure("ssekit_subscribers", 0).await;
    assert!(hub.figure("ssekit_subscribers_not_announced_total").await > 0);
    let none = list(Way::KeptAlive, &hub, API).await.json();
    assert_eq!(none["subscriptions"], json!([]));
}
