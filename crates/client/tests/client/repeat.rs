//! The table that says when a request is repeated, over sockets: HTTP/1.1 and HTTP/2.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use ssekit_client::{AfterEnd, CloseReason, Error, Http, Reconnect, Source, Status, source};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::answer::{Answer, Ending};
use crate::{eager, soon};

/// A server for both protocols that gives scripted answers, and counts requests.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    version: http::Version,
    last_event_id: Option<String>,
    body: Bytes,
}

type Body = StreamBody<BoxStream<'static, io::Result<Frame<Bytes>>>>;

impl Server {
    async fn start(address: &str, answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let answers = Arc::new(Mutex::new(answers.into_iter()));
        let noted = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answers, noted) = (Arc::clone(&answers), Arc::clone(&noted));
                let service =
                    service_fn(move |request| answer(request, Arc::clone(&answers), Arc::clone(&noted)));
                tokio::spawn(async move {
                    let http = auto::Builder::new(TokioExecutor::new());
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, seen, task }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    request: http::Request<hyper::body::Incoming>,
    answers: Arc<Mutex<std::vec::IntoIter<Answer>>>,
    noted: Arc<Mutex<Vec<Seen>>>,
) -> io::Result<http::Response<Body>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let last_event_id = head.headers.get("last-event-id").map(|id| id.to_str().unwrap().to_owned());
    let answer = answers.lock().unwrap().next().unwrap_or_else(Answer::silence);
    noted.lock().unwrap().push(Seen { version: head.version, last_event_id, body });
    match answer.ending {
        Ending::Refuse => return Err(io::Error::other("no response")),
        Ending::Silence => std::future::pending().await,
        Ending::End | Ending::Break | Ending::Stay => {}
    }
    let mut response = http::Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    let pieces = stream::iter(answer.pieces.into_iter().map(|piece| Ok(Frame::data(Bytes::from(piece)))));
    let body: BoxStream<'static, _> = match answer.ending {
        Ending::Stay => pieces.chain(stream::pending()).boxed(),
        Ending::Break => pieces.chain(stream::once(broken())).boxed(),
        _ => pieces.boxed(),
    };
    Ok(response.body(StreamBody::new(body)).unwrap())
}

/// An error of the body, after the bytes before it have been sent.
async fn broken() -> io::Result<Frame<Bytes>> {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    Err(io::Error::other("the stream breaks"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

const PROTOCOLS: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];
const METHODS: [&str; 3] = ["GET", "PUT", "POST"];

fn asking(method: &str, url: &str, protocol: Protocol, reconnect: Reconnect) -> Source {
    let http = match protocol {
        Protocol::Http1 => Http::new(),
        Protocol::Http2 => Http::new().http2_prior_knowledge(),
    };
    let source = source(url).method(method).transport(http).reconnect(reconnect);
    if method == "GET" { source } else { source.body("ask") }
}

/// Reads until the second answer has come, or until the connection is closed, and gives the reason then.
async fn outcome(source: &Source) -> Option<CloseReason> {
    let mut messages = source.select_all();
    loop {
        match soon("an event or the end", messages.next()).await {
            Some(Ok(message)) if message.event() == "again" => return None,
            Some(Ok(_)) => {}
            Some(Err(_)) | None => match source.status() {
                Status::Closed { reason } => return Some(reason),
                other => panic!("it is not closed: {other:?}"),
            },
        }
    }
}

/// The next request, or the reason why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Again,
    NotRepeated,
    Ended,
    Failed,
}

fn then(reason: Option<&CloseReason>) -> Then {
    match reason {
        None => Then::Again,
        Some(CloseReason::NotRepeated(_)) => Then::NotRepeated,
        Some(CloseReason::Ended) => Then::Ended,
        Some(CloseReason::Failed(_)) => Then::Failed,
        Some(other) => panic!("{other:?}"),
    }
}

struct Row {
    what: &'static str,
    first: Answer,
    /// The first request resumes after this.
    resume_after: &'static str,
    by_method: [Then; 3],
}

fn rows() -> Vec<Row> {
    use Then::{Again, Ended, Failed, NotRepeated};
    const EVENT: &str = "data: 1\n\n";
    const WITH_ID: &str = "id: 7\ndata: 1\n\n";
    let row = |what, first, by_method| Row { what, first, resume_after: "", by_method };
    let mut rows = vec![
        row("sent, no head", Answer::refuse(), [Again, Again, NotRepeated]),
        row("refused with 503", Answer::status(503), [Again; 3]),
        row("refused with 429", Answer::status(429).header("retry-after", "0"), [Again; 3]),
        row("refused with 500", Answer::status(500), [Again, Again, NotRepeated]),
        row("refused with 502", Answer::status(502), [Again, Again, NotRepeated]),
        row("refused with 404", Answer::status(404), [Failed; 3]),
        row("no event stream", Answer::status(200).body("hello"), [Failed; 3]),
        row("broken, an id", Answer::events(WITH_ID).then_break(), [Again; 3]),
        row("broken, no id", Answer::events(EVENT).then_break(), [Again, Again, NotRepeated]),
        row("ended after retry:", Answer::events(format!("retry: 1\n{EVENT}")), [Again; 3]),
        row("ended", Answer::events(EVENT), [Again, Ended, Ended]),
        row("ended, an id", Answer::events(WITH_ID), [Again, Ended, Ended]),
    ];
    let resumed = |what, first| Row { what, first, resume_after: "5", by_method: [Again; 3] };
    rows.push(resumed("sent, no head, an id", Answer::refuse()));
    rows.push(resumed("refused with 500, an id", Answer::status(500)));
    rows
}

#[tokio::test]
async fn every_row_over_http_1_and_http_2() {
    for protocol in PROTOCOLS {
        for row in rows() {
            for (method, expected) in METHODS.into_iter().zip(row.by_method) {
                for like_safe in [false, true] {
                    let what = format!("{}, {method}, {protocol:?}, like safe: {like_safe}", row.what);
                    let again = Answer::events("event: again\ndata: 2\n\n").then_stay();
                    let server = Server::start("127.0.0.1:0", vec![row.first.clone(), again]).await;
                    let policy = if like_safe { eager().repeat_like_safe() } else { eager() };
                    let expected = if like_safe { row.by_method[0] } else { expected };
                    let url = format!("http://{}/", server.address);
                    let source = asking(method, &url, protocol, policy).resume_after(row.resume_after);
                    let reason = outcome(&source).await;
                    assert_eq!(then(reason.as_ref()), expected, "{what}: {reason:?}");
                    let seen = server.seen();
                    assert_eq!(seen.len(), if expected == Then::Again { 2 } else { 1 }, "{what}");
                    let version = match protocol {
                        Protocol::Http1 => http::Version::HTTP_11,
                        Protocol::Http2 => http::Version::HTTP_2,
                    };
                    assert!(seen.iter().all(|seen| seen.version == version), "{what}: {seen:?}");
                    assert!(seen.iter().all(|seen| seen.body == seen_body(method)), "{what}: {seen:?}");
                }
            }
        }
    }
}

fn seen_body(method: &str) -> &'static str {
    if method == "GET" { "" } else { "ask" }
}

#[tokio::test]
async fn a_request_that_was_never_sent_is_repeated_for_every_method() {
    for protocol in PROTOCOLS {
        for method in METHODS {
            let address = Server::start("127.0.0.1:0", Vec::new()).await.address;
            let (sender, mut errors) = tokio::sync::mpsc::unbounded_channel();
            let source = asking(method, &format!("http://{address}/"), protocol, eager())
                .on_error(move |error| sender.send((**error).clone()).unwrap());
            let again = Answer::events("event: again\ndata: 2\n\n").then_stay();
            let coming = async {
                assert!(matches!(soon("an error", errors.recv()).await, Some(Error::Connect { .. })));
                Server::start(&address.to_string(), vec![again]).await
            };
            let (reason, server) = tokio::join!(outcome(&source), coming);
            assert!(reason.is_none(), "{method}, {protocol:?}: {reason:?}");
            assert_eq!(server.seen()[0].body, seen_body(method));
        }
    }
}

#[tokio::test]
async fn a_host_without_an_address_is_asked_for_again() {
    let source = asking("POST", "http://no-such-host.invalid/", Protocol::Http1, eager().max_retries(1));
    match outcome(&source).await {
        Some(CloseReason::GaveUp { retries: 1, error: Error::Connect { .. } }) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_timeout_follows_the_table() {
    // The request is read, and no head comes.
    for protocol in PROTOCOLS {
        for (method, expected) in METHODS.into_iter().zip([Then::Again, Then::Again, Then::NotRepeated]) {
            let again = Answer::events("event: again\ndata: 2\n\n").then_stay();
            let server = Server::start("127.0.0.1:0", vec![Answer::silence(), again]).await;
            let source = asking(method, &format!("http://{}/", server.address), protocol, eager())
                .connect_timeout(Duration::from_millis(500));
            let reason = outcome(&source).await;
            assert_eq!(then(reason.as_ref()), expected, "{method}, {protocol:?}: {reason:?}");
        }
    }
    // TLS is never spoken, so the request is never sent.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let source = asking("POST", &url, Protocol::Http1, eager().max_retries(1))
        .connect_timeout(Duration::from_millis(100));
    match outcome(&source).await {
        Some(CloseReason::GaveUp { retries: 1, error: Error::ConnectTimeout { .. } }) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_resumed_post_says_where_it_resumes() {
    let again = Answer::events("event: again\ndata: 2\n\n").then_stay();
    let first = Answer::events("id: 7\ndata: 1\n\n").then_break();
    let server = Server::start("127.0.0.1:0", vec![first, again]).await;
    let source = asking("POST", &format!("http://{}/", server.address), Protocol::Http1, eager());
    assert!(outcome(&source).await.is_none());
    assert_eq!(server.seen()[1].last_event_id.as_deref(), Some("7"));
}

#[tokio::test]
async fn the_caller_decides_about_reconnecting_after_an_end() {
    for (method, after_end, asks, expected) in [
        ("POST", AfterEnd::Always, false, Then::Again),
        ("POST", AfterEnd::Asked, false, Then::Ended),
        ("POST", AfterEnd::Never, true, Then::Ended),
        ("GET", AfterEnd::Asked, false, Then::Ended),
        ("GET", AfterEnd::Asked, true, Then::Again),
        ("GET", AfterEnd::Never, true, Then::Ended),
    ] {
        let stream = if asks { "retry: 1\ndata: 1\n\n" } else { "data: 1\n\n" };
        let again = Answer::events("event: again\ndata: 2\n\n").then_stay();
        let server = Server::start("127.0.0.1:0", vec![Answer::events(stream), again]).await;
        let url = format!("http://{}/", server.address);
        let source = asking(method, &url, Protocol::Http1, eager().after_end(after_end));
        let reason = outcome(&source).await;
        assert_eq!(then(reason.as_ref()), expected, "{method}, {after_end:?}: {reason:?}");
    }
}

/// Another one follows a redirect, although no server was reached there: the first has had the request.
#[tokio::test]
async fn a_redirect_has_been_sent() {
    let gone = Server::start("127.0.0.1:0", Vec::new()).await.address;
    let redirect = Answer::redirect(307, format!("http://{gone}/"));
    let server = Server::start("127.0.0.1:0", vec![redirect]).await;
    // Without a body, which another origin would not get.
    let source = source(format!("http://{}/", server.address)).method("POST").reconnect(eager());
    assert_eq!(then(outcome(&source).await.as_ref()), Then::NotRepeated);
}
