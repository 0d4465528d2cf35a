//! Many threads at once: nothing hangs, and nothing is lost in silence.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ssekit_client::{SelectError, Source, source};

use crate::answer::Answer;
use crate::peer::Peer;
use crate::{eager, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fast_events_reach_many_subscribers_on_many_threads() {
    const EVENTS: u64 = 20_000;
    let stream: String = (1..=EVENTS).map(|number| format!("data: {number}\n\n")).collect();
    let peer = Peer::start([Answer::events(stream).then_stay()]).await;
    let connection = source(peer.url("/")).buffer(64, 1 << 20);
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut messages = connection.select("message");
        readers.spawn(async move {
            let mut next = 1;
            while next <= EVENTS {
                match soon("an event", messages.next()).await.unwrap() {
                    Ok(message) => {
                        assert_eq!(message.data().parse(), Ok(next));
                        next += 1;
                    }
                    Err(SelectError::Lagged { lost }) => next += lost,
                    Err(other) => panic!("{other:?}"),
                }
            }
        });
    }
    while let Some(reader) = readers.join_next().await {
        reader.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_single_reader_on_another_thread_is_always_woken() {
    const EVENTS: usize = 20_000;
    let peer = Peer::start([Answer::events("data: x\n\n".repeat(EVENTS)).then_stay()]).await;
    let mut messages = source(peer.url("/")).buffer(2, 1 << 20).select("message");
    tokio::spawn(async move {
        for _ in 0..EVENTS {
            soon("an event", messages.next()).await.unwrap().unwrap();
        }
    })
    .await
    .unwrap();
}

/// Subscribes, reads a little and leaves, closes, connects and restarts, all at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn coming_leaving_closing_and_connecting_at_once_ends_well() {
    let answer = Answer::events("data: 1\n\ndata: 2\n\n");
    let peer = Peer::start(vec![answer; 100_000]).await;
    let closes = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&closes);
    let connection = source(peer.url("/")).reconnect(eager()).on_close(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let act: fn(&Source, usize) = |connection, round| match round % 16 {
        3 => connection.close(),
        7 => connection.restart(),
        _ => connection.connect(),
    };
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..6 {
        let connection = connection.clone();
        tasks.spawn(async move {
            for round in 0..100 {
                let mut messages = connection.select("message");
                if task == 0 {
                    act(&connection, round);
                }
                // Ends when it is closed by the other task, too.
                let _ = tokio::time::timeout(std::time::Duration::from_millis(2), messages.next()).await;
                let latest = connection.select("message").latest();
                latest.get();
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    // Whatever happened, it works.
    let mut messages = connection.select("message");
    connection.connect();
    assert!(soon("an event", messages.next()).await.is_some_and(|message| message.is_ok()));
    connection.close();
    assert!(soon("the end", messages.next()).await.is_none());
    assert!(closes.load(Ordering::Relaxed) > 0);
}
