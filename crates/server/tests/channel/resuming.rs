//! Clients that come back with a last event ID.

use std::sync::{Arc, Mutex};

use ssekit_server::{Channel, EmitError, Event, First, LastEventId, produce};

use crate::subscriber::{Subscriber, id, none};

#[test]
fn case_109_a_client_that_comes_back_goes_on_after_its_last_event() {
    let news = Channel::new();
    let ids: Vec<_> = (0..10).map(|n| news.emit("", n.to_string()).unwrap()).collect();
    for (seen, last) in ids.iter().enumerate() {
        let mut back = Subscriber::new(news.subscribe(id(last)));
        let rest: Vec<_> = (seen + 1..10).map(|n| n.to_string()).collect();
        assert_eq!(back.resumed(), rest);
        assert_eq!(back.last_event_id(), if seen == 9 { none() } else { id(ids[9]) });
    }
}

#[test]
fn case_109_an_expired_id_is_reported_by_an_event_and_a_header() {
    let news = Channel::builder().keep_last(3).build();
    let ids: Vec<_> = (0..10).map(|n| news.emit("", n.to_string()).unwrap()).collect();
    let mut back = Subscriber::new(news.subscribe(id(ids[2])));
    assert_eq!(back.reset.as_deref(), Some("expired"));
    let seen = back.seen().events;
    assert_eq!(
        (seen[0].event.as_str(), seen[0].data.as_str()),
        ("reset", r#"{"reason":"expired","missed":4}"#)
    );
    let data: Vec<_> = seen[1..].iter().map(|got| got.data.as_str()).collect();
    assert_eq!(data, ["7", "8", "9"]);
    // A client that loses the connection right after the reset does not get it again.
    assert_eq!(seen[0].id, ids[6].to_string());
    assert_eq!(Subscriber::new(news.subscribe(id(ids[6]))).reset, None);
}

#[test]
fn case_109_an_id_from_before_a_restart_is_reported_too() {
    let before = Channel::new().emit("", "").unwrap();
    let news = Channel::builder().name("the \"news\"\n").build();
    news.emit("", "a").unwrap();
    for unknown in [before.to_string(), "garbage".into(), "-".into(), "1-".into(), "a,b".into(), ",".into()] {
        let mut back = Subscriber::new(news.subscribe(id(&unknown)));
        assert_eq!(back.reset.as_deref(), Some("unknown"), "{unknown}");
        let seen = back.seen().events;
        let data = r#"{"channel":"the \"news\"\u000a","reason":"unknown"}"#;
        assert_eq!((seen[0].event.as_str(), seen[0].data.as_str()), ("reset", data));
        assert_eq!(seen[1].data, "a");
        assert_eq!(seen.len(), 2);
    }
}

#[test]
fn an_id_that_was_never_given_is_unknown() {
    let news = Channel::new();
    let last = news.emit("", "").unwrap().to_string();
    let (epoch, _) = last.split_once('-').unwrap();
    for (sequence, reset) in [
        ("0", None),
        ("1", None),
        ("2", Some("unknown")),
        ("18446744073709551615", Some("unknown")),
        ("18446744073709551616", Some("unknown")),
        ("+1", Some("unknown")),
        ("-1", Some("unknown")),
    ] {
        let back = Subscriber::new(news.subscribe(id(format!("{epoch}-{sequence}"))));
        assert_eq!(back.reset.as_deref(), reset, "{sequence}");
    }
}

#[test]
fn the_events_after_a_reset_are_the_channels_choice() {
    for (after, expected) in
        [(First::New, &["new"][..]), (First::Last(1), &["c", "new"]), (First::All, &["b", "c", "new"])]
    {
        let news = Channel::builder().keep_last(3).first(First::New).after_reset(after).build();
        for data in ["a", "b", "c"] {
            news.emit("", data).unwrap();
        }
        let mut back = Subscriber::new(news.subscribe(id("unknown-1")));
        news.emit("", "new").unwrap();
        assert_eq!(back.data()[1..], *expected);
    }
}

#[test]
fn events_dropped_before_the_first_read_count_in_the_reset() {
    let news = Channel::builder().keep_last(3).build();
    let first = news.emit("", "0").unwrap();
    for n in 1..6 {
        news.emit("", n.to_string()).unwrap();
    }
    let [mut back, mut new] =
        [news.subscribe(id(first)), news.first(First::All).subscribe(none())].map(Subscriber::new);
    for n in 6..8 {
        news.emit("", n.to_string()).unwrap();
    }
    assert_eq!(back.data(), [r#"{"reason":"expired","missed":4}"#, "5", "6", "7"]);
    assert_eq!(new.data(), [r#"{"missed":5}"#, "5", "6", "7"]);
    // Events that were published since the client came are not skipped.
    let [mut all, mut latest] =
        [First::All, First::Last(2)].map(|first| Subscriber::new(news.first(first).subscribe(none())));
    for n in 8..12 {
        news.emit("", n.to_string()).unwrap();
    }
    assert_eq!(all.data(), [r#"{"missed":9}"#, "9", "10", "11"]);
    assert_eq!(latest.data(), [r#"{"missed":1}"#, "9", "10", "11"]);
}

/// The connection breaks before the first event: the client has an id to come back with all the same.
#[test]
fn a_client_that_has_seen_no_event_yet_misses_none_when_it_comes_back() {
    let [news, chat] = [(); 2].map(|()| Channel::new());
    news.emit("", "before").unwrap();
    let selections = [news.filter(|_| true), news.and(&chat), chat.and(news.filter(|name| name != "x"))];
    for (n, selection) in selections.into_iter().enumerate() {
        let mut early = Subscriber::new(selection.clone().subscribe(none()));
        assert!(early.data().is_empty());
        let last = early.last_event_id();
        drop(early);
        news.emit("", n.to_string()).unwrap();
        chat.emit("", n.to_string()).unwrap();
        let mut back = Subscriber::new(selection.subscribe(last));
        let seen = back.resumed();
        assert!(!seen.is_empty() && seen.iter().all(|data| *data == n.to_string()), "{seen:?}");
    }
    // A client that has events to read at once gets their ids, and no other.
    let response = news.first(First::Last(1)).subscribe(none()).no_ping().no_stall_timeout().response();
    let mut body = Box::pin(response.into_body());
    let piece = futures_util::FutureExt::now_or_never(futures_util::StreamExt::next(&mut body));
    assert!(piece.unwrap().unwrap().unwrap().ends_with(b"\nevent: message\ndata: 2\n\n"));
}

/// The npm package sveltekit-sse dispatches a block without data as an event without a name. It asks for
/// `*/*`, and sends no id back.
#[test]
fn a_client_that_does_not_ask_for_event_streams_gets_no_block_of_an_id_alone() {
    let news = Channel::new();
    let first_piece = |accept: Option<&str>| {
        let mut request = http::Request::get("/");
        if let Some(accept) = accept {
            request = request.header("accept", accept);
        }
        let last = LastEventId::from_request(&request.body(()).unwrap()).unwrap();
        let mut body = Box::pin(news.subscribe(last).no_ping().no_stall_timeout().response().into_body());
        let piece = futures_util::FutureExt::now_or_never(futures_util::StreamExt::next(&mut body));
        piece.flatten().map(|piece| String::from_utf8(piece.unwrap().to_vec()).unwrap())
    };
    for accept in [None, Some("text/event-stream"), Some("application/json, Text/Event-Stream;q=0.9")] {
        let piece = first_piece(accept);
        assert!(piece.as_ref().is_some_and(|piece| piece.starts_with("id: ")), "{accept:?}: {piece:?}");
    }
    for accept in ["*/*", "application/json", ""] {
        assert_eq!(first_piece(Some(accept)), None, "{accept}");
    }
}

#[test]
fn an_id_that_a_publisher_gives_is_not_one_of_the_channels_own() {
    let [news, other] = [(); 2].map(|()| Channel::new());
    let first = news.emit("", "1").unwrap();
    for own in [first.to_string(), format!("a,{first}")] {
        let event = Event::new("2").with_id(own).unwrap();
        let refused = news.try_send(event.clone()).unwrap_err();
        assert!(
            matches!(&refused, EmitError::ReservedId { id } if **id == *event.id().unwrap()),
            "{refused}"
        );
        // Of another channel it may be, as where events are relayed.
        other.try_send(event).unwrap();
    }
    assert_eq!(news.stats().published, 1);
    assert_eq!(Subscriber::new(other.subscribe(id(first))).data(), ["2"]);
}

#[test]
fn an_id_that_no_request_could_carry_back_is_refused() {
    let news = Channel::new();
    for (bytes, taken) in [(4_096, true), (4_097, false)] {
        let event = Event::new("").with_id("i".repeat(bytes)).unwrap();
        assert_eq!(news.try_send(event.clone()).is_ok(), taken);
        let sent = Arc::new(Mutex::new(None));
        let seen = sent.clone();
        let mut stream = Subscriber::new(produce(move |stream| {
            *seen.lock().unwrap() = Some(stream.try_send(event));
        }));
        stream.seen();
        match sent.lock().unwrap().take().unwrap() {
            Ok(()) => assert!(taken),
            Err(error) => assert!(!taken && matches!(error, EmitError::IdTooLong { .. }), "{error}"),
        }
    }
}

#[test]
fn ids_of_their_own_are_kept_and_found() {
    let log = Channel::builder().keep_last(1000).build();
    let event = |own: &str| Event::new(own.to_owned()).with_id(own.to_owned()).unwrap();
    for own in ["x", "x,y", "a-1", "…", "x"] {
        log.try_send(event(own)).unwrap();
    }
    for (own, rest) in [("x,y", &["a-1", "…", "x"][..]), ("a-1", &["…", "x"]), ("…", &["x"]), ("x", &[])]
    {
        let mut back = Subscriber::new(log.subscribe(id(own)));
        assert_eq!(back.resumed(), rest, "{own}");
    }
    // The channel's own ids are understood beside them.
    let last = log.emit("", "numbered").unwrap();
    assert_eq!(Subscriber::new(log.subscribe(id("x"))).data(), ["numbered"]);
    log.try_send(event("z")).unwrap();
    assert_eq!(Subscriber::new(log.subscribe(id(last))).data(), ["z"]);
}

#[test]
fn a_client_of_a_channel_that_was_closed_gets_the_rest_of_it() {
    let news = Channel::new();
    let first = news.emit("", "a").unwrap();
    news.emit("", "b").unwrap();
    news.close();
    let seen = Subscriber::new(news.subscribe(id(first))).seen();
    assert_eq!((seen.events.len(), seen.events[0].data.as_str(), seen.ended), (1, "b", true));
}
