use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};

use crate::within;

/// A client that reads the bytes of the connection.
#[derive(Debug)]
pub struct Client {
    /// The status line and the headers.
    pub head: String,
    socket: BufReader<TcpStream>,
    /// Bytes that came and were not asked for yet.
    pending: Vec<u8>,
}

/// How a response's body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With its last chunk, as a response that is complete.
    Complete,
    /// In the middle, so that no client takes it for complete.
    Cut,
}

impl Client {
    /// Asks for a path.
    pub async fn get(address: SocketAddr, path: &str) -> Self {
        Self::request(address, path, "").await
    }

    /// The same, with further lines in the request's head.
    pub async fn request(address: SocketAddr, path: &str, headers: impl AsRef<[u8]>) -> Self {
        let mut client = Self::connect(address).await;
        client.again(path, headers).await;
        client
    }

    /// Sends a text.
    pub async fn post(address: SocketAddr, path: &str, text: &str) -> Self {
        let mut client = Self::connect(address).await;
        let length = text.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\n\
             content-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\n\r\n{text}"
        );
        client.exchange(request.as_bytes()).await;
        client
    }

    async fn connect(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(16 << 10).expect("a small buffer");
        let socket = within(socket.connect(address)).await.expect("the server listens");
        Self { head: String::new(), socket: BufReader::with_capacity(4 << 10, socket), pending: vec![] }
    }

    /// Asks for something else on the same connection.
    pub async fn again(&mut self, path: &str, headers: impl AsRef<[u8]>) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n");
        self.exchange(&[request.as_bytes(), headers.as_ref(), b"\r\n"].concat()).await;
    }

    async fn exchange(&mut self, request: &[u8]) {
        self.socket.write_all(request).await.expect("the server reads");
        self.head.clear();
        while !self.head.ends_with("\r\n\r\n") {
            let read = within(self.socket.read_line(&mut self.head)).await.expect("a head of lines");
            assert!(read > 0, "no complete head: {:?}", self.head);
        }
    }

    /// The number in the status line.
    #[must_use]
    pub fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// The values of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// Reads exactly this, and nothing else.
    #[track_caller]
    pub fn expect(&mut self, expected: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            while self.pending.len() < expected.len() {
                match self.chunk().await {
                    Ok(chunk) => self.pending.extend(chunk),
                    Err(end) => {
                        panic!("{caller}: {end:?} after {:?}", String::from_utf8_lossy(&self.pending))
                    }
                }
            }
            let got: Vec<u8> = self.pending.drain(..expected.len()).collect();
            assert_eq!(String::from_utf8_lossy(&got), expected, "at {caller}");
        }
    }

    /// Reads available bytes, whatever they mean.
    pub async fn some(&mut self) -> Vec<u8> {
        if self.pending.is_empty() {
            self.pending = self.chunk().await.expect("the body goes on");
        }
        std::mem::take(&mut self.pending)
    }

    /// Reads to the end.
    pub async fn rest(&mut self) -> (String, End) {
        let (rest, end) = self.rest_of_bytes().await;
        (String::from_utf8(rest).expect("text"), end)
    }

    /// The same, as bytes of any meaning.
    pub async fn rest_of_bytes(&mut self) -> (Vec<u8>, End) {
        loop {
            match self.chunk().await {
                Ok(chunk) => self.pending.extend(chunk),
                Err(end) => return (std::mem::take(&mut self.pending), end),
            }
        }
    }

    /// Reads a body that came with its length.
    pub async fn text(&mut self) -> String {
        let length = self.header("content-length").first().and_then(|length| length.parse().ok());
        let mut text = vec![0; length.expect("a length")];
        within(self.socket.read_exact(&mut text)).await.expect("the whole body");
        String::from_utf8(text).expect("text")
    }

    async fn chunk(&mut self) -> Result<Vec<u8>, End> {
        let mut line = String::new();
        let read = within(self.socket.read_line(&mut line)).await;
        if read.is_err() || !line.ends_with("\r\n") {
            return Err(End::Cut);
        }
        let size = usize::from_str_radix(line.trim_end(), 16).expect("a chunk's size");
        let mut chunk = vec![0; size + 2];
        within(self.socket.read_exact(&mut chunk)).await.map_err(|_| End::Cut)?;
        assert_eq!(chunk.split_off(size), b"\r\n");
        if size == 0 { Err(End::Complete) } else { Ok(chunk) }
    }

    /// Closes the connection with a reset.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(self.socket.get_ref());
        socket.set_linger(Some(Duration::ZERO)).expect("a connection that can be reset");
    }
}
