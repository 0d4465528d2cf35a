//! A stream that has ended holds nothing, however it has ended and whoever keeps its emitter or its body.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use allocation_counter::measure;
use futures_core::Stream as _;
use ssekit_server::{BodyError, Channel, Clients, Emitter, Error, Event, LastEventId, SseBody, Streams};
use tokio::sync::oneshot;

/// Some 60 KB that wait for the client.
const EVENTS: usize = 60;
/// The memory of the kept parts: an emitter, a body, a timer.
const LITTLE: i64 = 4 << 10;

/// The parts of a stream that a test keeps.
struct Kept {
    clients: Clients<u8>,
    streams: Streams,
    emitter: Emitter,
    body: std::pin::Pin<Box<SseBody>>,
}

impl Kept {
    /// A stream of which `held` pieces are in the hands of the transport, and the rest waits.
    fn open(held: &mut Vec<bytes::Bytes>) -> Self {
        let (clients, streams) = (Clients::new(), Streams::new());
        let (started, mut emitter) = oneshot::channel();
        let produce = clients.connect_with(7, |stream: Emitter| drop(started.send(stream))).within(&streams);
        let mut body = Box::pin(produce.response().into_body());
        assert!(poll(&mut body).is_pending());
        let emitter = emitter.try_recv().unwrap();
        emitter.emit("first", "").unwrap();
        let Poll::Ready(Some(Ok(piece))) = poll(&mut body) else { panic!("a piece") };
        held.push(piece);
        for _ in 0..EVENTS {
            emitter.try_send(Event::new("x".repeat(1_000))).unwrap();
        }
        Self { clients, streams, emitter, body }
    }

    /// Reads to the end, which is an error or not.
    fn drain(&mut self) -> Option<BodyError> {
        for _ in 0..100 {
            match poll(&mut self.body) {
                Poll::Ready(None) => return None,
                Poll::Ready(Some(Err(error))) => return Some(error),
                Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
            }
        }
        panic!("it does not end");
    }
}

fn poll(body: &mut std::pin::Pin<Box<SseBody>>) -> Poll<Option<Result<bytes::Bytes, BodyError>>> {
    body.as_mut().poll_next(&mut Context::from_waker(Waker::noop()))
}

/// Opens a stream, ends it in this way, and keeps everything of it but the pieces in the transport.
#[track_caller]
fn holds_nothing(end: impl AsyncFnOnce(&mut Kept)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.unwrap();
    let mut kept = None;
    let mut before = 0;
    let held = measure(|| {
        runtime.block_on(async {
            let mut held = Vec::new();
            let opened = measure(|| kept = Some(Kept::open(&mut held)));
            before = opened.bytes_current;
            end(kept.as_mut().unwrap()).await;
        });
    });
    assert!(before > EVENTS as i64 * 1_000, "{before} bytes waited");
    let kept = kept.unwrap();
    assert!(kept.emitter.is_closed());
    assert!(held.bytes_current < LITTLE, "{} bytes are held", held.bytes_current);
    assert!(kept.clients.is_empty() && kept.streams.is_empty());
}

#[test]
fn when_its_client_is_gone() {
    holds_nothing(async |kept| {
        let gone = std::mem::replace(&mut kept.body, Box::pin(empty()));
        drop(gone);
    });
}

/// A body that takes next to nothing.
fn empty() -> SseBody {
    ssekit_server::Produce::no_content().response().into_body()
}

#[test]
fn when_its_client_does_not_read() {
    holds_nothing(async |kept| {
        tokio::time::advance(Duration::from_secs(31)).await;
        assert!(matches!(kept.drain(), Some(BodyError::Stalled { .. })));
    });
}

#[test]
fn when_the_server_shuts_down_and_its_client_does_not_read() {
    holds_nothing(async |kept| {
        kept.streams.shutdown();
        assert!(poll(&mut kept.body).is_ready());
        assert!(poll(&mut kept.body).is_pending());
        tokio::time::advance(Duration::from_millis(60)).await;
        assert_eq!(kept.drain(), Some(BodyError::ShutDown));
    });
}

#[test]
fn when_its_key_is_closed_and_its_client_has_read_the_rest() {
    holds_nothing(async |kept| {
        assert_eq!(kept.clients.close(&7), 1);
        assert_eq!(kept.drain(), None);
    });
}

#[test]
fn when_it_has_failed_and_its_client_does_not_read_the_rest() {
    holds_nothing(async |kept| {
        kept.emitter.fail(Error::new("no more"));
        assert!(poll(&mut kept.body).is_ready());
        // The transport does not release its pieces.
        assert!(poll(&mut kept.body).is_pending());
        tokio::time::advance(Duration::from_secs(31)).await;
        assert!(matches!(kept.drain(), Some(BodyError::Stalled { .. })));
    });
}

/// A subscriber is a cursor: a thousand that read nothing cost the channel's events once.
#[test]
fn subscribers_of_a_channel_that_do_not_read_hold_nothing_of_their_own() {
    let channel = Channel::builder().keep_last(100).build();
    let publish = || {
        for _ in 0..1_000 {
            channel.emit("n", "x".repeat(1_000)).unwrap();
        }
    };
    publish();
    let mut bodies = Vec::with_capacity(1_000);
    let held = measure(|| {
        for _ in 0..1_000 {
            let produce = channel.subscribe(LastEventId::default()).no_ping();
            bodies.push(Box::pin(produce.response().into_body()));
        }
        publish();
    });
    let each = held.bytes_current / 1_000;
    assert!(each < 2 << 10, "{each} bytes for each");
    drop(bodies);
    assert_eq!(channel.stats().subscribers, 0);
}
