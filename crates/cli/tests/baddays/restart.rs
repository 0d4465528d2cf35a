//! Restarts under load.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::hub::{Hub, PATIENCE, PROGRAM, many_descriptors, scaled, until};
use crate::kill::{Follower, Publisher, command, compare, kept};
use crate::stream::{Next, Stream};

#[test]
fn sigterm_ends_streams_one_after_another_and_a_resume_misses_nothing() {
    let many = scaled(100, 5_000);
    many_descriptors(many + 100);
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let start = |addr: &str| Hub::of(command(&data, addr).args(["--drain", "2s"]));
    let mut hub = start("127.0.0.1:0");
    let addr = hub.addr;
    let (stop, stop_following) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let publishers: Vec<_> = (0..2).map(|number| Publisher::start(number, addr, Arc::clone(&stop))).collect();
    let followers: Vec<_> = (0..8).map(|_| Follower::start(addr, Arc::clone(&stop_following))).collect();
    let others: Vec<_> = (0..many).map(|_| Stream::open(&hub, "topic=b")).collect();
    hub.expect_subscribers(many + 8);
    until("events are delivered", || {
        followers.iter().all(|follower| *follower.seen.lock().expect("it counts") > 20)
    });

    let begun = Instant::now();
    hub.signal("TERM");
    let ends: Vec<_> = others
        .into_iter()
        .map(|mut stream| {
            thread::spawn(move || {
                assert_eq!(stream.wait(PATIENCE), Next::End, "nothing else is told");
                (begun.elapsed(), stream.retry().expect("it is told when to return"))
            })
        })
        .collect();
    let mut ends: Vec<_> = ends.into_iter().map(|end| end.join().expect("it ends")).collect();
    ends.sort_unstable();
    let status = hub.wait();
    let took = begun.elapsed();
    println!(
        "{many} sent away between {:?} and {:?}, ended after {took:?}",
        ends[0].0,
        ends[ends.len() - 1].0
    );
    assert_eq!(status.code(), Some(0), "{}", hub.log());
    assert!(took < Duration::from_secs(2 + 8), "{took:?}");
    // Spread over the given time, not all at its beginning or end.
    let (first, last) = (ends[ends.len() / 10].0, ends[ends.len() * 9 / 10].0);
    assert!(last - first > Duration::from_millis(800), "from {first:?} to {last:?}");
    let times: std::collections::HashSet<_> = ends.iter().map(|(_, retry)| retry).collect();
    assert!(times.len() > 20 && times.iter().all(|time| (500..=1500).contains(*time)), "{times:?}");

    let hub = start(&addr.to_string());
    assert!(hub.log_lines("was not closed").is_empty(), "it was closed in order: {}", hub.log());
    let before: Vec<_> = followers.iter().map(|follower| *follower.seen.lock().expect("it counts")).collect();
    until("events are delivered again", || {
        followers
            .iter()
            .zip(&before)
            .all(|(follower, before)| *follower.seen.lock().expect("it counts") > before + 20)
    });
    stop.store(true, Ordering::Relaxed);
    let answered: Vec<_> = publishers.into_iter().map(Publisher::finish).collect();
    let kept = kept(&hub);
    compare(&answered, &kept);
    until("all is delivered", || {
        followers.iter().all(|follower| *follower.seen.lock().expect("it counts") > kept.len())
    });
    stop_following.store(true, Ordering::Relaxed);
    for follower in followers {
        let events = follower.finish();
        assert!(events.len() == kept.len() + 1 && events.iter().zip(&kept).all(|(seen, kept)| seen == kept));
    }
}

#[test]
fn a_shutdown_answers_publishers_and_does_not_wait_for_silent_connections() {
    let mut hub = Hub::start(&["--drain", "3s"]);
    let silent = hub.connect();
    let streams: Vec<_> = (0..20).map(|_| Stream::open(&hub, "topic=a")).collect();
    hub.expect_subscribers(20);
    let stop = Arc::<AtomicBool>::default();
    let publisher = Publisher::start(0, hub.addr, Arc::clone(&stop));
    let begun = Instant::now();
    hub.signal("TERM");
    assert_eq!(hub.wait().code(), Some(0));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(3 + 8), "{took:?}");
    stop.store(true, Ordering::Relaxed);
    publisher.finish();
    drop((silent, streams));
}

/// The rule `topic=*` used to apply to subscription events: after five restarts with two subscribers each, no
/// update was left.
#[test]
fn subscription_events_of_five_restarts_leave_ten_updates_in_a_history_of_ten() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = || {
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--addr", "127.0.0.1:0", "--dev", "--retention", "topic=* records=10"]);
        Hub::of(command.arg("--store").arg(folder.path().join("data")))
    };
    let kept = |hub: &Hub, topics: &str, first: &str| {
        let page = hub.get(&format!("/hub/history?limit=100&topic={topics}"));
        assert_eq!(page.status, 200, "{page:?}");
        page.body.matches(&format!("\"topics\":[\"{first}")).count()
    };
    let mut hub = start();
    for number in 0..10 {
        hub.publish("a", &number.to_string());
    }
    for restarts in 0..=5 {
        assert_eq!(kept(&hub, "a", "a\""), 10, "after {restarts} restarts");
        let streams = [(); 2].map(|()| Stream::open(&hub, "topic=a"));
        // The subscription events are in the history as well, so they could have removed updates.
        until("both are announced", || {
            kept(&hub, "*", "/.well-known/mercure/subscriptions/a/") >= 2 * (restarts + 1)
        });
        assert_eq!(kept(&hub, "a", "a\""), 10, "with two subscribers after {restarts} restarts");
        hub.signal("TERM");
        assert_eq!(hub.wait().code(), Some(0), "{}", hub.log());
        drop(streams);
        hub = start();
    }
}
