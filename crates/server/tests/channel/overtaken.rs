//! Subscribers that read more slowly than the channel forgets.

use ssekit_server::{Channel, EmitError, Event, Overtaken, StopReason};
use tokio::sync::mpsc;

use crate::subscriber::{Subscriber, none, within};

fn channel(policy: Overtaken) -> Channel {
    Channel::builder().keep_last(4).when_overtaken(policy).build()
}

fn emit(channel: &Channel, numbers: std::ops::Range<u32>) {
    for n in numbers {
        channel.emit("", n.to_string()).unwrap();
    }
}

#[test]
fn case_108_close_ends_the_stream_so_that_its_client_resumes_with_a_reset() {
    let news = channel(Overtaken::Close);
    let (stopped, mut reasons) = mpsc::channel(1);
    let produce =
        news.subscribe(none()).on_stop(move |reason| async move { stopped.try_send(reason).unwrap() });
    let mut slow = Subscriber::new(produce);
    emit(&news, 0..3);
    assert_eq!(slow.data(), ["0", "1", "2"]);
    emit(&news, 3..10);
    let seen = slow.seen();
    assert!(seen.cut && seen.events.is_empty(), "{seen:?}");
    let reason = reasons.try_recv().unwrap();
    assert!(matches!(reason, StopReason::Overtaken { missed: 3 }), "{reason:?}");

    let mut back = Subscriber::new(news.subscribe(slow.last_event_id()));
    assert_eq!(back.reset.as_deref(), Some("expired"));
    assert_eq!(back.data(), [r#"{"reason":"expired","missed":3}"#, "6", "7", "8", "9"]);
    assert_eq!(news.stats().missed, 3);
}

#[test]
fn case_108_a_gap_is_an_event_and_the_stream_goes_on() {
    let news = Channel::builder().keep_last(4).when_overtaken(Overtaken::Gap).name("n").build();
    let mut slow = Subscriber::new(news.subscribe(none()));
    emit(&news, 0..3);
    assert_eq!(slow.data(), ["0", "1", "2"]);
    emit(&news, 3..10);
    let seen = slow.seen();
    let gap = &seen.events[0];
    assert_eq!((gap.event.as_str(), gap.data.as_str()), ("gap", r#"{"channel":"n","missed":3}"#));
    assert_eq!(
        seen.events[1..].iter().map(|got| got.data.as_str()).collect::<Vec<_>>(),
        ["6", "7", "8", "9"]
    );
    // Its id is the position before the next event, so that no client gets the same gap twice.
    let mut lost = Subscriber::new(news.subscribe(crate::subscriber::id(&gap.id)));
    assert_eq!(lost.resumed().len(), 4);
}

/// Every connection makes progress, also where the log drops everything between two polls, as when a client
/// that comes back is slower than the publisher.
#[test]
fn a_client_that_comes_back_gets_events_however_fast_others_come() {
    for keep in [1, 4] {
        for policy in [Overtaken::Close, Overtaken::Gap] {
            let news = Channel::builder().keep_last(keep).when_overtaken(policy).name("n").build();
            let mut last = news.emit("", "0").unwrap().to_string();
            let mut next = 1;
            let mut emit = |news: &Channel| {
                let burst = next..next + 10;
                next += 10;
                emit(news, burst);
            };
            for _ in 0..20 {
                emit(&news);
                let back = news.subscribe(crate::subscriber::id(&last));
                emit(&news);
                let mut back = Subscriber::new(back);
                emit(&news);
                // One piece, with a notice of the loss and the held events; then it is overtaken again.
                let piece = back.piece().expect("something is there").events;
                assert!(matches!(piece[0].event.as_str(), "reset" | "gap"), "{piece:?}");
                assert_eq!(piece.len() as u64, 1 + keep, "{policy:?} {piece:?}");
                last = piece.last().unwrap().id.clone();
                emit(&news);
                let seen = back.seen();
                assert_eq!(seen.cut, policy == Overtaken::Close, "{seen:?}");
            }
        }
    }
}

/// A burst that is larger than the channel reaches each subscriber as events or as a notice of how many are
/// gone.
#[test]
fn a_burst_that_is_larger_than_the_channel_is_reported_to_each_subscriber() {
    for policy in [Overtaken::Close, Overtaken::Gap] {
        let news = channel(policy);
        let [mut has_read, mut waits, mut new] = [(); 3].map(|()| Subscriber::new(news.subscribe(none())));
        emit(&news, 0..1);
        assert_eq!(has_read.data(), ["0"]);
        assert_eq!(waits.data(), ["0"]);
        news.emit_batch((1..11).map(|n| Event::new(n.to_string()))).unwrap();
        // It has got nothing in this stream yet, so that it is not cut.
        assert_eq!(new.data(), [r#"{"missed":7}"#, "7", "8", "9", "10"]);
        for subscriber in [&mut has_read, &mut waits] {
            let seen = match policy {
                Overtaken::Gap => subscriber.seen().events,
                _ => {
                    let seen = subscriber.seen();
                    assert!(seen.cut && seen.events.is_empty(), "{seen:?}");
                    Subscriber::new(news.subscribe(subscriber.last_event_id())).seen().events
                }
            };
            assert!(seen[0].data.ends_with(r#""missed":6}"#), "{seen:?}");
            assert_eq!(
                seen[1..].iter().map(|got| got.data.as_str()).collect::<Vec<_>>(),
                ["7", "8", "9", "10"]
            );
        }
    }
}

/// A loss of gathered events that were dropped before their release is reported too, and at once.
#[tokio::test(start_paused = true)]
async fn a_burst_of_large_events_is_not_held_back_when_the_first_of_them_is_dropped() {
    let gather = std::time::Duration::from_secs(10);
    let news = Channel::builder().keep_bytes(1_000).gather(gather).when_overtaken(Overtaken::Gap).build();
    let mut reader = Subscriber::new(news.subscribe(none()));
    emit(&news, 0..1);
    assert_eq!(reader.data(), ["0"]);
    for n in 1..3 {
        assert!(reader.data().is_empty());
        news.emit("", format!("{n}{}", "x".repeat(600))).unwrap();
    }
    let seen = reader.data();
    assert_eq!((seen[0].as_str(), &seen[1][..1], seen.len()), (r#"{"missed":1}"#, "2", 2));
}

#[test]
fn case_108_wait_refuses_an_event_that_would_drop_unread_ones() {
    let news = channel(Overtaken::Wait);
    emit(&news, 0..20); // nobody reads, nobody waits
    let mut slow = Subscriber::new(news.subscribe(none()));
    let mut fast = Subscriber::new(news.subscribe(none()));
    emit(&news, 20..24);
    assert_eq!(fast.data(), ["20", "21", "22", "23"]);
    let refused = news.emit("", "24");
    assert!(matches!(refused, Err(EmitError::Behind { unread: 4 })), "{refused:?}");
    assert!(refused.unwrap_err().to_string().contains("4 unread events"));
    let refused = news.emit_batch([Event::new("24"), Event::new("25")]);
    assert!(matches!(refused, Err(EmitError::Behind { .. })), "{refused:?}");

    assert_eq!(slow.data(), ["20", "21", "22", "23"]);
    emit(&news, 24..26);
    assert_eq!(slow.data(), ["24", "25"]);
    // A slow one that leaves holds up nobody; a batch that is larger than the channel is taken when all have
    // read.
    emit(&news, 26..28);
    assert_eq!(fast.data(), ["24", "25", "26", "27"]);
    drop(slow);
    news.emit_batch((28..38).map(|n| Event::new(n.to_string()))).unwrap();
    assert_eq!(fast.data().len(), 10);
    emit(&news, 38..39);
    assert_eq!((news.stats().events, news.stats().missed), (4, 0));
}

#[tokio::test]
async fn case_108_send_waits_until_the_slowest_has_read_and_gets_its_turn_in_order() {
    let news = channel(Overtaken::Wait);
    let mut slow = Subscriber::new(news.subscribe(none()));
    emit(&news, 0..4);
    let [first, dropped, second] = ["4", "never", "5"].map(|data| Box::pin(news.send(Event::new(data))));
    let mut waiting = [first, dropped, second];
    for waiting in &mut waiting {
        assert!(futures_util::poll!(waiting).is_pending());
    }
    let [first, dropped, second] = waiting;
    drop(dropped);
    assert_eq!(slow.data(), ["0", "1", "2", "3"]);
    // In whatever order they are asked now.
    let (second, first) = within(async { futures_util::join!(second, first) }).await;
    assert_eq!([first, second].map(|id| id.unwrap().sequence()), [5, 6]);
    assert_eq!(slow.data(), ["4", "5"]);

    // Closing ends the wait.
    emit(&news, 6..10);
    let waiting = news.send(Event::new("10"));
    tokio::pin!(waiting);
    assert!(futures_util::poll!(waiting.as_mut()).is_pending());
    news.close();
    assert!(matches!(within(waiting).await, Err(EmitError::Closed)));
}

#[test]
fn a_slow_subscriber_delays_no_other_and_costs_its_cursor_alone() {
    let news = Channel::builder().keep_last(1 << 20).keep_bytes(1 << 20).build();
    let stalled: Vec<_> = (0..1000).map(|_| Subscriber::new(news.subscribe(none()))).collect();
    let mut healthy = Subscriber::new(news.subscribe(none()));
    for n in 0..100_000 {
        news.emit("", format!("{n:0100}")).unwrap();
        assert_eq!(healthy.data().len(), 1);
    }
    let stats = news.stats();
    assert!(stats.bytes <= 1 << 20 && stats.lag == 100_000, "{stats:?}");
    drop(stalled);
}
