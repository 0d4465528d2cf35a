//! Notices of joins and leaves, and their order.

use std::collections::HashMap;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::{StreamExt, poll};
use ssekit_server::{Clients, Presence, PresenceChange, SettledPresence, SseBody};

use crate::support::within;

fn open(clients: &Clients<&'static str>, key: &'static str) -> SseBody {
    clients.connect(key).response().into_body()
}

/// The changes that are there already.
fn ready<K: Clone>(presence: &mut Presence<K>) -> Vec<PresenceChange<K>> {
    let mut changes = Vec::new();
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    while let Poll::Ready(Some(change)) = presence.poll_next_unpin(&mut cx) {
        changes.push(change);
    }
    changes
}

/// As text, which is easier to compare.
fn text(change: &PresenceChange<&str>) -> String {
    match change {
        PresenceChange::Joined { key, streams } => format!("+{key} {streams}"),
        PresenceChange::Left { key, streams } => format!("-{key} {streams}"),
        PresenceChange::Missed(changes) => format!("missed {changes}"),
        other => panic!("{other:?}"),
    }
}

fn changes(presence: &mut Presence<&'static str>) -> Vec<String> {
    ready(presence).iter().map(text).collect()
}

#[tokio::test]
async fn joins_and_leaves_have_the_number_of_streams_of_their_key() {
    let clients = Clients::<&str>::new();
    let before = open(&clients, "early");
    let mut presence = clients.presence();
    let (first, second) = (open(&clients, "ada"), open(&clients, "ada"));
    let other = open(&clients, "bob");
    assert_eq!(changes(&mut presence), ["+ada 1", "+ada 2", "+bob 1"]);
    drop(first);
    drop(second);
    drop(before);
    drop(other);
    assert_eq!(changes(&mut presence), ["-ada 1", "-ada 0", "-early 0", "-bob 0"]);
}

#[tokio::test]
async fn closed_replaced_and_refused_streams_appear_in_presence() {
    let clients = Clients::<&str>::builder().max_per_key(2).replace_oldest().build();
    let mut presence = clients.presence();
    let tabs = [open(&clients, "ada"), open(&clients, "ada"), open(&clients, "ada")];
    assert_eq!(changes(&mut presence), ["+ada 1", "+ada 2", "-ada 1", "+ada 2"]);
    clients.close("ada");
    drop(tabs);
    assert_eq!(changes(&mut presence), ["-ada 0"]);

    let clients = Clients::<&str>::builder().max_per_key(1).build();
    let mut presence = clients.presence();
    let tabs = [open(&clients, "ada"), open(&clients, "ada")];
    drop(tabs);
    assert_eq!(changes(&mut presence), ["+ada 1", "-ada 0"]);
}

#[tokio::test]
async fn each_watcher_gets_the_changes_since_it_began_and_is_woken() {
    let clients = Clients::<&str>::new();
    let mut first = clients.presence();
    let waiting = tokio::spawn(async move { within(first.next()).await.map(|change| text(&change)) });
    tokio::task::yield_now().await;
    let _ada = open(&clients, "ada");
    assert_eq!(within(waiting).await.unwrap().as_deref(), Some("+ada 1"));

    let mut second = clients.presence();
    assert_eq!(changes(&mut second), [""; 0]);
    let _bob = open(&clients, "bob");
    assert_eq!(changes(&mut second), ["+bob 1"]);
}

#[tokio::test]
async fn a_slow_watcher_gets_the_number_of_missed_changes() {
    let clients = Clients::<&str>::new();
    let (mut slow, mut fast) = (clients.presence(), clients.presence());
    for _ in 0..1_000 {
        drop(open(&clients, "ada"));
        assert_eq!(changes(&mut fast), ["+ada 1", "-ada 0"]);
    }
    let seen = changes(&mut slow);
    assert_eq!(seen.len(), 1 + 1024);
    assert_eq!(seen[..3], ["missed 976", "+ada 1", "-ada 0"]);
    assert_eq!(changes(&mut slow), [""; 0]);
}

#[tokio::test]
async fn presence_ends_when_nobody_can_join_any_more() {
    let clients = Clients::<&str>::new();
    let mut presence = clients.presence();
    let ada = open(&clients, "ada");
    drop(clients);
    assert_eq!(changes(&mut presence), ["+ada 1"]);
    assert!(poll!(pin!(presence.next())).is_pending(), "ada may leave");
    let end =
        tokio::spawn(
            async move { (presence.next().await.map(|change| text(&change)), presence.next().await) },
        );
    tokio::task::yield_now().await;
    drop(ada);
    assert_eq!(within(end).await.unwrap(), (Some("-ada 0".to_owned()), None));
}

/// Settled changes so far, after this time has passed.
async fn settled_after(presence: &mut SettledPresence<&'static str>, millis: u64) -> Vec<String> {
    tokio::time::sleep(Duration::from_millis(millis)).await;
    let mut settled = Vec::new();
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    while let Poll::Ready(Some(change)) = presence.poll_next_unpin(&mut cx) {
        settled.push(text(&change));
    }
    settled
}

#[tokio::test(start_paused = true)]
async fn a_reload_is_neither_a_leave_nor_a_join_where_presence_is_settled() {
    let clients = Clients::<&str>::new();
    let mut presence = clients.presence().settled(Duration::from_millis(100));
    let (ada, bob) = (open(&clients, "ada"), open(&clients, "bob"));
    let tab = open(&clients, "ada");
    assert_eq!(settled_after(&mut presence, 0).await, ["+ada 1", "+bob 1"], "a second tab is no join");

    drop((ada, tab));
    assert_eq!(settled_after(&mut presence, 0).await, [""; 0]);
    assert_eq!(settled_after(&mut presence, 99).await, [""; 0], "ada may come back");
    let ada = open(&clients, "ada");
    drop(bob);
    assert_eq!(settled_after(&mut presence, 0).await, [""; 0], "ada was there all the time");
    assert_eq!(settled_after(&mut presence, 99).await, [""; 0], "bob may come back");
    assert_eq!(settled_after(&mut presence, 2).await, ["-bob 0"]);

    let bob = open(&clients, "bob");
    assert_eq!(settled_after(&mut presence, 0).await, ["+bob 1"], "bob was gone for long enough");
    drop((ada, bob, clients));
    assert_eq!(settled_after(&mut presence, 0).await, ["-ada 0", "-bob 0"], "nobody can come back");
    assert_eq!(presence.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_settled_watcher_is_woken_when_the_time_is_over() {
    let clients = Clients::<&str>::new();
    let mut presence = clients.presence().settled(Duration::from_secs(10));
    drop(open(&clients, "ada"));
    assert_eq!(presence.next().await.as_ref().map(text).as_deref(), Some("+ada 1"));
    let begin = tokio::time::Instant::now();
    assert_eq!(presence.next().await.as_ref().map(text).as_deref(), Some("-ada 0"));
    assert_eq!(begin.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn settled_leaves_that_wait_are_bounded_and_missed_changes_end_them() {
    let clients = Clients::<usize>::new();
    let mut presence = clients.presence().settled(Duration::MAX);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let mut left = Vec::new();
    for key in 0..1_030 {
        drop(clients.connect(key).response());
        while let Poll::Ready(Some(change)) = presence.poll_next_unpin(&mut cx) {
            match change {
                PresenceChange::Left { key, streams: 0 } => left.push(key),
                change => assert_eq!(change, PresenceChange::Joined { key, streams: 1 }),
            }
        }
    }
    assert_eq!(left, [0, 1, 2, 3, 4, 5], "the oldest are reported before their time");

    for key in 0..600 {
        drop(clients.connect(key).response());
    }
    assert_eq!(presence.next().await, Some(PresenceChange::Missed(176)));
    while let Poll::Ready(Some(change)) = presence.poll_next_unpin(&mut cx) {
        // Those that waited are forgotten: each key that joins now is new.
        assert!(matches!(change, PresenceChange::Joined { streams: 1, .. }), "{change:?}");
    }
}

#[test]
fn changes_on_several_threads_are_reported_in_their_order() {
    // As few changes as are kept, so that none can be missed.
    let clients = Clients::<usize>::new();
    let mut presence = clients.presence();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let clients = clients.clone();
            std::thread::spawn(move || {
                for n in 0..60 {
                    let streams = [n % 3, n % 2].map(|key| clients.connect(key).response());
                    drop(streams);
                }
            })
        })
        .collect();
    let mut counts = HashMap::<usize, usize>::new();
    let mut total = 0;
    let mut follow = |presence: &mut Presence<usize>| {
        for change in ready(presence) {
            total += 1;
            match change {
                PresenceChange::Joined { key, streams } => {
                    let count = counts.entry(key).or_default();
                    *count += 1;
                    assert_eq!(*count, streams);
                }
                PresenceChange::Left { key, streams } => {
                    let count = counts.get_mut(&key).expect("joined before");
                    *count -= 1;
                    assert_eq!(*count, streams);
                }
                other => panic!("{other:?}"),
            }
        }
    };
    while threads.iter().any(|thread| !thread.is_finished()) {
        follow(&mut presence);
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    follow(&mut presence);
    assert_eq!(total, 4 * 60 * 4);
    assert!(counts.values().all(|streams| *streams == 0));
}
