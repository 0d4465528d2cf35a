use ssekit_client::{Select, SelectError, WhenFull, source};

use crate::answer::Answer;
use crate::peer::Peer;
use crate::{data, soon};

/// A stream of `count` events named `a`, numbered from 1, in pieces, and one named `end`.
fn numbered(count: usize) -> Answer {
    let mut stream = String::new();
    for number in 1..=count {
        stream.push_str(&format!("event: a\ndata: {number}\n\n"));
    }
    Answer::events(stream).body("event: end\ndata\n\n").then_stay()
}

/// Reads numbers from `first` until `last`; gives how many were lost in between, by the stream's own account.
async fn read(stream: &mut Select, first: u64, last: u64) -> u64 {
    let mut expected = first;
    let mut all_lost = 0;
    loop {
        match soon("an event", stream.next()).await.expect("no end") {
            Ok(message) => {
                assert_eq!(message.data(), expected.to_string(), "in order, and none left out in silence");
                if expected == last {
                    return all_lost;
                }
                expected += 1;
            }
            Err(SelectError::Lagged { lost }) => {
                all_lost += lost;
                expected += lost;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn quirk_8_every_event_reaches_a_stream_equal_ones_too() {
    let peer = Peer::start([Answer::events("data: x\n\n".repeat(500)).then_stay()]).await;
    let mut messages = source(peer.url("/")).select("message");
    for _ in 0..500 {
        assert_eq!(data(&mut messages).await, "x");
    }
}

#[tokio::test]
async fn a_subscriber_that_is_alone_loses_nothing_however_slow() {
    let peer = Peer::start([numbered(5000)]).await;
    let connection = source(peer.url("/")).buffer(16, 1 << 20);
    let mut slow = connection.select_all();
    assert_eq!(data(&mut slow).await, "1");
    // Whatever can run runs, and the buffer is full; then it reads on.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(read(&mut slow, 2, 5000).await, 0);
}

#[tokio::test]
async fn a_slow_subscriber_delays_no_other_and_gets_the_number_of_lost_events() {
    let peer = Peer::start([numbered(5000)]).await;
    let connection = source(peer.url("/")).buffer(16, 1 << 20);
    let mut slow = connection.select("a");
    let mut end = connection.select("end");
    data(&mut end).await;
    assert_eq!(read(&mut slow, 1, 5000).await, 5000 - 16, "the oldest are lost, the newest are there");
}

#[tokio::test]
async fn when_all_read_none_loses() {
    let peer = Peer::start([numbered(5000)]).await;
    let connection = source(peer.url("/")).buffer(16, 1 << 20);
    let (mut one, mut two) = (connection.select("a"), connection.select("a"));
    let (lost_by_one, lost_by_two) = tokio::join!(read(&mut one, 1, 5000), read(&mut two, 1, 5000));
    assert_eq!(lost_by_one + lost_by_two, 0);
}

#[tokio::test]
async fn wait_makes_all_wait_for_the_slowest() {
    let peer = Peer::start([numbered(100)]).await;
    let connection = source(peer.url("/")).buffer(16, 1 << 20).when_full(WhenFull::Wait);
    let mut slow = connection.select("a");
    let mut end = connection.select("end");
    let (lost, _) = tokio::join!(
        async {
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            read(&mut slow, 1, 100).await
        },
        data(&mut end)
    );
    assert_eq!(lost, 0);
}

#[tokio::test]
async fn lose_never_stops_reading() {
    let peer = Peer::start([numbered(5000)]).await;
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let connection =
        source(peer.url("/")).buffer(16, 1 << 20).when_full(WhenFull::Lose).on_message(move |message| {
            if message.event() == "end" {
                sender.send(()).unwrap();
            }
        });
    let mut slow = connection.select("a");
    connection.connect();
    soon("the last event", seen.recv()).await;
    let lost = read(&mut slow, 1, 5000).await;
    assert_eq!(lost, 5000 - 16);
}

#[tokio::test]
async fn a_buffer_is_bounded_in_bytes_too_and_one_event_always_fits() {
    let big = "x".repeat(100_000);
    let stream = format!("event: a\ndata: {big}\n\n").repeat(20);
    let peer = Peer::start([Answer::events(stream).body("event: end\ndata\n\n").then_stay()]).await;
    let connection = source(peer.url("/")).buffer(1024, 250_000);
    let mut slow = connection.select("a");
    let mut end = connection.select("end");
    data(&mut end).await;
    assert!(matches!(soon("the lag", slow.next()).await, Some(Err(SelectError::Lagged { lost: 18 }))));

    let peer = Peer::start([Answer::events(format!("data: {big}\n\n")).then_stay()]).await;
    let mut messages = source(peer.url("/")).buffer(1, 10).select("message");
    assert_eq!(data(&mut messages).await.len(), 100_000);
}

#[tokio::test]
async fn a_subscriber_that_leaves_makes_room() {
    let peer = Peer::start([numbered(1000)]).await;
    let connection = source(peer.url("/")).buffer(16, 1 << 20).when_full(WhenFull::Wait);
    let slow = connection.select("a");
    let mut end = connection.select("end");
    tokio::join!(data(&mut end), async {
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        drop(slow);
    });
}
