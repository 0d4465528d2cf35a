use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ssekit_client::{Error, HeaderMap, source};

use crate::answer::Answer;
use crate::peer::Peer;
use crate::{data, eager, last_error, message, soon};

const ONE: &str = "data: one\n\n";

#[tokio::test]
async fn case_063_a_request_asks_for_an_event_stream() {
    let peer = Peer::start([Answer::events(ONE).then_stay()]).await;
    let mut messages = source(peer.url("/events?a=b")).select("message");
    assert_eq!(data(&mut messages).await, "one");

    let request = peer.request(0).await;
    assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/events?a=b"));
    assert_eq!(request.header("accept"), Some("text/event-stream"));
    assert_eq!(request.header("cache-control"), Some("no-cache"));
    assert_eq!(request.header("accept-encoding"), Some("identity"));
    assert_eq!(request.header("last-event-id"), None);
    assert_eq!(request.header("content-length"), None);
    assert!(request.header("user-agent").unwrap().starts_with("ssekit/"));
    assert_eq!(request.body, "");
}

#[tokio::test]
async fn case_064_headers_are_sent_with_every_attempt() {
    let peer = Peer::start([Answer::events(ONE), Answer::events(ONE).then_stay()]).await;
    let connection = source(peer.url("/"))
        .header("X-Request", "first")
        .header("x-request", "second")
        .header("accept", "text/event-stream, */*")
        .header("x-unicode", "größer")
        .reconnect(eager());
    let mut messages = connection.select("message");
    data(&mut messages).await;
    data(&mut messages).await;

    for number in 0..2 {
        let request = peer.request(number).await;
        assert_eq!(request.header("x-request"), Some("second"), "a header replaces one of the same name");
        assert_eq!(request.header("accept"), Some("text/event-stream, */*"));
        assert_eq!(request.header("x-unicode"), Some("größer"), "as UTF-8");
    }
}

#[tokio::test]
async fn case_064_headers_are_asked_for_anew_before_each_attempt() {
    let peer = Peer::start([Answer::events(ONE), Answer::status(503), Answer::events(ONE).then_stay()]).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let connection =
        source(peer.url("/")).header("authorization", "none").reconnect(eager()).headers_from(move || {
            let number = count.fetch_add(1, Ordering::Relaxed);
            async move {
                let mut headers = HeaderMap::new();
                headers.insert("authorization", format!("Bearer {number}").parse()?);
                Ok(headers)
            }
        });
    let mut messages = connection.select("message");
    data(&mut messages).await;
    data(&mut messages).await;

    let tokens: Vec<_> =
        peer.requests().iter().map(|it| it.header("authorization").unwrap().to_owned()).collect();
    assert_eq!(tokens, ["Bearer 0", "Bearer 1", "Bearer 2"]);
}

#[tokio::test]
async fn headers_that_cannot_be_had_are_an_error_and_are_asked_for_again() {
    let peer = Peer::start([Answer::events(ONE).then_stay()]).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let (errors, mut reported) = tokio::sync::mpsc::unbounded_channel();
    let connection =
        source(peer.url("/"))
            .reconnect(eager())
            .on_error(move |error| errors.send((**error).clone()).unwrap())
            .headers_from(move || {
                let number = asked.fetch_add(1, Ordering::Relaxed);
                async move {
                    if number == 0 { Err("the token service is down".into()) } else { Ok(HeaderMap::new()) }
                }
            });
    assert_eq!(data(&mut connection.select("message")).await, "one");
    assert!(
        matches!(reported.recv().await, Some(Error::HeadersFrom(error)) if error.to_string().contains("is down"))
    );
}

#[tokio::test]
async fn a_panic_where_headers_come_from_is_an_error_and_no_storm() {
    for in_future in [false, true] {
        let connection =
            source("http://127.0.0.1:1/").reconnect(eager().max_retries(2)).headers_from(move || {
                assert!(in_future, "at once");
                async { panic!("later") }
            });
        let mut messages = connection.select("message");
        match last_error(&mut messages).await {
            Error::HeadersFrom(error) => assert!(error.to_string().contains("panicked"), "{error}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn case_065_a_body_is_posted_again_with_every_attempt() {
    let peer = Peer::start([Answer::events(ONE), Answer::events(ONE).then_stay()]).await;
    let connection = source(peer.url("/"))
        .header("content-type", "application/json")
        .body(r#"{"ask":1}"#)
        .reconnect(eager().repeat_like_safe());
    let mut messages = connection.select("message");
    data(&mut messages).await;
    data(&mut messages).await;
    for number in 0..2 {
        let request = peer.request(number).await;
        assert_eq!(request.method, "POST");
        assert_eq!(request.body, r#"{"ask":1}"#);
        assert_eq!(request.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn a_request_can_be_made_once_with_a_token_and_json() {
    let peer = Peer::start([Answer::events(ONE), Answer::events(ONE)]).await;
    let ask = || source(peer.url("/")).bearer("secret").json(&("a\n", [1])).once();
    for number in 0..2 {
        let mut messages = ask().select("message");
        data(&mut messages).await;
        assert!(soon("the end", messages.next()).await.is_none());
        let request = peer.request(number).await;
        assert_eq!((request.method.as_str(), request.body.as_str()), ("POST", r#"["a\n",[1]]"#));
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.header("authorization"), Some("Bearer secret"));
    }
    assert!(!format!("{:?}", ask()).contains("secret"));

    // A GET is not repeated and not shared either.
    let peer = Peer::start([Answer::events(ONE).then_stay(), Answer::events(ONE)]).await;
    let connections = [(); 2].map(|()| source(peer.url("/")).once());
    let [mut first, mut second] = connections.each_ref().map(|connection| connection.select("message"));
    data(&mut first).await;
    data(&mut second).await;
    assert!(soon("the end", second.next()).await.is_none());
    assert_eq!(peer.requests().len(), 2);

    let map = std::collections::HashMap::from([((1, 2), 3)]);
    assert!(
        matches!(source(peer.url("/")).json(&map).check(), Err(Error::Header { part, .. }) if part == "the body")
    );
    assert!(source(peer.url("/")).bearer("a\nb").check().is_err());
}

#[tokio::test]
async fn case_065_a_body_may_be_sent_once() {
    let peer = Peer::start([Answer::events(ONE), Answer::events(ONE).then_stay()]).await;
    let connection = source(peer.url("/")).body("once").body_once().reconnect(eager().repeat_like_safe());
    let mut messages = connection.select("message");
    data(&mut messages).await;
    data(&mut messages).await;
    let bodies: Vec<_> = peer.requests().into_iter().map(|it| (it.method, it.body)).collect();
    assert_eq!(bodies, [("POST".to_owned(), "once".to_owned()), ("POST".to_owned(), String::new())]);
}

#[tokio::test]
async fn case_066_any_method_is_sent() {
    let peer = Peer::start([Answer::events(ONE).then_stay()]).await;
    let mut messages = source(peer.url("/")).method("REPORT").body("<query/>").select("message");
    data(&mut messages).await;
    let request = peer.request(0).await;
    assert_eq!((request.method.as_str(), request.body.as_str()), ("REPORT", "<query/>"));
}

#[tokio::test]
async fn case_067_the_first_attempt_resumes_after_a_given_event() {
    let peer = Peer::start([Answer::events(ONE).then_stay()]).await;
    let connection = source(peer.url("/")).resume_after("41");
    assert_eq!(connection.last_event_id(), "41");
    assert_eq!(message(&mut connection.select("message")).await.last_event_id(), "41");
    assert_eq!(peer.request(0).await.header("last-event-id"), Some("41"));
}

#[tokio::test]
async fn an_invalid_request_is_a_final_error_and_is_never_sent() {
    let peer = Peer::start([]).await;
    let url = peer.url("/");
    let long = [
        ("a URL that is none", source("http://"), "cannot request"),
        ("a relative URL", source("/events"), "cannot request"),
        ("another scheme", source("ftp://127.0.0.1/"), "not http or https"),
        ("a header with a line break", source(&url).header("x", "a\r\nb: c"), "header \"x\""),
        ("a header with a bad name", source(&url).header("a b", "c"), "header name \"a b\""),
        ("a method with a space", source(&url).method("GE T"), "method \"GE T\""),
        ("a last event ID with a line break", source(&url).resume_after("a\nb"), "last event ID"),
    ];
    for (what, connection, text) in long {
        let error = connection.check().expect_err(what);
        assert!(error.to_string().contains(text), "{what}: {error}");
        let error = last_error(&mut connection.select("message")).await;
        assert!(error.to_string().contains(text), "{what}: {error}");
        assert!(connection.status().is_closed(), "{what}");
    }
    assert_eq!(peer.requests(), []);
}

#[tokio::test]
async fn a_user_and_password_in_the_url_are_sent_and_never_shown() {
    let peer = Peer::start([Answer::status(404)]).await;
    let url = format!("http://user:se%63ret@{}/", peer.address());
    let connection = source(url).header("cookie", "secret");
    assert!(!format!("{connection:?}").contains("secret"), "{connection:?}");
    let error = last_error(&mut connection.select("message")).await;
    assert_eq!(peer.request(0).await.header("authorization"), Some("Basic dXNlcjpzZWNyZXQ="));
    assert!(!format!("{error} {error:?}").contains("secret"));
}
