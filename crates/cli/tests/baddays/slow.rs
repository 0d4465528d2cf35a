//! Peers that are slow, and peers that send too much.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::http2::Http2;
use crate::hub::{Answer, Hub, PATH, is_closed_within, many_descriptors, post, scaled, subscribe, until};
use crate::stream::Stream;

const SECOND: Duration = Duration::from_secs(1);
/// Tolerance for a busy machine.
const SLACK: Duration = Duration::from_secs(15);

/// Sends the remaining bytes to all of them, byte by byte, until the hub has closed each; returns the
/// answers.
fn drip(sockets: Vec<(TcpStream, Vec<u8>)>, pace: Duration) -> Vec<String> {
    let end = Instant::now() + SECOND + SLACK;
    let mut open: Vec<_> =
        sockets.into_iter().map(|(socket, bytes)| (socket, bytes, 0, Vec::new())).collect();
    let mut answers = Vec::new();
    while !open.is_empty() {
        assert!(Instant::now() < end, "{} are still connected", open.len());
        let mut next = Vec::new();
        for (mut socket, bytes, sent, mut heard) in open {
            socket.set_nonblocking(true).expect("it can be set");
            let mut scratch = [0; 4096];
            let ended = match socket.read(&mut scratch) {
                Ok(0) => true,
                Ok(read) => {
                    heard.extend_from_slice(&scratch[..read]);
                    false
                }
                Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
            };
            let ended = ended
                || sent < bytes.len()
                    && socket
                        .write(&bytes[sent..=sent])
                        .is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock);
            if ended {
                // Output of the hub before it closed the connection.
                let _ = socket.set_nonblocking(false).and_then(|()| socket.read_to_end(&mut heard));
                answers.push(String::from_utf8_lossy(&heard).into_owned());
            } else {
                let sent = (sent + 1).min(bytes.len());
                next.push((socket, bytes, sent, heard));
            }
        }
        open = next;
        thread::sleep(pace);
    }
    answers
}

/// The hub serves others meanwhile.
fn serves(hub: &Hub) {
    let mut stream = Stream::open(hub, "topic=a");
    hub.publish("a", "hello");
    assert_eq!(stream.next().data, "hello");
}

#[test]
fn a_head_sent_byte_by_byte_is_closed_in_time() {
    let many = scaled(200, 2000);
    many_descriptors(many as u64 + 100);
    let hub = Hub::start(&["--limits-head-time", "1s"]);
    let begun = Instant::now();
    let sockets: Vec<_> = (0..many)
        .map(|number| {
            let head = match number % 4 {
                // Of all these, only `P` and `PR` could be the beginning of HTTP/2.
                0 => "P".to_owned(),
                1 => "PRI * HTTP/2.0\r\n".to_owned(),
                2 => subscribe(&format!("topic={}", "x".repeat(4000))),
                _ => post(
                    &format!("topic=a&data={}", "x".repeat(4000)),
                    &format!("x-slow: {}\r\n", "x".repeat(4000)),
                ),
            };
            (hub.connect(), head.into_bytes())
        })
        .collect();
    let dripping = thread::spawn(move || drip(sockets, Duration::from_millis(20)));
    serves(&hub);
    let answers = dripping.join().expect("each is closed in time");
    assert_eq!(answers.len(), many);
    assert!(begun.elapsed() >= SECOND, "they had their time");
    let slow =
        hub.expect_figure("ssekit_connections_refused_total{reason=\"slow\"}", |slow| slow >= many as u64);
    assert_eq!(slow, many as u64);
    serves(&hub);
}

#[test]
fn a_body_sent_byte_by_byte_is_answered_408() {
    let many = scaled(100, 1000);
    let hub = Hub::start(&["--limits-body-time", "1s"]);
    let sockets: Vec<_> = (0..many)
        .map(|_| {
            let (head, body) =
                (post("", "x: y\r\n").replace("length: 0", "length: 5000"), "topic=a&data=slow".repeat(300));
            let mut socket = hub.connect();
            socket.write_all(head.as_bytes()).expect("the hub reads");
            (socket, body.into_bytes())
        })
        .collect();
    let dripping = thread::spawn(move || drip(sockets, Duration::from_millis(20)));
    serves(&hub);
    for answer in dripping.join().expect("each is answered in time") {
        assert!(
            answer.starts_with("HTTP/1.1 408 ") && answer.contains("urn:ssekit:problem:timeout"),
            "{answer:?}"
        );
    }
    hub.expect_figure("ssekit_requests_refused_total{problem=\"timeout\"}", |count| count == many as u64);
    serves(&hub);
}

#[test]
fn a_silent_connection_is_closed_in_time_and_keeps_no_client_out() {
    let many = 300;
    let hub = Hub::start(&["--limits-head-time", "2s", "--limits-connections", "20"]);
    let mut silent: Vec<_> = (0..many).map(|_| hub.connect()).collect();
    // The limit is 20; 300 connections are silent.
    serves(&hub);
    for socket in &mut silent {
        assert!(is_closed_within(socket, 2 * SECOND + SLACK), "still connected");
    }
    hub.expect_figure("ssekit_connections_refused_total{reason=\"silent\"}", |count| count == many);
    serves(&hub);
}

#[test]
fn an_http_2_connection_without_settings_is_closed() {
    let hub = Hub::start(&["--limits-head-time", "1s"]);
    let mut socket = hub.connect();
    // The preface alone, without the settings that must follow.
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("the hub reads");
    assert!(is_closed_within(&mut socket, SECOND + SLACK));
}

/// Each flood used to keep a part of a processor busy for as long as it lasted.
#[test]
fn floods_of_frames_that_ask_for_nothing_are_closed() {
    let hub = Hub::start(&[]);
    let ping: (u8, &[u8]) = (6, &[0; 8]);
    let floods = [ping, (4, &[]), (8, &[0, 0, 0, 1]), (2, &[0; 5]), (0xfe, &[0; 100])];
    for (kind, payload) in floods {
        let mut http2 = Http2::over(hub.connect(), 65_535);
        let stream = http2.subscribe("topic=a");
        let on = if kind == 2 { stream } else { 0 };
        let reader = http2.socket.try_clone().expect("one more");
        let reader = thread::spawn(move || {
            let mut reader = reader;
            is_closed_within(&mut reader, SLACK)
        });
        let mut sent = 0;
        while sent < 1_000_000 && http2.send(kind, 0, on, payload).is_ok() {
            sent += 1;
        }
        assert!(sent < 1_000_000, "it read {sent} frames of kind {kind}");
        assert!(reader.join().expect("it reads"), "kind {kind}");
    }
    hub.expect_figure("ssekit_connections_refused_total{reason=\"flooded\"}", |count| count >= 4);
    serves(&hub);
}

#[test]
fn heads_that_are_too_large_are_answered_431() {
    let hub = Hub::start(&[]);
    let request = |more: &str| format!("GET {PATH}?topic=a HTTP/1.1\r\nhost: localhost\r\n{more}\r\n");
    let one_long = request(&format!("x: {}\r\n", "y".repeat(64 << 10)));
    let a_thousand: String = (0..1000).map(|number| format!("x{number}: y\r\n")).collect();
    let long_lines: String = (0..60).map(|number| format!("x{number}: {}\r\n", "y".repeat(1000))).collect();
    let long_path = format!("GET {PATH}?topic={} HTTP/1.1\r\nhost: localhost\r\n\r\n", "y".repeat(60 << 10));
    let floods = [one_long, request(&a_thousand), request(&long_lines), long_path];
    for (number, flood) in (1..).zip(&floods) {
        let mut socket = hub.connect();
        // It may stop reading before all is sent.
        let _ = socket.write_all(flood.as_bytes());
        let _ = socket.shutdown(Shutdown::Write);
        let mut bytes = Vec::new();
        let _ = socket.read_to_end(&mut bytes);
        let answer = String::from_utf8_lossy(&bytes);
        assert!(answer.starts_with("HTTP/1.1 431 "), "flood {number}: {answer:?}");
        hub.expect_figure("ssekit_connections_refused_total{reason=\"head\"}", |count| count == number);
    }
    // A head slightly above the limit is read, and refused with the reason.
    let target = format!("{PATH}?topic={}", "y".repeat(20 << 10));
    let line = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    for (number, head) in (1..).zip([line, request(&format!("x: {}\r\n", "y".repeat(20 << 10)))]) {
        let mut socket = hub.connect();
        socket.write_all(head.as_bytes()).expect("the hub reads");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("an answer, and the end of the connection");
        let length = format!("the request head has {} bytes; the limit is 16384", head.len());
        assert!(answer.starts_with("HTTP/1.1 431 ") && answer.contains(&length), "{answer:?}");
        hub.expect_figure("ssekit_requests_refused_total{problem=\"head-too-large\"}", |count| {
            count == number
        });
    }
    // A head without an end is not read forever.
    let mut socket = hub.connect();
    let mut sent = 0;
    socket.write_all(b"GET / HTTP/1.1\r\n").expect("the hub reads");
    while sent < 64 << 20 && socket.write_all(&[b'x'; 1 << 16]).is_ok() {
        sent += 1 << 16;
    }
    assert!(sent < 64 << 20, "it read {sent} bytes of a head");
    // A head below the limit is served, though it is too large for the fan-out's path.
    let large = request(&format!("x: {}\r\n", "y".repeat(12 << 10)));
    let mut socket = hub.connect();
    socket.write_all(large.as_bytes()).expect("the hub reads");
    let mut start = [0; 12];
    socket.read_exact(&mut start).expect("it is answered");
    assert_eq!(&start, b"HTTP/1.1 200");
    serves(&hub);
}

#[test]
fn bodies_that_are_too_large_are_answered_413_and_not_kept() {
    let hub = Hub::start(&["--limits-body-size", "64KiB"]);
    let before = hub.memory();
    for _ in 0..20 {
        let mut socket = hub.connect();
        let head = format!("POST {PATH} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n");
        socket.write_all(head.as_bytes()).expect("the hub reads");
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(1 << 16));
        for _ in 0..16 {
            if socket.write_all(chunk.as_bytes()).is_err() {
                break;
            }
        }
        let mut bytes = Vec::new();
        let _ = socket.read_to_end(&mut bytes);
        let answer = String::from_utf8_lossy(&bytes);
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer:?}");
    }
    let length = format!(
        "POST {PATH} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 1000000000000\r\n\
         \r\n"
    );
    let answer = hub.ask(&length);
    assert_eq!(answer.status, 413, "{answer:?}");
    hub.expect_figure("ssekit_requests_refused_total{problem=\"too-large\"}", |count| count == 21);
    assert!(hub.memory() < before + (32 << 20), "{} before, {} now", before, hub.memory());
    serves(&hub);
}

#[test]
fn garbage_is_answered_400_and_counted() {
    let hub = Hub::start(&[]);
    let garbage: [&[u8]; 6] = [
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03hello hello",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
    ];
    for bytes in garbage {
        let mut socket = hub.connect();
        socket.write_all(bytes).expect("the hub reads");
        let _ = socket.shutdown(Shutdown::Write);
        let answer = Answer::read(&mut socket).expect("it is answered");
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    until("all are counted", || {
        hub.figure("ssekit_connections_refused_total{reason=\"malformed\"}") == garbage.len() as u64
    });
    serves(&hub);
}
