use std::sync::{Arc, Mutex};

use ssekit_client::{Error, SelectError, source};

use crate::answer::Answer;
use crate::peer::Peer;
use crate::{data, soon};

#[tokio::test]
async fn a_latest_value_is_none_until_the_first_event_and_then_the_last_one() {
    let peer = Peer::start([
        Answer::events("event: n\ndata: 1\n\nevent: n\ndata: 22\n\ndata: other\n\n").then_stay()
    ])
    .await;
    let connection = source(peer.url("/"));
    let mut other = connection.select("message");
    let mut latest = connection.select("n").transform(str::len).latest();
    assert_eq!(latest.get(), None);
    assert_eq!(data(&mut other).await, "other");
    assert_eq!(latest.get(), Some(2));
    assert_eq!(latest.changed().await, Some(2));
    assert_eq!(latest.clone().get(), Some(2));
    connection.close();
    assert_eq!(soon("the end", latest.changed()).await, None);
    assert_eq!(latest.get(), Some(2), "the value stays");
}

#[tokio::test]
async fn the_first_use_opens_the_connection_and_the_last_view_closes_it() {
    let peer = Peer::start([Answer::events("data: 1\n\n").then_stay()]).await;
    let mut latest = source(peer.url("/")).select("message").latest();
    assert_eq!(soon("a value", latest.changed()).await.unwrap().data(), "1");
    let second = latest.clone();
    drop(latest);
    assert_eq!(second.get().unwrap().data(), "1");
    let subscription = second.subscribe(|_| ());
    drop(second);
    assert_eq!(peer.requests().len(), 1);
    drop(subscription);
    peer.left(1).await;
}

#[tokio::test]
async fn a_subscription_is_called_with_the_value_there_is_and_with_each_one_after() {
    let stream = "data: 1\n\ndata: 1\n\ndata: 2\n\nevent: end\ndata\n\n";
    let peer = Peer::start([Answer::events(stream).then_stay()]).await;
    let connection = source(peer.url("/"));
    let latest = connection.select("message").transform(str::to_owned).latest();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = |seen: &Arc<Mutex<Vec<String>>>| {
        let seen = Arc::clone(seen);
        move |value: &String| seen.lock().unwrap().push(value.clone())
    };
    let first = latest.subscribe(record(&seen));
    data(&mut connection.select("end")).await;
    assert_eq!(*seen.lock().unwrap(), ["1", "1", "2"], "equal values are values too");

    let later = Arc::new(Mutex::new(Vec::new()));
    let _second = latest.subscribe(record(&later));
    assert_eq!(*later.lock().unwrap(), ["2"]);
    drop(first);
}

#[tokio::test]
async fn a_listener_may_read_the_store_and_close_the_connection_and_may_panic() {
    let peer = Peer::start([Answer::events("data: 1\n\ndata: 2\n\ndata: 3\n\n").then_stay()]).await;
    let connection = source(peer.url("/"));
    let latest = connection.select("message").transform(str::to_owned).latest();
    let (inside, closing) = (latest.clone(), connection.clone());
    let _panicking = latest.subscribe(|value| panic!("cannot take {value}"));
    let _subscription = latest.subscribe(move |value| {
        assert_eq!(inside.get().as_ref(), Some(value));
        if value == "2" {
            closing.close();
        }
    });
    let mut waiting = latest.clone();
    while soon("the end", waiting.changed()).await.is_some() {}
    assert_eq!(latest.get().unwrap(), "2");
}

#[tokio::test]
async fn json_messages_are_typed_and_a_bad_one_does_not_end_the_stream() {
    let peer = Peer::start([Answer::events("data: 1\n\ndata: x\n\ndata: 3\n\n").then_stay()]).await;
    let mut numbers = source(peer.url("/")).select("message").json::<u32>();
    assert_eq!(soon("1", numbers.next()).await.unwrap().unwrap(), 1);
    match soon("the bad one", numbers.next()).await {
        Some(Err(SelectError::Json { message, source })) => {
            assert_eq!(message.data(), "x");
            assert!(source.to_string().contains("expected value"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(soon("3", numbers.next()).await.unwrap().unwrap(), 3);
}

#[tokio::test]
async fn json_or_sees_the_error_the_text_and_the_last_value_that_was_right() {
    let stream = "data: x\n\ndata: 1\n\ndata: y\n\ndata: z\n\ndata: 4\n\n";
    let peer = Peer::start([Answer::events(stream).then_stay()]).await;
    let mut numbers = source(peer.url("/")).select("message").json_or::<u32>(|failure| match failure.raw {
        "x" => {
            assert!(failure.previous.is_none() && failure.error.is_syntax());
            Some(0)
        }
        "y" => failure.previous.map(|previous| previous + 100),
        _ => {
            assert_eq!(failure.previous, Some(&1), "what was given in place of a bad one does not count");
            None
        }
    });
    for expected in [0, 1, 101, 4] {
        assert_eq!(soon("a number", numbers.next()).await.unwrap().unwrap(), expected);
    }
}

#[tokio::test]
async fn a_latest_value_of_json_keeps_the_last_valid_one_and_reports_the_invalid_one() {
    let peer = Peer::start([Answer::events("data: 1\n\ndata: x\n\nevent: end\ndata\n\n").then_stay()]).await;
    let errors = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&errors);
    let connection =
        source(peer.url("/")).on_error(move |error| seen.lock().unwrap().push((**error).clone()));
    let latest = connection.select("message").json::<u32>().latest();
    data(&mut connection.select("end")).await;
    assert_eq!(latest.get(), Some(1));
    assert!(matches!(&errors.lock().unwrap()[..], [Error::Json { message, .. }] if message.data() == "x"));
}

#[tokio::test]
async fn a_latest_value_made_from_a_stream_that_was_read_goes_on_from_there() {
    let peer = Peer::start([Answer::events("data: 1\n\ndata: 2\n\nevent: end\ndata\n\n").then_stay()]).await;
    let connection = source(peer.url("/"));
    let mut messages = connection.select("message");
    let mut end = connection.select("end");
    assert_eq!(data(&mut messages).await, "1");
    data(&mut end).await;
    let latest = messages.latest();
    assert_eq!(latest.get().unwrap().data(), "2", "what waited in the stream is not lost");
}
