//! Publications over HTTP: forms, batches, pipelined requests, bodies and their limits.

use std::time::Duration;

use crate::client::{Connection, Request};
use crate::setup::{HUB, TestHub, publication, token};
use crate::stream::Way;

fn batch(lines: &str) -> Request {
    publication(lines).with("content-type", "application/x-ndjson")
}

#[tokio::test(flavor = "multi_thread")]
async fn line_49_success_is_200_with_the_id_as_plain_text() {
    Way::each(async |way| {
        let hub = TestHub::usual().await;
        for (form, wanted) in [("topic=a&id=urn:x", Some("urn:x")), ("topic=a", None), ("topic=a&id=", None)]
        {
            let answer = way.ask(&hub, &publication(form)).await;
            assert_eq!(answer.status, 200, "{form}");
            assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
            match wanted {
                Some(id) => assert_eq!(answer.body, id),
                None => assert_eq!(answer.body.len(), "urn:ssekit:".len() + 22, "{}", answer.body),
            }
        }
        let ids: Vec<_> = hub.history().await.into_iter().map(|(id, _)| id).collect();
        assert_eq!((ids.len(), &*ids[0]), (3, "urn:x"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_published_in_its_order_and_answered_with_an_id_for_each_line() {
    let hub = TestHub::usual().await;
    let mut streams = Vec::new();
    for way in Way::ALL {
        streams.push(way.subscribe(&hub, "topic=a&topic=b").await);
    }
    let lines: String = (0..500)
        .map(|n| {
            format!(
                "{{\"topic\": [\"{}\"], \"data\": {{\"n\": {n}}}, \"type\": \"t\"}}\n",
                if n % 2 == 0 { "a" } else { "b" }
            )
        })
        .collect();
    // Media types are not case-sensitive (RFC 9110, section 8.3.1).
    let batch = publication(&lines).with("content-type", "Application/X-NDJSON; charset=UTF-8");
    let answer = hub.ask(&batch).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let ids: Vec<_> = answer.body.lines().collect();
    assert_eq!(ids.len(), 500);
    for stream in &mut streams {
        for (n, id) in ids.iter().enumerate() {
            let got = stream.event().await;
            assert_eq!((&*got.name, got.data, &*got.id), ("t", format!("{{\"n\": {n}}}"), *id));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn line_79_of_a_batch_with_a_fault_or_a_topic_that_is_not_granted_nothing_is_published() {
    let hub = TestHub::usual().await;
    let good = "{\"topic\": \"a\", \"data\": \"x\"}\n";
    let long = format!("{{\"topic\": \"{}\"}}", "x".repeat(5000));
    let cases = [
        (400, "line 3", "{\"topic\": \"*\"}"),
        (400, "line 3", "{\"topic\": \"/.well-known/mercure/subscriptions/x\"}"),
        (400, "line 3", "{\"data\": \"no topic\"}"),
        (400, "line 3", "no JSON"),
        (400, "line 3", "{\"topic\": \"a\", \"unknown\": 1}"),
        (400, "line 3", "{\"topic\": \"a\", \"type\": \"mercure\"}"),
        (413, "line 3", &long),
        (403, "“b”", "{\"topic\": [\"a\", \"b\"]}"),
    ];
    for (status, text, fault) in cases {
        let request = Request::post(HUB, format!("{good}{good}{fault}\n{good}"))
            .with("content-type", "application/x-ndjson")
            .bearer(&token(&["a"], &[]));
        let answer = hub.ask(&request).await;
        assert_eq!(answer.status, status, "{fault}: {}", answer.body);
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(text), "{fault}: {detail}");
    }
    let two = Request::post(HUB, "topic=a&topic=b&data=x").bearer(&token(&["a"], &[]));
    assert_eq!(hub.ask(&two).await.status, 403, "an alternate topic must be granted as well");
    assert_eq!(hub.history().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_publishes_again_and_again_and_by_pipelining() {
    let hub = TestHub::usual().await;
    let mut stream = Way::Socket.subscribe(&hub, "topic=a").await;
    let mut connection = Connection::open(hub.addr).await;
    let mut ids = Vec::new();
    for number in 0..50 {
        let answer = connection.ask(&publication(&format!("topic=a&data={number}"))).await;
        assert_eq!(answer.status, 200);
        ids.push(answer.body);
    }
    // All requests are sent before the first answer is read; one of them is refused.
    let mut requests = Vec::new();
    for number in 50..200 {
        let topic = if number == 100 { "*" } else { "a" };
        requests.extend(publication(&format!("topic={topic}&data={number}")).encode());
    }
    connection.send(&requests).await;
    for number in 50..200 {
        let answer = connection.answer("POST").await;
        assert_eq!(answer.status, if number == 100 { 400 } else { 200 }, "{number}: {}", answer.body);
        if number != 100 {
            ids.push(answer.body);
        }
    }
    for (number, id) in (0..200).filter(|number| *number != 100).zip(ids) {
        let got = stream.event().await;
        assert_eq!((got.data, got.id), (number.to_string(), id));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_may_be_pipelined_between_other_requests() {
    let hub = TestHub::usual().await;
    let mut connection = Connection::open(hub.addr).await;
    let mut requests = publication("topic=a&data=0").encode();
    requests.extend(Request::get(format!("{HUB}?topic=a&lastEventID=earliest")).encode());
    // The input behind it is never answered, and disturbs nothing.
    requests.extend(Request::get("/healthz").encode());
    connection.send(&requests).await;
    assert_eq!(connection.answer("POST").await.status, 200);
    let head = connection.head().await.expect("the second answer");
    assert_eq!(head.status, 200);
    let mut framing = head.framing();
    let mut text = String::new();
    for number in 0..5 {
        while !text.contains(&format!("data: {number}\n\n")) {
            let piece = connection.piece(&mut framing).await.expect("a stream that goes on");
            text.push_str(std::str::from_utf8(&piece).unwrap());
        }
        hub.publish(&format!("topic=a&data={}", number + 1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn line_51_a_large_body_is_413_and_is_not_published() {
    let hub = TestHub::start(|setup| {
        let limits = &mut setup.access.limits;
        (limits.body, limits.batch, limits.topics) = (10_000, 5, 3);
        (limits.topic, limits.id, limits.event_type) = (100, 50, 20);
    })
    .await;
    let long = |size| "x".repeat(size);
    let lines = "{\"topic\": \"a\"}\n".repeat(6);
    let cases = [
        publication(&format!("topic=a&data={}", long(10_000))),
        publication(&format!("topic={}", long(101))),
        publication("topic=a&topic=b&topic=c&topic=d"),
        publication(&format!("topic=a&id={}", long(51))),
        publication(&format!("topic=a&type={}", long(21))),
        batch(&lines),
        batch(&format!("{{\"topic\": \"a\", \"data\": \"{}\"}}", long(10_000))),
    ];
    Way::each(async |way| {
        for request in &cases {
            let answer = way.ask(&hub, request).await;
            assert_eq!(answer.status, 413, "{:?}: {}", request.headers, answer.body);
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            assert_eq!(answer.json()["type"], "urn:ssekit:problem:too-large");
        }
    })
    .await;
    // A body without an announced length.
    let mut connection = Connection::open(hub.addr).await;
    let head = format!(
        "POST {HUB} HTTP/1.1\r\nhost: hub.test\r\nauthorization: Bearer {}\r\ntransfer-encoding: chunked\r\n\r\n",
        token(&["*"], &[])
    );
    connection.send(head.as_bytes()).await;
    let chunk = format!("{:x}\r\n{}\r\n", 6_000, long(6_000));
    connection.send(format!("{chunk}{chunk}").as_bytes()).await;
    assert_eq!(connection.answer("POST").await.status, 413);
    assert_eq!(hub.history().await, []);
    for allowed in ["topic=a&topic=b&topic=c", &format!("topic={}&id={}", long(100), long(50))] {
        hub.publish(allowed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_body_is_408_and_a_truncated_one_is_not_published() {
    let hub = TestHub::start(|setup| setup.server.body_time = Duration::from_millis(200)).await;
    let mut slow = Connection::open(hub.addr).await;
    let mut bytes = publication("topic=a&data=never").encode();
    bytes.truncate(bytes.len() - 1);
    slow.send(&bytes).await;
    let answer = slow.answer("POST").await;
    assert_eq!(answer.status, 408, "{}", answer.body);
    assert_eq!(answer.json()["type"], "urn:ssekit:problem:timeout");
    let mut cut = Connection::open(hub.addr).await;
    cut.send(&bytes).await;
    drop(cut);
    hub.publish("topic=a&data=after").await;
    assert_eq!(hub.history().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_log_is_503_with_a_retry_time() {
    let hub = TestHub::usual().await;
    hub.log.close().await.unwrap();
    let answer = hub.ask(&publication("topic=a&data=x")).await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.json()["detail"], "the log is closed");
}

/// Head of a publication without its body.
fn head(token: Option<&str>, more: &str) -> Vec<u8> {
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    format!(
        "POST {HUB} HTTP/1.1\r\nhost: hub.test\r\ncontent-type: application/x-www-form-urlencoded\r\n{token}{more}\r\n"
    )
    .into_bytes()
}

/// If the length was announced, the hub used to wait for the body and hold it before it verified the token.
#[tokio::test(flavor = "multi_thread")]
async fn an_unauthorized_publisher_is_refused_before_the_body_on_every_transport() {
    let hub = TestHub::usual().await;
    let (granted, not) = (token(&["*"], &[]), token(&[], &["*"]));
    for way in ["first", "split", "later"] {
        for (token, status) in
            [(None, 401), (Some("no.token"), 401), (Some(&*not), 403), (Some(&*granted), 0)]
        {
            for more in
                ["content-length: 1000000\r\n", "transfer-encoding: chunked\r\n", "content-length: 30\r\n"]
            {
                let mut connection = Connection::open(hub.addr).await;
                if way == "later" {
                    assert_eq!(connection.ask(&Request::get("/healthz")).await.status, 200);
                }
                let head = head(token, more);
                let at = if way == "split" { 60 } else { head.len() };
                connection.send(&head[..at]).await;
                assert_eq!(hub.ask(&Request::get("/healthz")).await.status, 200, "meanwhile");
                connection.send(&head[at..]).await;
                if status > 0 {
                    let answer = connection.answer("POST").await;
                    assert_eq!(answer.status, status, "{way} {more}: {}", answer.body);
                    assert!(answer.header("www-authenticate").is_some(), "{way} {more}");
                } else {
                    // The hub waits for the body of a verified publisher.
                    connection.send(if more.contains("chunked") { b"3\r\ntop" } else { b"top" }).await;
                }
            }
        }
    }
    assert_eq!(hub.history().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_the_memory_is_503_and_small_ones_are_accepted() {
    let hub = TestHub::start(|setup| setup.server.body_memory = 100_000).await;
    let token = token(&["*"], &[]);
    let form = |size: usize| format!("topic=a&data={}", "x".repeat(size));
    let large = form(200_000);
    for _ in 0..3 {
        Way::each(async |way| {
            let answer = way.ask(&hub, &publication(&large)).await;
            assert_eq!(answer.status, 503, "{way:?}: {}", answer.body);
            assert!(answer.body.contains("limits.body_memory"), "{}", answer.body);
            assert_eq!(answer.header("retry-after"), Some("1"));
            assert_eq!(way.ask(&hub, &publication(&form(5_000))).await.status, 200);
        })
        .await;
        let mut connection = Connection::open(hub.addr).await;
        connection.send(&head(Some(&token), "transfer-encoding: chunked\r\n")).await;
        connection.send(format!("{:x}\r\n{large}\r\n", large.len()).as_bytes()).await;
        assert_eq!(connection.answer("POST").await.status, 503);
        // All memory was returned.
        hub.publish(&form(80_000)).await;
    }
    assert_eq!(hub.history().await.len(), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_compressed_is_415_and_names_the_encoding() {
    let hub = TestHub::usual().await;
    Way::each(async |way| {
        for (encoding, status) in [("gzip", 415), ("identity, br", 415), ("identity", 200), ("", 200)] {
            let request = publication("topic=a&data=x").with("content-encoding", encoding);
            let answer = way.ask(&hub, &request).await;
            assert_eq!(answer.status, status, "{encoding}: {}", answer.body);
            let named = encoding.rsplit(", ").next().expect("a last one");
            assert!(status == 200 || answer.body.contains(&format!("“{named}”")), "{}", answer.body);
        }
    })
    .await;
}

/// Such bodies used to be answered with 413.
#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_are_none_are_400() {
    let hub = TestHub::usual().await;
    let head = head(Some(&token(&["*"], &[])), "transfer-encoding: chunked\r\n");
    for chunks in ["x\r\n", "5\r\ntopic=a", "-1\r\n", "fffffffffffffffff\r\n", "\r\n"] {
        let mut connection = Connection::open(hub.addr).await;
        connection.send(&head).await;
        connection.send(chunks.as_bytes()).await;
        let answer = connection.answer("POST").await;
        assert_eq!(answer.status, 400, "{chunks:?}: {}", answer.body);
        assert_eq!(answer.json()["type"], "urn:ssekit:problem:malformed", "{chunks:?}");
    }
    assert_eq!(hub.history().await, []);
}
