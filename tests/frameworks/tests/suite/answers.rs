//! A client reads the head, and each event as soon as it was emitted.

use std::time::Duration;

use ssekit::{Event, StopReason, produce};
use ssekit_frameworks::{App, Client, End, Framework, Server, Stream, on_each_framework};
use tokio::sync::mpsc;

on_each_framework! {
    case_102_the_head_is_sent_at_once_with_the_headers_of_the_standard
    case_102_headers_and_status_are_the_callers
    case_102_a_header_that_cannot_be_sent_is_an_error_and_starts_nothing
    case_102_every_event_arrives_before_the_next_is_emitted
    case_103_an_idle_stream_pings
    events_are_numbered_when_asked_for
    a_large_event_arrives_whole
}

async fn case_102_the_head_is_sent_at_once_with_the_headers_of_the_standard<F: Framework>() {
    let stream = Stream::open::<F>(|produce| produce).await;
    // Nothing was emitted yet.
    let client = &stream.client;
    assert_eq!(client.status(), "200");
    assert_eq!(client.header("content-type"), ["text/event-stream"]);
    assert_eq!(client.header("cache-control"), ["no-store, no-transform"]);
    assert_eq!(client.header("x-accel-buffering"), ["no"]);
    assert_eq!(client.header("transfer-encoding"), ["chunked"]);
    assert!(client.header("content-length").is_empty() && client.header("connection").is_empty());
    assert!(client.header("content-encoding").iter().all(|encoding| *encoding == "identity"));
}

async fn case_102_headers_and_status_are_the_callers<F: Framework>() {
    let stream = Stream::open::<F>(|produce| {
        produce
            .status(http::StatusCode::ACCEPTED)
            .header("X-Request-Id", "7")
            .header("Cache-Control", "no-cache")
            .header("content-type", "text/event-stream; charset=utf-8")
            .header("x-name", "Zoë")
    })
    .await;
    let client = &stream.client;
    assert_eq!(client.status(), "202");
    assert_eq!(client.header("x-request-id"), ["7"]);
    assert_eq!(client.header("cache-control"), ["no-cache"]);
    assert_eq!(client.header("content-type"), ["text/event-stream; charset=utf-8"]);
    assert_eq!(client.header("x-name"), ["Zoë"]);
}

async fn case_102_a_header_that_cannot_be_sent_is_an_error_and_starts_nothing<F: Framework>() {
    let (stopped, mut stops) = mpsc::channel(8);
    let server = Server::start::<F>(App::new(move |_, _| {
        let stopped = stopped.clone();
        produce(|_| -> () { panic!("start must not run") })
            .header("x-bad", "a\r\nx-injected: b")
            .on_stop(move |reason| async move { stopped.try_send(reason).unwrap() })
    }))
    .await;
    let client = Client::get(server.address, "/").await;
    assert!(client.status() == "500" || client.status() == "404", "{}", client.head);
    let client = Client::get(server.address, "/stream").await;
    assert_eq!(client.status(), "500");
    assert!(client.header("x-injected").is_empty());
    assert!(matches!(stops.recv().await, Some(StopReason::Failed(_))));
    drop(client);
    server.stop().await;
}

async fn case_102_every_event_arrives_before_the_next_is_emitted<F: Framework>() {
    let mut stream = Stream::open::<F>(|produce| produce.no_ping()).await;
    for n in 0..20 {
        stream.emitter.emit("n", n.to_string()).unwrap();
        stream.client.expect(&format!("event: n\ndata: {n}\n\n")).await;
    }
    stream.emitter.comment("a comment").unwrap();
    stream.client.expect(": a comment\n").await;
}

async fn case_103_an_idle_stream_pings<F: Framework>() {
    let mut stream = Stream::open::<F>(|produce| produce.ping(Duration::from_millis(50))).await;
    for _ in 0..3 {
        stream.client.expect("event: ping\ndata: \n\n").await;
    }
    let mut stream = Stream::open::<F>(|produce| produce.ping_comment(Duration::from_millis(50))).await;
    for _ in 0..3 {
        stream.client.expect(":\n").await;
    }
}

async fn events_are_numbered_when_asked_for<F: Framework>() {
    let mut stream = Stream::open::<F>(|produce| produce.ids_from(1).retry(Duration::from_secs(2))).await;
    stream.emitter.emit("a", "x\ny").unwrap();
    stream.emitter.emit("b", "").unwrap();
    stream
        .client
        .expect("retry: 2000\nid: 1\nevent: a\ndata: x\ndata: y\n\nid: 2\nevent: b\ndata: \n\n")
        .await;
}

async fn a_large_event_arrives_whole<F: Framework>() {
    let mut stream = Stream::open::<F>(|produce| produce).await;
    let data = "0123456789abcdef".repeat(64 << 10);
    stream.emitter.send(Event::new(&*data)).await.unwrap();
    stream.emitter.lock().set(false);
    let (rest, end) = stream.client.rest().await;
    assert!(end == End::Complete && rest == format!("event: message\ndata: {data}\n\n"), "{}", rest.len());
}
