//! Publications with the header `Idempotency-Key`.

use std::sync::Arc;

use futures_util::future::join_all;
use ssekit_log::{DurableLog, DurableOptions, IdempotencyKey, Record};
use ssekit_mercure::issue::Claims;
use ssekit_mercure::{Keys, Origins};

use crate::client::{Answer, Connection, Request};
use crate::setup::{HUB, Setup, TestHub, claims, publication, sign, token, within};
use crate::stream::{Http2, Way};

const KEY: &str = "8e03978e-40d5-43e8-bc93-6894a57f9324";

fn keyed(form: &str, key: &str) -> Request {
    publication(form).with("idempotency-key", key)
}

async fn published(hub: &TestHub, way: Way, request: &Request) -> String {
    let answer = way.ask(hub, request).await;
    assert_eq!(answer.status, 200, "{:?}: {}", request.headers, answer.body);
    answer.body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_is_answered_with_the_first_id_and_delivered_once() {
    Way::each(async |way| {
        let hub = TestHub::usual().await;
        let mut stream = way.subscribe(&hub, "topic=a").await;
        let first = published(&hub, way, &keyed("topic=a&data=x", KEY)).await;
        // A string in quotes is the same key, over each transport.
        for again in [KEY.to_owned(), format!("\"{KEY}\"")] {
            for way in Way::ALL {
                assert_eq!(published(&hub, way, &keyed("topic=a&data=x", &again)).await, first);
            }
        }
        let last = published(&hub, way, &keyed("topic=a&data=x", "another")).await;
        for id in [first, last] {
            let event = stream.event().await;
            assert_eq!((&*event.data, event.id), ("x", id));
        }
        assert_eq!(hub.history().await.len(), 2);
        assert_eq!(hub.figure("ssekit_events_published_total").await, 2);
        assert_eq!(hub.figure("ssekit_publications_repeated_total").await, 6);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_its_own_and_the_ids_of_a_batch_are_answered_again() {
    Way::each(async |way| {
        let hub = TestHub::usual().await;
        let own = keyed("topic=a&data=x&id=urn:own", KEY);
        let lines =
            "{\"topic\": \"a\", \"data\": 1}\n{\"topic\": \"a\", \"id\": \"urn:b\"}\n{\"topic\": \"a\"}\n";
        let batch = keyed(lines, "batch").with("content-type", "application/x-ndjson");
        for request in [own, batch] {
            let first = published(&hub, way, &request).await;
            hub.publish("topic=a&data=between").await;
            assert_eq!(published(&hub, way, &request).await, first);
        }
        let ids: Vec<_> = hub.history().await.into_iter().map(|(id, _)| id).collect();
        assert_eq!((ids.len(), &*ids[0], &*ids[3]), (6, "urn:own", "urn:b"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_left_before_the_answer_repeats_and_it_is_delivered_once() {
    let hub = TestHub::usual().await;
    let mut stream = Way::Socket.subscribe(&hub, "topic=a").await;
    for number in 0..20 {
        let request = keyed(&format!("topic=a&data={number}"), &number.to_string());
        let mut lost = Connection::open(hub.addr).await;
        lost.send(&request.encode()).await;
        drop(lost);
        let id = published(&hub, Way::Socket, &request).await;
        let event = stream.event().await;
        assert_eq!((event.data, event.id), (number.to_string(), id));
    }
    assert_eq!(hub.history().await.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_repetitions_one_is_kept_and_all_have_its_id() {
    let hub = TestHub::usual().await;
    for number in 0..10 {
        let request = keyed(&format!("topic=a&data={number}"), &number.to_string());
        let ids = join_all((0..12).map(|index| published(&hub, Way::ALL[index % 3], &request))).await;
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }
    assert_eq!(hub.history().await.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_publications_with_and_without_keys_are_kept_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let log = DurableLog::open(folder.path().join("log"), DurableOptions::default()).await.unwrap();
    let mut hub = TestHub::over(Arc::new(log), Setup::default()).await;
    let mut stream = Way::Socket.subscribe(&hub, "topic=a").await;
    let mut connection = Connection::open(hub.addr).await;
    let request = |number: usize| match number % 5 {
        // One that is refused, and one that repeats the publication before it.
        3 => publication("topic=*"),
        4 => keyed(&format!("topic=a&data={}", number - 2), &format!("k{}", number - 2)),
        2 => keyed(&format!("topic=a&data={number}"), &format!("k{number}")),
        _ => publication(&format!("topic=a&data={number}")),
    };
    let all: Vec<u8> = (0..300).flat_map(|number| request(number).encode()).collect();
    connection.send(&all).await;
    let mut ids = Vec::new();
    for number in 0..300 {
        let answer = connection.answer("POST").await;
        let refused = number % 5 == 3;
        assert_eq!(answer.status, if refused { 400 } else { 200 }, "{number}: {}", answer.body);
        match number % 5 {
            3 => {}
            4 => assert_eq!(Some(&answer.body), ids.last(), "{number}"),
            _ => ids.push(answer.body),
        }
    }
    for (number, id) in (0..300).filter(|number| number % 5 < 3).zip(&ids) {
        let event = stream.event().await;
        assert_eq!((event.data, &event.id), (number.to_string(), id));
    }
    assert_eq!(hub.history().await.len(), ids.len());
    hub.end(std::time::Duration::ZERO).await;
}

/// More appends than tokio polls in a row.
#[tokio::test(flavor = "multi_thread")]
async fn many_short_publications_with_keys_are_kept_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let log = DurableLog::open(folder.path().join("log"), DurableOptions::default()).await.unwrap();
    let mut setup = Setup::default();
    without_tokens(&mut setup);
    let mut hub = TestHub::over(Arc::new(log), setup).await;
    let mut connection = Connection::open(hub.addr).await;
    let request = |number: usize| {
        let key = format!("k{number}");
        Request::post(HUB, format!("topic=a&data={number}")).with("idempotency-key", &key).encode()
    };
    for round in 0..3 {
        let numbers = round * 100..(round + 1) * 100;
        connection.send(&numbers.clone().flat_map(request).collect::<Vec<u8>>()).await;
        for number in numbers {
            let answer = connection.answer("POST").await;
            assert_eq!(answer.status, 200, "{number}: {}", answer.body);
        }
    }
    let mut stream = Way::Socket.subscribe(&hub, "topic=a&lastEventID=earliest").await;
    for number in 0..300 {
        assert_eq!(stream.event().await.data, number.to_string());
    }
    hub.end(std::time::Duration::ZERO).await;
}

/// One of the publications without keys is refused: the others of the same read are kept before the following
/// publications with keys.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_publication_does_not_change_the_order_of_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let log = DurableLog::open(folder.path().join("log"), DurableOptions::default()).await.unwrap();
    let mut setup = Setup::default();
    without_tokens(&mut setup);
    setup.access.limits.matching = 3;
    let mut hub = TestHub::over(Arc::new(log), setup).await;
    // One variable for each topic.
    let mut stream = Way::Socket.subscribe(&hub, "topic=%7Bv%7D").await;
    let mut connection = Connection::open(hub.addr).await;
    let request = |number: usize| match number % 5 {
        1 => Request::post(HUB, "topic=a&topic=b&topic=c&topic=d&data=refused"),
        4 => {
            Request::post(HUB, format!("topic=a&data={number}")).with("idempotency-key", &number.to_string())
        }
        _ => Request::post(HUB, format!("topic=a&data={number}")),
    };
    connection.send(&(0..100).flat_map(|number| request(number).encode()).collect::<Vec<u8>>()).await;
    for number in 0..100 {
        let answer = connection.answer("POST").await;
        let wanted = if number % 5 == 1 { 413 } else { 200 };
        assert_eq!(answer.status, wanted, "{number}: {}", answer.body);
    }
    for number in (0..100).filter(|number| number % 5 != 1) {
        assert_eq!(stream.event().await.data, number.to_string());
    }
    drop(stream);
    hub.end(std::time::Duration::ZERO).await;
}

fn without_tokens(setup: &mut Setup) {
    setup.access.open = true;
    setup.access.publishers = Keys::none();
    setup.access.own_names.push("hub.test".to_owned());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_with_another_body_is_422() {
    Way::each(async |way| {
        let hub = TestHub::usual().await;
        let first = published(&hub, way, &keyed("topic=a&data=x", KEY)).await;
        for other in ["topic=a&data=y", "topic=b&data=x", "topic=a&data=x&private=on"] {
            let answer = way.ask(&hub, &keyed(other, KEY)).await;
            assert_problem(&answer, 422, "idempotency-key-reused", "another body");
        }
        assert_eq!(published(&hub, way, &keyed("topic=a&data=x", KEY)).await, first);
        assert_eq!(hub.history().await.len(), 1);
    })
    .await;
}

fn assert_problem(answer: &Answer, status: u16, kind: &str, detail: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let problem = answer.json();
    assert_eq!(problem["type"], format!("urn:ssekit:problem:{kind}"));
    assert!(problem["detail"].as_str().unwrap().contains(detail), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_key_is_400() {
    let hub = TestHub::usual().await;
    let long = "x".repeat(256);
    for (key, detail) in [
        ("", "empty"),
        ("\"\"", "empty"),
        ("a b", "without quotes"),
        ("\"a", "closing quote"),
        (&long, "longer than 255"),
    ] {
        Way::each(async |way| {
            let answer = way.ask(&hub, &keyed("topic=a&data=x", key)).await;
            assert_problem(&answer, 400, "invalid-idempotency-key", detail);
        })
        .await;
    }
    Way::each(async |way| {
        let twice = keyed("topic=a&data=x", "a").with("idempotency-key", "a");
        assert_problem(&way.ask(&hub, &twice).await, 400, "invalid-idempotency-key", "more than once");
    })
    .await;
    assert_eq!(hub.history().await, []);
    let longest = "x".repeat(255);
    published(&hub, Way::Http2, &keyed("topic=a&data=x", &longest)).await;
}

/// Token with the claims `iss` and `sub`.
fn of(issuer: Option<&str>, subject: Option<&str>, publish: &[&str]) -> String {
    let texts = [issuer, subject].map(|text| text.map(str::to_owned));
    let [iss, sub] = texts;
    sign(&Claims { iss, sub, ..claims(publish, &[]) })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_belongs_to_its_publisher() {
    let hub = TestHub::usual().await;
    let publishers = [
        // The subject counts, whatever the token grants; without one, the issuer and the grants, in any
        // order.
        vec![of(None, Some("alice"), &["*"]), of(None, Some("alice"), &["a"])],
        vec![of(None, Some("bob"), &["*"])],
        vec![of(Some("https://login.example"), Some("alice"), &["*"])],
        vec![of(None, None, &["*"]), of(None, Some(""), &["*"]), token(&["*"], &["x"])],
        vec![of(Some("https://login.example"), None, &["*"])],
        vec![of(None, None, &["a", "b"]), of(None, None, &["b", "a", "a"])],
        vec![of(None, None, &["a"])],
    ];
    let mut ids = Vec::new();
    for tokens in &publishers {
        let mut first = None;
        for token in tokens {
            let request = Request::post(HUB, "topic=a&data=x").bearer(token).with("idempotency-key", KEY);
            let id = published(&hub, Way::Socket, &request).await;
            assert_eq!(*first.get_or_insert_with(|| id.clone()), id);
        }
        ids.extend(first);
    }
    let kept: Vec<_> = hub.history().await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(kept, ids);
    // A key grants nothing to a publisher that may not publish the update.
    let forbidden = Request::post(HUB, "topic=a&data=x").bearer(&of(None, Some("alice"), &["b"]));
    let answer = hub.ask(&forbidden.with("idempotency-key", KEY)).await;
    assert_eq!(answer.status, 403, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tokens_all_publishers_share_their_keys() {
    let hub = TestHub::start(without_tokens).await;
    let request = Request::post(HUB, "topic=a&data=x").with("idempotency-key", KEY);
    let answers = [hub.ask(&request).await, hub.ask(&request).await];
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(answers[0].body, answers[1].body);
    assert_eq!(hub.history().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_keys_are_forgotten_first() {
    let hub = TestHub::usual().await;
    let first = published(&hub, Way::Socket, &keyed("topic=a&data=x", "first")).await;
    let second = published(&hub, Way::Socket, &keyed("topic=a&data=x", "second")).await;
    // Appended past the hub, because they are many: the log counts the keys.
    for number in 2..=IdempotencyKey::COUNT as u128 {
        // Each of another publisher, so that the publisher of the first two has the most keys.
        let publisher = (number as u64).to_be_bytes();
        let key = IdempotencyKey { hash: number.to_be_bytes(), publisher, content: [0; 16] };
        let record =
            Record { topics: ["b".into()].into(), private: false, id: None, body: "data\n\n".into() };
        hub.log.append_with_key(Some(key), vec![record]).await.unwrap();
    }
    assert_eq!(published(&hub, Way::Socket, &keyed("topic=a&data=x", "second")).await, second);
    assert_ne!(published(&hub, Way::Socket, &keyed("topic=a&data=x", "first")).await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_may_send_keys_and_clients_learn_how_long_they_are_remembered() {
    let hub = TestHub::start(|setup| setup.access.cors_origins = Origins::Any).await;
    let preflight = Request::new("OPTIONS", HUB)
        .with("origin", "https://app.example")
        .with("access-control-request-method", "POST")
        .with("access-control-request-headers", "idempotency-key");
    Way::each(async |way| {
        let answer = way.ask(&hub, &preflight).await;
        let allowed = answer.header("access-control-allow-headers").unwrap().to_ascii_lowercase();
        assert!(allowed.split(", ").any(|name| name == "idempotency-key"), "{allowed}");
        assert_eq!(answer.header("ssekit-idempotency-key-lifetime"), Some("86400"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_one_connection_of_http_2_repeat_each_other() {
    let hub = TestHub::usual().await;
    let connection = Http2::connect(&hub).await;
    let request = keyed("topic=a&data=x", KEY);
    let answers = within("answers", join_all((0..20).map(|_| connection.send(&request)))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(hub.history().await.len(), 1);
}
