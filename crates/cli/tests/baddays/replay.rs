//! Replays share the log fairly: neither subscribers that read nothing nor searches without results keep the
//! others from it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::hub::{Hub, many_descriptors, scaled, subscribe};
use crate::stream::{Stream, narrow};

/// Updates of 4 kB that an honest client has missed: 40 MB.
const MISSED: usize = 10_000;

/// Time in which an honest client gets the missed updates.
fn resume(hub: &Hub, id: &str) -> Duration {
    let begun = Instant::now();
    let mut stream = Stream::open(hub, &format!("topic=mine&lastEventID={id}"));
    for _ in 0..MISSED {
        stream.next();
    }
    begun.elapsed()
}

fn ask(hub: &Hub, query: &str) -> TcpStream {
    let mut socket = narrow(hub.addr);
    socket.write_all(subscribe(query).as_bytes()).expect("the hub reads");
    socket
}

/// Starts a hub with a history; returns it with the id after which the honest client resumes.
fn filled(flags: &[&str]) -> (Hub, String) {
    let hub = Hub::start(flags);
    hub.fill("other", scaled(10_000, 180_000), 4000);
    let id = hub.publish("mine", "the last that it had");
    hub.fill("mine", MISSED, 4000);
    (hub, id)
}

/// Permitted delay of a resume: a second in the long run of the attacks, where no other test runs.
///
/// Otherwise it must only not wait for the end of the others.
fn delay() -> Duration {
    Duration::from_secs(if std::env::var_os("SSEKIT_HOSTILE_SECONDS").is_some() { 1 } else { 20 })
}

/// A resume used to take up to 52 s, because it waited for subscribers that held the memory.
#[test]
fn a_thousand_that_read_nothing_or_little_delay_a_resume_little() {
    many_descriptors(2_000);
    let (hub, id) = filled(&["--limits-recent", "1MiB"]);
    let quiet = resume(&hub, &id);
    let mut evil: Vec<_> = (0..1_000).map(|_| ask(&hub, "topic=*&lastEventID=earliest")).collect();
    let beside_all_who_come = resume(&hub, &id);
    let stop = Arc::<AtomicBool>::default();
    let sipping = {
        let stop = Arc::clone(&stop);
        let slow = evil.split_off(500);
        thread::spawn(move || {
            let mut scratch = [0; 4096];
            slow.iter().for_each(|socket| socket.set_nonblocking(true).expect("it can be set"));
            while !stop.load(Ordering::Relaxed) {
                for mut socket in &slow {
                    let _ = socket.read(&mut scratch);
                }
                thread::sleep(Duration::from_millis(200));
            }
        })
    };
    let beside_idle_and_slow = resume(&hub, &id);
    println!(
        "40 MB: {quiet:?}; while 1,000 come: {beside_all_who_come:?}; beside them: {beside_idle_and_slow:?}"
    );
    let most = quiet + delay();
    assert!(beside_all_who_come < most && beside_idle_and_slow < most);
    stop.store(true, Ordering::Relaxed);
    sipping.join().expect("it ends");
}

/// Scans used to keep the memory until they had read the whole log, although they had nothing to write.
#[test]
fn scans_that_find_nothing_delay_a_resume_little() {
    many_descriptors(1_000);
    let (hub, id) = filled(&["--limits-recent", "1MiB"]);
    let quiet = resume(&hub, &id);
    let evil: Vec<_> =
        (0..300).map(|n| ask(&hub, &format!("topic=nothing-{n}&lastEventID=earliest"))).collect();
    let beside = resume(&hub, &id);
    println!("40 MB: {quiet:?}; beside 300 scans: {beside:?}");
    assert!(beside < quiet + delay());
    // Scans are served, too: after the search they get new updates.
    hub.expect_figure("ssekit_replays", |now| now == 0);
    drop(evil);
}
