//! Clocks that jump.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::hub::{Hub, PATH, post, ssekit};
use crate::stream::{Next, Stream};
use crate::token::{SECRET, token};

const HOUR: u64 = 3600;

/// libfaketime, which shows a process another wall clock.
///
/// The monotonic clock is not changed, as in a real jump.
fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let found = folders.map(|folder| folder.join("faketime/libfaketime.so.1")).find(|path| path.exists());
    found.expect("this test needs libfaketime: `apt-get install libfaketime` (Debian, Ubuntu)")
}

#[test]
fn a_jump_of_the_wall_clock_affects_only_validity_and_ages() {
    let folder = tempfile::tempdir().expect("a folder");
    let offset = folder.path().join("offset");
    let jump = |hours: i64| {
        let new = folder.path().join("new");
        std::fs::write(&new, format!("{:+}h\n", hours))
            .and_then(|()| std::fs::rename(&new, &offset))
            .expect("it can be written");
    };
    jump(0);
    let command = ["serve", "--metrics", "--store"];
    let hub = Hub::of(
        ssekit()
            .args(command)
            .arg(folder.path().join("data"))
            .args(["--addr", "127.0.0.1:0", "--heartbeat", "1s", "--retention", "topic=* age=1h"])
            .env("SSEKIT_KEY", SECRET)
            .env("LD_PRELOAD", library())
            .env("FAKETIME_TIMESTAMP_FILE", &offset)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    );
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_secs();
    let valid = |until: u64| {
        let token =
            token(SECRET, &json!({ "mercure": { "subscribe": ["*"], "publish": ["*"] }, "exp": until }));
        format!("authorization: Bearer {token}\r\n")
    };
    let request = |authorization: &str, more: &str| {
        format!("GET {PATH}?topic=a HTTP/1.1\r\nhost: localhost\r\n{authorization}{more}\r\n")
    };
    let publish = |authorization: &str, data: &str| {
        hub.ask(&post(&format!("topic=a&data={data}"), &format!("{authorization}connection: close\r\n")))
    };
    let (hour, week) = (valid(now + HOUR), valid(now + 7 * 24 * HOUR));
    let mut stream = Stream::over(hub.connect(), &request(&hour, "")).expect("it is served");
    assert_eq!(publish(&hour, "one").status, 200);
    let one = stream.next();
    assert_eq!(one.data, "one");

    jump(2);
    // Granted streams end by the monotonic clock; new requests are refused by the wall clock.
    assert_eq!(publish(&week, "two").status, 200);
    assert_eq!(stream.next().data, "two");
    let late = publish(&hour, "late");
    assert_eq!(late.status, 401, "{late:?}");
    assert!(late.body.contains("expired"), "{late:?}");
    // The first update is older than an hour now, and dropped.
    let earliest = request(&week, "last-event-id: earliest\r\n");
    let first = |hub: &Hub| Stream::over(hub.connect(), &earliest).expect("it is served").next().data;
    crate::hub::until("what is too old is let go", || first(&hub) == "two");

    jump(-2);
    // The earlier time comes again: nothing is out of order, and no dropped update returns.
    assert_eq!(publish(&hour, "three").status, 200);
    let three = stream.next();
    assert_eq!(three.data, "three");
    let mut resumed =
        Stream::over(hub.connect(), &request(&hour, "last-event-id: earliest\r\n")).expect("it is served");
    assert_eq!([resumed.next().data, resumed.next().data], ["two", "three"]);
    assert_eq!(publish(&hour, "four").status, 200);
    let mut after = request(&hour, &format!("last-event-id: {}\r\n", three.id));
    let mut resumed = Stream::over(hub.connect(), &after).expect("it is served");
    assert_eq!(resumed.next().data, "four");
    // The first update is dropped, but a subscriber that has had it has missed nothing.
    after = request(&hour, &format!("last-event-id: {}\r\n", one.id));
    let mut resumed = Stream::over(hub.connect(), &after).expect("it is served");
    assert_eq!(resumed.next().data, "two");

    // Heartbeats follow the monotonic clock.
    let before = hub.figure("ssekit_heartbeats_total");
    jump(-1000);
    hub.expect_figure("ssekit_heartbeats_total", |count| count > before + 1);
    jump(1000);
    let before = hub.figure("ssekit_heartbeats_total");
    hub.expect_figure("ssekit_heartbeats_total", |count| count > before + 1);
    assert_eq!(stream.next().data, "four");
    assert_eq!(stream.wait(Duration::from_millis(100)), Next::Silence, "it is still there");
}
