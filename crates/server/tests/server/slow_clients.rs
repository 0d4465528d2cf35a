//! Case 108: a client that reads slowly, or not at all.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use ssekit_server::{BodyError, EmitError, Event, StopReason, produce};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::sync::mpsc;

use crate::support::{Client, Server, Stream, reporting, within};

#[tokio::test]
async fn case_104_a_client_that_stops_reading_is_dropped_after_the_stall_time() {
    for server in Server::ALL {
        let options = |produce: ssekit_server::Produce| produce.stall_timeout(Duration::from_millis(300));
        let mut stream = Stream::open(server, options).await;
        let flood = tokio::spawn({
            let emitter = stream.emitter.clone();
            async move {
                let begin = Instant::now();
                while emitter.send(Event::new("x".repeat(500))).await.is_ok() {}
                begin.elapsed()
            }
        });
        match within(stream.stop.recv()).await {
            Some(StopReason::Stalled { after }) => assert!(after >= Duration::from_millis(300), "{after:?}"),
            reason => panic!("{reason:?}"),
        }
        assert!(within(flood).await.unwrap() >= Duration::from_millis(300));
        assert!(stream.stop.try_recv().is_err());

        // The bytes in the system's buffers still come, and then no proper end of the body.
        let end = loop {
            match stream.client.try_chunk().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream was cut, and must not look complete"),
                Err(error) => break error,
            }
        };
        assert!(
            matches!(end.kind(), std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset),
            "{end}"
        );
    }
}

/// Emits until nothing more is taken, however often the connection gets a turn; gives the bytes that were.
async fn fill(emitter: &ssekit_server::Emitter) -> usize {
    let (mut taken, mut refused) = (0, 0);
    while refused < 2_000 {
        match emitter.emit("n", "x".repeat(1_000)) {
            Ok(()) => (taken, refused) = (taken + 1_000, 0),
            Err(EmitError::Full { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        tokio::task::yield_now().await;
    }
    taken
}

/// A client that never opens its window by more than the byte for which the stream begins: the waiting bytes
/// of each of its streams are bounded, and gone when it goes.
#[tokio::test]
async fn a_closed_window_of_http_2_costs_a_stream_its_buffer_and_two_pieces() {
    let (started, mut starts) = mpsc::channel(8);
    let listener = crate::support::listen();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let service = service_fn(move |_| {
            let started = started.clone();
            let response = produce(move |stream| started.try_send(stream).unwrap()).response();
            async { Ok::<_, Infallible>(response) }
        });
        let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        drop(http2.serve_connection(TokioIo::new(socket), service).await);
    });
    let socket = tokio::net::TcpStream::connect(addr).await.unwrap();
    let mut http2 = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let http2 = http2.initial_stream_window_size(1);
    let (mut sender, connection) = http2.handshake(TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..4 {
        let request = hyper::Request::get("http://localhost/").body(Empty::<Bytes>::new()).unwrap();
        let response = within(sender.send_request(request)).await.unwrap();
        let emitter = within(starts.recv()).await.unwrap();
        let taken = fill(&emitter).await;
        assert!((64 << 10..=3 * (64 << 10)).contains(&taken), "{taken} bytes wait");
        drop(response);
        within(emitter.closed()).await;
    }
}

/// A transport that copies its input, as some TLS libraries do: hyper's own limit holds beside the stream's.
#[tokio::test]
async fn a_transport_that_copies_costs_a_stream_no_more_than_hypers_buffer_beside_its_own() {
    let (started, mut starts) = mpsc::channel(8);
    let (mut client, server) = tokio::io::duplex(1 << 10);
    let service = service_fn(move |_| {
        let started = started.clone();
        let response = produce(move |stream| started.try_send(stream).unwrap()).response();
        async { Ok::<_, Infallible>(response) }
    });
    let http1 = hyper::server::conn::http1::Builder::new();
    tokio::spawn(http1.serve_connection(TokioIo::new(Copies(server)), service));
    client.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let emitter = within(starts.recv()).await.unwrap();
    let taken = fill(&emitter).await;
    assert!(taken > 256 << 10, "it copies: {taken}");
    assert!(taken <= (408 << 10) + 4 * (64 << 10), "{taken} bytes wait");
    drop(client);
    within(emitter.closed()).await;
}

/// A transport without vectored writes.
struct Copies(tokio::io::DuplexStream);

impl AsyncRead for Copies {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Copies {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Nothing else waits: the buffers of hyper and of the stream are empty.
#[tokio::test(start_paused = true)]
async fn one_event_that_is_not_written_is_enough_to_notice_a_stall() {
    let mut body = produce(|stream| move || stream.emit("n", "").unwrap_or_default()).response().into_body();
    let ping = body.frame().await.unwrap().unwrap();
    let begin = tokio::time::Instant::now();
    tokio::time::sleep(Duration::from_secs(20)).await;
    drop(ping);
    let ping = body.frame().await.unwrap().unwrap();
    assert!(begin.elapsed().as_secs() == 30, "the first one was written in time");
    let stalled = loop {
        if let Err(stalled) = body.frame().await.unwrap() {
            break stalled;
        }
    };
    assert_eq!(begin.elapsed().as_secs(), 60);
    assert!(matches!(stalled, BodyError::Stalled { after } if after.as_secs() == 30), "{stalled}");
    drop(ping);
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_not_taken_for_stalled() {
    let addr = Server::Hyper.run(|| {
        produce(|stream| async move {
            for _ in 0..1_000 {
                stream.send(Event::new("x".repeat(1000))).await?;
            }
            Ok(())
        })
        .stall_timeout(Duration::from_secs(1))
    });
    let begin = Instant::now();
    let mut client = Client::get(addr).await;
    let mut text = String::new();
    while let Some(chunk) = client.try_chunk().await.unwrap() {
        text.push_str(&chunk);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(text.matches("event: message\n").count(), 1_000);
    assert!(begin.elapsed() > Duration::from_secs(1), "the client was not slow: {:?}", begin.elapsed());
}

#[tokio::test]
async fn case_108_a_client_that_never_reads_costs_bounded_memory_and_delays_nobody() {
    for server in Server::ALL {
        let slow = Stream::open(server, |produce| produce.buffer(64 << 10)).await;
        let mut quick = Stream::open(server, |produce| produce).await;
        let mut taken = 0;
        let mut refused = 0;
        for n in 0..100 {
            quick.emitter.emit("n", n.to_string()).unwrap();
            // A megabyte for the slow one each time.
            for _ in 0..1000 {
                match slow.emitter.emit("n", "x".repeat(1000)) {
                    Ok(()) => taken += 1020,
                    Err(EmitError::Full { waiting, limit }) => {
                        assert!(limit == 64 << 10 && waiting <= limit);
                        refused += 1;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            assert_eq!(quick.client.chunk().await, format!("event: n\ndata: {n}\n\n"));
        }
        // The buffer twice, and the buffers of the transport and the system.
        assert!(taken < 2 * (64 << 10) + (256 << 10) + (256 << 10), "{taken} bytes were taken");
        assert!(refused > 99_000, "{refused}");
    }
}

#[tokio::test]
async fn a_client_that_reads_again_gets_everything_that_was_taken() {
    let mut stream = Stream::open(Server::Hyper, |produce| produce.ids_from(0)).await;
    let mut taken = 0;
    while stream.emitter.emit("n", "x".repeat(1000)).is_ok() || taken == 0 {
        taken += 1;
        tokio::task::yield_now().await;
    }
    let lock = stream.emitter.lock();
    let sender = tokio::spawn(async move {
        for _ in 0..1000 {
            stream.emitter.send(Event::new("y")).await.unwrap();
        }
        lock.set(false);
    });
    let text = within(stream.client.rest()).await;
    within(sender).await.unwrap();
    let ids: Vec<usize> = text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect();
    assert_eq!(ids, (0..taken + 1000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_body_can_be_collected_when_nobody_watches_for_stalls() {
    let body = produce(|stream| async move {
        for n in 0..100 {
            stream.emit("n", n.to_string())?;
            tokio::task::yield_now().await;
        }
        Ok(())
    });
    let text = body.no_stall_timeout().response().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 300);
}

#[tokio::test(start_paused = true)]
async fn a_body_whose_bytes_are_never_let_go_stalls_and_says_so() {
    let (stopped, mut stop) = mpsc::channel(8);
    let body = produce(|stream| async move {
        loop {
            stream.send(Event::new("x".repeat(1000))).await?;
        }
    })
    .on_stop(reporting(stopped));
    let error = body.response().into_body().collect().await.unwrap_err();
    assert!(matches!(error, BodyError::Stalled { after } if after.as_secs() == 30), "{error}");
    assert!(error.to_string().contains("no_stall_timeout"));
    assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::TimedOut);
    assert!(matches!(stop.try_recv(), Ok(StopReason::Stalled { .. })));
}

/// When the process has stood still, as a virtual machine that is moved, every timer is late at once.
#[tokio::test(start_paused = true)]
async fn a_transport_that_could_not_write_in_time_gets_a_last_chance() {
    let mut body = produce(|stream| move || stream.emit("n", "").unwrap_or_default()).response().into_body();
    let ping = body.frame().await.unwrap().unwrap();
    let mut next = Box::pin(body.frame());
    assert!(futures_util::poll!(&mut next).is_pending());
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert!(futures_util::poll!(&mut next).is_pending());
    drop(ping);
    assert!(next.await.unwrap().is_ok());
}

/// hyper asks again by itself after it has written; another transport may wait to be asked.
#[tokio::test]
async fn a_body_that_waits_for_the_transport_is_woken_when_it_lets_go() {
    let mut body = produce(|stream| async move {
        loop {
            stream.send(Event::new("x".repeat(10_000))).await?;
        }
    })
    .response()
    .into_body();
    let mut held = Vec::new();
    while let Poll::Ready(frame) = futures_util::poll!(body.frame()) {
        held.push(frame.unwrap().unwrap());
    }
    let next = tokio::spawn(async move { body.frame().await.unwrap().is_ok() });
    tokio::task::yield_now().await;
    assert!(!next.is_finished());
    held.pop();
    assert!(within(next).await.unwrap());
}
