//! The forms of `start`. Half of the test is that they compile without annotations.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use http_body_util::BodyExt;
use ssekit_server::{Emitter, Error, Event, Produce, produce, produce_with_cleanup};

async fn text(produce: Produce) -> String {
    let body = produce.no_stall_timeout().response().into_body();
    String::from_utf8(body.collect().await.expect("the stream does not stall").to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn an_endless_loop_ends_with_its_stream() {
    let events = produce(|stream| async move {
        loop {
            stream.emit("m", format!("{}", 1))?;
            stream.lock().set(false);
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(text(events).await, "event: m\ndata: 1\n\n");
}

#[tokio::test]
async fn an_async_start_that_returns_ok() {
    let events = produce(|stream| async move {
        stream.emit("m", "1")?;
        stream.send(Event::new("2")).await?;
        Ok(())
    });
    assert_eq!(text(events).await, "event: m\ndata: 1\n\nevent: message\ndata: 2\n\n");
}

#[tokio::test]
async fn an_async_function() {
    async fn start(stream: Emitter) -> Result<(), Error> {
        std::str::from_utf8(b"ok")?;
        Ok(stream.emit("m", "1")?)
    }
    assert_eq!(text(produce(start)).await, "event: m\ndata: 1\n\n");
}

#[tokio::test]
async fn a_start_that_stores_its_emitter() {
    let clients = Arc::new(Mutex::new(HashMap::new()));
    let events = produce({
        let clients = clients.clone();
        move |stream| {
            clients.lock().unwrap().insert("some-session-id", stream);
        }
    });
    let text = tokio::spawn(text(events));
    while clients.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    clients.lock().unwrap()["some-session-id"].emit("message", "hello").unwrap();
    clients.lock().unwrap()["some-session-id"].lock().set(false);
    assert_eq!(text.await.unwrap(), "event: message\ndata: hello\n\n");
}

#[tokio::test]
async fn a_start_that_returns_a_clean_up() {
    let cleaned = Arc::new(AtomicUsize::new(0));
    let events = produce({
        let cleaned = cleaned.clone();
        move |stream| {
            stream.emit("m", "1").unwrap();
            stream.lock().set(false);
            move || {
                cleaned.fetch_add(1, SeqCst);
            }
        }
    });
    assert_eq!(text(events).await, "event: m\ndata: 1\n\n");
    assert_eq!(cleaned.load(SeqCst), 1);
}

#[tokio::test]
async fn a_start_that_may_fail() {
    let events = produce(|stream| -> Result<(), Error> { Ok(stream.emit("m", "1")?) });
    assert_eq!(text(events).await, "event: m\ndata: 1\n\n");

    let events = produce(|stream| {
        stream.emit("m", "1")?;
        stream.lock().set(false);
        Ok::<_, Error>(move || drop(stream))
    });
    assert_eq!(text(events).await, "event: m\ndata: 1\n\n");
}

#[tokio::test]
async fn an_async_start_that_returns_a_clean_up() {
    let cleaned = Arc::new(AtomicUsize::new(0));
    let counter = cleaned.clone();
    let events = produce_with_cleanup(|stream| async move {
        tokio::task::yield_now().await;
        stream.emit("m", "1")?;
        Ok(move || {
            counter.fetch_add(1, SeqCst);
        })
    });
    assert_eq!(text(events).await, "event: m\ndata: 1\n\n");
    assert_eq!(cleaned.load(SeqCst), 1);
}

#[test]
fn responses_and_their_parts_are_send_and_sync() {
    fn check<T: Send + Sync + Unpin + 'static>() {}
    check::<ssekit_server::SseBody>();
    check::<Emitter>();
    check::<ssekit_server::Lock>();
    check::<Produce>();
}
