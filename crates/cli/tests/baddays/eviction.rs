//! Connections without a request make room for others, however many they are.

use std::io::Write as _;
use std::time::Duration;

use crate::http2::Http2;
use crate::hub::{Hub, PATH, is_closed_within, many_descriptors, subscribe, until};
use crate::stream::Stream;
use crate::tls::TlsHub;

/// More than the connection limit.
const EVIL: usize = 300;
const HONEST: usize = 30;
const LIMIT: &str = "50";

const BUSY_FOREVER: [&str; 4] = ["--limits-connections", LIMIT, "--limits-head-time", "1h"];

/// Such connections used to hold all permits until their time was over.
#[test]
fn unfinished_requests_keep_no_client_out() {
    many_descriptors(1_000);
    let half = subscribe("topic=a");
    let post = format!("POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n");
    for begun in ["", "G", "P", "PRI * HTTP/2.0\r\n", &half[..half.len() - 2], &post] {
        let hub = Hub::start(&BUSY_FOREVER);
        let evil: Vec<_> = (0..EVIL)
            .map(|_| {
                let mut socket = hub.connect();
                socket.write_all(begun.as_bytes()).expect("the hub reads");
                socket
            })
            .collect();
        let mut honest: Vec<_> = (0..HONEST).map(|_| Stream::open(&hub, "topic=a")).collect();
        hub.expect_subscribers(HONEST as u64);
        hub.publish("a", "hello");
        for stream in &mut honest {
            assert_eq!(stream.next().data, "hello", "beside {begun:?}");
        }
        if !begun.is_empty() {
            let evicted = hub.figure("ssekit_connections_refused_total{reason=\"evicted\"}");
            assert!(evicted >= EVIL as u64 - 50, "{evicted} beside {begun:?}");
        }
        // Connections with an open request make no room.
        let more: Vec<_> = (0..EVIL).map(|_| hub.connect()).collect();
        for mut socket in &more {
            let _ = socket.write_all(b"GET / HTTP/1.1\r\n");
        }
        hub.publish("a", "again");
        for stream in &mut honest {
            assert_eq!(stream.next().data, "again");
        }
        drop((evil, more));
    }
}

#[test]
fn idle_connections_keep_no_client_out() {
    many_descriptors(1_000);
    let hub = Hub::start(&BUSY_FOREVER);
    let mut evil = Vec::new();
    for number in 0..EVIL {
        let mut socket = hub.connect();
        if number % 2 == 0 {
            socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("the hub reads");
        } else {
            let mut http2 = Http2::over(socket.try_clone().expect("one more"), 65_535);
            http2.request(0x82, "/healthz", &[], 1).expect("the hub reads");
        }
        evil.push(socket);
    }
    let mut honest: Vec<_> = (0..HONEST).map(|_| Stream::open_when_there_is_room(&hub, "topic=a")).collect();
    hub.publish("a", "hello");
    for stream in &mut honest {
        assert_eq!(stream.next().data, "hello");
    }
}

#[test]
fn tls_connections_without_a_request_keep_no_client_out() {
    many_descriptors(1_000);
    for way in ["silent", "one byte", "handshake", "half a head"] {
        let tls = TlsHub::start(&BUSY_FOREVER);
        let mut evil = Vec::new();
        let mut secured = Vec::new();
        for _ in 0..EVIL {
            let mut socket = tls.hub.connect();
            match way {
                "silent" => evil.push(socket),
                "one byte" => {
                    socket.write_all(&[0x16]).expect("the hub reads");
                    evil.push(socket);
                }
                _ => {
                    let mut secure = tls.secure(socket);
                    if way == "half a head" {
                        secure.write_all(b"GET / HTTP/1.1\r\n").expect("the hub reads");
                    }
                    secured.push(secure);
                }
            }
        }
        let honest: Vec<_> = (0..HONEST)
            .map(|_| {
                let mut stream = tls.secure(tls.hub.connect());
                stream.write_all(subscribe("topic=a").as_bytes()).expect("the hub reads");
                stream
            })
            .collect();
        let metrics = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        until(way, || tls.ask(metrics).body.contains(&format!("ssekit_subscribers {HONEST}\n")));
        drop((evil, secured, honest));
    }
}

/// Such a connection used to hold its permit forever.
#[test]
fn a_connection_of_http_2_that_has_nothing_open_is_closed() {
    let hub = Hub::start(&["--limits-head-time", "1s"]);
    for path in ["/healthz", "/nothing", &format!("{PATH}?topic=")] {
        let mut http2 = Http2::over(hub.connect(), 65_535);
        http2.request(0x82, path, &[], 1).expect("the hub reads");
        assert!(is_closed_within(&mut http2.socket, Duration::from_secs(20)), "{path}");
    }
    // A connection with a stream stays.
    let mut http2 = Http2::over(hub.connect(), 65_535);
    http2.subscribe("topic=a");
    http2.request(0x82, "/healthz", &[], 1).expect("the hub reads");
    assert!(!is_closed_within(&mut http2.socket, Duration::from_secs(3)));
    hub.expect_subscribers(1);
}
