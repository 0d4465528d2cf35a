use std::sync::{Arc, Mutex};

use ssekit_client::{CloseReason, Error, Reconnect, Status, StatusCode, source};

use crate::answer::Answer;
use crate::peer::Peer;
use crate::{data, eager, last_error, message, soon};

const ONE: &str = "data: one\n\n";

#[tokio::test]
async fn case_068_redirects_are_followed_and_a_reconnect_starts_at_the_original_url() {
    for status in [301, 302, 303, 307, 308] {
        let peer = Peer::start([
            Answer::redirect(status, "/moved?x=1#there"),
            Answer::events("id: 7\ndata: one\n\n"),
            Answer::redirect(status, "/moved"),
            Answer::events(ONE).then_stay(),
        ])
        .await;
        let opened = Arc::new(Mutex::new(Vec::new()));
        let urls = Arc::clone(&opened);
        let connection = source(peer.url("/start"))
            .header("authorization", "Bearer token")
            .reconnect(eager())
            .on_open(move |response| urls.lock().unwrap().push(response.url().to_owned()));
        let mut messages = connection.select("message");
        data(&mut messages).await;
        data(&mut messages).await;

        let requests = peer.requests();
        let paths: Vec<_> = requests.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(paths, ["/start", "/moved?x=1", "/start", "/moved"], "{status}");
        assert!(requests.iter().all(|it| it.header("authorization") == Some("Bearer token")), "same origin");
        assert_eq!(requests[2].header("last-event-id"), Some("7"));
        assert_eq!(requests[3].header("last-event-id"), Some("7"));
        assert_eq!(connection.url(), peer.url("/start"));
        assert_eq!(opened.lock().unwrap()[1], peer.url("/moved"));
    }
}

#[tokio::test]
async fn case_068_a_post_becomes_a_get_as_in_the_fetch_standard() {
    for (status, method, then) in [
        (301, "POST", ("GET", "")),
        (302, "POST", ("GET", "")),
        (303, "POST", ("GET", "")),
        (303, "REPORT", ("GET", "")),
        (302, "REPORT", ("REPORT", "ask")),
        (307, "POST", ("POST", "ask")),
        (308, "POST", ("POST", "ask")),
    ] {
        let peer = Peer::start([Answer::redirect(status, "/moved"), Answer::events(ONE).then_stay()]).await;
        let connection =
            source(peer.url("/")).method(method).body("ask").header("content-type", "text/plain");
        data(&mut connection.select("message")).await;
        let request = peer.request(1).await;
        assert_eq!((request.method.as_str(), request.body.as_str()), then, "{status} {method}");
        assert_eq!(request.header("content-type").is_some(), then.0 != "GET", "{status} {method}");
    }
}

#[tokio::test]
async fn case_069_a_redirect_without_a_target_is_the_last_error_and_not_a_loop() {
    for (answer, text) in [
        (Answer::status(302), "no header Location"),
        (Answer::redirect(302, ""), "no header Location"),
        (Answer::redirect(302, "http://"), "is not a URL"),
        (Answer::redirect(302, "file:///etc/passwd"), "not to http or https"),
    ] {
        let peer = Peer::start([answer]).await;
        let connection = source(peer.url("/"));
        let error = last_error(&mut connection.select("message")).await;
        assert!(matches!(error, Error::Redirect { .. }) && error.to_string().contains(text), "{error}");
        assert!(connection.status().is_closed());
        assert_eq!(peer.requests().len(), 1);
    }
}

#[tokio::test]
async fn case_069_twenty_redirects_are_followed_and_no_more() {
    let peer = Peer::start(vec![Answer::redirect(302, "/again"); 30]).await;
    let error = last_error(&mut source(peer.url("/")).select("message")).await;
    assert!(matches!(error, Error::Redirect { .. }), "{error}");
    assert_eq!(peer.requests().len(), 21);
}

#[tokio::test]
async fn case_070_secrets_are_not_sent_to_another_origin() {
    let other = Peer::start([Answer::events(ONE).then_stay()]).await;
    let peer =
        Peer::start([Answer::events("id: 7\ndata: 0\n\n"), Answer::redirect(307, other.url("/there"))]).await;
    let secrets = ["authorization", "cookie", "proxy-authorization", "x-api-key", "x-tenant"];
    let mut connection = source(peer.url("/")).header("accept-language", "de").reconnect(eager());
    for name in secrets {
        connection = connection.header(name, "secret");
    }
    let mut messages = connection.select("message");
    assert_eq!([data(&mut messages).await, data(&mut messages).await], ["0", "one"]);

    assert!(secrets.iter().all(|name| peer.requests()[1].header(name) == Some("secret")));
    let request = other.request(0).await;
    for name in secrets {
        assert_eq!(request.header(name), None, "{name}");
    }
    assert_eq!(request.header("accept-language"), Some("de"));
    assert_eq!(request.header("accept"), Some("text/event-stream"));
    assert_eq!(request.header("last-event-id"), Some("7"), "it resumes there");
    assert_eq!(request.header("host"), Some(other.address().to_string().as_str()));
}

#[tokio::test]
async fn a_body_is_not_sent_to_another_origin() {
    for (status, method) in [(307, "POST"), (308, "POST"), (302, "REPORT")] {
        let other = Peer::start([]).await;
        let peer = Peer::start([Answer::redirect(status, other.url("/there?secret"))]).await;
        let connection = source(peer.url("/")).method(method).body("secret");
        let error = last_error(&mut connection.select("message")).await;
        assert!(matches!(error, Error::Redirect { .. }), "{error:?}");
        assert!(error.to_string().contains(&other.url("/there")), "it says where: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
        assert_eq!(other.requests().len(), 0, "{status}");
    }
    // A request that has become a GET has no body.
    let other = Peer::start([Answer::events(ONE).then_stay()]).await;
    let peer = Peer::start([Answer::redirect(303, other.url("/there"))]).await;
    data(&mut source(peer.url("/")).body("secret").select("message")).await;
    assert_eq!(other.request(0).await.body, "");
}

#[tokio::test]
async fn the_error_of_a_stream_that_is_cut_is_in_plain_words() {
    let chunk = "9\r\ndata: 1\n\n\r\n";
    let chunked = |rest: &str| {
        Answer::status(200)
            .header("content-type", "text/event-stream")
            .header("transfer-encoding", "chunked")
            .body(format!("{chunk}{rest}"))
    };
    let cut = [chunked(""), chunked("9\r\ndata"), chunked("9"), Answer::events("data: 1\n\n").then_break()];
    for (number, answer) in cut.into_iter().enumerate() {
        let peer = Peer::start([answer]).await;
        let connection = source(peer.url("/")).reconnect(Reconnect::never());
        let mut messages = connection.select("message");
        assert_eq!(data(&mut messages).await, "1");
        match last_error(&mut messages).await {
            Error::Read(reason) => assert_eq!(reason.to_string(), "the server cut the stream", "{number}"),
            other => panic!("{number}: {other:?}"),
        }
    }
    let peer = Peer::start([Answer::refuse()]).await;
    match last_error(&mut source(peer.url("/")).reconnect(Reconnect::never()).select("message")).await {
        Error::Connect { source, .. } => {
            assert_eq!(source.to_string(), "the server closed the connection without a response");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn case_071_no_content_is_final() {
    let peer = Peer::start([Answer::status(204)]).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (errors, closes) = (Arc::clone(&seen), Arc::clone(&seen));
    let connection = source(peer.url("/"))
        .reconnect(eager())
        .on_error(move |error| errors.lock().unwrap().push(format!("{:?}", **error)))
        .on_close(move |reason| closes.lock().unwrap().push(format!("{:?}", **reason)));
    assert!(soon("the end", connection.select("message").next()).await.is_none(), "asked for, so no error");
    assert_eq!(*seen.lock().unwrap(), ["NoContent", "NoContent"], "one error, one close");
    assert!(matches!(connection.status(), Status::Closed { reason: CloseReason::NoContent }));
    assert_eq!(peer.requests().len(), 1);
}

#[tokio::test]
async fn case_072_other_answers_are_final_errors_with_status_and_body() {
    for status in [201, 205, 210, 299, 300, 304, 400, 401, 403, 404, 410] {
        let answer = Answer::status(status).header("content-type", "text/event-stream");
        let has_body = !matches!(status, 205 | 304);
        let peer = Peer::start([if has_body { answer.body("data: why\n\n") } else { answer }]).await;
        let connection = source(peer.url("/")).reconnect(eager());
        let error = last_error(&mut connection.select("message")).await;
        assert_eq!(error.status(), StatusCode::from_u16(status).ok());
        let Error::Status { body, .. } = error else { panic!("{error:?}") };
        assert_eq!(body, if has_body { "data: why\n\n" } else { "" }, "{status}");
        assert_eq!(peer.requests().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn case_072_an_error_has_the_beginning_of_a_long_body() {
    let peer = Peer::start([Answer::status(404).body(vec![b'x'; 10 << 20]).then_stay()]).await;
    let error = last_error(&mut source(peer.url("/")).select("message")).await;
    let Error::Status { body, .. } = &error else { panic!("{error:?}") };
    assert_eq!(body.len(), 16 << 10);
    assert!(error.to_string().len() < 300, "a message stays short");
    peer.left(1).await;
}

#[tokio::test]
async fn case_072_temporary_refusals_are_retried() {
    for status in [408, 425, 429, 500, 502, 503, 504] {
        let peer = Peer::start([Answer::status(status).body("busy"), Answer::events(ONE).then_stay()]).await;
        let connection = source(peer.url("/")).reconnect(eager());
        assert_eq!(data(&mut connection.select("message")).await, "one", "{status}");
    }
}

#[tokio::test]
async fn case_073_the_content_type_decides() {
    for content_type in
        ["text/event-stream", "text/event-stream;", "text/event-stream; charset=utf-8", "TEXT/Event-Stream"]
    {
        let answer = Answer::status(200).header("content-type", content_type).body(ONE).then_stay();
        let peer = Peer::start([answer]).await;
        assert_eq!(data(&mut source(peer.url("/")).select("message")).await, "one", "{content_type}");
    }
    for content_type in [Some("text/x-bogus"), Some("x bogus"), Some("text/event-streamx"), Some(""), None] {
        let mut answer = Answer::status(200).body("data: not an event\n\n");
        if let Some(content_type) = content_type {
            answer = answer.header("content-type", content_type);
        }
        let peer = Peer::start([answer]).await;
        let connection = source(peer.url("/")).reconnect(eager());
        match last_error(&mut connection.select("message")).await {
            Error::ContentType { found, body } => {
                assert_eq!(found.as_deref(), content_type);
                assert_eq!(body, "data: not an event\n\n");
            }
            other => panic!("{content_type:?}: {other:?}"),
        }
        assert_eq!(peer.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_compressed_stream_is_refused() {
    let peer = Peer::start([Answer::events("\x1f\u{8b}").header("content-encoding", "gzip")]).await;
    let error = last_error(&mut source(peer.url("/")).select("message")).await;
    assert!(matches!(&error, Error::ContentEncoding { encoding } if encoding == "gzip"), "{error:?}");

    let peer = Peer::start([Answer::events(ONE).header("content-encoding", "identity").then_stay()]).await;
    assert_eq!(data(&mut source(peer.url("/")).select("message")).await, "one");
}

#[tokio::test]
async fn case_074_on_open_is_called_before_any_event() {
    let peer = Peer::start([Answer::events("").header("x-served-by", "a").then_stay()]).await;
    let (opened, mut open) = tokio::sync::mpsc::unbounded_channel();
    let connection = source(peer.url("/")).on_open(move |response| {
        opened.send((response.status(), response.headers()["x-served-by"].clone())).unwrap();
    });
    let mut messages = connection.select("message");
    tokio::select! {
        message = messages.next() => panic!("there is no event: {message:?}"),
        opened = soon("the opening", open.recv()) => assert_eq!(opened, Some((StatusCode::OK, "a".parse().unwrap()))),
    }
    assert!(connection.status().is_open());
}

#[tokio::test]
async fn the_stream_is_decoded_as_in_the_standard() {
    let stream =
        "\u{feff}event: a\r\ndata: 1\r\rid: 9\ndata: two\ndata: lines\n\n:comment\ndata: \u{fffd}\n\n";
    let peer = Peer::start([Answer::events(stream).then_stay()]).await;
    let connection = source(peer.url("/"));
    let mut all = connection.select_all();
    let seen = [message(&mut all).await, message(&mut all).await, message(&mut all).await];
    let seen: Vec<_> = seen.iter().map(|it| (it.event(), it.data(), it.last_event_id())).collect();
    assert_eq!(seen, [("a", "1", ""), ("message", "two\nlines", "9"), ("message", "\u{fffd}", "9")]);
}
