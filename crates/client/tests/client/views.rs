//! Streams whose items are made of messages.

use ssekit_client::{SelectError, source};

use crate::answer::Answer;
use crate::peer::{Peer, soon};

#[derive(Debug, PartialEq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Import {
    Progress { percent: u8 },
    LineSkipped(String),
    Done,
}

#[tokio::test]
async fn events_of_several_names_are_one_enum() {
    let events = "event: progress\ndata: {\"percent\":50}\n\n\
                  event: ping\ndata:\n\n\
                  event: progress\ndata: half\n\n\
                  event: line_skipped\ndata: \"a;b\"\n\n\
                  event: done\ndata:\n\n";
    let peer = Peer::start([Answer::events(events).then_stay()]).await;
    let mut import = source(peer.url("/")).select_all().typed::<Import>();
    let first = soon("the first", import.next()).await;
    assert!(matches!(first, Some(Ok(Import::Progress { percent: 50 }))), "{first:?}");
    match soon("the error", import.next()).await {
        Some(Err(SelectError::Json { message, .. })) => assert_eq!(message.data(), "half"),
        other => panic!("a name that the enum does not have is left out, but {other:?} came"),
    }
    for wanted in [Import::LineSkipped("a;b".to_owned()), Import::Done] {
        assert_eq!(soon("the next", import.next()).await.unwrap().unwrap(), wanted);
    }
}

#[tokio::test]
async fn a_stream_ends_at_its_last_message_and_leaves_the_connection() {
    let answer = Answer::events("data: 1\n\ndata: [DONE]\n\ndata: 2\n\n").then_stay();
    let peer = Peer::start([answer]).await;
    let mut numbers = source(peer.url("/")).select("message").until("[DONE]").json::<u32>();
    assert_eq!(soon("1", numbers.next()).await.unwrap().unwrap(), 1);
    for _ in 0..2 {
        assert!(soon("the end", numbers.next()).await.is_none());
    }
    peer.left(1).await;
    drop(numbers);
}

#[tokio::test]
async fn a_latest_value_stands_still_after_the_last_message() {
    let peer = Peer::start([Answer::events("data: 1\n\ndata: [DONE]\n\ndata: 2\n\n")]).await;
    let source = source(peer.url("/")).once();
    let mut latest = source.select("message").until("[DONE]").latest();
    while soon("the end", latest.changed()).await.is_some() {}
    assert_eq!(latest.get().unwrap().data(), "1");
}

#[tokio::test]
async fn an_answer_that_ends_before_its_last_message_is_no_complete_one() {
    let peer = Peer::start([Answer::events("data: 1\n\n"), Answer::status(204)]).await;
    for data in ["1", ""] {
        let mut messages = source(peer.url("/")).once().select("message").until("[DONE]");
        if !data.is_empty() {
            assert_eq!(soon("1", messages.next()).await.unwrap().unwrap().data(), data);
        }
        let error = soon("the error", messages.next()).await.unwrap().unwrap_err();
        assert!(error.to_string().contains("before the message \"[DONE]\""), "{error}");
        assert!(soon("the end", messages.next()).await.is_none());
    }

    // Whoever closes it here knows that it is incomplete.
    let peer = Peer::start([Answer::events("data: 1\n\n").then_stay()]).await;
    let connection = source(peer.url("/"));
    let mut messages = connection.select("message").until("[DONE]");
    soon("1", messages.next()).await.unwrap().unwrap();
    connection.close();
    assert!(soon("the end", messages.next()).await.is_none());
}
