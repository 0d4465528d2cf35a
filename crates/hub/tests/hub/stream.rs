//! Event streams of tests, over each transport of subscribers.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::HeaderMap;
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ssekit_wire::{Decoder, Item};

use crate::client::{Answer, Connection, Framing, Request, text};
use crate::setup::{HUB, TestHub, within};

/// Transport of a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// First request of a connection: the fan-out owns the socket.
    Socket,
    /// Second request of a connection.
    KeptAlive,
    /// By HTTP/2.
    Http2,
}

impl Way {
    pub(crate) const ALL: [Self; 3] = [Self::Socket, Self::KeptAlive, Self::Http2];

    /// Runs a case over each transport, at the same time.
    pub(crate) async fn each(case: impl AsyncFn(Self)) {
        let run = async |way| {
            if AssertUnwindSafe(case(way)).catch_unwind().await.is_err() {
                panic!("that was by {way:?}");
            }
        };
        let [a, b, c] = Self::ALL;
        // Boxed, because three cases are too large for the stack of a test.
        tokio::join!(Box::pin(run(a)), Box::pin(run(b)), Box::pin(run(c)));
    }

    /// Subscribes with this query.
    pub(crate) async fn subscribe(self, hub: &TestHub, query: &str) -> Stream {
        self.open(hub, &Request::get(format!("{HUB}?{query}"))).await
    }

    /// Opens a stream, which the hub must grant.
    pub(crate) async fn open(self, hub: &TestHub, request: &Request) -> Stream {
        self.open_with(hub, request, None).await
    }

    /// Opens a stream with a receive buffer of this size.
    pub(crate) async fn open_with(self, hub: &TestHub, request: &Request, room: Option<u32>) -> Stream {
        let stream = self.send(hub, request, room).await;
        assert_eq!(stream.status, 200, "{} by {self:?}", request.target);
        assert_eq!(text(&stream.headers, "content-type"), Some("text/event-stream"));
        stream
    }

    /// Sends a request and reads the complete answer.
    pub(crate) async fn ask(self, hub: &TestHub, request: &Request) -> Answer {
        let mut stream = self.send(hub, request, None).await;
        let mut body = Vec::new();
        while let Some(piece) = within("the rest of an answer", stream.source.piece()).await {
            body.extend_from_slice(&piece);
        }
        Answer { status: stream.status, headers: stream.headers, body: String::from_utf8(body).unwrap() }
    }

    /// Sends a request and returns the headers of the answer.
    pub(crate) async fn head(self, hub: &TestHub, request: &Request) -> HeaderMap {
        self.send(hub, request, None).await.headers
    }

    async fn send(self, hub: &TestHub, request: &Request, room: Option<u32>) -> Stream {
        let mut connection = Connection::open_with(hub.addr, room).await;
        if self == Self::Http2 {
            return Http2::over(connection).await.send(request).await;
        }
        if self == Self::KeptAlive {
            assert_eq!(connection.ask(&Request::get("/healthz")).await.status, 200);
        }
        connection.send(&request.encode()).await;
        let head = connection.head().await.expect("an answer");
        let framing = if request.method == "HEAD" { Framing::Length(0) } else { head.framing() };
        if text(&head.headers, "content-type") == Some("text/event-stream") {
            assert!(matches!(framing, Framing::Size) || request.method == "HEAD", "in chunks: {head:?}");
            // Makes sure that the transports differ: a socket of the fan-out serves no further request.
            let own = text(&head.headers, "connection") == Some("close");
            assert!(own == (self == Self::Socket) || request.method == "HEAD", "{self:?}: {head:?}");
        }
        Stream::new(head.status, head.headers, Source::Http1(connection, framing))
    }
}

/// HTTP/2 connection.
#[derive(Clone)]
pub(crate) struct Http2(SendRequest<Body>);

impl Http2 {
    pub(crate) async fn connect(hub: &TestHub) -> Self {
        Self::over(Connection::open(hub.addr).await).await
    }

    /// Connects with a window of this size for all streams together.
    pub(crate) async fn connect_with(hub: &TestHub, window: u32) -> Self {
        Self::over_with(Connection::open(hub.addr).await, window).await
    }

    async fn over(connection: Connection) -> Self {
        Self::over_with(connection, 1 << 20).await
    }

    async fn over_with(connection: Connection, window: u32) -> Self {
        let socket = TokioIo::new(connection.into_socket());
        // Small, so that the hub soon notices a reader that does not read.
        let mut builder = Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(65_535).initial_connection_window_size(window);
        let (sender, connection) = within("a handshake", builder.handshake(socket)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    pub(crate) async fn send(&self, request: &Request) -> Stream {
        let Request { method, target, headers, body } = request.clone();
        let mut built = http::Request::builder().method(method).uri(format!("http://hub.test{target}"));
        for (name, value) in headers {
            built = built.header(name, value);
        }
        let built = built.body(body.map_or_else(Body::empty, Body::from)).unwrap();
        let response = within("an answer", self.0.clone().send_request(built)).await.unwrap();
        let (parts, body) = response.into_parts();
        Stream::new(parts.status.as_u16(), parts.headers, Source::Http2(Body::new(body).into_data_stream()))
    }
}

/// Received event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) name: String,
    pub(crate) data: String,
    /// Last event ID after it.
    pub(crate) id: String,
}

/// Event stream as a client reads it.
pub(crate) struct Stream {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    source: Source,
    decoder: Decoder,
    waiting: VecDeque<Got>,
    /// Number of comments so far.
    pub(crate) comments: usize,
    /// All bytes so far, if requested.
    pub(crate) bytes: Option<Vec<u8>>,
}

enum Source {
    Http1(Connection, Framing),
    Http2(BodyDataStream),
}

impl Source {
    async fn piece(&mut self) -> Option<Bytes> {
        match self {
            Self::Http1(connection, framing) => connection.piece(framing).await,
            Self::Http2(body) => body.next().await.and_then(Result::ok),
        }
    }
}

impl Stream {
    fn new(status: u16, headers: HeaderMap, source: Source) -> Self {
        let decoder = Decoder::new().with_comments();
        Self { status, headers, source, decoder, waiting: VecDeque::new(), comments: 0, bytes: None }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        text(&self.headers, name)
    }

    /// Returns the next event; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Got> {
        while self.waiting.is_empty() {
            if !self.read().await {
                return None;
            }
        }
        self.waiting.pop_front()
    }

    /// Returns the next event, which must come.
    pub(crate) async fn event(&mut self) -> Got {
        self.next().await.expect("an event, and not the end of the stream")
    }

    /// The data of the next event.
    pub(crate) async fn data(&mut self) -> String {
        self.event().await.data
    }

    /// Returns the data of this number of further events.
    pub(crate) async fn datas(&mut self, count: usize) -> Vec<String> {
        let mut datas = Vec::with_capacity(count);
        while datas.len() < count {
            datas.push(self.data().await);
        }
        datas
    }

    /// Returns all events up to the end.
    pub(crate) async fn rest(&mut self) -> Vec<Got> {
        let mut rest = Vec::new();
        while let Some(got) = self.next().await {
            rest.push(got);
        }
        rest
    }

    /// Returns the events before the one with this data.
    pub(crate) async fn until(&mut self, data: &str) -> Vec<Got> {
        let mut before = Vec::new();
        loop {
            match self.event().await {
                got if got.data == data => return before,
                got => before.push(got),
            }
        }
    }

    /// Reads until a reconnection time comes, and returns it.
    pub(crate) async fn retry(&mut self) -> Duration {
        loop {
            if let Some(time) = self.decoder.reconnection_time() {
                return time;
            }
            assert!(self.read().await, "the stream ended without a reconnection time");
        }
    }

    /// Waits for this number of comments.
    pub(crate) async fn until_comments(&mut self, count: usize) {
        while self.comments < count {
            assert!(self.read().await, "the stream ended after {} comments", self.comments);
        }
    }

    /// Whether an HTTP/1.1 answer ended before it was complete.
    pub(crate) fn is_cut(&self) -> bool {
        matches!(&self.source, Source::Http1(connection, _) if connection.cut)
    }

    /// Reads a piece; false at the end.
    async fn read(&mut self) -> bool {
        let Some(piece) = within("more of a stream", self.source.piece()).await else { return false };
        if let Some(bytes) = &mut self.bytes {
            bytes.extend_from_slice(&piece);
        }
        let mut items = self.decoder.feed(&piece);
        while let Some(item) = items.next() {
            match item.unwrap() {
                Item::Comment(_) => self.comments += 1,
                Item::Message(message) => self.waiting.push_back(Got {
                    name: message.event.to_owned(),
                    data: message.data.to_owned(),
                    id: message.last_event_id.to_owned(),
                }),
            }
        }
        true
    }
}
