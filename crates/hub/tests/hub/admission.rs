//! Connection limits and rate limits over sockets, and the answers beyond them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ssekit_mercure::Origins;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use crate::client::{Answer, Connection, Request};
use crate::setup::{HUB, TestHub, publication, within};
use crate::stream::Way;

/// Answer to a client beyond a limit.
async fn turned_away(hub: &TestHub, request: &Request) -> Answer {
    let mut connection = Connection::open(hub.addr).await;
    let answer = connection.ask(request).await;
    assert!(connection.is_closed().await);
    answer
}

/// Browsers give up on any status but 200; publishers must not take the answer for success.
async fn check_turned_away(hub: &TestHub) {
    let asked = Request::get(format!("{HUB}?topic=a"));
    let stream = turned_away(hub, &asked).await;
    assert_eq!((stream.status, stream.header("content-type")), (200, Some("text/event-stream")));
    let retry =
        stream.body.strip_prefix("retry: ").and_then(|rest| rest.strip_suffix("\n\n")).expect("a time");
    assert!((1000..=2000).contains(&retry.parse::<u32>().unwrap()), "{retry}");
    // They also give up on an answer that the page may not read.
    let elsewhere = turned_away(hub, &asked.with("origin", "https://app.example")).await;
    assert_eq!(elsewhere.header("access-control-allow-origin"), Some("*"));
    let others = [
        publication("topic=a&data=x"),
        Request::get("/readyz"),
        Request::get(format!("{HUB}/subscriptions")),
    ];
    for request in others {
        let answer = turned_away(hub, &request).await;
        assert_eq!(answer.status, 503, "{} {}", request.method, request.target);
        assert_eq!(answer.json()["type"], "urn:ssekit:problem:unavailable");
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(hub.history().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn line_15_connections_are_limited_and_further_ones_get_a_reconnection_time() {
    let hub = TestHub::start(|setup| {
        setup.server.connections = 3;
        setup.access.cors_origins = Origins::Any;
    })
    .await;
    let mut streams = Vec::new();
    for way in Way::ALL {
        streams.push(way.subscribe(&hub, "topic=a").await);
    }
    check_turned_away(&hub).await;
    let mut others = Vec::new();
    for stream in streams {
        drop(stream);
        others.push(within("the place of who has gone", place(&hub)).await);
        check_turned_away(&hub).await;
    }
    drop(others);
    let turned_away = within("a place", async {
        loop {
            let answer = hub.ask(&Request::get("/metrics")).await;
            if answer.status == 200 {
                return answer.body;
            }
        }
    });
    let figures = turned_away.await;
    assert!(figures.contains("ssekit_connections_turned_away_total "), "{figures}");
    assert!(!figures.contains("ssekit_connections_turned_away_total 0"), "{figures}");
}

/// Connection with an open stream, which makes no room for others.
async fn place(hub: &TestHub) -> Connection {
    loop {
        let mut connection = Connection::open(hub.addr).await;
        connection.send(&Request::get(format!("{HUB}?topic=a")).encode()).await;
        let head = connection.head().await.expect("an answer");
        if head.headers.contains_key("transfer-encoding") {
            return connection;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn line_15_connections_of_one_address_are_bounded_and_do_not_keep_others_away() {
    let hub = TestHub::start(|setup| {
        setup.server.connections_per_address = Some(2);
        setup.access.cors_origins = Origins::Any;
    })
    .await;
    let _one = Way::Socket.subscribe(&hub, "topic=a").await;
    let _two = Way::Http2.subscribe(&hub, "topic=a").await;
    check_turned_away(&hub).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 2], 0))).unwrap();
    let mut other = socket.connect(hub.addr).await.unwrap();
    other.write_all(&Request::get("/readyz").encode()).await.unwrap();
    let mut start = [0; 12];
    within("an answer", other.read_exact(&mut start)).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_and_incomplete_requests_are_closed_in_time() {
    let patience = Duration::from_millis(300);
    let hub = TestHub::start(|setup| setup.server.head_time = patience).await;
    for said in ["", "G", "GET /.well-known/mercure?topic=a HTTP/1.1\r\nhost: hub.test\r\n", "POST /"] {
        let mut connection = Connection::open(hub.addr).await;
        let began = Instant::now();
        connection.send(said.as_bytes()).await;
        // An answer before the end would be as good.
        while connection.skip().await {}
        assert!(began.elapsed() >= patience / 2, "{said:?}: {:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_arrive_in_pieces_of_any_size() {
    let hub = TestHub::usual().await;
    hub.publish("topic=a&data=x").await;
    let request = Request::get(format!("{HUB}?topic=a&lastEventID=earliest")).encode();
    for at in [1, 4, 20, request.len() - 4, request.len() - 1] {
        let mut connection = Connection::open(hub.addr).await;
        for piece in [&request[..at], &request[at..]] {
            connection.send(piece).await;
            // A request on another connection, so that the hub has read the bytes by then.
            assert_eq!(hub.ask(&Request::get("/healthz")).await.status, 200);
        }
        let head = connection.head().await.expect("an answer");
        assert_eq!(head.status, 200, "cut at {at}");
        let mut framing = head.framing();
        let mut text = String::new();
        while !text.contains("data: x\n\n") {
            text += std::str::from_utf8(&connection.piece(&mut framing).await.expect("a stream")).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_large_is_refused_and_a_large_one_is_not() {
    let hub = TestHub::start(|setup| setup.server.head_size = 16 << 10).await;
    for size in [4 << 10, 10 << 10, 40 << 10] {
        let request = Request::get(format!("{HUB}?topic=a")).with("x-filler", &"x".repeat(size));
        let mut connection = Connection::open(hub.addr).await;
        connection.send(&request.encode()).await;
        match connection.head().await {
            Some(head) => assert_eq!(head.status, if size > 16 << 10 { 431 } else { 200 }, "{size} bytes"),
            // The hub closes with unread input, so the answer may be lost.
            None => assert!(size > 16 << 10, "{size} bytes"),
        }
    }
}
