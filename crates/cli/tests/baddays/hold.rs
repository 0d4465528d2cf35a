//! Memory that peers make the hub hold: each kind has a limit, whatever a thousand peers do.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::http2::{DATA, END_STREAM, HEADERS, Http2};
use crate::hub::{Hub, PATH, many_descriptors, ssekit, subscribe, until};
use crate::stream::{Stream, narrow};
use crate::tls::TlsHub;
use crate::token::{SECRET, token};

const MIB: u64 = 1 << 20;
const KIB: u64 = 1 << 10;

/// Largest memory of a program during a test, beyond its memory before.
struct Peak {
    before: u64,
    stop: Arc<AtomicBool>,
    watching: thread::JoinHandle<u64>,
}

impl Peak {
    fn watch(hub: &Hub) -> Self {
        let (before, pid, stop) = (hub.memory(), hub.pid(), Arc::<AtomicBool>::default());
        let watching = {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                let mut most = before;
                while !stop.load(Ordering::Relaxed) {
                    most = most.max(crate::hub::memory_of(pid));
                    thread::sleep(Duration::from_millis(20));
                }
                most
            })
        };
        Self { before, stop, watching }
    }

    fn end(self, what: &str) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let grown = self.watching.join().expect("it watches").saturating_sub(self.before);
        println!("{what}: {} KiB more", grown / KIB);
        grown
    }
}

/// HTTP/2 connection whose streams have no window, until the hub closes it.
fn without_window(hub: &Hub, streams: impl Iterator<Item = String>) -> thread::JoinHandle<(Vec<u8>, usize)> {
    let mut http2 = Http2::over(hub.connect(), 0);
    for query in streams {
        http2.subscribe(&query);
    }
    thread::spawn(move || http2.until_closed())
}

fn closed_by_the_hub(peers: Vec<thread::JoinHandle<(Vec<u8>, usize)>>) {
    until("each connection is closed", || peers.iter().all(thread::JoinHandle::is_finished));
    for peer in peers {
        let (_, data) = peer.join().expect("it reads");
        assert_eq!(data, 0, "without a window nothing is sent");
    }
}

/// The hub serves others: a live stream and a replay.
fn serves(hub: &Hub, kept: usize) {
    let mut live = Stream::open(hub, "topic=live");
    hub.publish("live", "hello");
    assert_eq!(live.next().data, "hello");
    let mut stream = Stream::open(hub, "topic=a&lastEventID=earliest");
    for _ in 0..kept {
        assert_ne!(stream.next().id, "");
    }
}

/// Each of a thousand streams used to get a page of the history that nothing counted once the response had
/// it; and when the streams were ended for reading nothing, all pages stayed in memory.
#[test]
fn a_thousand_replays_to_full_sockets_stay_within_the_budget_and_are_closed() {
    let hub = Hub::start(&["--stall", "3s", "--limits-pending-memory", "16MiB", "--limits-recent", "1MiB"]);
    hub.fill("a", 5_000, 4000);
    let peak = Peak::watch(&hub);
    let peers = (0..4).map(|peer| {
        without_window(&hub, (0..250).map(move |n| format!("topic=a&topic={peer}-{n}&lastEventID=earliest")))
    });
    let peers: Vec<_> = peers.collect();
    hub.expect_figure("ssekit_subscriptions_ended_total{reason=\"stalled\"}", |ended| ended > 0);
    serves(&hub, 5_000);
    closed_by_the_hub(peers);
    hub.expect_figure("ssekit_pending_bytes", |bytes| bytes < 64 << 10);
    hub.expect_subscribers(0);
    // The budget, and the memory of the streams themselves.
    let grown = peak.end("a thousand replays over HTTP/2 without a window");
    assert!(grown < 16 * MIB + 1000 * 24 * KIB + 8 * MIB, "{} KiB", grown / KIB);
}

/// Each set of selectors used to have its own copy of the updates that were published together.
#[test]
fn a_thousand_streams_to_full_sockets_share_the_published_bytes() {
    let hub = Hub::start(&["--stall", "1h", "--limits-pending-memory", "16MiB", "--limits-recent", "4MiB"]);
    let mut good = Stream::open(&hub, "topic=a");
    let peak = Peak::watch(&hub);
    let peers: Vec<_> = (0..8)
        .map(|peer| without_window(&hub, (0..125).map(move |n| format!("topic=a&topic={peer}-{n}"))))
        .collect();
    hub.expect_subscribers(1_001);
    for _ in 0..50 {
        hub.fill("a", 60, 4000);
        for _ in 0..60 {
            good.next();
        }
    }
    hub.expect_subscribers(1_001);
    // All hold the same first 64 KiB; the log has 12 MB of its own.
    assert!(hub.figure("ssekit_pending_bytes") < 16 << 20);
    let grown = peak.end("a thousand streams over HTTP/2 without a window");
    assert!(grown < 12 * MIB + 4 * MIB + 1000 * 40 * KIB + 8 * MIB, "{} KiB", grown / KIB);
    drop(peers);
}

/// A socket that has taken a part of an event holds the rest, even if nothing else does.
#[test]
fn events_that_slow_sockets_have_begun_are_in_the_budget() {
    let hub = Hub::start(&[
        "--stall",
        "1h",
        "--limits-pending-memory",
        "8MiB",
        "--limits-recent",
        "1MiB",
        "--retention",
        "topic=* records=2",
    ]);
    // Fills the log's memory for the newest records, and that for bodies.
    hub.fill("others", 100, 900_000);
    let peak = Peak::watch(&hub);
    let peers: Vec<_> = (0..150)
        .map(|n| {
            let mut socket = narrow(hub.addr);
            socket.write_all(subscribe(&format!("topic=own-{n}")).as_bytes()).expect("the hub reads");
            hub.expect_figure("ssekit_subscribers", |now| now > 0);
            hub.fill(&format!("own-{n}"), 1, 900_000);
            socket
        })
        .collect();
    // They would hold 135 MB. Sockets that take nothing are ended, so that the others have room.
    hub.expect_figure("ssekit_pending_bytes", |bytes| bytes > 0 && bytes <= 8 << 20);
    let ended = hub.figure("ssekit_subscriptions_ended_total{reason=\"stalled\"}");
    assert!(ended >= 100, "{ended}");
    let grown = peak.end("150 sockets that have begun an event each");
    assert!(grown < 8 * MIB + 24 * MIB, "{} KiB", grown / KIB);
    drop(peers);
}

#[test]
fn tls_peers_that_read_nothing_stay_within_the_budget() {
    many_descriptors(1_000);
    let tls = TlsHub::start(&["--stall", "3s", "--limits-pending-memory", "8MiB", "--limits-recent", "1MiB"]);
    let line = format!("{{\"topic\":\"a\",\"data\":\"{}\"}}\n", "x".repeat(4000));
    for _ in 0..50 {
        let body = line.repeat(100);
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: \
             application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        assert_eq!(tls.ask(&(head + &body)).status, 200);
    }
    let peak = Peak::watch(&tls.hub);
    let peers: Vec<_> = (0..300)
        .map(|_| {
            let mut peer = tls.secure(narrow(tls.hub.addr));
            peer.write_all(subscribe("topic=a&lastEventID=earliest").as_bytes()).expect("the hub reads");
            peer
        })
        .collect();
    let metrics = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let figure = |name: &str| -> u64 {
        let metrics = tls.ask(metrics).body;
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in {metrics}"))
    };
    until("those who read nothing are ended", || {
        figure("ssekit_subscriptions_ended_total{reason=\"stalled\"}") == 300
    });
    until("nothing waits for them", || figure("ssekit_pending_bytes") == 0);
    // The budget; and for each connection the state of TLS, and 16 KiB of encrypted bytes.
    let grown = peak.end("300 peers of TLS that read nothing");
    assert!(grown < 8 * MIB + 300 * 96 * KIB + 8 * MIB, "{} KiB", grown / KIB);
    drop(peers);
}

#[test]
fn each_stream_of_http_2_counts_as_a_subscriber() {
    let hub = Hub::start(&["--limits-connections", "50"]);
    let mut http2 = Http2::over(hub.connect(), 65_535);
    for n in 0..100 {
        http2.subscribe(&format!("topic={n}"));
    }
    // Each is answered; the streams beyond the limit end at once, with a reconnection time.
    let (mut answered, mut ended) = (0, 0);
    while answered < 100 || ended < 50 {
        let frame = http2.next().expect("all are answered");
        answered += usize::from(frame.kind == HEADERS);
        ended += usize::from(frame.kind == DATA && frame.flags & END_STREAM != 0);
    }
    assert_eq!((answered, ended), (100, 50));
    let busy = hub.get("/readyz");
    assert_eq!(busy.status, 503, "{busy:?}");
    drop::<TcpStream>(http2.socket);
    hub.expect_subscribers(0);
}

/// Head of a publication of 1 MiB.
fn unfinished(token: Option<&str>, way: usize) -> String {
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let head = format!("POST {PATH} HTTP/1.1\r\nhost: localhost\r\n{token}");
    match way {
        0 => format!("{head}content-length: {}\r\n\r\n", 1 << 20),
        1 => format!("{head}transfer-encoding: chunked\r\n\r\n100000\r\n"),
        // `connection: close` makes hyper serve it.
        _ => format!("{head}content-length: {}\r\nconnection: close\r\n\r\n", 1 << 20),
    }
}

/// A thousand connections, of which each sends all of a publication but its last byte, as fast as the hub
/// reads.
fn send_unfinished(hub: &Hub, token: Option<&str>) -> (Arc<AtomicBool>, thread::JoinHandle<()>) {
    let mut peers = Vec::new();
    for number in 0..1_000 {
        let mut socket = hub.connect();
        socket.write_all(unfinished(token, number % 3).as_bytes()).expect("the hub reads");
        socket.set_nonblocking(true).expect("it can be set");
        peers.push((socket, (1 << 20) - 1));
    }
    let stop = Arc::<AtomicBool>::default();
    let stopped = Arc::clone(&stop);
    let sending = thread::spawn(move || {
        let body = [b'x'; 64 << 10];
        while !stopped.load(Ordering::Relaxed) {
            for (socket, left) in &mut peers {
                let part = body.len().min(*left);
                *left -= socket.write(&body[..part]).unwrap_or_default();
            }
            thread::sleep(Duration::from_millis(1));
        }
    });
    (stop, sending)
}

/// The hub used to hold 1 MiB for 30 s for each connection that announced it, whoever sent it.
#[test]
fn bodies_of_a_thousand_unauthorized_publishers_are_not_kept() {
    many_descriptors(2_000);
    let command = ["serve", "--anonymous", "--metrics", "--store", "memory", "--addr", "127.0.0.1:0"];
    let hub = Hub::of(ssekit().args(command).env("SSEKIT_KEY", SECRET));
    let peak = Peak::watch(&hub);
    let (stop, sending) = send_unfinished(&hub, None);
    hub.expect_figure("ssekit_requests_refused_total{problem=\"missing-token\"}", |count| count == 1_000);
    let grown = peak.end("1,000 unfinished bodies without a token");
    assert!(grown < 1_000 * 24 * KIB + 8 * MIB, "{} KiB", grown / KIB);
    stop.store(true, Ordering::Relaxed);
    sending.join().expect("it sends");
}

#[test]
fn bodies_of_a_thousand_publishers_have_one_limit() {
    many_descriptors(2_000);
    let command = ["serve", "--anonymous", "--metrics", "--store", "memory", "--addr", "127.0.0.1:0"];
    let hub =
        Hub::of(ssekit().args(command).args(["--limits-body-memory", "16MiB"]).env("SSEKIT_KEY", SECRET));
    let token = token(SECRET, &json!({ "mercure": { "publish": ["*"] } }));
    let peak = Peak::watch(&hub);
    let (stop, sending) = send_unfinished(&hub, Some(&token));
    // At least those beyond the memory limit.
    hub.expect_figure("ssekit_requests_refused_total{problem=\"unavailable\"}", |count| count >= 900);
    // Small publications are accepted meanwhile.
    let good = crate::hub::post(
        "topic=a&data=hello",
        &format!("authorization: Bearer {token}\r\nconnection: close\r\n"),
    );
    assert_eq!(hub.ask(&good).status, 200);
    let grown = peak.end("1,000 unfinished bodies of publishers");
    assert!(grown < 16 * MIB + 1_000 * 40 * KIB + 8 * MIB, "{} KiB", grown / KIB);
    stop.store(true, Ordering::Relaxed);
    sending.join().expect("it sends");
}

/// Over HTTP/2, the window of the connection limits the bytes that are sent before the hub reads.
#[test]
fn bodies_over_http_2_are_not_held_before_the_publisher_is_known() {
    let command = ["serve", "--anonymous", "--metrics", "--store", "memory", "--addr", "127.0.0.1:0"];
    let hub = Hub::of(ssekit().args(command).env("SSEKIT_KEY", SECRET));
    let peak = Peak::watch(&hub);
    let peers: Vec<_> = (0..100)
        .map(|_| {
            let mut http2 = Http2::over(hub.connect(), 65_535);
            for _ in 0..10 {
                let stream = http2.request(0x83, PATH, &[], 0).expect("the hub reads");
                // As much as its windows allow at the beginning (RFC 9113, section 6.9.2).
                let _ = http2.send(DATA, 0, stream, &[b'x'; 6_000]);
            }
            http2
        })
        .collect();
    hub.expect_figure("ssekit_requests_refused_total{problem=\"missing-token\"}", |count| count == 1_000);
    let grown = peak.end("1,000 unfinished bodies over HTTP/2");
    assert!(grown < 100 * 128 * KIB + 8 * MIB, "{} KiB", grown / KIB);
    drop(peers);
}
