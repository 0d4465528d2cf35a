//! The streams of a server together: shutdown (case 107), lifetime, limits.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures_util::poll;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::graceful::GracefulShutdown;
use ssekit_server::{
    Channel, EmitError, Emitter, Event, First, LastEventId, Produce, SseBody, StopReason, Streams, produce,
};
use ssekit_wire::Decoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::support::{Client, Server, Stream, listen, quiet, reporting, within};

/// The time that `retry`, the last line, gives a client of a server that says 3 s.
#[track_caller]
fn retry_of(text: &str) -> Duration {
    let line = text.lines().last().and_then(|line| line.strip_prefix("retry: "));
    let time =
        Duration::from_millis(line.and_then(|time| time.parse().ok()).unwrap_or_else(|| panic!("{text:?}")));
    assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{text:?}");
    // Case 38: it counts without a blank line.
    let mut decoder = Decoder::new();
    {
        let mut items = decoder.feed(text.as_bytes());
        while items.next().is_some() {}
    }
    assert_eq!(decoder.reconnection_time(), Some(time));
    assert!(time >= Duration::from_millis(1_500) && time <= Duration::from_millis(4_500), "{time:?}");
    time
}

async fn frame(body: &mut SseBody) -> String {
    let frame = body.frame().await.expect("not the end").expect("not stalled");
    String::from_utf8(frame.into_data().expect("data").to_vec()).unwrap()
}

/// Reads to the proper end.
async fn rest(body: &mut SseBody) -> String {
    let mut rest = String::new();
    while let Some(frame) = body.frame().await {
        rest.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
    }
    rest
}

/// A stream whose start must not run.
fn never() -> Produce {
    produce(|_: Emitter| -> () { panic!("start has run") })
}

#[tokio::test]
async fn case_107_shutdown_ends_a_stream_after_its_events_with_a_time_to_return() {
    for server in Server::ALL {
        let streams = Streams::new();
        let open = streams.clone();
        let mut stream = Stream::open(server, move |produce| produce.within(&open)).await;
        assert_eq!(streams.len(), 1);
        let mut expected = String::new();
        for n in 0..1_000 {
            stream.emitter.emit("n", n.to_string()).unwrap();
            expected.push_str(&format!("event: n\ndata: {n}\n\n"));
        }
        std::thread::spawn({
            let streams = streams.clone();
            move || streams.shutdown()
        })
        .join()
        .unwrap();
        assert!(matches!(stream.emitter.emit("n", ""), Err(EmitError::Closed)));
        let text = stream.client.rest().await;
        let (events, _) = text.split_at(expected.len());
        assert_eq!(events, expected);
        retry_of(&text);
        assert!(matches!(stream.stopped().await, StopReason::Shutdown));
        within(streams.ended()).await;
        streams.shutdown();
        assert!(streams.is_empty() && streams.is_shut_down() && streams.refused() == 0);
    }
}

#[tokio::test]
async fn case_107_a_stream_after_the_shutdown_gets_a_time_to_return_and_never_starts() {
    for server in Server::ALL {
        let streams = Streams::new();
        let (stopped, mut stop) = mpsc::channel(8);
        let addr = server.run({
            let streams = streams.clone();
            move || never().within(&streams).on_stop(reporting(stopped.clone()))
        });
        streams.shutdown();
        within(streams.ended()).await;
        let mut client = Client::get(addr).await;
        assert!(client.head.starts_with("HTTP/1.1 200"), "{}", client.head);
        assert_eq!(client.header("content-type"), ["text/event-stream"]);
        assert_eq!(client.header("ssekit-refused"), ["the server shuts down"]);
        retry_of(&client.rest().await);
        assert!(matches!(within(stop.recv()).await, Some(StopReason::Shutdown)));
        assert!(streams.is_empty() && streams.refused() == 0);
    }
}

#[tokio::test]
async fn case_107_a_response_that_was_built_before_the_shutdown_and_is_read_after_it_never_starts() {
    let streams = Streams::new();
    let (stopped, mut stop) = mpsc::channel(8);
    let mut body = never().within(&streams).on_stop(reporting(stopped)).response().into_body();
    streams.shutdown();
    assert!(
        poll!(std::pin::pin!(streams.ended())).is_pending(),
        "a response that may be read yet is a stream"
    );
    retry_of(&rest(&mut body).await);
    assert!(matches!(stop.try_recv(), Ok(StopReason::Shutdown)));
    within(streams.ended()).await;
}

#[tokio::test(start_paused = true)]
async fn case_107_a_transport_that_does_not_write_is_cut_off_and_one_that_does_is_not() {
    for writes in [false, true] {
        for unlock_before in [false, true] {
            let streams = Streams::new();
            let (started, mut starts) = mpsc::channel(1);
            let (given, mut reason) = mpsc::channel(8);
            let mut body = produce(move |stream: Emitter| started.try_send(stream).unwrap())
                .within(&streams)
                .on_stop(reporting(given))
                .response()
                .into_body();
            assert!(poll!(body.frame()).is_pending());
            let emitter = starts.try_recv().unwrap();
            emitter.emit("n", "1").unwrap();
            let held = body.frame().await.unwrap().unwrap();
            if unlock_before {
                emitter.emit("n", "2").unwrap();
                emitter.lock().set(false);
            }
            streams.shutdown();
            let begin = Instant::now();
            let next = frame(&mut body).await;
            if !unlock_before {
                retry_of(&next);
            }
            if writes {
                let mut end = Box::pin(body.frame());
                assert!(poll!(&mut end).is_pending(), "the transport holds a piece yet");
                tokio::time::sleep(Duration::from_millis(40)).await;
                drop(held);
                assert!(end.await.is_none());
                assert!(begin.elapsed() < Duration::from_millis(50));
            } else {
                let error = body.frame().await.unwrap().unwrap_err();
                let elapsed = begin.elapsed();
                assert!(
                    elapsed >= Duration::from_millis(50) && elapsed < Duration::from_millis(60),
                    "{elapsed:?}"
                );
                assert!(error.to_string().contains("shutting down"), "{error}");
                assert!(body.frame().await.is_none());
                drop(held);
            }
            let expected = if unlock_before { "Ended" } else { "Shutdown" };
            assert_eq!(format!("{:?}", reason.try_recv().unwrap()), expected);
            within(streams.ended()).await;
        }
    }
}

/// A stream for everyone, of whom each fourth reads nothing although his stream has much to say.
fn some_do_not_read(n: usize, stopped: &Arc<AtomicUsize>) -> Produce {
    let stopped = stopped.clone();
    produce(move |stream| async move {
        if n.is_multiple_of(4) {
            loop {
                stream.send(Event::new("x".repeat(10_000))).await?;
            }
        }
        stream.emit("hello", "")?;
        stream.closed().await;
        Ok(())
    })
    .on_stop(move |reason| async move {
        assert!(matches!(reason, StopReason::Shutdown), "{reason}");
        stopped.fetch_add(1, SeqCst);
    })
}

/// Over pipes instead of sockets, which would be more than a process may open on many machines; and in
/// simulated time, so that a busy machine does not decide.
#[tokio::test(start_paused = true)]
async fn case_107_a_thousand_streams_end_within_100_ms_though_some_clients_do_not_read() {
    const STREAMS: usize = 1_000;
    let (streams, stopped) = (Streams::new(), Arc::new(AtomicUsize::new(0)));
    let mut readers = Vec::new();
    let mut silent = Vec::new();
    let mut connections = Vec::new();
    for n in 0..STREAMS {
        let (mut client, server) = tokio::io::duplex(1 << 10);
        let (open, stopped) = (streams.clone(), stopped.clone());
        // The handler knows nothing of the streams.
        let service = service_fn(move |_| {
            let stopped = stopped.clone();
            open.scope(async move { Ok::<_, Infallible>(some_do_not_read(n, &stopped).response()) })
        });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service);
        connections.push(tokio::spawn(connection));
        client.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
        if n.is_multiple_of(4) {
            silent.push(client);
            continue;
        }
        let (greeted, greeting) = oneshot::channel();
        readers.push(tokio::spawn(async move {
            let mut text = Vec::new();
            while !text.ends_with(b"event: hello\ndata: \n\n\r\n") {
                assert!(client.read_buf(&mut text).await.unwrap() > 0, "no greeting");
            }
            greeted.send(()).unwrap();
            client.read_to_end(&mut text).await.unwrap();
            String::from_utf8(text).unwrap()
        }));
        within(greeting).await.unwrap();
    }
    within(async {
        while streams.len() < STREAMS {
            tokio::task::yield_now().await;
        }
    })
    .await;

    let begin = Instant::now();
    streams.shutdown();
    within(streams.ended()).await;
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(50) && took < Duration::from_millis(100), "{took:?}");

    assert_eq!(stopped.load(SeqCst), STREAMS);
    let mut retries = HashSet::new();
    for reader in readers {
        let text = within(reader).await.unwrap();
        let text = text.strip_suffix("\r\n0\r\n\r\n").unwrap_or_else(|| panic!("no proper end: {text:?}"));
        retries.insert(retry_of(text));
    }
    assert!(retries.len() > 100, "the clients are spread: {}", retries.len());
    for connection in connections {
        // Those that were cut off are closed with an error.
        drop(within(connection).await.unwrap());
    }
    for mut client in silent {
        let mut text = Vec::new();
        client.read_to_end(&mut text).await.unwrap();
        assert!(!text.ends_with(b"\r\n0\r\n\r\n"), "a stream that was cut must not look complete");
    }
}

/// Opens some streams of which some do not read, then has the server shut down.
async fn case_107_graceful<F: Future>(
    serve: impl FnOnce(tokio::net::TcpListener, Streams, oneshot::Receiver<()>) -> F,
) {
    let streams = Streams::new();
    let listener = listen();
    let addr = listener.local_addr().unwrap();
    let (signal, signalled) = oneshot::channel();
    let mut server = std::pin::pin!(serve(listener, streams.clone(), signalled));
    let mut clients = Vec::new();
    {
        let opening = async {
            for _ in 0..20 {
                clients.push(Client::get(addr).await);
            }
        };
        tokio::select! {
            _ = &mut server => panic!("the server has ended before its time"),
            () = opening => {}
        }
    }
    assert_eq!(streams.len(), 20);
    signal.send(()).unwrap();
    // A graceful shutdown closes idle connections too, so that this awaits every connection.
    within(server).await;
    within(streams.ended()).await;
}

#[tokio::test]
async fn case_107_a_graceful_shutdown_of_axum_does_not_wait_for_streams() {
    case_107_graceful(|listener, streams, signal| async move {
        let (open, n, stopped) = (streams.clone(), AtomicUsize::new(0), Arc::default());
        let n = Arc::new(n);
        let router = axum::Router::new()
            .fallback(async move || some_do_not_read(n.fetch_add(1, SeqCst), &stopped))
            .layer(open);
        let shutdown = async move {
            signal.await.unwrap();
            streams.shutdown();
        };
        axum::serve(listener, router).with_graceful_shutdown(shutdown).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn case_107_a_graceful_shutdown_of_hyper_does_not_wait_for_streams() {
    case_107_graceful(|listener, streams, mut signal| async move {
        let (graceful, stopped) = (GracefulShutdown::new(), Arc::default());
        for n in 0.. {
            let (socket, _) = tokio::select! {
                accepted = listener.accept() => accepted.unwrap(),
                _ = &mut signal => break,
            };
            let (open, stopped) = (streams.clone(), Arc::clone(&stopped));
            let service = service_fn(move |_| {
                let response = some_do_not_read(n, &stopped).within(&open).response();
                async { Ok::<_, Infallible>(response) }
            });
            let http1 = hyper::server::conn::http1::Builder::new();
            let connection = graceful.watch(http1.serve_connection(TokioIo::new(socket), service));
            tokio::spawn(async move { drop(connection.await) });
        }
        streams.shutdown();
        graceful.shutdown().await;
    })
    .await;
}

/// Layers may lie one in the other, and a handler may name its streams as well: each counts the stream once.
#[tokio::test]
async fn every_stream_of_a_service_is_within_its_layers() {
    use tower::{Layer as _, Service as _};

    let [outer, inner, own] = [Streams::new(), Streams::builder().max(3).build(), Streams::new()];
    let (these, named) = (own.clone(), outer.clone());
    let service = tower::service_fn(move |name: &'static str| {
        // Built before there is a future, and with the additions of a handler.
        let produce = quiet().within(&these);
        let response = match name {
            "plain" => produce.response(),
            _ => produce.within(&named).within_as(&named, name).within(&named).response(),
        };
        async { Ok::<_, Infallible>(response) }
    });
    let mut service = outer.layer(inner.layer(service));
    let mut open = Vec::new();
    for name in ["plain", "ada", "plain"] {
        open.push(service.call(name).await.unwrap());
    }
    assert_eq!([&outer, &inner, &own].map(Streams::len), [3, 3, 3]);
    let refused = service.call("bob").await.unwrap();
    assert_eq!(refused.headers()["ssekit-refused"], "too many streams");
    assert_eq!([&outer, &inner, &own].map(Streams::len), [3, 3, 3]);
    let elsewhere = quiet().response();
    drop(open);
    assert_eq!([&outer, &inner, &own].map(Streams::len), [0, 0, 0]);
    drop((refused, elsewhere));

    // The key that a handler names is counted, though the layer names none.
    let limited = Streams::builder().max_per_key(1).build();
    let these = limited.clone();
    let mut service = limited.layer(tower::service_fn(move |key: u8| {
        let response = quiet().within_as(&these, key).response();
        async { Ok::<_, Infallible>(response) }
    }));
    let first = service.call(7).await.unwrap();
    assert!(!limited.has_room_for(7_u8) && limited.has_room_for(8_u8));
    let second = service.call(7).await.unwrap();
    assert!(second.headers().contains_key("ssekit-refused"));
    drop(first);
}

#[tokio::test]
async fn case_107_unread_events_of_a_channel_are_left_to_be_resumed() {
    let channel = Channel::builder().keep_last(1_000).first(First::All).build();
    for _ in 0..1_000 {
        channel.emit("n", "x".repeat(1_000)).unwrap();
    }
    let streams = Streams::new();
    let mut body = channel.subscribe(LastEventId::default()).within(&streams).response().into_body();
    let mut text = frame(&mut body).await;
    streams.shutdown();
    text.push_str(&rest(&mut body).await);
    retry_of(&text);
    let events = text.matches("event: n\n").count();
    assert!(events > 0 && events < 1_000, "{events}");
    assert!(text[..text.rfind("retry").unwrap()].ends_with("\n\n"), "no event is cut");
}

#[tokio::test]
async fn case_107_streams_of_http_2_end_too() {
    let streams = Streams::new();
    let listener = listen();
    let addr = listener.local_addr().unwrap();
    let (signal, signalled) = oneshot::channel();
    let open = streams.clone();
    let server = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let service = service_fn(move |_| {
            let response = quiet().within(&open).response();
            async { Ok::<_, Infallible>(response) }
        });
        let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let mut connection = std::pin::pin!(http2.serve_connection(TokioIo::new(socket), service));
        tokio::select! {
            ended = &mut connection => panic!("it ended before its time: {ended:?}"),
            signalled = signalled => signalled.unwrap(),
        }
        connection.as_mut().graceful_shutdown();
        connection.await.unwrap();
    });
    let socket = tokio::net::TcpStream::connect(addr).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    let mut responses = Vec::new();
    for _ in 0..10 {
        let request = http::Request::get("http://localhost/").body(Empty::<Bytes>::new()).unwrap();
        responses.push(within(client.send_request(request)).await.unwrap());
    }
    streams.shutdown();
    signal.send(()).unwrap();
    for response in responses {
        let text = within(response.collect()).await.unwrap().to_bytes();
        retry_of(std::str::from_utf8(&text).unwrap());
    }
    within(streams.ended()).await;
    within(server).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn streams_end_after_their_lifetime_but_not_together() {
    let streams = Streams::builder().max_lifetime(Duration::from_secs(100)).build();
    let begin = Instant::now();
    let mut ends = HashSet::new();
    let mut bodies = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let (stopped, mut stop) = mpsc::channel(1);
        let mut body = quiet().within(&streams).on_stop(reporting(stopped)).response().into_body();
        bodies.spawn(async move {
            let text = rest(&mut body).await;
            assert!(matches!(stop.try_recv(), Ok(StopReason::Expired)));
            (text, begin.elapsed())
        });
    }
    while let Some(ended) = bodies.join_next().await {
        let (text, after) = ended.unwrap();
        assert!(after >= Duration::from_secs(80) && after <= Duration::from_millis(100_005), "{after:?}");
        assert!(text.starts_with(&"event: ping\ndata: \n\n".repeat(2)), "{text}");
        retry_of(&text);
        ends.insert(after.as_millis());
    }
    assert!(ends.len() > 150, "{}", ends.len());
    assert!(streams.is_empty() && streams.refused() == 0);
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_begins_with_the_first_read_and_emitted_events_are_sent() {
    let streams =
        Streams::builder().max_lifetime(Duration::from_secs(10)).retry(Duration::from_secs(60)).build();
    let mut body = produce(|stream| async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            stream.emit("n", "")?;
        }
    })
    .no_ping()
    .within(&streams)
    .response()
    .into_body();
    tokio::time::sleep(Duration::from_secs(1000)).await;
    let begin = Instant::now();
    let text = rest(&mut body).await;
    let events = text.matches("event: n").count() as u64;
    assert!((8..=10).contains(&begin.elapsed().as_secs()) && begin.elapsed().as_secs() == events, "{text}");
    let retry = text.lines().last().unwrap().strip_prefix("retry: ").unwrap().parse::<u64>().unwrap();
    assert!((30_000..=90_000).contains(&retry));
}

#[tokio::test]
async fn a_stream_beyond_a_limit_is_answered_so_that_a_browser_comes_back() {
    for server in Server::ALL {
        let streams = Streams::builder().max(2).build();
        let (stopped, mut stop) = mpsc::channel(8);
        let addr = server.run({
            let streams = streams.clone();
            move || quiet().within(&streams).on_stop(reporting(stopped.clone()))
        });
        let (first, _second) = (Client::get(addr).await, Client::get(addr).await);
        assert!(!streams.has_room());
        let mut third = Client::get(addr).await;
        assert!(third.head.starts_with("HTTP/1.1 200"), "{}", third.head);
        assert_eq!(third.header("content-type"), ["text/event-stream"]);
        assert_eq!(third.header("ssekit-refused"), ["too many streams"]);
        retry_of(&third.rest().await);
        assert!(matches!(within(stop.recv()).await, Some(StopReason::Refused)));
        assert_eq!((streams.len(), streams.refused()), (2, 1));

        drop(first);
        assert!(matches!(within(stop.recv()).await, Some(StopReason::Disconnected)));
        assert!(streams.has_room());
        let fourth = Client::get(addr).await;
        assert!(fourth.header("ssekit-refused").is_empty());
        assert_eq!((streams.len(), streams.refused()), (2, 1));
    }
}

#[tokio::test]
async fn each_key_has_a_limit_of_its_own() {
    let streams = Streams::builder().max(4).max_per_key(2).build();
    let open = |key: &str| quiet().within_as(&streams, key).response();
    let refused = |response: &http::Response<SseBody>| {
        response.headers().get("ssekit-refused").map(|why| why.to_str().unwrap().to_owned())
    };
    let of_ada = [open("ada"), open("ada")];
    assert!(of_ada.iter().all(|response| refused(response).is_none()));
    assert!(!streams.has_room_for("ada") && streams.has_room_for("bob") && streams.has_room());
    assert_eq!(refused(&open("ada")).as_deref(), Some("too many streams of this client"));
    // A stream without a key counts for none.
    let others = [open("bob"), quiet().within(&streams).response()];
    assert!(others.iter().all(|response| refused(response).is_none()));
    assert_eq!(refused(&open("eve")).as_deref(), Some("too many streams"));
    assert_eq!((streams.len(), streams.refused()), (4, 2));

    drop(of_ada);
    assert!(streams.has_room_for(String::from("ada")), "a String and its &str are the same key");
    assert_eq!(refused(&open("ada")), None);
    assert_eq!(streams.len(), 2);
}

#[tokio::test]
async fn a_response_that_nobody_reads_leaves_and_one_that_cannot_be_built_was_never_there() {
    let streams = Streams::builder().max(1).build();
    let unread = quiet().within(&streams).response();
    assert_eq!(streams.len(), 1);
    drop(unread);
    assert!(streams.is_empty());
    drop(quiet().within(&streams));
    assert!(quiet().within(&streams).header("a b", "c").try_response().is_err());
    assert!(streams.is_empty() && streams.has_room() && streams.refused() == 0);
}

#[tokio::test]
async fn a_stream_may_be_within_several() {
    let (all, few) = (Streams::new(), Streams::builder().max(1).build());
    let open = || quiet().within(&few).within(&all).response();
    let (taken, refused) = (open(), open());
    assert!(taken.headers().get("ssekit-refused").is_none());
    assert!(refused.headers().get("ssekit-refused").is_some());
    assert_eq!((all.len(), few.len(), all.refused(), few.refused()), (1, 1, 0, 1));
    all.shutdown();
    retry_of(&rest(&mut taken.into_body()).await);
    assert_eq!((all.len(), few.len()), (0, 0));
}

#[tokio::test]
async fn ended_waits_for_on_stop_and_clean_up_but_limits_are_free_before() {
    let streams = Streams::builder().max(1).build();
    let (go, wait) = oneshot::channel::<()>();
    let stopped = Arc::new(AtomicUsize::new(0));
    let mut body = quiet()
        .within(&streams)
        .on_stop({
            let stopped = stopped.clone();
            move |_| async move {
                wait.await.unwrap();
                stopped.fetch_add(1, SeqCst);
            }
        })
        .response()
        .into_body();
    assert!(poll!(body.frame()).is_pending());
    drop(body);
    assert!(streams.is_empty() && streams.has_room());
    let mut ended = Box::pin(streams.ended());
    streams.shutdown();
    assert!(poll!(&mut ended).is_pending());
    go.send(()).unwrap();
    within(ended).await;
    assert_eq!(stopped.load(SeqCst), 1);
}

/// Streams come and go on all threads while one of them shuts down, at a different moment each time.
#[test]
fn case_107_streams_that_race_the_shutdown_stop_exactly_once() {
    const THREADS: usize = 4;
    const EACH: usize = 100;
    for round in 0..20 {
        let streams = Streams::builder().max(150).max_per_key(60).build();
        let stops: Arc<Vec<AtomicUsize>> =
            Arc::new((0..THREADS * EACH).map(|_| AtomicUsize::new(0)).collect());
        let built = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (streams, stops, built) = (streams.clone(), stops.clone(), built.clone());
                std::thread::spawn(move || {
                    let runtime =
                        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                    runtime.block_on(async {
                        let mut ends = tokio::task::JoinSet::new();
                        for n in 0..EACH {
                            let (stops, index) = (stops.clone(), thread * EACH + n);
                            let response = produce(|stream| async move {
                                stream.emit("n", "")?;
                                stream.closed().await;
                                Ok(())
                            })
                            .within_as(&streams, thread % 2)
                            .on_stop(move |_| async move {
                                tokio::task::yield_now().await;
                                stops[index].fetch_add(1, SeqCst);
                            })
                            .response();
                            built.fetch_add(1, SeqCst);
                            let mut body = response.into_body();
                            match n % 3 {
                                0 => drop(body),
                                1 => {
                                    ends.spawn(async move { drop(rest(&mut body).await) });
                                }
                                _ => {
                                    drop(poll!(body.frame()));
                                    tokio::task::yield_now().await;
                                }
                            }
                        }
                        ends.join_all().await;
                        within(streams.ended()).await;
                    });
                })
            })
            .collect();
        while built.load(SeqCst) < round * THREADS * EACH / 20 {
            std::thread::yield_now();
        }
        streams.shutdown();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(streams.is_empty() && streams.has_room_for(0) == streams.has_room());
        assert!(stops.iter().all(|stops| stops.load(SeqCst) == 1), "round {round}");
    }
}
