//! Pings of an idle stream. The decisions are tested in simulated time, one end over a socket.

use std::pin::pin;
use std::time::Duration;

use http_body_util::BodyExt;
use ssekit_server::{Emitter, Produce, SseBody, produce};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::support::{Server, Stream, quiet};

async fn next(body: &mut SseBody) -> String {
    let frame = body.frame().await.expect("not the end").expect("not stalled");
    String::from_utf8(frame.into_data().expect("data").to_vec()).unwrap()
}

fn with_emitter(options: impl Fn(Produce) -> Produce) -> (SseBody, mpsc::Receiver<Emitter>) {
    let (started, emitter) = mpsc::channel(1);
    let produce = produce(move |stream: Emitter| started.try_send(stream).expect("start runs once"));
    (options(produce).response().into_body(), emitter)
}

#[tokio::test(start_paused = true)]
async fn case_103_an_idle_stream_pings_every_30_seconds_with_an_event_that_has_no_id() {
    let begin = Instant::now();
    let mut body = quiet().ids_from(1).response().into_body();
    for n in 1..=3 {
        assert_eq!(next(&mut body).await, "event: ping\ndata: \n\n");
        let late = begin.elapsed() - n * Duration::from_secs(30);
        assert!(late < Duration::from_millis(10), "{late:?} late");
    }
}

#[tokio::test(start_paused = true)]
async fn case_103_a_busy_stream_does_not_ping_and_events_reset_the_timer() {
    let mut body = produce(|stream| async move {
        for _ in 0..100 {
            stream.emit("tick", "")?;
            tokio::time::sleep(Duration::from_millis(3_900)).await;
        }
        stream.closed().await;
        Ok(())
    })
    .ping(Duration::from_secs(4))
    .response()
    .into_body();
    let mut last = Instant::now();
    for _ in 0..100 {
        assert_eq!(next(&mut body).await, "event: tick\ndata: \n\n");
        last = Instant::now();
    }
    assert_eq!(next(&mut body).await, "event: ping\ndata: \n\n");
    let after = last.elapsed();
    assert!(after >= Duration::from_secs(4) && after < Duration::from_millis(4_010), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_ping_can_be_a_comment() {
    let mut body = quiet().ping_comment(Duration::from_secs(1)).response().into_body();
    assert_eq!(next(&mut body).await, ":\n");
    assert_eq!(next(&mut body).await, ":\n");
}

#[tokio::test(start_paused = true)]
async fn without_pings_an_idle_stream_is_silent() {
    let mut body = quiet().no_ping().response().into_body();
    let silence = tokio::time::timeout(Duration::from_secs(365 * 24 * 3600), next(&mut body)).await;
    assert!(silence.is_err(), "{silence:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_ending_does_not_ping() {
    let (mut body, mut emitter) = with_emitter(|produce| produce.ping(Duration::ZERO));
    assert_eq!(next(&mut body).await, "event: ping\ndata: \n\n");
    let emitter = emitter.try_recv().unwrap();
    emitter.emit("last", "").unwrap();
    emitter.lock().set(false);
    assert_eq!(next(&mut body).await, "event: last\ndata: \n\n");
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_waits_is_woken_by_an_event_long_before_its_ping() {
    let (mut body, mut started) = with_emitter(|produce| produce.ping(Duration::from_secs(3600)));
    let begin = Instant::now();
    let mut waiting = pin!(next(&mut body));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    started.try_recv().unwrap().emit("now", "").unwrap();
    assert_eq!(waiting.await, "event: now\ndata: \n\n");
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn case_103_pings_arrive_over_a_socket() {
    for server in Server::ALL {
        let mut stream = Stream::open(server, |produce| produce.ping(Duration::from_millis(50))).await;
        for _ in 0..3 {
            assert_eq!(stream.client.chunk().await, "event: ping\ndata: \n\n");
        }
    }
}
