//! Bodies of responses that another HTTP client has requested.

use std::io::{self, Read};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use ssekit_client::{Error, Message, SelectError, events, events_of};

const TEXT: &str = "retry: 1\nid: 7\nevent: token\ndata: {\"text\":\"Hé\"}\n\n: a comment\n\n\
                    data: [1,\ndata: 2]\n\ndata: no JSON\n\ndata: [DONE]\n\ndata: 3\n\n";

/// The same bytes, cut into pieces of this size.
fn pieces(text: &str, size: usize) -> Vec<Result<Bytes, io::Error>> {
    text.as_bytes().chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect()
}

/// Reads at most this number of bytes at once.
struct Slow<'a>(&'a [u8], usize);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.1.min(buffer.len());
        self.0.read(&mut buffer[..size])
    }
}

fn parts(message: &Message) -> (String, String, String) {
    (message.event().to_owned(), message.data().to_owned(), message.last_event_id().to_owned())
}

#[tokio::test]
async fn a_body_gives_the_same_events_wherever_it_is_cut() {
    let expected: Vec<_> = [
        ("token", "{\"text\":\"Hé\"}"),
        ("message", "[1,\n2]"),
        ("message", "no JSON"),
        ("message", "[DONE]"),
        ("message", "3"),
    ]
    .map(|(event, data)| (event.to_owned(), data.to_owned(), "7".to_owned()))
    .into();
    for size in [1, 2, 7, 1000] {
        let streamed: Vec<_> =
            events(stream::iter(pieces(TEXT, size))).map(|item| parts(&item.unwrap())).collect().await;
        assert_eq!(streamed, expected, "pieces of {size} bytes");
        let read: Vec<_> = events_of(Slow(TEXT.as_bytes(), size)).map(|item| parts(&item.unwrap())).collect();
        assert_eq!(read, expected, "reads of {size} bytes");
    }
}

#[tokio::test]
async fn json_ends_at_the_last_message_and_invalid_data_is_an_error_in_its_place() {
    let mut chunks = events(stream::iter(pieces(TEXT, 5))).until("[DONE]").json::<Value>();
    assert_eq!(chunks.next().await.unwrap().unwrap(), json!({ "text": "Hé" }));
    assert_eq!(chunks.next().await.unwrap().unwrap(), json!([1, 2]));
    assert!(
        matches!(chunks.next().await, Some(Err(SelectError::Json { message, .. })) if message.data() == "no JSON")
    );
    for _ in 0..2 {
        assert!(chunks.next().await.is_none());
    }
    let read: Vec<_> = events_of(TEXT.as_bytes()).until("[DONE]").json::<Value>().collect();
    assert_eq!(read.len(), 3);
}

#[derive(Debug, PartialEq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Chunk {
    Token { text: String },
}

#[tokio::test]
async fn typed_leaves_out_other_names() {
    let chunks: Vec<_> = events(stream::iter(pieces(TEXT, 3))).typed::<Chunk>().collect().await;
    assert_eq!(chunks.len(), 1);
    assert_eq!(*chunks[0].as_ref().unwrap(), Chunk::Token { text: "Hé".to_owned() });
}

#[tokio::test]
async fn a_body_that_is_incomplete_ends_with_an_error() {
    let broken = || Err(io::Error::new(io::ErrorKind::ConnectionReset, "reset by peer"));
    let whole = || Ok(Bytes::from_static(b"data: 1\n\n"));
    let cut = || Ok(Bytes::from_static(b"data: 2\n"));
    let last = async |body: Vec<Result<Bytes, io::Error>>, until: Option<&str>| {
        let mut events = events(stream::iter(body));
        if let Some(until) = until {
            events = events.until(until);
        }
        assert_eq!(events.next().await.unwrap().unwrap().data(), "1");
        let last = events.next().await;
        assert!(events.next().await.is_none());
        last
    };
    assert!(last(vec![whole()], None).await.is_none());
    assert!(matches!(
        last(vec![whole(), cut()], None).await,
        Some(Err(SelectError::Closed(Error::IncompleteEvent)))
    ));
    match last(vec![whole(), cut(), broken()], Some("end")).await {
        Some(Err(SelectError::Closed(error @ Error::Read(_)))) => {
            assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "reset by peer");
        }
        other => panic!("{other:?}"),
    }
    let early = last(vec![whole()], Some("end")).await;
    assert!(matches!(early, Some(Err(SelectError::EndedEarly { until })) if until == "end"));
}

#[tokio::test]
async fn too_large_an_event_is_skipped_and_reported() {
    let text = format!("data: {}\n\ndata: small\n\n", "x".repeat(100));
    let read: Vec<_> = events_of(text.as_bytes()).max_event_bytes(50).collect();
    assert!(matches!(read[0], Err(SelectError::EventTooLarge { limit: 50 })), "{read:?}");
    assert_eq!(read[1].as_ref().unwrap().data(), "small");
}
