use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ssekit_client::{CloseReason, Error, Reconnect, SelectError, Status, source};

use crate::answer::Answer;
use crate::peer::Peer;
use crate::{data, eager, last_error, message, soon};

#[tokio::test]
async fn case_075_a_refused_or_reset_connection_is_an_error_and_is_retried() {
    let address = Peer::start([]).await.kill().await;
    let errors = Arc::new(Mutex::new(Vec::new()));
    let (seen, report) = (Arc::clone(&errors), tokio::sync::Notify::new());
    let report = Arc::new(report);
    let reported = Arc::clone(&report);
    let connection = source(format!("http://{address}/")).reconnect(eager()).on_error(move |error| {
        let waits = matches!(error.connection_status(), Status::Waiting { .. });
        seen.lock().unwrap().push(((**error).clone(), waits));
        reported.notify_one();
    });
    let mut messages = connection.select("message");
    tokio::select! {
        message = messages.next() => panic!("nobody is there: {message:?}"),
        () = soon("an error", report.notified()) => {}
    }
    let (first, waits) = errors.lock().unwrap()[0].clone();
    let text = std::error::Error::source(&first).unwrap().to_string();
    assert!(
        matches!(first, Error::Connect { .. }) && text.contains("refused"),
        "the first one is reported: {text}"
    );
    assert!(waits, "it waits for the next attempt when the error is reported");

    let peer = Peer::start_on(
        &address.to_string(),
        [Answer::refuse(), Answer::events("data: back\n\n").then_stay()],
    )
    .await;
    assert_eq!(data(&mut messages).await, "back");
    assert_eq!(peer.requests().len(), 2);
}

#[tokio::test]
async fn case_076_a_stream_that_ends_or_breaks_is_opened_again() {
    let peer = Peer::start([
        Answer::events("data: 1\n\n"),
        Answer::events("data: 2\n\n").then_break(),
        Answer::events("data: 3\n\n").then_stay(),
    ])
    .await;
    let errors = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&errors);
    let opened = Arc::new(AtomicUsize::new(0));
    let opening = Arc::clone(&opened);
    let connection = source(peer.url("/"))
        .reconnect(eager())
        .on_error(move |error| seen.lock().unwrap().push((**error).clone()))
        .on_open(move |_| {
            opening.fetch_add(1, Ordering::Relaxed);
        });
    let mut messages = connection.select("message");
    for expected in ["1", "2", "3"] {
        assert_eq!(data(&mut messages).await, expected);
    }
    assert!(matches!(&errors.lock().unwrap()[..], [Error::Ended, Error::Read(_)]), "{errors:?}");
    assert_eq!(opened.load(Ordering::Relaxed), 3);
}

/// Returns the last event ID of the second request, after this first stream.
async fn resumed_after(stream: &str, resume_after: &str) -> Option<String> {
    let peer = Peer::start([Answer::events(stream), Answer::events("data: again\n\n").then_stay()]).await;
    let mut connection = source(peer.url("/")).reconnect(eager());
    if !resume_after.is_empty() {
        connection = connection.resume_after(resume_after);
    }
    let mut messages = connection.select_all();
    while data(&mut messages).await != "again" {}
    peer.request(1).await.header("last-event-id").map(str::to_owned)
}

#[tokio::test]
async fn cases_077_to_083_the_last_event_id_is_the_last_that_was_committed() {
    for (what, stream, start, expected) in [
        ("077 the last of several", "id: 1\ndata: a\n\nid: 2\ndata: b\n\n", "", Some("2")),
        ("078 it survives events without one", "id: 1\ndata: a\n\ndata: b\n\n", "", Some("1")),
        ("079 reset to nothing, there is no header", "id: 1\ndata: a\n\nid\ndata: b\n\n", "", None),
        ("079 reset also when one was given", "id\ndata: b\n\n", "41", None),
        ("080 that of a block without data counts", "data: a\n\nid: 5\n\n", "", Some("5")),
        ("081 that of a cut-off event does not", "id: 1\ndata: a\n\nid: 2\ndata: b\n", "", Some("1")),
        ("067 a given one is kept", "data: a\n\n", "41", Some("41")),
        ("083 as UTF-8", "id: …\ndata: a\n\n", "", Some("…")),
    ] {
        assert_eq!(resumed_after(stream, start).await.as_deref(), expected, "{what}");
    }
}

#[tokio::test]
async fn case_081_the_data_of_a_cut_off_event_is_dropped() {
    let peer = Peer::start([
        Answer::events("data: whole\n\ndata: cut"),
        Answer::events("data: new\n\n").then_stay(),
    ])
    .await;
    let mut messages = source(peer.url("/")).reconnect(eager()).select("message");
    assert_eq!([data(&mut messages).await, data(&mut messages).await], ["whole", "new"]);
}

#[tokio::test]
async fn case_082_an_event_without_an_id_after_a_reconnect_keeps_the_old_one() {
    let peer =
        Peer::start([Answer::events("id: 1\ndata: a\n\n"), Answer::events("data: b\n\n").then_stay()]).await;
    let mut messages = source(peer.url("/")).reconnect(eager()).select("message");
    message(&mut messages).await;
    assert_eq!(message(&mut messages).await.last_event_id(), "1");
}

#[tokio::test]
async fn case_046_a_byte_order_mark_is_skipped_on_each_connection() {
    let marked = "\u{feff}data: x\n\n";
    let peer = Peer::start([Answer::events(marked), Answer::events(marked).then_stay()]).await;
    let mut messages = source(peer.url("/")).reconnect(eager()).select("message");
    assert_eq!([data(&mut messages).await, data(&mut messages).await], ["x", "x"]);
}

#[tokio::test]
async fn a_last_event_id_that_no_header_can_hold_is_reported() {
    let peer =
        Peer::start([Answer::events("id: \u{1}\ndata: a\n\n"), Answer::events("data: b\n\n").then_stay()])
            .await;
    let errors = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&errors);
    let connection = source(peer.url("/"))
        .reconnect(eager())
        .on_error(move |error| seen.lock().unwrap().push((**error).clone()));
    let mut messages = connection.select("message");
    data(&mut messages).await;
    data(&mut messages).await;
    assert_eq!(peer.request(1).await.header("last-event-id"), None);
    assert!(
        matches!(&errors.lock().unwrap()[..], [Error::Ended, Error::LastEventId { id }] if id == "\u{1}")
    );
}

#[tokio::test]
async fn case_087_a_restart_reconnects_without_an_error() {
    let peer = Peer::start([
        Answer::events("id: 1\ndata: a\n\n").then_stay(),
        Answer::events("data: b\n\n").then_stay(),
    ])
    .await;
    let connection =
        source(peer.url("/")).on_error(|error| panic!("an error: {error:?}")).on_close(|_| panic!());
    let mut messages = connection.select("message");
    assert_eq!(data(&mut messages).await, "a");
    connection.restart();
    assert_eq!(data(&mut messages).await, "b");
    peer.left(1).await;
    assert_eq!(peer.request(1).await.header("last-event-id"), Some("1"));
}

#[tokio::test]
async fn case_088_after_a_close_nothing_follows_even_if_it_was_received() {
    let peer = Peer::start([Answer::events("data: 1\n\ndata: 2\n\n").then_stay()]).await;
    let connection = source(peer.url("/"));
    let mut messages = connection.select("message");
    data(&mut messages).await;
    connection.close();
    assert!(messages.next().await.is_none());
    assert!(matches!(connection.status(), Status::Closed { reason: CloseReason::Local }));
    peer.left(1).await;
}

#[tokio::test]
async fn case_089_the_states_are_connecting_open_waiting_open_closed() {
    let peer = Peer::start([Answer::events("data: 1\n\n"), Answer::events("data: 2\n\n").then_stay()]).await;
    let connection = source(peer.url("/")).reconnect(eager());
    let states = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&states);
    let _subscription = connection.statuses().subscribe(move |status| {
        seen.lock().unwrap().push(match status {
            Status::Idle => "idle",
            Status::Connecting => "connecting",
            Status::Open => "open",
            Status::Waiting { .. } => "waiting",
            Status::Closed { .. } => "closed",
            _ => "another",
        });
    });
    let mut messages = connection.select("message");
    data(&mut messages).await;
    data(&mut messages).await;
    connection.close();
    let expected = ["idle", "connecting", "open", "waiting", "connecting", "open", "closed"];
    assert_eq!(*states.lock().unwrap(), expected);
}

#[tokio::test]
async fn case_090_dropping_the_stream_aborts_the_request() {
    for answer in [Answer::events("data: 1\n\n").then_stay(), Answer::silence()] {
        let peer = Peer::start([answer]).await;
        let mut messages = source(peer.url("/")).select("message");
        tokio::select! {
            _ = messages.next() => {}
            _ = peer.request(0) => {}
        }
        drop(messages);
        peer.left(1).await;
    }
}

#[tokio::test]
async fn case_091_the_id_and_time_that_the_stream_has_set_can_be_read() {
    let peer = Peer::start([Answer::events("retry: 1234\nid: 7\ndata: x\n\n").then_stay()]).await;
    let connection = source(peer.url("/"));
    assert_eq!((connection.last_event_id().as_str(), connection.reconnection_time()), ("", None));
    let mut messages = connection.select("message");
    data(&mut messages).await;
    assert_eq!(connection.last_event_id(), "7");
    assert_eq!(connection.reconnection_time(), Some(std::time::Duration::from_millis(1234)));
}

#[tokio::test]
async fn never_closes_with_the_first_end_and_says_why() {
    let peer = Peer::start([Answer::events("data: 1\n\n")]).await;
    let connection = source(peer.url("/")).reconnect(Reconnect::never());
    let mut messages = connection.select("message");
    assert_eq!(data(&mut messages).await, "1");
    assert!(soon("the end", messages.next()).await.is_none(), "an end is no error");
    assert!(matches!(connection.status(), Status::Closed { reason: CloseReason::Ended }));

    let peer = Peer::start([Answer::status(500)]).await;
    let error = last_error(&mut source(peer.url("/")).reconnect(Reconnect::never()).select("message")).await;
    assert!(error.status().is_some());
}

#[tokio::test]
async fn a_closed_connection_can_be_opened_again_and_resumes() {
    let peer = Peer::start([
        Answer::events("id: 3\ndata: a\n\n").then_stay(),
        Answer::events("data: b\n\n").then_stay(),
    ])
    .await;
    let connection = source(peer.url("/"));
    let mut messages = connection.select("message");
    data(&mut messages).await;
    connection.close();
    assert!(messages.next().await.is_none());
    connection.connect();
    assert_eq!(data(&mut messages).await, "b", "the same stream goes on");
    assert_eq!(peer.request(1).await.header("last-event-id"), Some("3"));
}

#[tokio::test]
async fn a_server_that_restarts_is_connected_to_again() {
    let peer = Peer::start([Answer::events("id: 1\ndata: before\n\n").then_stay()]).await;
    let connection = source(peer.url("/")).reconnect(eager());
    let mut messages = connection.select("message");
    assert_eq!(data(&mut messages).await, "before");
    let address = peer.kill().await;
    let peer = Peer::start_on(&address.to_string(), [Answer::events("data: after\n\n").then_stay()]).await;
    assert_eq!(data(&mut messages).await, "after");
    assert_eq!(peer.request(0).await.header("last-event-id"), Some("1"));
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_panic() {
    let (sender, errors) = std::sync::mpsc::channel();
    let connection =
        source("http://127.0.0.1:1/").on_error(move |error| sender.send((**error).clone()).unwrap());
    let mut messages = connection.select("message");
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let polled = futures_core::Stream::poll_next(std::pin::Pin::new(&mut messages), &mut context);
    drop(polled);
    assert!(matches!(errors.try_recv(), Ok(Error::NoRuntime)));
    let mut next = std::pin::pin!(messages.next());
    match next.as_mut().poll(&mut context) {
        std::task::Poll::Ready(Some(Err(SelectError::Closed(Error::NoRuntime)))) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stream_outlives_the_runtime_that_its_connection_ran_on() {
    let build = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (build(), build());
    let (mut messages, connection, peer) = second.block_on(async {
        let answers =
            [Answer::events("id: 1\ndata: a\n\n").then_stay(), Answer::events("data: b\n\n").then_stay()];
        let peer = Peer::start(answers).await;
        let connection = source(peer.url("/"));
        (connection.select("message"), connection, peer)
    });
    // The peer runs on the second runtime, so it is driven while the first one reads.
    let reading = std::thread::spawn(move || {
        let seen = first.block_on(data(&mut messages));
        drop(first);
        (seen, messages)
    });
    let (seen, mut messages) = second.block_on(async {
        while !reading.is_finished() {
            tokio::task::yield_now().await;
        }
        reading.join().unwrap()
    });
    assert_eq!(seen, "a");
    assert!(matches!(connection.status(), Status::Idle));
    assert_eq!(second.block_on(data(&mut messages)), "b");
    drop(peer);
}
