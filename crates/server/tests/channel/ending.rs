//! Channels that end for good: clients get the rest, then the end, and are kept away when they come back.

use std::sync::{Arc, Mutex};

use http_body_util::BodyExt as _;
use ssekit_server::{Channel, Error, Event, First, LastEventId, Produce, Selection, StopReason, produce};

use crate::subscriber::{Subscriber, id, none};

/// The answer to a client with this id, if it gets no stream.
fn status(selection: impl Into<Selection>, last: LastEventId) -> u16 {
    selection.into().subscribe(last).response().status().as_u16()
}

#[test]
fn a_client_with_the_last_id_of_a_closed_channel_is_answered_with_204() {
    let job = Channel::builder().first(First::All).build();
    let ids = [1, 2, 3].map(|n| job.emit("", n.to_string()).unwrap());
    assert_eq!(status(&job, id(ids[2])), 200, "it is open");
    job.close();
    assert_eq!(status(&job, id(ids[2])), 204);
    // A client that has not seen everything gets the rest first.
    for (last, rest) in [(none(), &["1", "2", "3"][..]), (id(ids[0]), &["2", "3"]), (id(ids[1]), &["3"])] {
        let mut back = Subscriber::new(job.subscribe(last));
        let seen = back.seen();
        assert_eq!(seen.events.iter().map(|got| got.data.as_str()).collect::<Vec<_>>(), rest);
        assert!(seen.ended && !seen.cut, "{seen:?}");
        assert_eq!(status(&job, back.last_event_id()), 204);
    }
    // A new client that would get nothing has nothing to wait for either.
    assert_eq!(status(job.first(First::New), none()), 204);
    assert_eq!(status(Channel::new(), none()), 200);
    // A client that must get a notice gets it.
    let mut unknown = Subscriber::new(job.subscribe(id("unknown")));
    assert_eq!(unknown.seen().events.len(), 4);
    assert_eq!(status(&job, unknown.last_event_id()), 204);
}

#[test]
fn a_client_that_was_there_is_answered_with_204_when_it_comes_back() {
    let [job, chat] = [(); 2].map(|()| Channel::new());
    let selections = [
        Selection::from(&job),
        job.filter(|name| name == "a"),
        job.filter(|name| name == "never"),
        job.and(&chat),
        job.and(&chat).filter(|name| name == "never"),
        Selection::from(&chat),
    ];
    let mut readers =
        selections.each_ref().map(|selection| Subscriber::new(selection.clone().subscribe(none())));
    for reader in &mut readers {
        assert!(reader.data().is_empty());
    }
    for name in ["a", "b"] {
        job.emit(name, "").unwrap();
    }
    for reader in &mut readers {
        assert!(!reader.seen().ended);
    }
    job.close();
    chat.close();
    for (selection, mut reader) in selections.into_iter().zip(readers) {
        let seen = reader.seen();
        assert!(seen.ended && !seen.cut && seen.events.is_empty(), "{seen:?}");
        assert_eq!(status(selection, reader.last_event_id()), 204);
    }
}

#[test]
fn events_that_were_dropped_before_the_end_are_reported_before_it() {
    let job = Channel::builder().keep_last(2).first(First::All).build();
    let ids: Vec<_> = (0..5).map(|n| job.emit("", n.to_string()).unwrap()).collect();
    job.close();
    let mut new = Subscriber::new(job.subscribe(none()));
    assert_eq!(new.seen().events.len(), 3, "a notice and two events");
    let mut late = Subscriber::new(job.subscribe(id(ids[0])));
    assert_eq!(late.reset.as_deref(), Some("expired"));
    assert_eq!(late.seen().events.len(), 3);
    for reader in [new, late] {
        assert_eq!(status(&job, reader.last_event_id()), 204);
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_without_events_still_recognizes_the_id_of_its_last_event() {
    let time = std::time::Duration::from_secs(1);
    let job = Channel::builder().keep_for(time).first(First::All).build();
    let last = job.emit("", "1").unwrap();
    job.close();
    tokio::time::advance(2 * time).await;
    assert_eq!(status(&job, id(last)), 204);
    let mut new = Subscriber::new(job.subscribe(none()));
    assert_eq!(new.seen().events[0].data, r#"{"missed":1}"#);
    assert_eq!(status(&job, new.last_event_id()), 204);
}

#[test]
fn a_stream_that_has_events_of_its_own_is_no_matter_of_its_channels() {
    let news = Channel::new();
    news.close();
    let welcome = || produce(|stream| stream.emit("welcome", "").unwrap()).follow(&news, none());
    assert_eq!(Subscriber::new(welcome()).seen().events.len(), 1);
}

#[test]
fn the_answer_204_has_the_callers_headers_and_no_body() {
    let stopped = Arc::new(Mutex::new(Vec::new()));
    let reporting = |produce: Produce| {
        let stopped = stopped.clone();
        produce
            .header("access-control-allow-origin", "https://example.com")
            .header("content-type", "text/event-stream")
            .on_stop(move |reason| async move { stopped.lock().unwrap().push(format!("{reason:?}")) })
    };
    let closed = Channel::new();
    closed.close();
    for produce in [Produce::no_content(), closed.subscribe(none())] {
        let response = reporting(produce).response();
        assert_eq!(response.status(), 204);
        let headers = response.headers();
        assert_eq!(headers["access-control-allow-origin"], "https://example.com");
        assert_eq!(headers["cache-control"], "no-store");
        assert!(!headers.contains_key("content-type"));
        assert!(http_body::Body::is_end_stream(response.body()));
        let body = futures_util::FutureExt::now_or_never(response.into_body().collect());
        assert!(body.unwrap().unwrap().to_bytes().is_empty());
    }
    assert_eq!(*stopped.lock().unwrap(), ["Ended", "Ended"]);
    assert_eq!(closed.stats().subscribers, 0);
}

/// A job that ends without a close: each of its subscribers is cut, and gets 410 when it comes back.
#[test]
fn a_channel_whose_publisher_is_dropped_fails() {
    let job = Channel::builder().name("import").first(First::All).build();
    let first = job.emit("", "1").unwrap();
    let stopped = Arc::new(Mutex::new(Vec::new()));
    let mut readers = [(); 2].map(|()| {
        let stopped = stopped.clone();
        Subscriber::new(job.subscribe(none()).on_stop(move |reason| async move {
            stopped.lock().unwrap().push(reason);
        }))
    });
    for reader in &mut readers {
        assert_eq!(reader.data(), ["1"]);
    }
    let publisher = job.close_on_drop();
    let panicked = std::thread::spawn(move || {
        publisher.emit("", "2").unwrap();
        panic!("the job is broken");
    });
    panicked.join().unwrap_err();
    assert!(job.is_closed());
    for reader in &mut readers {
        let seen = reader.seen();
        assert_eq!((seen.events[0].data.as_str(), seen.cut), ("2", true));
        assert_eq!(status(&job, reader.last_event_id()), 410);
    }
    let stopped = std::mem::take(&mut *stopped.lock().unwrap());
    assert_eq!(stopped.len(), 2);
    for reason in stopped {
        let message = "the channel `import` failed: its publisher panicked before it closed the channel";
        assert!(matches!(&reason, StopReason::Failed(error) if error.to_string() == message), "{reason}");
    }
    let mut late = Subscriber::new(job.subscribe(id(first)));
    let seen = late.seen();
    assert_eq!((seen.events.len(), seen.cut), (1, true));
    assert_eq!(status(job.first(First::New), none()), 410);
}

#[test]
fn how_a_channel_has_ended_first_stands() {
    let job = Channel::new();
    let publisher = job.close_on_drop();
    publisher.emit("", "1").unwrap();
    publisher.close();
    drop(publisher);
    job.fail(Error::new("too late"));
    let mut reader = Subscriber::new(job.first(First::All).subscribe(none()));
    let seen = reader.seen();
    assert!(seen.ended && !seen.cut && seen.events.len() == 1, "{seen:?}");

    let job = Channel::new();
    drop(job.close_on_drop());
    job.close();
    assert_eq!(status(&job, none()), 410);
}

/// Of several channels, the one that has failed cuts the stream once; then its client reads on in the others.
#[test]
fn a_failed_channel_does_not_cut_a_stream_of_several_again_and_again() {
    let [job, chat] = [(); 2].map(|()| Channel::new());
    let mut reader = Subscriber::new(job.and(&chat).subscribe(none()));
    job.emit("", "1").unwrap();
    assert_eq!(reader.data(), ["1"]);
    job.fail(Error::new("broken"));
    assert!(reader.seen().cut);
    let mut back = Subscriber::new(job.and(&chat).subscribe(reader.last_event_id()));
    chat.emit("", "hello").unwrap();
    assert_eq!(back.resumed(), ["hello"]);
    chat.close();
    let seen = back.seen();
    assert!(seen.ended && !seen.cut, "{seen:?}");
    assert_eq!(status(job.and(&chat), back.last_event_id()), 410);
    let event = Event::new("");
    assert!(job.try_send(event).is_err());
}

#[test]
fn a_channel_that_keeps_all_gives_everything_to_a_late_subscriber() {
    let log = Channel::builder().keep_last(2).keep_all().first(First::All).build();
    for n in 0..5_000 {
        log.emit("", n.to_string()).unwrap();
    }
    log.close();
    let seen = Subscriber::new(log.subscribe(none())).seen();
    assert_eq!((seen.events.len(), seen.events[0].data.as_str()), (5_000, "0"));
}
