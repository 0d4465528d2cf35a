//! Waiting for the head of the response.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use ssekit_client::{CloseReason, Error, Status, StatusCode, source};

use crate::answer::Answer;
use crate::peer::{Peer, soon};
use crate::script::Script;
use crate::{data, eager};

#[tokio::test(start_paused = true)]
async fn the_head_can_be_awaited_and_no_event_is_missed() {
    let script = Script::new([Answer::events("data: 1\n\ndata: 2\n\n").header("x-by", "a").then_stay()]);
    let connection = source("http://script/").transport(script.clone());
    let response = connection.open().await.unwrap();
    assert_eq!((response.status(), &response.headers()["x-by"]), (StatusCode::OK, &"a".parse().unwrap()));
    // Whatever comes has come by now, and waits.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let mut messages = connection.select("message");
    assert_eq!([data(&mut messages).await, data(&mut messages).await], ["1", "2"]);
    connection.open().await.unwrap();
    assert_eq!(script.requests().len(), 1);
}

#[tokio::test]
async fn a_source_that_is_dropped_closes_its_connection() {
    let peer = Peer::start([Answer::events("data: 1\n\n").then_stay()]).await;
    let connection = source(peer.url("/"));
    soon("the head", connection.open()).await.unwrap();
    drop(connection);
    peer.left(1).await;
}

#[tokio::test]
async fn a_refusal_is_the_error_and_retries_are_waited_for() {
    let peer = Peer::start([Answer::status(401).body("who are you?")]).await;
    let error = soon("the refusal", source(peer.url("/")).open()).await.unwrap_err();
    match error {
        CloseReason::Failed(Error::Status { status, body, .. }) => {
            assert_eq!((status, body.as_str()), (StatusCode::UNAUTHORIZED, "who are you?"));
        }
        other => panic!("{other:?}"),
    }

    let peer = Peer::start([Answer::status(503), Answer::refuse(), Answer::events("").then_stay()]).await;
    soon("the head", source(peer.url("/")).reconnect(eager()).open()).await.unwrap();
    assert_eq!(peer.requests().len(), 3);
}

#[tokio::test]
async fn a_stream_that_has_ended_by_now_was_open_all_the_same() {
    let peer = Peer::start([Answer::events("data: 1\n\n")]).await;
    let connection = source(peer.url("/")).body("ask");
    let mut messages = connection.select("message");
    assert_eq!(data(&mut messages).await, "1");
    assert!(soon("the end", messages.next()).await.is_none());
    let response = soon("the head", connection.open()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(peer.requests().len(), 1, "it is not asked again");
}

#[tokio::test]
async fn a_close_ends_the_wait_for_the_head() {
    let peer = Peer::start([Answer::silence()]).await;
    let connection = source(peer.url("/"));
    let mut opening = pin!(connection.open());
    assert!(opening.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    peer.request(0).await;
    connection.close();
    assert!(matches!(soon("the end", opening).await, Err(CloseReason::Local)));

    let connection = source(peer.url("/2"));
    let mut opening = pin!(connection.open());
    assert!(opening.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    peer.request(1).await;
    drop(connection.select("message"));
    assert!(matches!(soon("the end", opening).await, Err(CloseReason::Unsubscribed)));
    assert!(matches!(connection.status(), Status::Closed { .. }));
}
