use std::sync::{Arc, Mutex};

use ssekit_client::{CloseReason, Error, SelectError, Sending, Transport, source};

use crate::answer::Answer;
use crate::peer::Peer;
use crate::{data, last_error, soon};

#[tokio::test]
async fn case_061_an_event_of_100_mb_is_an_error_and_the_next_one_arrives() {
    let mut answer = Answer::events("data: before\n\ndata: ");
    for _ in 0..100 {
        answer = answer.body(vec![b'x'; 1_000_000]);
    }
    let peer = Peer::start([answer.body("\n\ndata: after\n\n").then_stay()]).await;
    let errors = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&errors);
    let connection =
        source(peer.url("/")).on_error(move |error| seen.lock().unwrap().push((**error).clone()));
    let mut messages = connection.select("message");
    assert_eq!(data(&mut messages).await, "before");
    let error = soon("the error", messages.next()).await;
    assert!(
        matches!(error, Some(Err(SelectError::EventTooLarge { limit })) if limit == 16 << 20),
        "{error:?}"
    );
    assert_eq!(data(&mut messages).await, "after");
    assert!(matches!(errors.lock().unwrap()[..], [Error::EventTooLarge { .. }]));
    assert_eq!(peer.requests().len(), 1, "on the same connection");
}

#[tokio::test]
async fn case_061_the_limit_of_an_event_can_be_set() {
    let peer = Peer::start([Answer::events("data: 12345678901\n\ndata: 1234567890\n\n").then_stay()]).await;
    let mut messages = source(peer.url("/")).max_event_bytes(10).select("message");
    assert!(matches!(
        soon("the error", messages.next()).await,
        Some(Err(SelectError::EventTooLarge { limit: 10 }))
    ));
    assert_eq!(data(&mut messages).await, "1234567890");
}

#[tokio::test]
async fn case_060_an_event_of_10_mib_arrives_whole() {
    let line = "0123456789abcdef".repeat(10 << 16);
    let peer = Peer::start([Answer::events(format!("data: {line}\n\n")).then_stay()]).await;
    assert!(data(&mut source(peer.url("/")).select("message")).await == line);
}

#[tokio::test]
async fn case_048_invalid_utf_8_becomes_replacement_characters() {
    let peer =
        Peer::start([Answer::events(b"data: \xFF\xFE\n\ndata: \xE2\x82\n\ndata: ok\n\n").then_stay()]).await;
    let mut messages = source(peer.url("/")).select("message");
    let seen = [data(&mut messages).await, data(&mut messages).await, data(&mut messages).await];
    assert_eq!(seen, ["\u{fffd}\u{fffd}", "\u{fffd}", "ok"]);
}

#[tokio::test]
async fn a_response_that_is_no_http_is_an_error_and_no_panic() {
    use tokio::io::AsyncWriteExt;
    for garbage in
        ["\0\0\0\0\0\0\0\0", "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "HTTP/9.9 999\r\n\r\n"]
    {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            tokio::io::AsyncReadExt::read(&mut stream, &mut request).await.unwrap();
            stream.write_all(garbage.as_bytes()).await.unwrap();
        });
        let connection = source(url).reconnect(ssekit_client::Reconnect::never());
        let error = last_error(&mut connection.select("message")).await;
        assert!(matches!(error, Error::Connect { .. }), "{garbage:?}: {error:?}");
        server.await.unwrap();
    }
}

#[tokio::test]
async fn a_name_with_a_line_break_selects_nothing_and_says_so() {
    for name in ["a\nb", "a\r"] {
        let mut messages = source("http://127.0.0.1:1/").select(name);
        assert!(
            matches!(messages.next().await, Some(Err(SelectError::InvalidName { name: reported })) if reported == name)
        );
        assert!(messages.next().await.is_none());
    }
}

#[derive(Debug)]
struct Panicking;

impl Transport for Panicking {
    fn send(&self, _: http::Request<bytes::Bytes>) -> Sending {
        panic!("no transport at all");
    }
}

#[tokio::test]
async fn a_transport_that_panics_ends_the_connection_with_an_error() {
    let (sender, mut closes) = tokio::sync::mpsc::unbounded_channel();
    let connection = source("http://127.0.0.1:1/")
        .transport(Panicking)
        .on_close(move |reason| sender.send((**reason).clone()).unwrap());
    let error = last_error(&mut connection.select("message")).await;
    assert!(matches!(error, Error::Panicked { .. }), "{error:?}");
    assert!(matches!(closes.recv().await, Some(CloseReason::Failed(Error::Panicked { .. }))));
}

#[test]
fn handles_and_streams_can_be_sent_and_shared() {
    fn sendable<T: Send + Sync + Unpin>() {}
    fn sent<T: Send + Unpin>() {}
    sendable::<ssekit_client::Source>();
    sendable::<ssekit_client::Message>();
    sendable::<ssekit_client::Latest<String>>();
    sendable::<Error>();
    sendable::<ssekit_client::Status>();
    sent::<ssekit_client::Select>();
    sent::<ssekit_client::Subscription>();
}
