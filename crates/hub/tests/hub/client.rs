//! HTTP/1.1 client for tests, which sees every byte.

use std::net::SocketAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::{Buf, Bytes, BytesMut};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::setup::within;

/// Request of a test.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
}

impl Request {
    pub(crate) fn new(method: &'static str, target: impl Into<String>) -> Self {
        Self { method, target: target.into(), headers: Vec::new(), body: None }
    }

    pub(crate) fn get(target: impl Into<String>) -> Self {
        Self::new("GET", target)
    }

    /// Sends a form, unless a header says otherwise.
    pub(crate) fn post(target: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self { body: Some(body.into()), ..Self::new("POST", target) }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }

    /// Encodes the request in HTTP/1.1.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes =
            format!("{} {} HTTP/1.1\r\nhost: hub.test\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        let Some(body) = &self.body else {
            bytes.extend_from_slice(b"\r\n");
            return bytes;
        };
        if !self.headers.iter().any(|(name, _)| name == "content-type") {
            bytes.extend_from_slice(b"content-type: application/x-www-form-urlencoded\r\n");
        }
        bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(body);
        bytes
    }
}

/// Complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        text(&self.headers, name)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }
}

/// The only value of this header.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    assert_eq!(values.next(), None, "more than one {name}");
    Some(value.to_str().unwrap())
}

/// HTTP/1.1 connection.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: TcpStream,
    buffer: BytesMut,
    /// Whether the peer has closed it, or it has failed.
    ended: bool,
    /// Whether it ended where more had to follow.
    pub(crate) cut: bool,
}

/// Framing of an answer's body.
#[derive(Debug)]
pub(crate) enum Framing {
    Length(usize),
    /// The size of the next chunk follows.
    Size,
    /// This number of bytes of the chunk remains.
    Chunk(usize),
    ToEnd,
}

/// Head of an answer.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
}

impl Connection {
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        Self::open_with(addr, None).await
    }

    /// Opens a connection whose receive buffer has this size in bytes.
    pub(crate) async fn open_with(addr: SocketAddr, receive_buffer: Option<u32>) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        let socket = within("a connection", socket.connect(addr)).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket, buffer: BytesMut::new(), ended: false, cut: false }
    }

    pub(crate) fn into_socket(self) -> TcpStream {
        self.socket
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        within("room to write", self.socket.write_all(bytes)).await.unwrap();
    }

    pub(crate) async fn ask(&mut self, request: &Request) -> Answer {
        self.send(&request.encode()).await;
        self.answer(request.method).await
    }

    /// Reads the answer to a request that was sent.
    pub(crate) async fn answer(&mut self, method: &str) -> Answer {
        let head = self.head().await.expect("an answer");
        let mut framing = if method == "HEAD" { Framing::Length(0) } else { head.framing() };
        let mut body = Vec::new();
        while let Some(piece) = self.piece(&mut framing).await {
            body.extend_from_slice(&piece);
        }
        assert!(!self.cut, "the answer is cut off after {}", String::from_utf8_lossy(&body));
        Answer { status: head.status, headers: head.headers, body: String::from_utf8(body).unwrap() }
    }

    /// Reads the next answer's head; `None` if the connection ends instead.
    pub(crate) async fn head(&mut self) -> Option<Head> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut head = httparse::Response::new(&mut fields);
            if let httparse::Status::Complete(length) =
                head.parse(&self.buffer).expect("an answer of HTTP/1.1")
            {
                let status = head.code.unwrap();
                let mut headers = HeaderMap::new();
                for field in head.headers {
                    let name = HeaderName::from_bytes(field.name.as_bytes()).unwrap();
                    headers.append(name, HeaderValue::from_bytes(field.value).unwrap());
                }
                self.buffer.advance(length);
                return Some(Head { status, headers });
            }
            if !self.fill().await {
                assert!(self.buffer.is_empty(), "half a head: {:?}", self.buffer);
                return None;
            }
        }
    }

    /// Reads the next piece of a body; `None` at its end.
    pub(crate) async fn piece(&mut self, framing: &mut Framing) -> Option<Bytes> {
        loop {
            match framing {
                Framing::Length(0) => return None,
                Framing::Size => {
                    let line = self.line().await?;
                    match usize::from_str_radix(&line, 16).expect("a chunk's size") {
                        0 => {
                            assert_eq!(self.line().await?, "", "no trailers");
                            *framing = Framing::Length(0);
                        }
                        size => *framing = Framing::Chunk(size),
                    }
                }
                Framing::Chunk(0) => {
                    assert_eq!(self.line().await?, "", "after a chunk");
                    *framing = Framing::Size;
                }
                Framing::Length(left) | Framing::Chunk(left) => {
                    if self.buffer.is_empty() && !self.fill().await {
                        self.cut = true;
                        return None;
                    }
                    let size = self.buffer.len().min(*left);
                    *left -= size;
                    return Some(self.buffer.split_to(size).freeze());
                }
                Framing::ToEnd => {
                    if self.buffer.is_empty() && !self.fill().await {
                        return None;
                    }
                    return Some(self.buffer.split().freeze());
                }
            }
        }
    }

    /// Whether the peer has closed the connection, and sent nothing more.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && !self.fill().await
    }

    /// Reads and discards bytes; false if there are no more.
    pub(crate) async fn skip(&mut self) -> bool {
        self.buffer.clear();
        self.fill().await
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|end| end == b"\r\n") {
                let line = self.buffer.split_to(at + 2);
                return Some(String::from_utf8(line[..at].to_vec()).unwrap());
            }
            if !self.fill().await {
                self.cut = true;
                return None;
            }
        }
    }

    /// Reads more bytes; false if there are no more.
    async fn fill(&mut self) -> bool {
        if !self.ended {
            let read = within("more from the hub", self.socket.read_buf(&mut self.buffer)).await;
            self.ended = !matches!(read, Ok(1..));
        }
        !self.ended
    }
}

impl Head {
    pub(crate) fn framing(&self) -> Framing {
        if text(&self.headers, "transfer-encoding") == Some("chunked") {
            return Framing::Size;
        }
        match text(&self.headers, "content-length") {
            _ if matches!(self.status, 204 | 304) => Framing::Length(0),
            Some(length) => Framing::Length(length.parse().unwrap()),
            None => Framing::ToEnd,
        }
    }
}
