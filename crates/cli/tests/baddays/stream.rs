//! Subscriber that reads raw HTTP, so that the tests see the exact bytes of the program.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use ssekit_wire::{Decoder, Item};

use crate::hub::{Hub, PATIENCE, subscribe, until};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) data: String,
}

pub(crate) struct Stream {
    socket: TcpStream,
    pub(crate) head: String,
    /// Received part of an incomplete chunk; `None` if the answer is not chunked.
    chunk: Option<Vec<u8>>,
    decoder: Decoder,
    waiting: VecDeque<Event>,
    /// Maximum wait of a read.
    patience: Duration,
    /// Whether the last read emptied the socket.
    is_read: bool,
}

/// Result of waiting for an event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Event(Event),
    /// Nothing came within the time.
    Silence,
    /// The hub has closed the connection.
    End,
}

impl Stream {
    pub(crate) fn open(hub: &Hub, query: &str) -> Self {
        Self::over(hub.connect(), &subscribe(query)).expect("a stream begins")
    }

    /// Reconnects until there is room: a closed connection counts for another moment.
    pub(crate) fn open_when_there_is_room(hub: &Hub, query: &str) -> Self {
        let mut stream = None;
        until("room for one", || {
            stream = Some(Self::open(hub, query)).filter(Self::is_granted);
            stream.is_some()
        });
        stream.expect("it is open")
    }

    /// Whether the stream continues, unlike one that has only a reconnection time.
    fn is_granted(&self) -> bool {
        self.chunk.is_some()
    }

    /// Opens a stream with this request on this connection.
    pub(crate) fn over(mut socket: TcpStream, request: &str) -> std::io::Result<Self> {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.write_all(request.as_bytes())?;
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if socket.read(&mut byte)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        if !head.starts_with("http/1.1 200") || !head.contains("connection: close") {
            return Err(std::io::Error::other(format!("no stream of its own: {head}")));
        }
        // A rejected client gets a reconnection time and nothing more.
        let chunked = head.contains("transfer-encoding: chunked");
        assert!(chunked || head.contains("content-length: "), "{head}");
        let chunk = chunked.then(Vec::new);
        let (decoder, waiting) = (Decoder::new(), VecDeque::new());
        Ok(Self { socket, head, chunk, decoder, waiting, patience: PATIENCE, is_read: false })
    }

    /// Makes [`wait`](Self::wait) return `Silence` at once.
    pub(crate) fn set_nonblocking(&self) {
        self.socket.set_nonblocking(true).expect("it can be set");
    }

    pub(crate) fn as_raw_fd(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&self.socket)
    }

    /// Whether the last read emptied the socket, and no event is waiting.
    pub(crate) fn is_empty(&self) -> bool {
        self.is_read && self.waiting.is_empty()
    }

    /// Waits for the next event.
    pub(crate) fn wait(&mut self, time: Duration) -> Next {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Next::Event(event);
            }
            if std::mem::replace(&mut self.patience, time) != time {
                self.socket.set_read_timeout(Some(time)).expect("a timeout can be set");
            }
            // Small, because a test of latency reads a thousand streams, and clears this buffer for each.
            let mut bytes = [0; 8 << 10];
            match self.socket.read(&mut bytes) {
                Ok(0) => return Next::End,
                Ok(read) => {
                    self.is_read = read < bytes.len();
                    self.feed(&bytes[..read]);
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Next::Silence;
                }
                Err(_) => return Next::End,
            }
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        let Some(mut chunk) = self.chunk.take() else { return self.decode(bytes) };
        chunk.extend_from_slice(bytes);
        let mut rest = &chunk[..];
        // RFC 9112, section 7.1.
        while let Some(line) = rest.windows(2).position(|end| end == b"\r\n") {
            let size = std::str::from_utf8(&rest[..line]).expect("a chunk's size");
            let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("a chunk's size: {size:?}"));
            let (begin, end) = (line + 2, line + 2 + size);
            if rest.len() < end + 2 {
                break;
            }
            assert_eq!(rest[end..end + 2], *b"\r\n", "after a chunk");
            self.decode(&rest[begin..end]);
            rest = &rest[end + 2..];
        }
        self.chunk = Some(rest.to_vec());
    }

    fn decode(&mut self, bytes: &[u8]) {
        let mut items = self.decoder.feed(bytes);
        while let Some(item) = items.next() {
            if let Item::Message(message) = item.expect("events here are small") {
                let (id, name, data) = (message.last_event_id, message.event, message.data);
                self.waiting.push_back(Event { id: id.into(), name: name.into(), data: data.into() });
            }
        }
    }

    pub(crate) fn next(&mut self) -> Event {
        match self.wait(PATIENCE) {
            Next::Event(event) => event,
            other => panic!("no event, but {other:?}"),
        }
    }

    /// The last reconnection time in milliseconds.
    pub(crate) fn retry(&self) -> Option<u64> {
        self.decoder.reconnection_time().map(|time| time.as_millis() as u64)
    }
}

/// Connection with a small receive buffer.
pub(crate) fn narrow(addr: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("it can be small");
    socket.connect(&addr.into()).expect("the hub accepts");
    socket.into()
}
