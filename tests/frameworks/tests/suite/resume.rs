//! The last event ID, in the idiom of each framework.

use ssekit::produce;
use ssekit_frameworks::{App, Client, Framework, Server, on_each_framework};

on_each_framework! {
    case_109_the_last_event_id_comes_from_the_header_or_the_query
    case_109_what_is_no_id_is_answered_with_400_and_the_reason
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

async fn case_109_what_is_no_id_is_answered_with_400_and_the_reason<F: Framework>() {
    let server = echo::<F>().await;
    for (path, reason) in [
        ("/echo?lastEventId=a%0Ab".to_owned(), "holds a line break"),
        (format!("/echo?lastEventId={}", "x".repeat(4097)), "has 4097 bytes, above the limit of 4096"),
    ] {
        let mut client = Client::get(server.address, &path).await;
        assert_eq!(client.status(), "400");
        let text = client.text().await;
        assert!(text.contains(reason), "{text}");
    }
}
