//! `source` receives the events of `produce`: both ends of this library over a socket.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use ssekit::client::WhenFull;
use ssekit::{Event, LastEventId, Produce, Reconnect, Status, produce, source};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// Serves this under `/events`; gives the URL.
async fn serve(routes: axum::routing::MethodRouter) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/events", routes)).await });
    format!("http://{address}/events")
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Quote {
    symbol: String,
    price: f64,
}

#[tokio::test]
async fn every_kind_of_event_arrives_as_it_was_sent() {
    const TEXTS: [&str; 8] =
        ["hello", "", " a space first", "two\nlines", "\n", "€ 豆腐", "data: x\n\nid: 1", "a:b"];
    let url = serve(get(async || {
        produce(|stream| async move {
            for text in TEXTS {
                stream.emit("text", text)?;
            }
            stream.comment("a comment")?;
            stream.emit("quote", r#"{"symbol":"A","price":1.5}"#)?;
            stream.try_send(Event::new("last").with_event("end")?.with_id("…42")?)?;
            Ok(())
        })
        .retry(Duration::from_millis(1234))
    }))
    .await;
    let comments = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&comments);
    let connection = source(url).on_comment(move |comment| seen.lock().unwrap().push(comment.to_owned()));
    let mut texts = connection.select("text");
    let mut quotes = connection.select("quote").json::<Quote>();
    let mut end = connection.select("end");
    for text in TEXTS {
        let message = timeout(PATIENCE, texts.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(message.data(), text);
    }
    let quote = timeout(PATIENCE, quotes.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(quote, Quote { symbol: "A".to_owned(), price: 1.5 });
    let end = timeout(PATIENCE, end.next()).await.unwrap().unwrap().unwrap();
    assert_eq!((end.data(), end.last_event_id()), ("last", "…42"));
    assert_eq!(*comments.lock().unwrap(), ["a comment"]);
    assert_eq!(connection.reconnection_time(), Some(Duration::from_millis(1234)));
}

#[tokio::test]
async fn a_stream_that_ends_is_resumed_without_a_gap_or_a_repeat() {
    async fn three_at_a_time(last: LastEventId) -> Produce {
        let from: u32 = last.as_str().map_or(0, |id| id.parse().unwrap());
        produce(move |stream| async move {
            for number in from + 1..=from + 3 {
                stream.send(Event::new(number.to_string()).with_id(number.to_string())?).await?;
            }
            stream.close();
            Ok(())
        })
        .retry(Duration::from_millis(1))
    }
    let url = serve(get(three_at_a_time)).await;
    let mut messages =
        source(url).reconnect(Reconnect::resilient().min_delay(Duration::ZERO)).select("message");
    for number in 1..=30 {
        let message = timeout(PATIENCE, messages.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(message.data(), number.to_string());
    }
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_stream_and_one_that_stays_sees_its_pings() {
    let (stopped, mut stops) = mpsc::unbounded_channel();
    let url = serve(get(async move || {
        let stopped = stopped.clone();
        produce(|stream| async move {
            stream.closed().await;
            Ok(())
        })
        .ping(Duration::from_millis(50))
        .on_stop(move |reason| async move { stopped.send(reason.to_string()).unwrap() })
    }))
    .await;
    let connection = source(url).read_timeout(Duration::from_secs(10));
    let mut pings = connection.select("ping");
    for _ in 0..3 {
        let ping = timeout(PATIENCE, pings.next()).await.unwrap().unwrap().unwrap();
        assert_eq!((ping.data(), ping.last_event_id()), ("", ""));
    }
    assert!(matches!(connection.status(), Status::Open));
    drop(pings);
    assert!(timeout(PATIENCE, stops.recv()).await.expect("the stream stops").is_some());
}

#[tokio::test]
async fn a_slow_reader_slows_the_producer_down_and_nothing_is_lost() {
    const EVENTS: usize = 20_000;
    let url = serve(get(async || {
        produce(|stream| async move {
            for number in 0..EVENTS {
                stream.send(Event::new(format!("{number:0>1000}"))).await?;
            }
            Ok(())
        })
    }))
    .await;
    let mut messages = source(url).buffer(8, 1 << 20).when_full(WhenFull::Wait).select("message");
    for number in 0..EVENTS {
        let message = timeout(PATIENCE, messages.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(message.data().trim_start_matches('0').parse().unwrap_or(0), number);
    }
}
