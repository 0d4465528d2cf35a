//! Plays the part of the public contract harness against the example `contract_service`: every area that it
//! covers, over real sockets.

#[path = "../../../client/tests/client/answer.rs"]
#[allow(dead_code, reason = "the client's own tests use all of it")]
mod answer;
mod harness;
#[path = "../../../client/tests/client/peer.rs"]
#[allow(dead_code, reason = "the client's own tests use all of it")]
mod peer;

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::harness::{Harness, Stream};
use crate::peer::Peer;

/// The answers to one stream, and the reports that must follow, in this order.
struct Case {
    name: &'static str,
    /// The pieces of the answer's body.
    pieces: Vec<Vec<u8>>,
    reports: Vec<Value>,
}

fn case(name: &'static str, pieces: &[&str], reports: impl Into<Vec<Value>>) -> Case {
    Case {
        name,
        pieces: pieces.iter().map(|piece| piece.as_bytes().to_vec()).collect(),
        reports: reports.into(),
    }
}

fn event(r#type: &str, data: &str, id: &str) -> Value {
    json!({ "kind": "event", "event": { "type": r#type, "data": data, "id": id } })
}

fn message(data: &str) -> Value {
    event("message", data, "")
}

fn comment(text: &str) -> Value {
    json!({ "kind": "comment", "comment": text })
}

#[tokio::test]
async fn events_are_reported_unchanged_and_in_order() {
    let harness = Harness::start().await;
    let every_byte: Vec<_> = "event: e\nid: 1\ndata: €\ndata: b\n\n".bytes().map(|byte| vec![byte]).collect();
    let cases = [
        // Basic parsing.
        case("one line", &["data: Hello\n\n"], [message("Hello")]),
        case("without a space", &["data:Hello\n\n"], [message("Hello")]),
        case("two lines", &["data: Hello\ndata:World\n\n"], [message("Hello\nWorld")]),
        case("two events", &["data: 1\n\ndata: 2\n\n"], [message("1"), message("2")]),
        case("a type", &["event: greeting\ndata: Hello\n\n"], [event("greeting", "Hello", "")]),
        case("an id", &["id: abc\ndata: Hello\n\n"], [event("message", "Hello", "abc")]),
        case("all in reverse", &["data: d\nid: i\nevent: e\n\n"], [event("e", "d", "i")]),
        case(
            "an id stays",
            &["id: 1\ndata: a\n\ndata: b\n\n"],
            [event("message", "a", "1"), event("message", "b", "1")],
        ),
        case(
            "an id ends",
            &["id: 1\ndata: a\n\nid\ndata: b\n\n"],
            [event("message", "a", "1"), message("b")],
        ),
        case("an id with NUL", &["id: a\0b\ndata: a\n\n"], [message("a")]),
        case("unknown fields", &["color: blue\ndata: a\ncolor\n\n"], [message("a")]),
        case("empty data", &["data\n\ndata:\n\n"], [message(""), message("")]),
        case("no data", &["event: a\n\ndata: b\n\n"], [message("b")]),
        case("colons in data", &["data: a:b: c\n\n"], [message("a:b: c")]),
        case(
            "cut anywhere",
            &["da", "ta: Hel", "lo\n", "\nda", "ta: a\n\n"],
            [message("Hello"), message("a")],
        ),
        case("not UTF-8's business", &["data: größer…\n\n"], [message("größer…")]),
        Case { name: "byte by byte", pieces: every_byte, reports: vec![event("e", "€\nb", "1")] },
        Case {
            name: "invalid UTF-8",
            pieces: vec![b"data: \xFF\n\n".to_vec()],
            reports: vec![message("\u{fffd}")],
        },
        // Byte order mark.
        case("a BOM", &["\u{feff}data: Hello\n\n"], [message("Hello")]),
        case("a BOM before a comment", &["\u{feff}:hi\ndata: a\n\n"], [comment("hi"), message("a")]),
        case("a BOM later", &["data: a\n\n\u{feff}data: b\n\ndata: c\n\n"], [message("a"), message("c")]),
        Case {
            name: "a BOM in three pieces",
            pieces: [&b"\xEF"[..], b"\xBB", b"\xBFdata: a\n\n"].map(<[u8]>::to_vec).to_vec(),
            reports: vec![message("a")],
        },
        // Comments.
        case("a comment at once", &[":Hello\n"], [comment("Hello")]),
        case("a comment with a space", &[": Hello\n"], [comment("Hello")]),
        case("an empty comment", &[":\n"], [comment("")]),
        case(
            "around an event",
            &[":a\ndata: 1\n:b\n\n:c\n"],
            [comment("a"), comment("b"), message("1"), comment("c")],
        ),
        // Line feeds.
        case("LF", &["data: a\ndata: b\n\ndata: c\n\n"], [message("a\nb"), message("c")]),
        case("CR", &["data: a\rdata: b\r\rdata: c\r\r"], [message("a\nb"), message("c")]),
        case("CRLF", &["data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n"], [message("a\nb"), message("c")]),
        case(
            "mixed",
            &["data: a\r\n\ndata: b\n\r\ndata: c\r\r\n"],
            [message("a"), message("b"), message("c")],
        ),
        case("CRLF cut", &["data: a\r", "\ndata: b\r", "\n\r", "\n"], [message("a\nb")]),
    ];
    for Case { name, pieces, reports } in cases {
        let mut answer = Answer::events("").then_stay();
        answer.pieces = pieces;
        let peer = Peer::start([answer]).await;
        let mut stream = harness.open(&peer, json!({})).await;
        for expected in reports {
            assert_eq!(stream.report(name).await, expected, "{name}");
        }
        stream.close().await;
    }
}

#[tokio::test]
async fn requests_are_as_they_were_asked_for() {
    let harness = Harness::start().await;
    for (parameters, method, body) in [
        (json!({}), "GET", ""),
        (
            json!({ "method": "POST", "body": "ask", "headers": { "content-type": "text/plain" } }),
            "POST",
            "ask",
        ),
        (
            json!({ "method": "REPORT", "body": "<ask/>", "headers": { "x-one": "1", "x-two": "2" } }),
            "REPORT",
            "<ask/>",
        ),
        (json!({ "lastEventId": "…41" }), "GET", ""),
        (
            json!({ "tag": "t", "initialDelayMs": null, "readTimeoutMs": null, "headers": null, "body": null }),
            "GET",
            "",
        ),
    ] {
        let peer = Peer::start([Answer::events("data: a\n\n").then_stay()]).await;
        let mut stream = harness.open(&peer, parameters.clone()).await;
        assert_eq!(stream.report("an event").await["kind"], "event");
        let request = peer.request(0).await;
        assert_eq!((request.method.as_str(), request.body.as_str()), (method, body));
        assert_eq!(request.header("accept"), Some("text/event-stream"));
        assert_eq!(request.header("cache-control"), Some("no-cache"));
        assert_eq!(request.header("last-event-id"), parameters["lastEventId"].as_str());
        for (name, value) in parameters["headers"].as_object().into_iter().flatten() {
            assert_eq!(request.header(name), value.as_str(), "{name}");
        }
        stream.close().await;
    }
}

#[tokio::test]
async fn redirects_are_followed_and_those_to_nowhere_are_errors() {
    let harness = Harness::start().await;
    for status in [301, 302, 303, 307, 308] {
        let peer = Peer::start([
            Answer::status(status).header("location", "/there"),
            Answer::events("data: a\n\n").then_stay(),
        ])
        .await;
        let mut stream = harness.open(&peer, json!({})).await;
        assert_eq!(stream.report("an event").await, message("a"), "{status}");
        assert_eq!(peer.request(1).await.path, "/there");
        stream.close().await;
    }
    for answer in [Answer::status(301), Answer::status(307).header("location", "")] {
        let peer = Peer::start([answer]).await;
        let mut stream = harness.open(&peer, json!({})).await;
        stream.expect_error("Location").await;
        assert_eq!(peer.requests().len(), 1);
        stream.close().await;
    }
}

#[tokio::test]
async fn refusals_are_reported_and_those_that_may_pass_are_tried_again() {
    let harness = Harness::start().await;
    for (status, text) in [(400, "400"), (401, "401"), (403, "403"), (404, "404"), (405, "405")] {
        let peer = Peer::start([Answer::status(status), Answer::events("data: no\n\n")]).await;
        let mut stream = harness.open(&peer, json!({ "initialDelayMs": 0 })).await;
        stream.expect_error(text).await;
        stream.stays_silent().await;
        assert_eq!(peer.requests().len(), 1);
        stream.close().await;
    }
    for status in [500, 502, 503] {
        let peer = Peer::start([Answer::status(status), Answer::events("data: a\n\n").then_stay()]).await;
        let mut stream = harness.open(&peer, json!({ "initialDelayMs": 0 })).await;
        stream.expect_error(&status.to_string()).await;
        assert_eq!(stream.report("an event").await, message("a"), "{status}");
        stream.close().await;
    }
    let peer =
        Peer::start([Answer::status(200).header("content-type", "text/html").body("data: a\n\n")]).await;
    let mut stream = harness.open(&peer, json!({})).await;
    stream.expect_error("text/html").await;
    stream.close().await;
}

#[tokio::test]
async fn no_content_shuts_the_client_down() {
    let harness = Harness::start().await;
    let peer = Peer::start([Answer::events("data: a\n\n"), Answer::status(204)]).await;
    let mut stream = harness.open(&peer, json!({ "initialDelayMs": 0 })).await;
    assert_eq!(stream.report("an event").await, message("a"));
    stream.expect_error("ended").await;
    stream.expect_error("204").await;
    stream.stays_silent().await;
    assert_eq!(peer.requests().len(), 2);
    stream.close().await;
}

#[tokio::test]
async fn reconnects_keep_the_last_event_id_and_the_reconnection_time() {
    let harness = Harness::start().await;
    let peer = Peer::start([
        Answer::events("retry: 400\nid: …1\ndata: a\n\nid: 2\ndata: cut"),
        Answer::events("data: b\n\nid\n\n").then_break(),
        Answer::events("data: c\n\n").then_stay(),
    ])
    .await;
    let mut stream = harness.open(&peer, json!({ "initialDelayMs": 0 })).await;
    assert_eq!(stream.report("a").await, event("message", "a", "…1"));
    let ended = std::time::Instant::now();
    stream.expect_error("ended").await;
    assert_eq!(stream.report("b").await, event("message", "b", "…1"));
    let elapsed = ended.elapsed().as_millis();
    assert!((350..2000).contains(&elapsed), "reconnected after {elapsed} ms, not 400");
    stream.expect_error("interrupted").await;
    assert_eq!(stream.report("c").await, message("c"));
    let ids: Vec<_> =
        peer.requests().iter().map(|it| it.header("last-event-id").map(str::to_owned)).collect();
    assert_eq!(ids, [None, Some("…1".to_owned()), None]);
    stream.close().await;
}

#[tokio::test]
async fn a_restart_reconnects_and_reports_no_error() {
    let harness = Harness::start().await;
    let peer = Peer::start([
        Answer::events("id: 1\ndata: a\n\n").then_stay(),
        Answer::events("data: b\n\n").then_stay(),
    ])
    .await;
    let mut stream = harness.open(&peer, json!({})).await;
    assert_eq!(stream.report("a").await, event("message", "a", "1"));
    assert_eq!(stream.command(json!({ "command": "restart" })).await, 200);
    assert_eq!(stream.report("b").await, event("message", "b", "1"));
    assert_eq!(peer.request(1).await.header("last-event-id"), Some("1"));
    stream.close().await;
}

#[tokio::test]
async fn a_read_timeout_is_reported_and_reconnects() {
    let harness = Harness::start().await;
    let open = |data: &str| Answer::events(format!("data: {data}\n\n")).then_stay();
    let peer = Peer::start([open("a"), open("b")]).await;
    let mut stream = harness.open(&peer, json!({ "readTimeoutMs": 500, "initialDelayMs": 0 })).await;
    assert_eq!(stream.report("a").await, message("a"));
    stream.expect_error("nothing was received").await;
    assert_eq!(stream.report("b").await, message("b"));
    stream.close().await;
}

#[tokio::test]
async fn an_event_of_10_mib_of_base64_arrives_whole() {
    let harness = Harness::start().await;
    let data: String = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=".chars().cycle().take(10 << 20).collect();
    let peer = Peer::start([Answer::events(format!("data: {data}\n\n")).then_stay()]).await;
    let mut stream = harness.open(&peer, json!({})).await;
    assert!(stream.report("a large event").await == message(&data));
    stream.close().await;
}

#[tokio::test]
async fn listening_for_types_makes_the_client_ready_for_them() {
    let harness = Harness::start().await;
    let peer = Peer::start([Answer::events("event: a\ndata: 1\n\nevent: b\ndata: 2\n\n").then_stay()]).await;
    let mut stream = harness.open(&peer, json!({})).await;
    for name in ["a", "b"] {
        assert_eq!(stream.command(json!({ "command": "listen", "listen": { "type": name } })).await, 200);
    }
    assert_eq!(stream.report("1").await, event("a", "1", ""));
    assert_eq!(stream.report("2").await, event("b", "2", ""));
    stream.close().await;
}

#[tokio::test]
async fn the_service_reports_its_features_and_refuses_others() {
    let harness = Harness::start().await;
    let (status, _, body) = harness.request("GET", "/", "").await;
    assert_eq!(status, 200);
    let capabilities: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(capabilities["capabilities"].as_array().unwrap().len(), 10);
    for bad in ["", "{}", "nonsense", r#"{"streamUrl":"not a URL","callbackUrl":"http://127.0.0.1:1"}"#] {
        assert_eq!(harness.request("POST", "/", bad).await.0, 400, "{bad:?}");
    }
    assert_eq!(harness.request("DELETE", "/streams/999", "").await.0, 404);
    assert_eq!(harness.request("POST", "/streams/999", r#"{"command":"restart"}"#).await.0, 404);

    let peer = Peer::start([Answer::events("data: a\n\n").then_stay()]).await;
    let mut stream: Stream = harness.open(&peer, json!({})).await;
    assert_eq!(stream.report("a").await, message("a"));
    assert_eq!(stream.command(json!({ "command": "dance" })).await, 400);
    let location = stream.location().to_owned();
    stream.close().await;
    peer.left(1).await;
    assert_eq!(harness.request("DELETE", &location, "").await.0, 404, "it is gone");

    let (status, _, _) = harness.request("DELETE", "/", "").await;
    assert!((200..300).contains(&status));
    harness.has_quit().await;
}
