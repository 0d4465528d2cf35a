//! Several channels in one stream, and filters.

use std::collections::HashMap;

use ssekit_server::{Channel, Event, First, HeaderError, LastEventId, Selection, StopReason};
use tokio::sync::mpsc;

use crate::subscriber::{Got, Subscriber, id, none};

fn data(events: &[Got]) -> Vec<&str> {
    events.iter().map(|got| got.data.as_str()).collect()
}

#[test]
fn a_filter_sees_names_and_passes_events_that_match() {
    let news = Channel::new();
    let mut sport = Subscriber::new(news.filter(|name| name.starts_with("sport/")).subscribe(none()));
    let mut all = Subscriber::new(news.filter(|_| true).subscribe(none()));
    let mut nothing = Subscriber::new(news.filter(|_| false).subscribe(none()));
    let mut both = Subscriber::new(
        news.filter(|name| name.starts_with("sport/"))
            .filter(|name| name.ends_with("final"))
            .subscribe(none()),
    );
    for (name, text) in
        [("sport/a", "1"), ("politics", "2"), ("sport/final", "3\n4"), ("", "5"), ("sport/b", "6")]
    {
        news.emit(name, text).unwrap();
    }
    assert_eq!(sport.data(), ["1", "3\n4", "6"]);
    assert_eq!(all.data(), ["1", "2", "3\n4", "5", "6"]);
    assert_eq!(nothing.data(), Vec::<String>::new());
    assert_eq!(both.data(), ["3\n4"]);
    let mut message =
        Subscriber::new(news.filter(|name| name == "message").first(First::All).subscribe(none()));
    assert_eq!(message.data(), ["5"]);
}

#[test]
fn a_filter_that_lets_little_pass_reads_through_all_of_a_long_history() {
    let log = Channel::builder().keep_last(u64::MAX).keep_bytes(usize::MAX).build();
    for n in 0..200_000 {
        log.emit(if n % 50_000 == 49_999 { "rare" } else { "common" }, format!("{n:050}")).unwrap();
    }
    let mut rare = Subscriber::new(log.filter(|name| name == "rare").first(First::All).subscribe(none()));
    // It gives others their turn from time to time: then it has woken itself.
    let mut events = Vec::new();
    for _ in 0..1000 {
        events.extend(rare.seen().events);
    }
    assert_eq!(events.len(), 4);
}

#[test]
fn a_filter_that_panics_ends_its_stream_alone() {
    let news = Channel::new();
    let (stopped, mut reasons) = mpsc::channel(1);
    let broken = news.filter(|name| panic!("no {name}")).subscribe(none());
    let mut broken =
        Subscriber::new(broken.on_stop(move |reason| async move { stopped.try_send(reason).unwrap() }));
    let mut other = Subscriber::new(news.subscribe(none()));
    news.emit("x", "1").unwrap();
    assert!(broken.seen().ended);
    let reason = reasons.try_recv().unwrap();
    assert!(
        matches!(&reason, StopReason::Failed(error) if error.to_string() == "panicked: no x"),
        "{reason:?}"
    );
    assert_eq!(other.data(), ["1"]);
}

#[test]
fn several_channels_are_one_stream_with_one_order_for_each() {
    let channels: Vec<_> = (0..3).map(|_| Channel::builder().keep_last(2_000).build()).collect();
    let selection = channels[0].and(&channels[1]).and(channels[2].clone()).and(&channels[0]);
    let mut reader = Subscriber::new(selection.subscribe(none()));
    for n in 0..3_000 {
        channels[n % 3].emit(&(n % 3).to_string(), n.to_string()).unwrap();
        if n % 70 == 0 {
            channels[1].emit("1", n.to_string()).unwrap();
        }
    }
    let events = reader.seen().events;
    assert_eq!(events.len(), 3_000 + 43);
    let mut last = HashMap::new();
    for Got { event, data, .. } in &events {
        let n: usize = data.parse().unwrap();
        assert!(last.insert(event.clone(), n).is_none_or(|before| before <= n), "{event} {n}");
    }
}

#[test]
fn an_id_of_several_channels_resumes_all_of_them() {
    let [a, b, c] = [(); 3].map(|()| Channel::new());
    let mut reader = Subscriber::new(a.and(&b).subscribe(none()));
    a.emit("", "a1").unwrap();
    b.emit("", "b1").unwrap();
    a.emit("", "a2").unwrap();
    let seen = reader.seen().events;
    for (got, seen_so_far) in seen.iter().zip(1..) {
        // Wherever it was cut, and in whatever order the channels are named now, nothing is missing or comes
        // twice.
        let mut back = Subscriber::new(b.and(&a).subscribe(id(&got.id)));
        assert_eq!(back.reset, None);
        let mut all: Vec<_> = seen[..seen_so_far].iter().map(|got| got.data.clone()).collect();
        all.extend(back.data());
        all.sort();
        assert_eq!(all, ["a1", "a2", "b1"]);
    }
    let last = reader.last_event_id();
    // A channel that is new to the client is read from where new clients read.
    c.emit("", "c1").unwrap();
    let mut more = Subscriber::new(a.and(&b).and(c.first(First::All)).subscribe(last.clone()));
    assert_eq!(more.resumed(), ["c1"]);
    // One of them alone.
    b.emit("", "b2").unwrap();
    let mut one = Subscriber::new(b.subscribe(last));
    assert_eq!(one.resumed(), ["b2"]);
}

#[test]
fn a_channel_that_was_restarted_is_reset_and_the_others_go_on() {
    let [a, b] = ["a", "b"].map(|name| Channel::builder().name(name).build());
    let mut reader = Subscriber::new(a.and(&b).subscribe(none()));
    a.emit("", "a1").unwrap();
    b.emit("", "b1").unwrap();
    assert_eq!(reader.data().len(), 2);
    let again = Channel::builder().name("b").build();
    again.emit("", "b1 again").unwrap();
    a.emit("", "a2").unwrap();
    let mut back = Subscriber::new(a.and(&again).subscribe(reader.last_event_id()));
    assert_eq!(back.reset.as_deref(), Some("unknown"));
    let seen = back.seen().events;
    assert_eq!(data(&seen), ["a2", r#"{"channel":"b","reason":"unknown"}"#, "b1 again"]);
    assert_eq!(seen[1].event, "reset");
    // Each id is the position in both: before the reset, which then comes again, or after it.
    let mut before = Subscriber::new(a.and(&again).subscribe(id(&seen[0].id)));
    assert_eq!(before.data(), [r#"{"channel":"b","reason":"unknown"}"#, "b1 again"]);
    let mut after = Subscriber::new(a.and(&again).subscribe(id(&seen[1].id)));
    assert_eq!(after.resumed(), ["b1 again"]);
}

#[test]
fn ids_of_publishers_are_replaced_by_the_position_in_all_channels_and_still_resume() {
    let [a, b] = [(); 2].map(|()| Channel::new());
    let mut reader = Subscriber::new(a.and(&b).subscribe(none()));
    a.try_send(Event::new("a1").with_id("own").unwrap().with_retry(std::time::Duration::from_secs(3)))
        .unwrap();
    a.emit("", "a2").unwrap();
    let seen = reader.seen().events;
    assert!(seen[0].id.contains(',') && seen[0].id != "own", "{seen:?}");
    assert_eq!(reader.reconnection_time(), Some(std::time::Duration::from_secs(3)));
    assert_eq!(Subscriber::new(a.and(&b).subscribe(id("own"))).data(), ["a2"]);
}

#[test]
fn a_stream_of_several_channels_ends_when_all_of_them_are_closed() {
    let [a, b] = [(); 2].map(|()| Channel::new());
    let mut reader = Subscriber::new(a.and(&b).subscribe(none()));
    a.close();
    b.emit("", "b").unwrap();
    let seen = reader.seen();
    assert_eq!((data(&seen.events), seen.ended), (vec!["b"], false));
    b.close();
    assert!(reader.seen().ended);
}

#[test]
fn a_connection_that_breaks_between_two_resets_gets_the_second_again() {
    let [a, b] = ["a", "b"].map(|name| Channel::builder().name(name).keep_last(2).build());
    let mut reader = Subscriber::new(a.and(&b).subscribe(none()));
    a.emit("", "a1").unwrap();
    b.emit("", "b1").unwrap();
    assert_eq!(reader.data().len(), 2);
    for n in 2..10 {
        a.emit("", format!("a{n}")).unwrap();
        b.emit("", format!("b{n}")).unwrap();
    }
    let again = Channel::builder().name("b").build();
    for b in [&b, &again] {
        let mut back = Subscriber::new(a.and(b).subscribe(reader.last_event_id()));
        let seen = back.seen().events;
        let resets: Vec<_> = seen.iter().filter(|got| got.event == "reset").collect();
        assert_eq!(resets[0].data, r#"{"channel":"a","reason":"expired","missed":6}"#);
        let mut back = Subscriber::new(a.and(b).subscribe(id(&resets[0].id)));
        let again = back.seen().events.into_iter().filter(|got| got.event == "reset");
        let [second] = again.collect::<Vec<_>>().try_into().unwrap();
        assert!(second.data == resets[1].data && second.data.contains(r#""channel":"b""#), "{second:?}");
        assert_eq!(Subscriber::new(a.and(b).subscribe(id(&second.id))).reset, None);
    }
}

#[test]
fn a_stream_reads_as_many_channels_as_its_ids_can_name() {
    let channels: Vec<_> = (0..101).map(|_| Channel::new()).collect();
    let select = |count: usize| {
        channels[1..count].iter().fold(Selection::from(&channels[0]), |all, channel| all.and(channel))
    };
    let mut reader = Subscriber::new(select(100).subscribe(none()));
    channels[99].emit("", "x").unwrap();
    let got = reader.seen().events.remove(0);
    assert_eq!(got.id.split(',').count(), 100);
    assert!(LastEventId::new(got.id.replace("-0", "-18446744073709551615")).is_ok());

    let refused = select(101).subscribe(none()).try_response().unwrap_err();
    assert_eq!(refused, HeaderError::TooManyChannels { channels: 101, limit: 100 });
    assert_eq!(select(101).subscribe(none()).response().status(), 500);
}
