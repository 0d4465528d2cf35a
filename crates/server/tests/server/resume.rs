//! The `Last-Event-ID` of a client that returns.

use axum::routing::get;
use http::{HeaderMap, HeaderValue};
use ssekit_server::{InvalidLastEventId, LastEventId, produce};

use crate::support::{Client, serve};

#[tokio::test]
async fn an_axum_handler_continues_after_the_last_event_id() {
    let addr = serve(axum::Router::new().route(
        "/",
        get(|last: LastEventId| async move {
            let next = last.as_str().map_or(0, |id| id.parse::<u64>().unwrap() + 1);
            produce(|stream| stream.emit("n", "").unwrap()).ids_from(next)
        }),
    ));
    assert_eq!(Client::get(addr).await.rest().await, "id: 0\nevent: n\ndata: \n\n");
    let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nlast-event-id: 41\r\n\r\n";
    assert_eq!(Client::request(addr, request).await.rest().await, "id: 42\nevent: n\ndata: \n\n");
}

#[tokio::test]
async fn case_083_the_id_is_read_as_utf_8_and_anything_else_is_a_bad_request() {
    let addr = serve(axum::Router::new().route(
        "/",
        get(|last: LastEventId| async move {
            produce(move |stream| stream.emit("id", last.as_str().unwrap_or("none")).unwrap())
        }),
    ));
    let request =
        |id: &[u8]| [b"GET / HTTP/1.1\r\nhost: localhost\r\nlast-event-id: ", id, b"\r\n\r\n"].concat();
    let answer = Client::request(addr, &request("…".as_bytes())).await.rest().await;
    assert_eq!(answer, "event: id\ndata: …\n\n");
    let answer = Client::request(addr, &request(b"")).await.rest().await;
    assert_eq!(answer, "event: id\ndata: none\n\n");
    let refused = Client::request(addr, &request(b"\xE2\x80")).await;
    assert!(refused.head.starts_with("HTTP/1.1 400 "), "{}", refused.head);
}

#[test]
fn an_id_from_elsewhere_is_checked_too() {
    for id in ["a\rb", "a\nb", "a\0b"] {
        assert_eq!(LastEventId::new(id), Err(InvalidLastEventId::NotAnId));
    }
    assert_eq!(LastEventId::new("x".repeat(4097)), Err(InvalidLastEventId::TooLong { bytes: 4097 }));
    assert!(LastEventId::new("x".repeat(4096)).is_ok());
    assert_eq!(LastEventId::new("…").unwrap().as_str(), Some("…"));
    assert_eq!(LastEventId::new("").unwrap(), LastEventId::default());
    let headers = HeaderMap::from_iter([("last-event-id".parse().unwrap(), HeaderValue::from_static("7"))]);
    assert_eq!(LastEventId::from_headers(&headers).unwrap().as_str(), Some("7"));
}

#[test]
fn a_page_gives_the_id_in_the_query_and_the_header_wins() {
    for (header, query, id) in [
        ("", "", None),
        ("", "lastEventId=7", Some("7")),
        ("", "a=1&last-event-id=a%2Fb%20c%E2%80%A6&b=2", Some("a/b c…")),
        ("", "last_event_id=7", Some("7")),
        ("", "Last-Event-ID=7", Some("7")),
        ("", "lastEventID=7&lastEventId=8", Some("7")),
        ("", "lastEventId=&last-event-id=8", Some("8")),
        ("", "lastEventId", None),
        ("", "lastEventIds=7&xlastEventId=7&last.event.id=7&id=7", None),
        ("9", "lastEventId=7", Some("9")),
        ("9", "lastEventId=%00", Some("9")),
    ] {
        let request = http::Request::get(format!("/events?{query}")).header("last-event-id", header);
        let last = LastEventId::from_request(&request.body(()).unwrap());
        assert_eq!(last.unwrap().as_str(), id, "header {header:?}, query {query:?}");
    }
    for query in ["lastEventId=%0A", "lastEventId=a%0Db", "lastEventId=%00"] {
        let request = http::Request::get(format!("/events?{query}")).body(()).unwrap();
        assert_eq!(LastEventId::from_request(&request), Err(InvalidLastEventId::NotAnId), "{query}");
    }
}
