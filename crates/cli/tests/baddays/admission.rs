//! More connections and subscribers than the limits allow.

use std::collections::HashSet;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::hub::{Answer, Hub, PATH, many_descriptors, scaled, ssekit, subscribe};
use crate::stream::{Next, Stream};
use crate::token::{SECRET, token};

/// Reconnection time of a client beyond the limit: it gets a stream, because browsers give up on any other
/// answer.
fn turned_away(hub: &Hub) -> u64 {
    let mut stream = Stream::open(hub, "topic=a");
    assert!(stream.head.contains("content-type: text/event-stream"), "{}", stream.head);
    assert_eq!(stream.wait(Duration::from_secs(10)), Next::End);
    stream.retry().expect("it is told when to return")
}

/// Rejected clients do not return at the same time.
fn is_spread(times: &[u64]) {
    assert!(times.iter().all(|time| (500..=1500).contains(time)), "{times:?}");
    let (first, last) = (times.iter().min().expect("some"), times.iter().max().expect("some"));
    assert!(last - first > 200 && times.iter().collect::<HashSet<_>>().len() > 10, "{times:?}");
}

#[test]
fn clients_beyond_the_limit_get_different_reconnection_times() {
    let hub = Hub::start(&["--limits-connections", "30"]);
    let first: Vec<_> = (0..29).map(|_| Stream::open(&hub, "topic=a")).collect();
    let here = hub.expect_figure("ssekit_subscribers", |now| now == 29);
    let last = Stream::open_when_there_is_room(&hub, "topic=a");
    let times: Vec<_> = (0..30).map(|_| turned_away(&hub)).collect();
    is_spread(&times);
    // A publisher must not take this for success.
    let refused = hub.try_publish("a", "lost?");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(
        refused.header("retry-after").is_some() && refused.body.contains("urn:ssekit:problem:"),
        "{refused:?}"
    );
    drop(last);
    // As soon as one has left, the next is served.
    hub.expect_subscribers(here);
    let mut last = Stream::open_when_there_is_room(&hub, "topic=a");
    drop(first);
    let turned_away = hub.expect_figure("ssekit_connections_turned_away_total", |_| true);
    assert!(turned_away >= 31, "{turned_away}");
    crate::hub::until("it says so", || !hub.log_lines("limits.connections").is_empty());
    let said = hub.log_lines("limits.connections");
    assert!(said.len() < 20, "{}", hub.log());
    hub.publish("a", "hello");
    assert_eq!(last.next().data, "hello");
}

#[test]
fn one_address_uses_only_its_share_of_connections() {
    let hub = Hub::start(&["--limits-connections-per-address", "10"]);
    let mine: Vec<_> = (0..10).map(|_| Stream::open(&hub, "topic=a")).collect();
    let times: Vec<_> = (0..30).map(|_| turned_away(&hub)).collect();
    is_spread(&times);
    // Another address of this machine.
    let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    other
        .bind(&"127.0.0.2:0".parse::<std::net::SocketAddr>().expect("an address").into())
        .expect("it is ours");
    other.connect(&hub.addr.into()).expect("the hub accepts");
    let mut other = Stream::over(TcpStream::from(other), &subscribe("topic=a")).expect("it is served");
    drop(mine);
    hub.expect_subscribers(1);
    hub.publish("a", "hello");
    assert_eq!(other.next().data, "hello");
}

#[test]
fn subscribers_beyond_the_rate_get_a_reconnection_time() {
    let hub = Hub::start(&["--limits-connects-per-second", "10"]);
    let begun = Instant::now();
    let (mut served, mut away) = (Vec::new(), Vec::new());
    while away.len() < 30 {
        let mut stream = Stream::open(&hub, "topic=a");
        match stream.wait(Duration::from_millis(20)) {
            Next::End => away.push(stream.retry().expect("it is told")),
            other => {
                assert_eq!(other, Next::Silence);
                served.push(stream);
            }
        }
    }
    let most = 10.0 + begun.elapsed().as_secs_f64() * 10.0 + 1.0;
    assert!(served.len() >= 10 && (served.len() as f64) <= most, "{} in {:?}", served.len(), begun.elapsed());
    is_spread(&away);
    // The limit applies to subscribers; publishers are served.
    hub.publish("a", "hello");
    for stream in &mut served {
        assert_eq!(stream.next().data, "hello");
    }
}

#[test]
fn many_invalid_tokens_are_refused_and_keep_no_client_out() {
    let many = scaled(5_000, 50_000);
    many_descriptors(2_000);
    let command = ["serve", "--anonymous", "--metrics", "--store", "memory", "--addr", "127.0.0.1:0"];
    let hub = Hub::of(ssekit().args(command).env("SSEKIT_KEY", SECRET));
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later").as_secs();
    let claims = json!({ "mercure": { "subscribe": ["*"], "publish": ["*"] }, "exp": now + 3600 });
    let good = token(SECRET, &claims);
    let bad = [
        token("another secret, which is just as long as it must", &claims),
        token(SECRET, &json!({ "mercure": { "subscribe": ["*"] }, "exp": now - 60 })),
        "eyJhbGciOiJub25lIn0.e30.".to_owned(),
        "x".repeat(7000),
        ".".repeat(7000),
    ];
    let before = hub.memory();
    let begun = Instant::now();
    for batch in 0..many / 500 {
        // All connect at once, before any is answered.
        let mut sockets: Vec<_> = (0..500)
            .map(|number| {
                let mut socket = hub.connect();
                let token = &bad[(batch + number) % bad.len()];
                let line = format!("GET {PATH}?topic=a HTTP/1.1\r\nhost: localhost\r\n");
                let request = format!("{line}authorization: Bearer {token}\r\nconnection: close\r\n\r\n");
                socket.write_all(request.as_bytes()).expect("the hub reads");
                socket
            })
            .collect();
        for socket in &mut sockets {
            let answer = Answer::read(socket).expect("it is answered");
            assert_eq!(answer.status, 401, "{answer:?}");
            assert!(
                answer.header("www-authenticate").is_some_and(|header| header.contains("invalid_token")),
                "{answer:?}"
            );
        }
    }
    println!("{many} refused in {:?}", begun.elapsed());
    hub.expect_figure("ssekit_requests_refused_total{problem=\"invalid-token\"}", |count| {
        count == many as u64
    });
    assert!(hub.memory() < before + (48 << 20), "{before} bytes before, {} now", hub.memory());
    let request =
        format!("GET {PATH}?topic=a HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {good}\r\n\r\n");
    let mut stream = Stream::over(hub.connect(), &request).expect("a good one is served");
    let publish = crate::hub::post(
        "topic=a&data=hello&private=on",
        &format!("authorization: Bearer {good}\r\nconnection: close\r\n"),
    );
    assert_eq!(hub.ask(&publish).status, 200);
    assert_eq!(stream.next().data, "hello");
    // The log reveals nothing of a token.
    assert!(!hub.log().contains(&good[good.len() - 20..]));
}
