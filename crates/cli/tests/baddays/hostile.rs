//! All attacks at once on one hub, beside honest subscribers, publishers and clients that reconnect.
//!
//! The usual run takes seconds and asserts properties that hold on any machine: no event is lost or repeated
//! without a notice, every honest client is served, and the hub's memory stays within its limits.
//! `SSEKIT_HOSTILE_SECONDS` sets a longer run, which also asserts the latency of deliveries and of resumes.

mod attack;
mod honest;
mod ledger;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use self::attack::ATTACKS;
use self::honest::{Publisher, Reconnecting, Subscribers};
use crate::hub::{Hub, many_descriptors, ssekit};
use crate::token::{SECRET, token};

/// Address, tokens and times that every thread of the test uses.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) addr: SocketAddr,
    /// Token of honest subscribers.
    pub(crate) reader: String,
    /// Token of honest publishers.
    pub(crate) writer: String,
    /// Start time of the publishers' clock.
    pub(crate) start: Instant,
    pub(crate) stop: Arc<AtomicBool>,
}

impl Target {
    pub(crate) fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

const SUBSCRIBERS: usize = 1_000;
const PUBLISHERS: usize = 10;
const RECONNECTING: usize = 50;

/// Threads that read the streams of the subscribers.
const READERS: usize = 2;

/// Maximum memory of the hub beyond its memory before the attacks: the sum of its documented limits.
const MEMORY: u64 = 320 << 20;

#[test]
fn honest_clients_lose_nothing_during_all_attacks() {
    let long = std::env::var("SSEKIT_HOSTILE_SECONDS")
        .ok()
        .map(|seconds| seconds.parse().expect("SSEKIT_HOSTILE_SECONDS is a number"));
    let time = Duration::from_secs(long.unwrap_or(15));
    many_descriptors(10_000);
    let folder = tempfile::tempdir().expect("a folder");
    let hub = Hub::of(
        ssekit()
            .args(["serve", "--addr", "127.0.0.1:0", "--anonymous", "--subscriptions", "--metrics"])
            .args(["--key", SECRET, "--retention", "topic=* records=100000 bytes=64MiB"])
            .arg("--store")
            .arg(folder.path().join("data")),
    );
    let target = Target {
        addr: hub.addr,
        reader: token(SECRET, &json!({ "mercure": { "subscribe": ["honest"] } })),
        writer: token(SECRET, &json!({ "mercure": { "publish": ["*"] } })),
        start: Instant::now(),
        stop: Arc::default(),
    };
    honest::fill(&target);
    // A single thread that reads a thousand streams would cause most of the latency itself.
    let mut subscribers: Vec<_> =
        (0..READERS).map(|_| Subscribers::connect(&target, SUBSCRIBERS / READERS)).collect();
    let before = hub.memory();
    let publishers: Vec<_> = (0..PUBLISHERS).map(|number| Publisher::start(number, &target)).collect();
    let heavy = honest::start_bursts(&target);
    let reconnecting: Vec<_> = (0..RECONNECTING).map(|_| Reconnecting::start(&target)).collect();
    let attacks: Vec<_> =
        ATTACKS.iter().enumerate().map(|(number, attack)| attack.start(number, &target)).collect();
    let watching = {
        let (target, pid) = (target.clone(), hub.pid());
        thread::spawn(move || most_memory(pid, &target))
    };

    in_parallel(&mut subscribers, |subscribers| subscribers.follow(time));

    // The attacks go on until the last honest event has arrived.
    let published: Vec<_> = publishers.into_iter().map(Publisher::finish).collect();
    in_parallel(&mut subscribers, |subscribers| subscribers.expect(&published));
    let resumes: Vec<_> = reconnecting.into_iter().map(Reconnecting::finish).collect();
    target.stop.store(true, Ordering::Relaxed);
    let opened: Vec<_> =
        attacks.into_iter().map(|attack| attack.join().expect("an attack does not panic")).collect();
    let bursts = heavy.join().expect("the heavy publisher does not panic");
    let most = watching.join().expect("the process runs");

    let count: u64 = published.iter().flatten().map(|(_, count)| count).sum();
    println!("{count} updates by {PUBLISHERS} publishers, {bursts} bursts of {} updates", honest::BURST);
    for (attack, opened) in ATTACKS.iter().zip(&opened) {
        println!("{:>8} connections: {}", opened, attack.name);
    }
    println!("memory: {} KiB before, at most {} KiB", before >> 10, most >> 10);
    let processor = [hub.pid(), std::process::id()].map(processor_ticks);
    println!("processor: {} ticks of the hub, {} of this test", processor[0], processor[1]);
    let delivered = honest::report_deliveries(&subscribers);
    let resumed = honest::report_resumes(&resumes);
    assert!(opened.iter().all(|opened| *opened > 0), "every attack took place");
    assert!(count > 0 && bursts > 0 && delivered.events > 0 && resumed.events > 0);
    assert!(most < before + MEMORY, "{} KiB before, {} KiB at most", before >> 10, most >> 10);
    if long.is_some() {
        assert!(
            delivered.p99 <= Duration::from_millis(50),
            "99 of 100 deliveries take up to {:?}",
            delivered.p99
        );
        assert!(resumed.p99 <= Duration::from_secs(1), "99 of 100 resumes take up to {:?}", resumed.p99);
    }
}

fn in_parallel(subscribers: &mut [Subscribers], run: impl Fn(&mut Subscribers) + Sync) {
    thread::scope(|scope| {
        for some in subscribers {
            scope.spawn(|| run(some));
        }
    });
}

/// CPU time of a process, in ticks of the system (usually a hundredth of a second).
fn processor_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs, on Linux");
    // proc(5): the name stands in parentheses; the 14th and the 15th fields count.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}

/// Largest memory of a process until the end of the test, in bytes.
fn most_memory(pid: u32, target: &Target) -> u64 {
    let mut most = 0;
    while !target.is_over() {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the hub runs, on Linux");
        // A process that has ended has no such line: then the test fails elsewhere.
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
        most = most.max(line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024);
        thread::sleep(Duration::from_millis(100));
    }
    most
}
