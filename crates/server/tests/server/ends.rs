//! Each way a stream ends: `on_stop` and the clean-up run once, in this order, and emitters are closed.

use std::future::pending;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Empty};
use hyper::body::Body as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use ssekit_server::{EmitError, Emitter, Error, Event, Produce, StopReason, produce, produce_with_cleanup};
use tokio::sync::{mpsc, oneshot};

use crate::support::{Client, Server, Stream, dropped, quiet, reporting, within};

#[tokio::test]
async fn case_106_unlock_ends_the_stream_cleanly_after_queued_events() {
    for server in Server::ALL {
        let mut stream = Stream::open(server, |produce| produce.ids_from(0)).await;
        let lock = stream.emitter.lock();
        assert!(lock.is_locked() && !stream.emitter.is_closed());
        let mut expected = String::new();
        for n in 0..100 {
            stream.emitter.emit("n", n.to_string()).unwrap();
            expected.push_str(&format!("id: {n}\nevent: n\ndata: {n}\n\n"));
        }
        lock.set(false);
        assert_eq!(stream.client.rest().await, expected);
        assert!(matches!(stream.stopped().await, StopReason::Ended));

        lock.set(true);
        assert!(!lock.is_locked() && stream.emitter.is_closed());
    }
}

#[tokio::test]
async fn case_105_emitting_after_the_stop_is_an_error() {
    let mut stream = Stream::open(Server::Hyper, |produce| produce).await;
    let emitter = stream.emitter.clone();
    let check = |emitter: Emitter| async move {
        assert!(matches!(emitter.emit("n", ""), Err(EmitError::Closed)));
        assert!(matches!(emitter.try_send(Event::new("")), Err(EmitError::Closed)));
        assert!(matches!(emitter.send(Event::new("")).await, Err(EmitError::Closed)));
        assert!(matches!(emitter.comment(""), Err(EmitError::Closed)));
        within(emitter.closed()).await;
    };
    stream.emitter.lock().set(false);
    check(emitter.clone()).await;
    stream.stopped().await;
    check(emitter).await;
}

#[tokio::test]
async fn case_105_unlocking_again_and_leaving_does_not_stop_twice() {
    let mut stream = Stream::open(Server::Axum, |produce| produce).await;
    stream.emitter.lock().set(false);
    stream.emitter.lock().set(false);
    stream.emitter.fail(Error::new("too late"));
    assert!(matches!(stream.stopped().await, StopReason::Ended));
    drop(stream.client);
    drop(stream.emitter);
    // The last sender went with the only `on_stop` of this server's only stream, unless another report comes
    // first.
    assert!(stream.stop.try_recv().is_err());
}

#[tokio::test]
async fn a_stream_stays_open_after_start_has_returned_while_somebody_could_emit() {
    let mut stream = Stream::open(Server::Hyper, |produce| produce).await;
    let lock = stream.emitter.lock();
    drop(stream.emitter.clone());
    stream.emitter.emit("still", "open").unwrap();
    assert_eq!(stream.client.chunk().await, "event: still\ndata: open\n\n");
    drop(stream.emitter);
    assert!(lock.is_locked());
    assert!(stream.stop.try_recv().is_err());

    drop(lock);
    assert_eq!(stream.client.rest().await, "");
    assert!(matches!(within(stream.stop.recv()).await, Some(StopReason::Ended)));
}

#[tokio::test]
async fn a_start_that_goes_on_without_its_emitter_is_waited_for() {
    let (go, wait) = oneshot::channel::<()>();
    let (stopped, mut stop) = mpsc::channel(8);
    let mut body = produce(|stream| async move {
        stream.emit("n", "1")?;
        drop(stream);
        wait.await?;
        Ok(())
    })
    .on_stop(reporting(stopped))
    .response()
    .into_body();
    assert!(body.frame().await.is_some());
    let mut end = tokio_task(body);
    assert!(futures_util::poll!(&mut end).is_pending());
    assert!(stop.try_recv().is_err());
    go.send(()).unwrap();
    assert!(end.await);
    assert!(matches!(stop.try_recv(), Ok(StopReason::Ended)));
}

fn tokio_task(mut body: ssekit_server::SseBody) -> std::pin::Pin<Box<dyn Future<Output = bool>>> {
    Box::pin(async move { body.frame().await.is_none() })
}

/// A stream whose start fails in this way: the client still gets the sent events, does not take them for
/// complete, and the next request is answered.
async fn case_105_failure(start: impl Fn() -> Produce + Clone + Send + Sync + 'static, message: &str) {
    for server in Server::ALL {
        let (stopped, mut stop) = mpsc::channel(8);
        let addr = server.run({
            let start = start.clone();
            move || start().on_stop(reporting(stopped.clone()))
        });
        for _ in 0..2 {
            assert_eq!(Client::get(addr).await.rest_until_cut().await, "event: n\ndata: 1\n\n");
            match within(stop.recv()).await {
                Some(StopReason::Failed(error)) => assert_eq!(error.to_string(), message),
                reason => panic!("{reason:?}"),
            }
            assert!(stop.try_recv().is_err());
        }
    }
}

#[tokio::test]
async fn case_105_a_start_that_fails_ends_its_stream_alone() {
    let start = || {
        produce(|stream| async move {
            stream.emit("n", "1")?;
            tokio::task::yield_now().await;
            Err(Error::new("the database is gone"))
        })
    };
    case_105_failure(start, "the database is gone").await;
}

#[tokio::test]
async fn case_105_a_start_that_fails_at_once() {
    let start = || {
        produce(|stream| -> Result<(), Error> {
            stream.emit("n", "1")?;
            Err(std::io::Error::other("no listener").into())
        })
    };
    case_105_failure(start, "no listener").await;
}

#[tokio::test]
async fn case_105_a_start_that_panics_does_not_take_the_server_with_it() {
    let start = || {
        produce(|stream| async move {
            stream.emit("n", "1")?;
            tokio::task::yield_now().await;
            panic!("index {} out of range", 7)
        })
    };
    case_105_failure(start, "panicked: index 7 out of range").await;
}

#[tokio::test]
async fn case_105_a_start_that_panics_at_once() {
    let start = || {
        produce(|stream: Emitter| -> Result<(), Error> {
            stream.emit("n", "1")?;
            panic!("no")
        })
    };
    case_105_failure(start, "panicked: no").await;
}

#[tokio::test]
async fn case_105_an_emitter_can_fail_its_stream_from_elsewhere() {
    let mut stream = Stream::open(Server::Hyper, |produce| produce).await;
    stream.emitter.emit("n", "1").unwrap();
    stream.emitter.fail(Error::new("the source went away"));
    assert_eq!(stream.client.rest_until_cut().await, "event: n\ndata: 1\n\n");
    assert!(
        matches!(stream.stopped().await, StopReason::Failed(error) if error.to_string() == "the source went away")
    );
}

/// Much is on its way when the stream fails, more than the system's buffers hold: the client has all of it
/// before the cut.
#[tokio::test]
async fn a_stream_that_fails_is_cut_after_everything_that_was_emitted() {
    for server in Server::ALL {
        let addr = server.run(|| {
            produce(|stream| async move {
                for n in 0..2_000 {
                    stream.send(Event::new(format!("{n} {}", "x".repeat(1_000)))).await?;
                }
                Err(Error::new("the rest is lost"))
            })
        });
        let text = Client::get(addr).await.rest_until_cut().await;
        let numbers: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!(numbers.len(), 2_000);
        assert!(numbers[1_999].starts_with("1999 ") && text.ends_with("x\n\n"));
    }
}

/// A body that is collected, as by a test, or read by a transport that does not report its writes.
#[tokio::test]
async fn a_body_that_fails_gives_its_transport_a_turn_to_flush_and_then_the_error() {
    let mut body = produce(|stream| async move {
        stream.emit("n", "1")?;
        Err(Error::new("the database is gone"))
    })
    .no_stall_timeout()
    .response()
    .into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "event: n\ndata: 1\n\n");
    assert!(!body.is_end_stream());
    assert!(futures_util::poll!(body.frame()).is_pending());
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the event stream is incomplete: the database is gone");
    assert!(body.frame().await.is_none() && body.is_end_stream());
}

/// Over HTTP/2 a cut is a reset of the stream, after everything that was emitted.
#[tokio::test]
async fn a_stream_of_http_2_that_fails_is_reset() {
    let listener = crate::support::listen();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let service = hyper::service::service_fn(|_| async {
            let failing = produce(|stream| async move {
                for n in 0..200 {
                    stream.send(Event::new(format!("{n} {}", "x".repeat(1_000)))).await?;
                }
                Err(Error::new("the rest is lost"))
            });
            Ok::<_, std::convert::Infallible>(failing.response())
        });
        let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        drop(http2.serve_connection(TokioIo::new(socket), service).await);
    });
    let socket = tokio::net::TcpStream::connect(addr).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::get("http://localhost/").body(Empty::<hyper::body::Bytes>::new()).unwrap();
    let mut body = within(sender.send_request(request)).await.unwrap().into_body();
    let mut text = Vec::new();
    let error = loop {
        match within(body.frame()).await.expect("the response looks complete") {
            Ok(frame) => text.extend(frame.into_data().unwrap()),
            Err(error) => break error,
        }
    };
    assert!(String::from_utf8(text).unwrap().contains("data: 199 x"), "{error}");
}

#[tokio::test]
async fn start_may_notice_that_its_stream_was_unlocked_without_failing() {
    let (stopped, mut stop) = mpsc::channel(8);
    let body = produce(|stream| async move {
        loop {
            stream.emit("n", "1")?;
            stream.lock().set(false);
        }
    })
    .on_stop(reporting(stopped))
    .response()
    .into_body();
    assert_eq!(body.collect().await.unwrap().to_bytes(), "event: n\ndata: 1\n\n");
    assert!(matches!(stop.try_recv(), Ok(StopReason::Ended)));
}

/// Records the callbacks at the end of a stream, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, entry: impl Into<String>) {
        self.0.lock().unwrap().push(entry.into());
    }

    fn entries(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Says so when it is dropped.
    fn held_by_start(&self) -> impl Send + 'static + use<> {
        struct Held(Log);
        impl Drop for Held {
            fn drop(&mut self) {
                self.0.add("start was dropped");
            }
        }
        Held(self.clone())
    }
}

#[tokio::test]
async fn case_105_start_is_dropped_then_on_stop_runs_then_the_clean_up() {
    let log = Log::default();
    let produce = produce({
        let log = log.clone();
        move |stream| {
            stream.emit("n", "").unwrap();
            move || {
                drop(stream);
                log.add("clean-up");
            }
        }
    })
    .on_stop({
        let log = log.clone();
        |reason| async move { log.add(reason.to_string()) }
    });
    let mut body = produce.response().into_body();
    assert!(body.frame().await.is_some());
    drop(body);
    assert_eq!(log.entries(), ["the client disconnected", "clean-up"]);

    let log = Log::default();
    let held = log.held_by_start();
    let produce = produce_with_cleanup(|stream| async move {
        stream.emit("n", "")?;
        let _held = held;
        pending::<()>().await;
        Ok(|| unreachable!("start has not returned"))
    })
    .on_stop({
        let log = log.clone();
        |reason| async move { log.add(reason.to_string()) }
    });
    let mut body = produce.response().into_body();
    assert!(body.frame().await.is_some());
    drop(body);
    assert_eq!(log.entries(), ["start was dropped", "the client disconnected"]);
}

#[tokio::test]
async fn an_on_stop_that_waits_is_finished_on_the_runtime_and_the_clean_up_follows() {
    let log = Log::default();
    let (go, wait) = oneshot::channel::<()>();
    let (done, is_done) = oneshot::channel::<()>();
    let produce = produce({
        let log = log.clone();
        move |stream| {
            move || {
                drop(stream);
                log.add("clean-up");
                done.send(()).unwrap();
            }
        }
    })
    .ping(std::time::Duration::ZERO)
    .on_stop({
        let log = log.clone();
        |_| async move {
            log.add("on_stop waits");
            wait.await.unwrap();
            log.add("on_stop is done");
        }
    });
    let mut body = produce.response().into_body();
    assert!(body.frame().await.is_some());
    std::thread::spawn(move || drop(body)).join().unwrap();
    assert_eq!(log.entries(), ["on_stop waits"]);
    go.send(()).unwrap();
    within(is_done).await.unwrap();
    assert_eq!(log.entries(), ["on_stop waits", "on_stop is done", "clean-up"]);
}

#[tokio::test]
async fn an_on_stop_that_panics_does_not_keep_the_clean_up_from_running() {
    let (guard, cleaned) = dropped();
    let mut body = produce(move |stream| move || drop((stream, guard)))
        .ping(std::time::Duration::ZERO)
        .on_stop(|_| async { panic!("on_stop") })
        .response()
        .into_body();
    assert!(body.frame().await.is_some());
    drop(body);
    assert!(within(cleaned).await.is_err());
}

#[tokio::test]
async fn case_105_a_response_that_nobody_reads_stops_without_having_started() {
    let (stopped, mut stop) = mpsc::channel(8);
    let produce = || produce(|_| -> () { panic!("start must not run") }).on_stop(reporting(stopped.clone()));
    drop(produce().response());
    assert!(matches!(stop.try_recv(), Ok(StopReason::Disconnected)));
    drop(produce());
    assert!(matches!(stop.try_recv(), Ok(StopReason::Disconnected)));
    assert!(stop.try_recv().is_err());
}

#[tokio::test]
async fn a_head_request_starts_nothing() {
    let (stopped, mut stop) = mpsc::channel(8);
    let addr = Server::Hyper
        .run(move || produce(|_| -> () { panic!("start must not run") }).on_stop(reporting(stopped.clone())));
    let client = Client::request(addr, b"HEAD / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(client.header("content-type"), ["text/event-stream"]);
    assert!(matches!(within(stop.recv()).await, Some(StopReason::Disconnected)));
}

#[tokio::test]
async fn nothing_is_spawned_for_a_stream() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let mut bodies: Vec<_> = (0..50)
        .map(|n| match n % 2 {
            0 => quiet(),
            _ => produce(|stream| async move {
                stream.closed().await;
                Ok(())
            }),
        })
        .map(|produce| produce.on_stop(|_| async {}).ping(std::time::Duration::ZERO).response().into_body())
        .collect();
    for body in &mut bodies {
        assert!(body.frame().await.is_some());
    }
    assert_eq!(tasks(), before);
    drop(bodies);
    assert_eq!(tasks(), before);
}
