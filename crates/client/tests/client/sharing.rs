use std::sync::{Arc, Mutex};

use ssekit_client::{HeaderMap, Reconnect, Source, Status, source};

use crate::answer::Answer;
use crate::peer::Peer;
use crate::{data, soon};

const TWO: &str = "event: a\ndata: 1\n\nevent: b\ndata: 2\n\n";

#[tokio::test]
async fn sources_of_the_same_request_share_one_connection() {
    let peer = Peer::start([Answer::events(TWO).then_stay()]).await;
    let make = || source(peer.url("/")).header("b", "2").header("a", "1");
    let mut first = make().select("a");
    let mut second = source(peer.url("/")).header("A", "1").header("B", "2").select("b");
    assert_eq!([data(&mut first).await, data(&mut second).await], ["1", "2"]);
    assert_eq!(peer.requests().len(), 1);
}

#[tokio::test]
async fn sources_of_different_requests_or_options_do_not_share() {
    let open = || Answer::events("event: a\ndata: 1\n\n").then_stay();
    let peer = Peer::start((0..12).map(|_| open())).await;
    let base = || source(peer.url("/"));
    let different: Vec<Source> = vec![
        base(),
        base().method("POST"),
        base().body("x"),
        base().body("y"),
        base().header("authorization", "Bearer 1"),
        base().header("authorization", "Bearer 2"),
        base().resume_after("1"),
        base().reconnect(Reconnect::never()),
        base().share(false),
        base().share(false),
        base().headers_from(|| async { Ok(HeaderMap::new()) }),
        source(peer.url("/other")),
    ];
    let mut streams: Vec<_> = different.iter().map(|it| it.select("a")).collect();
    for stream in &mut streams {
        assert_eq!(data(stream).await, "1");
    }
    assert_eq!(peer.requests().len(), 12);
}

#[tokio::test]
async fn only_a_get_without_a_body_shares() {
    for (method, body) in
        [(None, Some("x")), (Some("POST"), None), (Some("GET"), Some("x")), (Some("PUT"), None)]
    {
        let peer = Peer::start(vec![Answer::events("data: 1\n\n").then_stay(); 2]).await;
        let make = || {
            let mut connection = source(peer.url("/"));
            if let Some(method) = method {
                connection = connection.method(method);
            }
            if let Some(body) = body {
                connection = connection.body(body);
            }
            connection
        };
        let (mut first, mut second) = (make().select_all(), make().select_all());
        assert_eq!([data(&mut first).await, data(&mut second).await], ["1", "1"], "{method:?} {body:?}");
        assert_eq!(peer.requests().len(), 2, "{method:?} {body:?}");
    }
}

#[tokio::test]
async fn a_viewer_of_its_own_sees_the_stream_from_its_beginning() {
    let peer = Peer::start(vec![Answer::events("data: 0 %\n\ndata: 40 %\n\n").then_stay(); 2]).await;
    let make = || source(peer.url("/job")).share(false).select_all();
    let mut first = make();
    assert_eq!([data(&mut first).await, data(&mut first).await], ["0 %", "40 %"]);
    let mut second = make();
    assert_eq!([data(&mut second).await, data(&mut second).await], ["0 %", "40 %"]);
}

#[tokio::test]
async fn quirk_1_the_last_subscriber_closes_the_connection_and_not_the_first_to_leave() {
    let peer = Peer::start([Answer::events(TWO).body("event: b\ndata: 3\n\n").then_stay()]).await;
    let connection = source(peer.url("/"));
    let mut a = connection.select("a");
    let mut b = connection.select("b");
    let latest = connection.select("b").latest();
    assert_eq!(data(&mut a).await, "1");
    drop(a);
    assert_eq!([data(&mut b).await, data(&mut b).await], ["2", "3"], "the sibling lives");
    assert!(connection.status().is_open());
    drop(b);
    assert!(connection.status().is_open(), "a latest value is a subscriber too");
    drop(latest);
    peer.left(1).await;
    assert_eq!(peer.requests().len(), 1);
}

#[tokio::test]
async fn case_096_a_connection_left_by_all_is_opened_again_by_the_next_and_resumes() {
    let peer = Peer::start([
        Answer::events("id: 1\ndata: 1\n\n").then_stay(),
        Answer::events("data: 2\n\n").then_stay(),
    ])
    .await;
    let connection = source(peer.url("/"));
    assert!(matches!(connection.status(), Status::Idle), "lazy");
    let mut first = connection.select("message");
    assert_eq!(peer.requests().len(), 0, "lazy");
    assert_eq!(data(&mut first).await, "1");
    drop(first);
    peer.left(1).await;
    assert_eq!(data(&mut connection.select("message")).await, "2");
    assert_eq!(peer.request(1).await.header("last-event-id"), Some("1"));
}

#[tokio::test]
async fn a_subscriber_that_comes_as_the_last_one_leaves_keeps_the_connection() {
    let peer = Peer::start([Answer::events("event: a\ndata: 1\n\nevent: b\ndata: 2\n\n").then_stay()]).await;
    let connection = source(peer.url("/")).on_close(|reason| panic!("{reason}"));
    let mut all = connection.select_all();
    assert_eq!([data(&mut all).await, data(&mut all).await], ["1", "2"]);
    drop(all);
    let mut next = connection.select_all();
    assert!(tokio::time::timeout(std::time::Duration::from_millis(50), next.next()).await.is_err());
    assert!(connection.status().is_open());
    assert_eq!(peer.requests().len(), 1);
}

#[tokio::test]
async fn no_event_is_missed_between_two_selects() {
    let peer = Peer::start([Answer::events(TWO).then_stay()]).await;
    let connection = source(peer.url("/"));
    let mut b = connection.select("b");
    let mut a = connection.select("a");
    assert_eq!(data(&mut b).await, "2");
    assert_eq!(data(&mut a).await, "1", "it came before the first read of this stream");
}

#[tokio::test]
async fn every_sharer_s_callbacks_are_called_while_it_is_there() {
    let peer = Peer::start([Answer::events("data: 1\n\n").body("data: 2\n\n").then_stay()]).await;
    let diary = Arc::new(Mutex::new(Vec::new()));
    let make = |name: &'static str| {
        let (messages, closes) = (Arc::clone(&diary), Arc::clone(&diary));
        source(peer.url("/"))
            .on_message(move |message| messages.lock().unwrap().push(format!("{name} {}", message.data())))
            .on_close(move |_| closes.lock().unwrap().push(format!("{name} closed")))
    };
    let (first, second) = (make("first"), make("second"));
    let mut messages = second.select("message");
    assert!(matches!(first.status(), Status::Idle));
    data(&mut messages).await;
    data(&mut messages).await;
    first.close();
    assert!(soon("the end", messages.next()).await.is_none(), "a close is for all who share");
    peer.left(1).await;
    let mut lines = diary.lock().unwrap().clone();
    lines.sort();
    assert_eq!(lines, ["first 1", "first 2", "first closed", "second 1", "second 2", "second closed"]);
    assert_eq!(peer.requests().len(), 1);
}

#[tokio::test]
async fn after_a_close_a_new_source_has_a_new_connection() {
    let answer = Answer::events("data: 1\n\n").then_stay();
    let peer = Peer::start([answer.clone(), answer]).await;
    let first = source(peer.url("/"));
    data(&mut first.select("message")).await;
    first.close();
    assert!(first.select("message").next().await.is_none(), "a closed one stays closed");
    assert_eq!(data(&mut source(peer.url("/")).select("message")).await, "1");
    assert_eq!(peer.requests().len(), 2);
}
