//! The last event ID, in the idiom of each framework.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use ssekit::server::First;
use ssekit::wire::{Decoder, Item};
use ssekit::{Channel, produce};
use ssekit_frameworks::{App, Client, Framework, Server, on_each_framework};
use tokio::sync::Semaphore;

on_each_framework! {
    case_109_a_client_that_returns_again_and_again_misses_nothing_and_gets_nothing_twice
    case_109_an_unknown_id_is_reported_by_a_header_and_an_event
    case_109_the_last_event_id_comes_from_the_header_or_the_query
    case_109_an_invalid_id_is_answered_with_400_and_the_reason
}

/// Events are published all the while, also between a client's leaving and its return.
async fn case_109_a_client_that_returns_again_and_again_misses_nothing_and_gets_nothing_twice<
    F: Framework,
>() {
    const EVENTS: usize = 2_000;
    let channel = Channel::builder().keep_last(10_000).first(First::All).build();
    let server = {
        let channel = channel.clone();
        Server::start::<F>(App::new(move |_, last| channel.subscribe(last))).await
    };
    // The publisher is up to so many events ahead of the client.
    let ahead = Arc::new(Semaphore::new(50));
    let publisher = {
        let ahead = ahead.clone();
        tokio::spawn(async move {
            for n in 0..EVENTS {
                ahead.acquire().await.unwrap().forget();
                channel.emit("n", n.to_string()).unwrap();
            }
        })
    };
    let mut last = String::new();
    let mut read = 0;
    while read < EVENTS {
        let mut reader = match read % 2 {
            0 => Reader::open(server.address, "/events", &format!("last-event-id: {last}\r\n")).await,
            _ => Reader::open(server.address, &format!("/events?lastEventId={last}"), "").await,
        };
        assert!(reader.client.header("ssekit-reset").is_empty(), "{}", reader.client.head);
        for _ in 0..(read % 97 + 1).min(EVENTS - read) {
            let (name, data, id) = reader.next().await;
            assert_eq!((name.as_str(), data), ("n", read.to_string()));
            last = id;
            read += 1;
            ahead.add_permits(1);
        }
    }
    publisher.await.unwrap();
}

async fn case_109_an_unknown_id_is_reported_by_a_header_and_an_event<F: Framework>() {
    let channel = Channel::new();
    let server = {
        let channel = channel.clone();
        Server::start::<F>(App::new(move |_, last| channel.subscribe(last))).await
    };
    let mut reader = Reader::open(server.address, "/events?last-event-id=of-another-time", "").await;
    assert_eq!(reader.client.header("ssekit-reset"), ["unknown"]);
    let (name, data, _) = reader.next().await;
    assert_eq!((name.as_str(), data.as_str()), ("reset", r#"{"reason":"unknown"}"#));
    channel.emit("n", "1").unwrap();
    let (name, data, _) = reader.next().await;
    assert_eq!((name.as_str(), data.as_str()), ("n", "1"));
}

/// A client that decodes: names, data, last event IDs.
struct Reader {
    client: Client,
    decoder: Decoder,
    messages: VecDeque<(String, String, String)>,
}

impl Reader {
    async fn open(address: SocketAddr, path: &str, headers: &str) -> Self {
        let client = Client::request(address, path, headers).await;
        assert_eq!(client.status(), "200", "{}", client.head);
        Self { client, decoder: Decoder::new(), messages: VecDeque::new() }
    }

    async fn next(&mut self) -> (String, String, String) {
        loop {
            if let Some(message) = self.messages.pop_front() {
                return message;
            }
            let piece = self.client.some().await;
            let mut items = self.decoder.feed(&piece);
            while let Some(item) = items.next() {
                if let Item::Message(message) = item.unwrap() {
                    let [name, data, id] = [message.event, message.data, message.last_event_id];
                    self.messages.push_back((name.to_owned(), data.to_owned(), id.to_owned()));
                }
            }
        }
    }
}

async fn echo<F: Framework>() -> Server {
    let answer = |_: &str, last: ssekit::LastEventId| {
        produce(move |stream| stream.emit("id", last.as_str().unwrap_or("none")).unwrap())
    };
    Server::start::<F>(App::new(answer)).await
}

async fn case_109_the_last_event_id_comes_from_the_header_or_the_query<F: Framework>() {
    let server = echo::<F>().await;
    for (path, headers, id) in [
        ("/echo", "", "none"),
        ("/echo?other=1", "", "none"),
        ("/echo", "last-event-id: 41\r\n", "41"),
        ("/echo", "Last-Event-ID: …/7\r\n", "…/7"),
        ("/echo?lastEventId=41", "", "41"),
        ("/echo?a=b&last-event-id=%E2%80%A6%2F7+8", "", "…/7 8"),
        ("/echo?lastEventId=41", "last-event-id: 42\r\n", "42"),
        ("/echo?lastEventId=41", "last-event-id:\r\n", "41"),
    ] {
        let mut client = Client::request(server.address, path, headers).await;
        client.expect(&format!("event: id\ndata: {id}\n\n")).await;
    }
}

async fn case_109_an_invalid_id_is_answered_with_400_and_the_reason<F: Framework>() {
    let server = echo::<F>().await;
    for (path, reason) in [
        ("/echo?lastEventId=a%0Ab".to_owned(), "contains a line break"),
        (format!("/echo?lastEventId={}", "x".repeat(4097)), "has 4097 bytes; the limit is 4096"),
    ] {
        let mut client = Client::get(server.address, &path).await;
        assert_eq!(client.status(), "400");
        let text = client.text().await;
        assert!(text.contains(reason), "{text}");
    }
}
