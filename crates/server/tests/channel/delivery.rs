//! Which subscriber gets which events, in which order and form.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use futures_util::Stream as _;
use ssekit_server::{Channel, EmitError, Event, First, PresenceChange, produce};

use crate::subscriber::{Subscriber, id, none, within};

#[test]
fn every_subscriber_gets_every_event_in_order_with_the_channels_ids() {
    let news = Channel::new();
    let [mut one, mut two] = [(); 2].map(|()| Subscriber::new(news.subscribe(none())));
    assert_eq!(one.data(), Vec::<String>::new());
    let ids = [("headline", "a"), ("", "b\nc")].map(|(name, data)| news.emit(name, data).unwrap());

    for subscriber in [&mut one, &mut two] {
        let events = subscriber.seen().events;
        let shown: Vec<_> =
            events.iter().map(|got| (got.event.as_str(), got.data.as_str(), got.id.clone())).collect();
        assert_eq!(shown, [("headline", "a", ids[0].to_string()), ("message", "b\nc", ids[1].to_string())]);
    }
    assert_eq!(ids.map(|id| id.sequence()), [1, 2]);
    assert_ne!(
        ids[0].to_string().split('-').next(),
        Channel::new().emit("", "").unwrap().to_string().split('-').next()
    );
}

#[test]
fn events_that_wait_leave_in_one_piece() {
    let news = Channel::new();
    let mut subscriber = Subscriber::new(news.subscribe(none()));
    assert!(subscriber.data().is_empty());
    for n in 0..100 {
        news.emit("n", n.to_string()).unwrap();
    }
    assert_eq!(subscriber.piece().expect("a piece").events.len(), 100);
    assert!(subscriber.piece().is_none());
}

#[test]
fn the_first_events_are_the_channels_or_the_subscribers_choice() {
    for (first, expected) in [
        (First::New, &["d"][..]),
        (First::Last(0), &["d"]),
        (First::Last(1), &["c", "d"]),
        (First::Last(2), &["b", "c", "d"]),
        (First::Last(9), &["a", "b", "c", "d"]),
        (First::Last(u64::MAX), &["a", "b", "c", "d"]),
        (First::All, &["a", "b", "c", "d"]),
    ] {
        let chosen = Channel::builder().first(first).build();
        let other = Channel::builder().first(First::Last(1)).build();
        for data in ["a", "b", "c"] {
            chosen.emit("", data).unwrap();
            other.emit("", data).unwrap();
        }
        let mut by_channel = Subscriber::new(chosen.subscribe(none()));
        let mut by_subscriber = Subscriber::new(other.first(first).subscribe(none()));
        chosen.emit("", "d").unwrap();
        other.emit("", "d").unwrap();
        assert_eq!(by_channel.data(), expected, "{first:?}");
        assert_eq!(by_subscriber.data(), expected, "{first:?}");
        assert_eq!(by_channel.reset, None);
    }
}

#[test]
fn a_subscriber_has_its_cursor_before_its_response_begins() {
    let news = Channel::new();
    let response = news.subscribe(none());
    news.emit("", "between").unwrap();
    assert_eq!(Subscriber::new(response).data(), ["between"]);
}

#[test]
fn a_batch_is_published_as_one() {
    let board = Channel::new();
    let mut subscriber = Subscriber::new(board.subscribe(none()));
    board.emit("", "before").unwrap();
    let last = board.emit_batch(["a", "b", "c"].map(Event::new)).unwrap();
    assert_eq!(last.sequence(), 4);
    assert_eq!(subscriber.data(), ["before", "a", "b", "c"]);
    assert_eq!(board.emit_batch([]).unwrap(), last);

    // One that cannot be sent, and none is.
    let too_large = Event::new("x".repeat(17 << 20));
    let refused = board.emit_batch([Event::new("d"), too_large]);
    assert!(matches!(refused, Err(EmitError::TooLarge { .. })), "{refused:?}");
    assert_eq!(subscriber.data(), Vec::<String>::new());
    assert_eq!(board.stats().published, 4);
}

#[test]
fn an_event_keeps_its_own_id_name_and_retry() {
    let news = Channel::new();
    let mut subscriber = Subscriber::new(news.subscribe(none()));
    let retry = std::time::Duration::from_millis(1500);
    news.try_send(Event::new("x").with_event("e").unwrap().with_id("own").unwrap().with_retry(retry))
        .unwrap();
    let seen = subscriber.seen();
    assert_eq!((seen.events[0].event.as_str(), seen.events[0].id.as_str()), ("e", "own"));
    assert_eq!(subscriber.reconnection_time(), Some(retry));
    // An empty id would make clients forget where they are.
    let channels = news.try_send(Event::new("y").with_id("").unwrap()).unwrap();
    assert_eq!(subscriber.seen().events[0].id, channels.to_string());
}

#[cfg(feature = "json")]
#[test]
fn json_is_one_line() {
    let news = Channel::new();
    let mut subscriber = Subscriber::new(news.subscribe(none()));
    news.emit_json("j", &serde_json::json!({"a": "x\ny"})).unwrap();
    assert_eq!(subscriber.data(), [r#"{"a":"x\ny"}"#]);
}

#[test]
fn names_that_break_their_line_are_refused() {
    let refused = Channel::new().emit("a\nb", "");
    assert!(matches!(refused, Err(EmitError::Field(_))), "{refused:?}");
}

#[test]
fn a_closed_channel_ends_its_streams_after_their_unread_events() {
    let news = Channel::builder().first(First::All).build();
    for n in 0..10_000 {
        news.emit("", format!("{n:100}")).unwrap();
    }
    let mut early = Subscriber::new(news.subscribe(none()));
    let mut waiting = Subscriber::new(news.first(First::New).subscribe(none()));
    assert!(waiting.data().is_empty());
    news.close();
    assert!(news.is_closed());
    let late = Subscriber::new(news.subscribe(none()));
    for mut subscriber in [early.seen(), Subscriber::seen(&mut { late })].map(Some) {
        let seen = subscriber.take().unwrap();
        assert_eq!((seen.events.len(), seen.ended), (1 + 1024, true));
        assert_eq!(seen.events[0].data, r#"{"missed":8976}"#);
    }
    assert!(waiting.seen().ended);
    assert!(matches!(news.emit("", ""), Err(EmitError::Closed)));
    assert_eq!(news.stats().subscribers, 0);
}

#[test]
fn a_stream_of_its_own_events_and_a_channels() {
    let news = Channel::new();
    let page = produce(|stream| {
        stream.emit("welcome", "you").unwrap();
        move || drop(stream)
    });
    let mut page = Subscriber::new(page.follow(&news, none()));
    let last = news.emit("headline", "…").unwrap();
    assert_eq!(page.data(), ["you", "…"]);
    assert_eq!(page.last_event_id(), id(last));
    // It goes on when the channel is closed, as long as somebody could emit.
    news.close();
    assert!(!page.seen().ended);
}

#[test]
fn a_stream_of_its_own_events_and_a_channels_ends_with_its_lock_or_with_both() {
    let news = Channel::new();
    let mut unlocked = Subscriber::new(produce(|stream| stream.lock().set(false)).follow(&news, none()));
    assert!(unlocked.seen().ended);

    let mut left = Subscriber::new(produce(drop).follow(&news, none()));
    assert!(!left.seen().ended, "the channel is open");
    news.close();
    assert!(left.seen().ended);
}

#[test]
fn stats_count_subscribers_and_their_unread_events() {
    let news = Channel::builder().keep_last(4).name("news").build();
    assert_eq!(news.name(), Some("news"));
    let mut reading = Subscriber::new(news.subscribe(none()));
    let slow = Subscriber::new(news.subscribe(none()));
    assert!(reading.data().is_empty());
    let stats = news.stats();
    assert_eq!((stats.subscribers, stats.waiting, stats.events, stats.bytes, stats.lag), (2, 1, 0, 0, 0));
    for n in 0..3 {
        news.emit("n", n.to_string()).unwrap();
    }
    assert_eq!(reading.data(), ["0", "1", "2"]);
    let stats = news.stats();
    assert_eq!((stats.subscribers, stats.waiting, stats.events, stats.lag), (2, 1, 3, 3));
    let id = "0123456789-1".len();
    assert_eq!(stats.bytes, 3 * ("id: \nevent: n\ndata: 0\n\n".len() + id));
    assert_eq!((stats.published, stats.missed), (3, 0));
    drop(slow);
    drop(reading);
    let stats = news.stats();
    assert_eq!((stats.subscribers, stats.waiting, stats.lag), (0, 0, 0));
}

#[test]
fn a_response_that_nobody_reads_leaves_too() {
    let news = Channel::new();
    drop(news.subscribe(none()));
    drop(news.subscribe(none()).response());
    let refused = news.subscribe(none()).header("a\nb", "").try_response();
    assert!(refused.is_err());
    assert_eq!(news.stats().subscribers, 0);
    let mut body = news.subscribe(none()).response().into_body();
    assert!(std::pin::Pin::new(&mut body).size_hint().1.is_none());
}

#[tokio::test]
async fn joins_and_leaves_are_a_stream() {
    let news = Channel::new();
    let before = news.subscribe(none());
    let mut presence = news.presence();
    let one = news.subscribe(none()).response();
    let other = Channel::new();
    let both = Subscriber::new(news.and(&other).subscribe(none()));
    drop(before);
    drop(both);
    drop(one);
    for expected in [
        PresenceChange::Joined { key: (), streams: 2 },
        PresenceChange::Joined { key: (), streams: 3 },
        PresenceChange::Left { key: (), streams: 2 },
        PresenceChange::Left { key: (), streams: 1 },
        PresenceChange::Left { key: (), streams: 0 },
    ] {
        assert_eq!(within(presence.next()).await, Some(expected));
    }
    drop(news);
    assert_eq!(within(presence.next()).await, None);
}

#[test]
fn the_task_that_polled_last_is_woken() {
    struct Bell(AtomicUsize);
    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let news = [Channel::new(), Channel::new()];
    let body = news[0].and(&news[1]).subscribe(none()).no_ping().no_stall_timeout().response().into_body();
    let mut body = std::pin::pin!(body);
    let bells = [(); 2].map(|()| Arc::new(Bell(AtomicUsize::new(0))));
    let mut rung = [0, 0];
    for (task, channel, polls) in
        [(0, 0, 1), (0, 0, 2), (1, 0, 1), (1, 1, 2), (0, 1, 2), (1, 0, 2), (1, 1, 1), (0, 0, 1)]
    {
        let waker = Waker::from(Arc::clone(&bells[task]));
        // Once to take the events that are there, and again to find no more.
        for _ in 0..polls {
            let _ = body.as_mut().poll_next(&mut Context::from_waker(&waker));
        }
        while body.as_mut().poll_next(&mut Context::from_waker(&waker)).is_ready() {}
        news[channel].emit("", "").unwrap();
        rung[task] += 1;
        let bells = bells.each_ref().map(|bell| bell.0.load(Ordering::Relaxed));
        assert!(bells[task] >= rung[task], "task {task} was not woken: {bells:?}, {rung:?}");
        rung = bells;
    }
}

#[test]
fn subscribers_share_the_bytes_of_their_events() {
    let news = Channel::builder().keep_bytes(usize::MAX).build();
    let mut bodies = [(); 2]
        .map(|()| Box::pin(news.subscribe(none()).no_ping().no_stall_timeout().response().into_body()));
    let mut shared = 0;
    // New events, events of the history, and events that are larger than a piece.
    for size in [1, 100, 10_000, 100_000] {
        for _ in 0..10 {
            news.emit("n", "x".repeat(size)).unwrap();
        }
        loop {
            let pieces = bodies.each_mut().map(|body| {
                match body.as_mut().poll_next(&mut Context::from_waker(Waker::noop())) {
                    std::task::Poll::Ready(piece) => piece.map(Result::unwrap),
                    std::task::Poll::Pending => None,
                }
            });
            let [Some(a), Some(b)] = pieces else { break };
            assert_eq!((a.as_ptr(), a.len()), (b.as_ptr(), b.len()), "{size}");
            shared += a.len();
        }
    }
    assert_eq!(shared, news.stats().bytes);
}
