//! The reader for tests of handlers, over the bodies of this crate and of axum.

use std::time::Duration;

use axum::response::IntoResponse;
use http_body_util::Full;
use ssekit_server::testing::{Received, events};
use ssekit_server::{Channel, Event, LastEventId, produce};

use crate::support::within;

fn shown(received: &Received) -> String {
    let Received { event, data, last_event_id, .. } = received;
    format!("{event}={data:?} after {last_event_id:?}")
}

#[tokio::test(start_paused = true)]
async fn events_are_read_as_they_are_emitted_for_however_long() {
    let news = Channel::new();
    let response =
        news.subscribe(LastEventId::default()).ping_comment(Duration::from_secs(1)).into_response();
    let mut events = events(response);
    for number in ["one", "two\nlines"] {
        let id = news.emit("headline", number).unwrap();
        let event = within(events.next()).await.unwrap().unwrap();
        assert_eq!(shown(&event), format!("headline={number:?} after {:?}", id.to_string()));
        // Longer than the stall time: bytes that were read count as written.
        tokio::time::sleep(Duration::from_secs(100)).await;
    }
    news.close();
    assert!(within(events.next()).await.is_none());
    assert!(within(events.next()).await.is_none());
}

#[tokio::test]
async fn the_rest_of_a_stream_that_ends_can_be_collected() {
    let produce = produce(|stream| async move {
        stream.comment("not an event")?;
        stream.try_send(Event::new("1").with_numeric_id(7))?;
        Ok(stream.emit("b", "")?)
    });
    let rest = within(events(produce.response()).rest()).await.unwrap();
    let shown: Vec<_> = rest.iter().map(shown).collect();
    assert_eq!(shown, ["message=\"1\" after \"7\"", "b=\"\" after \"7\""]);
}

#[tokio::test]
async fn a_stream_that_is_cut_is_an_error_and_so_is_half_an_event() {
    let failed = produce(|stream| async move {
        stream.emit("a", "1")?;
        Err("broken".parse::<u8>().unwrap_err().into())
    });
    let mut events_of = events(failed.response());
    assert_eq!(within(events_of.next()).await.unwrap().unwrap().data, "1");
    let error = within(events_of.next()).await.unwrap().unwrap_err();
    assert!(error.to_string().starts_with("the event stream is incomplete"), "{error}");
    assert!(within(events_of.next()).await.is_none());

    let half = events(http::Response::new(Full::new(&b"data: 1\n\ndata: 2\n"[..])));
    let error = within(half.rest()).await.unwrap_err();
    assert!(error.to_string().contains("inside an event"), "{error}");
}
