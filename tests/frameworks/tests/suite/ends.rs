//! Each way a stream ends by itself.

use ssekit::server::{Error, First};
use ssekit::{Channel, EmitError, Event, Produce, StopReason, produce};
use ssekit_frameworks::{App, Client, End, Framework, Server, Stream, on_each_framework, within};
use tokio::sync::mpsc;

on_each_framework! {
    case_106_unlock_ends_the_stream_cleanly_after_queued_events
    case_105_emitting_after_the_stop_is_an_error
    case_105_a_start_that_fails_ends_its_stream_alone
    case_105_a_start_that_panics_ends_its_stream_alone
    a_start_that_fails_at_once_is_answered_with_a_head
    a_client_that_has_seen_the_end_is_answered_with_204
    a_channel_that_failed_cuts_its_streams_and_keeps_their_clients_away
    a_server_without_streams_stops
}

async fn case_106_unlock_ends_the_stream_cleanly_after_queued_events<F: Framework>() {
    let mut stream = Stream::open::<F>(|produce| produce.ids_from(0)).await;
    let mut expected = String::new();
    for n in 0..100 {
        stream.emitter.emit("n", n.to_string()).unwrap();
        expected.push_str(&format!("id: {n}\nevent: n\ndata: {n}\n\n"));
    }
    stream.emitter.lock().set(false);
    assert_eq!(stream.client.rest().await, (expected, End::Complete));
    assert!(matches!(stream.stopped().await, StopReason::Ended));
    // The connection is as good as after any response.
    stream.client.again("/stream", "").await;
    assert_eq!(stream.client.status(), "200");
}

async fn case_105_emitting_after_the_stop_is_an_error<F: Framework>() {
    let mut stream = Stream::open::<F>(|produce| produce).await;
    stream.emitter.lock().set(false);
    assert!(matches!(stream.emitter.emit("n", ""), Err(EmitError::Closed)));
    assert!(matches!(stream.emitter.send(Event::new("")).await, Err(EmitError::Closed)));
    assert!(matches!(stream.stopped().await, StopReason::Ended));
    stream.emitter.lock().set(false);
    stream.emitter.fail(Error::new("too late"));
    within(stream.emitter.closed()).await;
    drop(stream.client);
    stream.server.stop().await;
    assert!(stream.stops.try_recv().is_err(), "on_stop ran twice");
}

/// The client gets the sent events and does not take them for complete; other streams and the server
/// continue.
async fn case_105<F: Framework>(failing: fn() -> Produce, message: &str) {
    let (stopped, mut stops) = mpsc::channel(8);
    let (started, mut starts) = mpsc::channel(8);
    let server = Server::start::<F>(App::new(move |route, _| {
        let (started, stopped) = (started.clone(), stopped.clone());
        match route {
            "failing" => failing().on_stop(move |reason| async move { stopped.try_send(reason).unwrap() }),
            _ => produce(move |stream| started.try_send(stream).unwrap()),
        }
    }))
    .await;
    let mut other = Client::get(server.address, "/other").await;
    let emitter = within(starts.recv()).await.unwrap();
    for n in 0..2 {
        let mut client = Client::get(server.address, "/failing").await;
        assert_eq!(client.rest().await, F::KNOWN.failed("event: n\ndata: 1\n\n"));
        match within(stops.recv()).await {
            Some(StopReason::Failed(error)) => assert_eq!(error.to_string(), message),
            reason => panic!("{reason:?}"),
        }
        assert!(stops.try_recv().is_err(), "on_stop ran twice");
        emitter.emit("n", n.to_string()).unwrap();
        other.expect(&format!("event: n\ndata: {n}\n\n")).await;
    }
}

async fn case_105_a_start_that_fails_ends_its_stream_alone<F: Framework>() {
    let failing = || {
        produce(|stream| async move {
            stream.emit("n", "1")?;
            tokio::task::yield_now().await;
            Err(Error::new("the database is gone"))
        })
    };
    case_105::<F>(failing, "the database is gone").await;
}

async fn case_105_a_start_that_panics_ends_its_stream_alone<F: Framework>() {
    let failing = || {
        produce(|stream| async move {
            stream.emit("n", "1")?;
            tokio::task::yield_now().await;
            panic!("index {} out of range", 7)
        })
    };
    case_105::<F>(failing, "panicked: index 7 out of range").await;
}

/// Without a head, clients would ask again on another connection, as browsers do.
async fn a_start_that_fails_at_once_is_answered_with_a_head<F: Framework>() {
    let failing = |_: &str, _| produce(|_| -> Result<(), Error> { Err(Error::new("no")) });
    let server = Server::start::<F>(App::new(failing)).await;
    let mut client = Client::get(server.address, "/failing").await;
    assert_eq!(client.status(), "200");
    assert_eq!(client.rest().await, F::KNOWN.failed(""));
}

/// On one connection, which an answer without a body leaves as it was.
async fn a_client_that_has_seen_the_end_is_answered_with_204<F: Framework>() {
    let job = Channel::builder().first(First::All).build();
    let ids = [1, 2].map(|n| job.emit("n", n.to_string()).unwrap());
    job.close();
    let app = App::new(move |route, last| match route {
        "job" => job.subscribe(last).header("x-job", "7"),
        _ => Produce::no_content(),
    });
    let server = Server::start::<F>(app).await;
    let [first, second] = ids.map(|id| format!("id: {id}\nevent: n\ndata: {}\n\n", id.sequence()));
    let mut client = Client::get(server.address, "/job").await;
    assert_eq!(client.rest().await, (format!("{first}{second}"), End::Complete));
    client.again("/job", format!("last-event-id: {}\r\n", ids[0])).await;
    assert_eq!(client.rest().await, (second, End::Complete));
    for path in ["/job", "/gone", "/job"] {
        client.again(path, format!("last-event-id: {}\r\n", ids[1])).await;
        assert_eq!(client.status(), "204", "{}", client.head);
        assert_eq!(client.header("x-job").is_empty(), path == "/gone");
        assert!(client.header("content-type").is_empty(), "{}", client.head);
        assert!(client.header("transfer-encoding").is_empty(), "{}", client.head);
    }
    client.again("/job", "").await;
    assert_eq!(client.status(), "200");
    assert_eq!(client.rest().await.1, End::Complete);
    drop(client);
    server.stop().await;
}

async fn a_channel_that_failed_cuts_its_streams_and_keeps_their_clients_away<F: Framework>() {
    let job = Channel::new();
    let server = {
        let job = job.clone();
        Server::start::<F>(App::new(move |_, last| job.subscribe(last))).await
    };
    let mut client = Client::get(server.address, "/job").await;
    client.some().await; // its place
    let id = job.emit("n", "1").unwrap();
    client.expect(&format!("id: {id}\nevent: n\ndata: 1\n\n")).await;
    job.fail(Error::new("the job is broken"));
    assert_eq!(client.rest().await, F::KNOWN.failed(""));
    let again = Client::request(server.address, "/job", format!("last-event-id: {id}\r\n")).await;
    assert_eq!(again.status(), "410");
}

async fn a_server_without_streams_stops<F: Framework>() {
    let mut stream = Stream::open::<F>(|produce| produce).await;
    stream.emitter.emit("n", "1").unwrap();
    stream.emitter.lock().set(false);
    assert_eq!(stream.client.rest().await.1, End::Complete);
    drop(stream.client);
    stream.server.stop().await;
}
