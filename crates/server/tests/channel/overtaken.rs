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
fn case_108_close_ends_the_stream_so_that_its_client_resumes_and_is_told() {
    let news = channel(Overtaken::Close);
    let (stopped, mut reasons) = mpsc::channel(1);
    let produce =
        news.subscribe(none()).on_stop(move |reason| async move { stopped.try_send(reason).unwrap() });
    let mut slow = Subscriber::new(produce);
    emit(&news, 0..3);
    assert_eq!(slow.data(), ["0", "1", "2"]);
    emit(&news, 3..10);
    let seen = slow.seen();
    assert!(seen.ended && seen.events.is_empty(), "{seen:?}");
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
    // Its id is the place before what comes next: nobody is told of the same gap twice.
    let mut lost = Subscriber::new(news.subscribe(crate::subscriber::id(&gap.id)));
    assert_eq!(lost.resumed().len(), 4);
}

#[test]
fn case_108_wait_refuses_what_would_push_out_unread_events() {
    let news = channel(Overtaken::Wait);
    emit(&news, 0..20); // nobody reads, nobody waits
    let mut slow = Subscriber::new(news.subscribe(none()));
    let mut fast = Subscriber::new(news.subscribe(none()));
    emit(&news, 20..24);
    assert_eq!(fast.data(), ["20", "21", "22", "23"]);
    let refused = news.emit("", "24");
    assert!(matches!(refused, Err(EmitError::Behind { unread: 4 })), "{refused:?}");
    assert!(refused.unwrap_err().to_string().contains("4 events"));
    let refused = news.emit_batch([Event::new("24"), Event::new("25")]);
    assert!(matches!(refused, Err(EmitError::Behind { .. })), "{refused:?}");

    assert_eq!(slow.data(), ["20", "21", "22", "23"]);
    emit(&news, 24..26);
    assert_eq!(slow.data(), ["24", "25"]);
    // A slow one that leaves holds up nobody; a batch that is larger than the channel is taken when all have read.
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
fn a_slow_subscriber_delays_nobody_and_costs_its_place() {
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
