//! Real threads: publishers, readers that come and go, a sweeper.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ssekit_server::{Channel, Event, Overtaken};

use crate::subscriber::{Subscriber, id, none};

const PUBLISHERS: usize = 3;
const EVENTS: usize = 4_000;

#[test]
fn case_109_readers_that_come_and_go_miss_nothing_while_threads_publish() {
    let channel = Channel::builder().keep_last(u64::MAX).keep_bytes(usize::MAX).build();
    let finished = AtomicUsize::new(0);
    let mut first = Subscriber::new(channel.subscribe(none()));
    let starts = [(); 3].map(|()| channel.subscribe(none()));
    thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let (channel, finished) = (&channel, &finished);
            scope.spawn(move || {
                for n in 0..EVENTS {
                    if n % 10 == 0 {
                        let batch = [
                            Event::new(format!("{publisher} {n} a")),
                            Event::new(format!("{publisher} {n} b")),
                        ];
                        channel.emit_batch(batch).unwrap();
                    } else {
                        channel.emit("n", format!("{publisher} {n}")).unwrap();
                    }
                    channel.sweep();
                }
                finished.fetch_add(1, Ordering::Release);
            });
        }
        let readers: Vec<_> = starts
            .into_iter()
            .enumerate()
            .map(|(reader, start)| {
                let (channel, finished) = (&channel, &finished);
                scope.spawn(move || {
                    let mut stream = Subscriber::new(start);
                    let mut last = none();
                    let mut seen = Vec::new();
                    let mut round = 0;
                    loop {
                        let done = finished.load(Ordering::Acquire) == PUBLISHERS;
                        let events = stream.seen().events;
                        if done && events.is_empty() {
                            return seen;
                        }
                        round += 1;
                        // Now and then the connection breaks in the middle of the sent events.
                        let keep = if round % (3 + reader) == 0 { events.len() / 2 } else { events.len() };
                        if let Some(got) = events[..keep].last() {
                            last = id(&got.id);
                        }
                        seen.extend(events[..keep].iter().map(|got| got.data.clone()));
                        if keep < events.len() && !seen.is_empty() {
                            stream = Subscriber::new(channel.subscribe(last.clone()));
                            assert_eq!(stream.reset, None);
                        } else {
                            seen.extend(events[keep..].iter().map(|got| got.data.clone()));
                            if let Some(got) = events.last() {
                                last = id(&got.id);
                            }
                        }
                    }
                })
            })
            .collect();
        let seen: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        let expected = first.data();
        assert_eq!(expected.len(), PUBLISHERS * (EVENTS + EVENTS / 10));
        for seen in seen {
            let differs = seen.iter().zip(&expected).position(|(seen, expected)| seen != expected);
            assert_eq!(differs.map(|at| (at, &seen[at..][..3], &expected[at..][..3])), None);
            assert_eq!(seen.len(), expected.len());
        }
        for publisher in 0..PUBLISHERS {
            let prefix = format!("{publisher} ");
            let own: Vec<_> = expected.iter().filter(|data| data.starts_with(&prefix)).collect();
            let numbers: Vec<usize> =
                own.iter().map(|data| data.split(' ').nth(1).unwrap().parse().unwrap()).collect();
            assert!(numbers.is_sorted());
        }
        for (a, b) in expected.iter().zip(&expected[1..]) {
            assert!(!a.ends_with(" a") || b.ends_with(" b"), "a batch was torn apart: {a}, {b}");
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_waiting_subscriber_is_woken() {
    let channel = Channel::builder().keep_last(16).when_overtaken(Overtaken::Wait).build();
    let readers: Vec<_> = (0..16)
        .map(|_| {
            let mut stream = Subscriber::new(channel.subscribe(none()));
            tokio::spawn(async move {
                let mut seen = 0;
                loop {
                    let piece = stream.next().await;
                    seen += piece.events.len();
                    if piece.ended {
                        return seen;
                    }
                }
            })
        })
        .collect();
    let publishers: Vec<_> = (0..4)
        .map(|_| {
            let channel = channel.clone();
            tokio::spawn(async move {
                for n in 0..2_000 {
                    channel.send(Event::new(n.to_string())).await.unwrap();
                }
            })
        })
        .collect();
    crate::subscriber::within(async {
        for publisher in publishers {
            publisher.await.unwrap();
        }
        channel.close();
        for reader in readers {
            assert_eq!(reader.await.unwrap(), 8_000);
        }
    })
    .await;
    assert_eq!(channel.stats().subscribers, 0);
}
