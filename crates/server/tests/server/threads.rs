//! Emitters on many threads and tasks: no lost wake-up, no lost event, no disorder.

use std::collections::HashMap;

use ssekit_server::{EmitError, Event};

use crate::support::{Server, Stream, within};

/// Each round trip depends on one wake-up: one that is lost stops the test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_up_is_lost_between_threads() {
    let mut stream = Stream::open(Server::Hyper, |produce| produce.no_ping()).await;
    let (next, turns) = std::sync::mpsc::channel::<u32>();
    let thread = std::thread::spawn({
        let emitter = stream.emitter.clone();
        move || turns.into_iter().for_each(|n| emitter.emit("n", n.to_string()).unwrap())
    });
    for n in 0..20_000 {
        next.send(n).unwrap();
        assert_eq!(stream.client.chunk().await, format!("event: n\ndata: {n}\n\n"));
    }
    drop(next);
    thread.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_from_many_threads_all_arrive_each_threads_own_in_order() {
    const THREADS: usize = 8;
    const EACH: usize = 5_000;
    let mut stream = Stream::open(Server::Hyper, |produce| produce.no_ping().buffer(1000)).await;
    let lock = stream.emitter.lock();
    let senders: Vec<_> = (0..THREADS)
        .map(|thread| {
            let emitter = stream.emitter.clone();
            tokio::spawn(async move {
                for n in 0..EACH {
                    let data = format!("{thread} {n}");
                    match emitter.emit("message", &data) {
                        Err(EmitError::Full { .. }) => emitter.send(Event::new(data)).await.unwrap(),
                        answer => answer.unwrap(),
                    }
                }
            })
        })
        .collect();
    tokio::spawn(async move {
        for sender in senders {
            sender.await.unwrap();
        }
        lock.set(false);
    });
    let text = within(stream.client.rest()).await;
    let mut next = HashMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let (thread, n) = line.split_once(' ').unwrap();
        let expected = next.entry(thread.to_owned()).or_insert(0);
        assert_eq!(n.parse(), Ok(*expected), "thread {thread}");
        *expected += 1;
    }
    assert_eq!(next.len(), THREADS);
    assert!(next.values().all(|count| *count == EACH), "{next:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unlock_from_another_thread_is_never_missed() {
    for _ in 0..300 {
        let mut stream = Stream::open(Server::Hyper, |produce| produce.no_ping()).await;
        let emitter = stream.emitter;
        std::thread::spawn(move || {
            emitter.emit("last", "").unwrap();
            emitter.lock().set(false);
        });
        assert_eq!(within(stream.client.rest()).await, "event: last\ndata: \n\n");
    }
}

#[tokio::test]
async fn a_send_that_is_dropped_has_sent_nothing() {
    let mut stream = Stream::open(Server::Hyper, |produce| produce.buffer(100)).await;
    stream.emitter.emit("a", "x".repeat(80)).unwrap();
    let mut send = Box::pin(stream.emitter.send(Event::new("y".repeat(80))));
    assert!(futures_util::poll!(&mut send).is_pending());
    drop(send);
    stream.emitter.lock().set(false);
    assert_eq!(stream.client.rest().await, format!("event: a\ndata: {}\n\n", "x".repeat(80)));
}
