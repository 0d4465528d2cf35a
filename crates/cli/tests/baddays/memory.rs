//! Memory of subscribers that do not keep up.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::hub::{Hub, PATIENCE, many_descriptors, scaled, subscribe};
use crate::stream::{Next, Stream, narrow};

fn ask(hub: &Hub, query: &str) -> TcpStream {
    let mut socket = narrow(hub.addr);
    socket.write_all(subscribe(query).as_bytes()).expect("the hub reads");
    socket
}

/// Reads this number of bytes at a time from all of them, until told to stop.
fn sip(
    sockets: Vec<TcpStream>,
    bytes: usize,
    pace: Duration,
    stop: Arc<AtomicBool>,
) -> thread::JoinHandle<Vec<TcpStream>> {
    thread::spawn(move || {
        let mut scratch = vec![0; bytes];
        for socket in &sockets {
            socket.set_nonblocking(true).expect("it can be set");
        }
        while !stop.load(Ordering::Relaxed) {
            for mut socket in &sockets {
                let _ = socket.read(&mut scratch);
            }
            thread::sleep(pace);
        }
        sockets
    })
}

#[test]
fn a_subscriber_that_reads_byte_by_byte_delays_no_other_and_is_closed() {
    let hub = Hub::start(&[
        "--stall",
        "2s",
        "--heartbeat",
        "1s",
        "--retention",
        "topic=* records=2000",
        "--limits-recent",
        "256KiB",
    ]);
    let slow = ask(&hub, "topic=a");
    let mut good = Stream::open(&hub, "topic=a");
    hub.expect_subscribers(2);
    let stop = Arc::<AtomicBool>::default();
    let sipping = sip(vec![slow], 1, Duration::from_millis(20), Arc::clone(&stop));
    let before = hub.memory();
    let (begun, rounds) = (Instant::now(), scaled(20, 500));
    for _ in 0..rounds {
        hub.fill("a", 400, 1000);
        for _ in 0..400 {
            good.next();
        }
    }
    println!("{} events past one that reads nothing, in {:?}", rounds * 400, begun.elapsed());
    hub.expect_subscribers(1);
    let ended =
        |reason: &str| hub.figure(&format!("ssekit_subscriptions_ended_total{{reason=\"{reason}\"}}"));
    assert_eq!(ended("stalled") + ended("overtaken"), 1);
    assert!(hub.memory() < before + (32 << 20), "{before} bytes before, {} now", hub.memory());
    stop.store(true, Ordering::Relaxed);
    sipping.join().expect("it ends");
    hub.publish("a", "still");
    assert_eq!(good.next().data, "still");
}

#[test]
fn a_thousand_that_do_not_read_cost_bounded_memory_wherever_they_begin() {
    let many = scaled(1_000, 8_000);
    many_descriptors(many as u64 + 500);
    let flags = ["--stall", "1h", "--limits-pending-memory", "4MiB", "--limits-recent", "8MiB"];
    let hub = Hub::start(&flags);
    hub.fill("a", 3_000, 4000);
    let place = hub.publish("a", "here");
    hub.fill("a", 500, 4000);
    let before = hub.memory();
    // One third begins at the start, which is read from the log; one at an id that is still in the window;
    // one now.
    let sockets: Vec<_> = (0..many)
        .map(|number| match number % 3 {
            0 => ask(&hub, "topic=a&lastEventID=earliest"),
            1 => ask(&hub, &format!("topic=a&lastEventID={place}")),
            _ => ask(&hub, "topic=a"),
        })
        .collect();
    hub.expect_subscribers(many as u64);
    let mut good = Stream::open(&hub, "topic=a");
    for _ in 0..8 {
        hub.fill("a", 500, 4000);
        for _ in 0..500 {
            good.next();
        }
    }
    let taken = hub.memory() - before;
    // 16 MB were published meanwhile, which the log holds; replays may use 4 MiB; each subscriber costs an
    // entry, and the system's buffers are limited, too.
    println!("{many} that do not read: {} KiB, of which 16,000 are the log's", taken >> 10);
    assert!(taken < (16 << 20) + (4 << 20) + many as u64 * (2 << 10) + (14 << 20), "{} KiB", taken >> 10);
    // While memory for their bytes is short, subscribers that take none of them are ended, and no others.
    let stalled = hub.figure("ssekit_subscriptions_ended_total{reason=\"stalled\"}");
    assert_eq!(hub.subscribers() + stalled, many as u64 + 1);
    assert_eq!(good.wait(Duration::from_millis(1)), Next::Silence);
    drop(sockets);
    hub.expect_subscribers(1);
}

#[test]
fn the_system_holds_no_more_for_one_that_does_not_read_than_is_configured() {
    let hub = Hub::start(&["--stall", "1h", "--limits-pending", "64KiB"]);
    let slow = ask(&hub, "topic=a");
    hub.expect_subscribers(1);
    hub.fill("a", 2_000, 4000);
    hub.expect_figure("ssekit_subscribers_blocked_total", |times| times > 0);
    let ends = format!(
        " 0100007F:{:04X} 0100007F:{:04X} 01 ",
        hub.addr.port(),
        slow.local_addr().expect("an address").port()
    );
    // Bytes in the kernel for the hub's end of this connection: `tx_queue` of /proc/net/tcp.
    let queued = || {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux has it");
        let line = table.lines().find(|line| line.contains(&ends));
        let queues = line.and_then(|line| line.split_whitespace().nth(4)).expect("it is connected");
        u64::from_str_radix(queues.split(':').next().expect("a first part"), 16).expect("a number")
    };
    let queued = queued();
    println!("{queued} bytes wait in the system");
    assert!(queued > 0 && queued < 512 << 10, "{queued} bytes wait in the system");
}

#[test]
fn replays_of_slow_readers_leave_room_for_others() {
    let hub = Hub::start(&["--stall", "2s", "--limits-pending-memory", "1MiB", "--limits-recent", "64KiB"]);
    hub.fill("a", 2_000, 4000);
    let slow: Vec<_> = (0..200).map(|_| ask(&hub, "topic=a&lastEventID=earliest")).collect();
    hub.expect_figure("ssekit_replays", |now| now > 0);
    let stop = Arc::<AtomicBool>::default();
    // Never slow enough to stall; but together they need more memory than there is.
    let sipping = sip(slow, 1024, Duration::from_millis(100), Arc::clone(&stop));
    let begun = Instant::now();
    let mut good = Stream::open(&hub, "topic=a&lastEventID=earliest");
    for _ in 0..2_000 {
        good.next();
    }
    println!("a replay of 8 MB beside 200 slow ones: {:?}", begun.elapsed());
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    let ended = hub.figure("ssekit_subscriptions_ended_total{reason=\"stalled\"}");
    assert!(ended >= 4, "{ended}");
    stop.store(true, Ordering::Relaxed);
    sipping.join().expect("it ends");
}

#[test]
fn replays_of_closed_subscribers_are_given_up() {
    many_descriptors(1000);
    let hub = Hub::start(&["--limits-recent", "64KiB", "--threads", "1"]);
    hub.fill("other", 40_000, 10);
    let cost = || {
        let before = hub.processor();
        let mut stream = Stream::open(&hub, "topic=mine&lastEventID=earliest");
        hub.publish("mine", "there");
        while stream.next().data != "there" {}
        hub.processor() - before
    };
    let one = (0..3).map(|_| cost()).min().expect("some");
    for _ in 0..300 {
        drop(ask(&hub, "topic=nothing&lastEventID=earliest"));
    }
    hub.expect_subscribers(0);
    let begun = Instant::now();
    let after = cost();
    hub.expect_figure("ssekit_replays", |now| now == 0);
    println!("{one:?} for one; {after:?} behind 300 that have gone, {:?}", begun.elapsed());
    assert!(
        after < one * 50 + Duration::from_millis(200),
        "{one:?} for one; {after:?} behind 300 that have gone"
    );
}

#[test]
fn the_memory_of_a_large_record_counts_in_full() {
    let hub = Hub::start(&["--stall", "1h", "--limits-pending-memory", "4MiB", "--limits-recent", "64KiB"]);
    for _ in 0..12 {
        hub.fill("a", 1, 900_000);
    }
    let slow = Mutex::new(Vec::new());
    let before = hub.memory();
    for _ in 0..60 {
        slow.lock().expect("nobody panics").push(ask(&hub, "topic=a&lastEventID=earliest"));
    }
    hub.expect_subscribers(60);
    hub.expect_figure("ssekit_replays", |now| now > 0);
    let taken = hub.memory().saturating_sub(before);
    println!("60 replays of records of 900 kB: {} KiB", taken >> 10);
    assert!(taken < (4 << 20) + (12 << 20), "{} KiB", taken >> 10);
}
