//! Channels that gather events for a while.

use std::time::Duration;

use futures_util::StreamExt as _;
use ssekit_server::{Channel, First};
use tokio::time::{Instant, advance};

use crate::subscriber::{Subscriber, id, none, within};

const GATHER: Duration = Duration::from_millis(10);

fn channel() -> Channel {
    Channel::builder().gather(GATHER).build()
}

fn emit(channel: &Channel, numbers: std::ops::Range<u32>) {
    for n in numbers {
        channel.emit("", n.to_string()).unwrap();
    }
}

fn strings<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).into()
}

async fn data(subscriber: &mut Subscriber) -> Vec<String> {
    within(subscriber.next()).await.events.into_iter().map(|got| got.data).collect()
}

#[tokio::test(start_paused = true)]
async fn an_event_after_a_silence_goes_out_at_once_and_others_together() {
    let ticks = channel();
    let mut subscribers = [(); 3].map(|()| Subscriber::new(ticks.subscribe(none())));
    for _ in 0..3 {
        let start = Instant::now();
        emit(&ticks, 0..1);
        for subscriber in &mut subscribers {
            assert_eq!(subscriber.data(), ["0"]);
        }
        emit(&ticks, 1..3);
        advance(GATHER / 2).await;
        emit(&ticks, 3..5);
        for subscriber in &mut subscribers {
            assert_eq!(subscriber.data(), Vec::<String>::new());
        }
        let all = subscribers.each_mut().map(data);
        assert_eq!(futures_util::future::join_all(all).await, vec![["1", "2", "3", "4"]; 3]);
        assert_eq!(start.elapsed().as_millis(), GATHER.as_millis());
        advance(GATHER * 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_subscriber_is_the_flusher_and_another_follows_when_it_leaves() {
    let ticks = channel();
    let mut subscribers: Vec<_> = (0..4).map(|_| Subscriber::new(ticks.subscribe(none()))).collect();
    emit(&ticks, 0..1);
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.data(), ["0"]);
    }
    emit(&ticks, 1..3);
    // One of them is the flusher: three leave, after each has polled once.
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.data(), Vec::<String>::new());
    }
    while subscribers.len() > 1 {
        subscribers.remove(0);
        let mut last = subscribers.pop().unwrap();
        assert_eq!(last.data(), Vec::<String>::new());
        subscribers.push(last);
    }
    assert_eq!(data(&mut subscribers[0]).await, ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_publication_releases_due_events_of_a_subscriber_that_does_not_poll() {
    let ticks = channel();
    let mut subscriber = Subscriber::new(ticks.subscribe(none()));
    emit(&ticks, 0..2);
    assert_eq!(subscriber.data(), ["0"]);
    // It does not look for a while, as one whose client reads slowly.
    advance(GATHER).await;
    emit(&ticks, 2..3);
    assert_eq!(subscriber.data(), ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn much_goes_out_at_once() {
    let ticks = channel();
    let mut subscriber = Subscriber::new(ticks.subscribe(none()));
    emit(&ticks, 0..256);
    assert_eq!(subscriber.data(), ["0"]);
    emit(&ticks, 256..257);
    assert_eq!(subscriber.data().len(), 256);
    let small = Channel::builder().gather(GATHER).keep_last(8).build();
    let mut subscriber = Subscriber::new(small.subscribe(none()));
    emit(&small, 0..4);
    assert_eq!(subscriber.data(), ["0"]);
    emit(&small, 4..5);
    assert_eq!(subscriber.data().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn new_and_returning_subscribers_wait_with_the_others() {
    let ticks = channel();
    let first = ticks.emit("", "0").unwrap();
    emit(&ticks, 1..3);
    let mut new = Subscriber::new(ticks.subscribe(none()));
    let mut back = Subscriber::new(ticks.subscribe(id(first)));
    let mut all = Subscriber::new(ticks.first(First::All).subscribe(none()));
    assert!(new.data().is_empty());
    assert_eq!(all.data(), ["0"]);
    assert_eq!(
        futures_util::join!(data(&mut back), data(&mut all)),
        (strings(["1", "2"]), strings(["1", "2"]))
    );
    emit(&ticks, 3..4);
    // It may have been elected as the flusher.
    drop(back);
    assert_eq!(futures_util::join!(data(&mut new), data(&mut all)), (strings(["3"]), strings(["3"])));
}

#[tokio::test(start_paused = true)]
async fn closing_releases_gathered_events() {
    let ticks = channel();
    let mut subscriber = Subscriber::new(ticks.subscribe(none()));
    emit(&ticks, 0..3);
    ticks.close();
    let seen = subscriber.seen();
    assert_eq!((seen.events.len(), seen.ended), (3, true));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_flushes_all_the_same() {
    let ticks = channel();
    let mut other = Subscriber::new(ticks.subscribe(none()));
    assert!(other.data().is_empty());
    let stalls = Duration::from_secs(3_600);
    let mut slow = Box::pin(ticks.subscribe(none()).no_ping().stall_timeout(stalls).response().into_body());
    // The transport holds as many pieces as it may, and the last it was given is the last that there is.
    let mut held = Vec::new();
    for n in 0..12 {
        emit(&ticks, n..n + 1);
        held.push(slow.next().await.unwrap().unwrap());
        assert_eq!(other.data().len(), 1);
        advance(GATHER).await;
    }
    assert!(futures_util::poll!(slow.next()).is_pending());
    emit(&ticks, 12..13);
    assert_eq!(other.data(), ["12"]);
    emit(&ticks, 13..14);
    let slow = async { slow.next().await.map(|_| ()) };
    let other = async { data(&mut other).await };
    let (slow, other) = (std::pin::pin!(slow), std::pin::pin!(other));
    match within(futures_util::future::select(slow, other)).await {
        futures_util::future::Either::Right((seen, _)) => assert_eq!(seen, ["13"]),
        futures_util::future::Either::Left(_) => panic!("its transport holds all that it may"),
    }
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn clients_that_are_not_polled_hold_nobody_up() {
    let ticks = channel();
    let mut polled = Subscriber::new(ticks.subscribe(none()));
    assert!(polled.data().is_empty());
    let task = tokio::spawn(async move { [data(&mut polled).await, data(&mut polled).await] });
    tokio::task::yield_now().await;
    let mut others: Vec<_> = (0..3).map(|_| Subscriber::new(ticks.subscribe(none()))).collect();
    for other in &mut others {
        assert!(other.data().is_empty());
    }
    emit(&ticks, 0..1);
    tokio::task::yield_now().await;
    for other in &mut others {
        assert_eq!(other.data(), ["0"]);
    }
    // They are last in line, so they are asked to keep the time; but nobody polls them any more.
    emit(&ticks, 1..2);
    assert_eq!(within(task).await.unwrap(), [["0"], ["1"]]);
}
