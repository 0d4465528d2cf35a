//! HTTP/1.1 byte by byte, so that the tests see the exact bytes of the program.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use ssekit_wire::{Decoder, Item};

use crate::program::PATIENCE;

/// Answer whose body is unread.
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    body: BufReader<TcpStream>,
}

/// Event stream, read event by event.
pub(crate) struct Stream {
    answer: Answer,
    decoder: Decoder,
    waiting: std::collections::VecDeque<Event>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: String,
    pub(crate) id: String,
}

pub(crate) fn get(addr: SocketAddr, path: &str) -> Answer {
    request(addr, &format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\n\r\n"))
}

/// Posts JSON; returns the status and the text of the answer.
pub(crate) fn post(addr: SocketAddr, path: &str, json: &str) -> (u16, String) {
    let length = json.len();
    let head = format!("POST {path} HTTP/1.1\r\nhost: {addr}\r\ncontent-type: application/json\r\n");
    let answer = request(addr, &format!("{head}content-length: {length}\r\n\r\n{json}"));
    (answer.status, answer.text())
}

pub(crate) fn send_message(addr: SocketAddr, from: &str, text: &str) {
    let json = serde_json::json!({ "from": from, "text": text }).to_string();
    assert_eq!(post(addr, "/chat", &json), (204, String::new()));
}

pub(crate) fn request(addr: SocketAddr, text: &str) -> Answer {
    let mut socket = TcpStream::connect(addr).expect("the server accepts");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    socket.write_all(text.as_bytes()).expect("the server reads");
    let mut body = BufReader::new(socket);
    let mut lines = std::iter::from_fn(|| {
        let mut line = String::new();
        body.read_line(&mut line).expect("the server answers");
        Some(line.trim_end().to_owned()).filter(|line| !line.is_empty())
    });
    let first = lines.next().expect("an answer has a first line");
    let status =
        first.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("an answer has a status");
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").expect("a header has a value");
        (name.to_lowercase(), value.to_owned())
    });
    let headers = headers.collect();
    Answer { status, headers, body }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// Reads the complete body.
    pub(crate) fn text(mut self) -> String {
        let length = self.header("content-length").map_or(0, |length| length.parse().expect("a number"));
        let mut text = vec![0; length];
        self.body.read_exact(&mut text).expect("the body is whole");
        String::from_utf8(text).expect("the body is text")
    }

    /// Reads the next chunk of a body without a length; empty at its end.
    pub(crate) fn chunk(&mut self) -> Vec<u8> {
        self.try_chunk().expect("the stream goes on")
    }

    /// Reads the next chunk; an error when the connection ends before.
    fn try_chunk(&mut self) -> std::io::Result<Vec<u8>> {
        let mut size = String::new();
        if self.body.read_line(&mut size)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let size =
            usize::from_str_radix(size.trim_end(), 16).unwrap_or_else(|_| panic!("a chunk's size: {size:?}"));
        let mut chunk = vec![0; size + 2];
        self.body.read_exact(&mut chunk)?;
        chunk.truncate(size);
        Ok(chunk)
    }
}

impl Stream {
    pub(crate) fn open(addr: SocketAddr, path: &str) -> Self {
        Self::of(get(addr, path))
    }

    /// Opens it as a client that returns.
    pub(crate) fn resume(addr: SocketAddr, path: &str, last_event_id: &str) -> Self {
        let head = format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nlast-event-id: {last_event_id}\r\n\r\n");
        Self::of(request(addr, &head))
    }

    pub(crate) fn of(answer: Answer) -> Self {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        Self { answer, decoder: Decoder::new(), waiting: Default::default() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.answer.header(name)
    }

    /// Reads the next event; `None` when the stream has ended in order.
    pub(crate) fn next(&mut self) -> Option<Event> {
        while self.waiting.is_empty() {
            let chunk = self.answer.chunk();
            if chunk.is_empty() {
                return None;
            }
            self.feed(&chunk);
        }
        self.waiting.pop_front()
    }

    /// Reads the next event; `None` when the server has cut the stream, which then has no last chunk.
    pub(crate) fn next_until_cut(&mut self) -> Option<Event> {
        while self.waiting.is_empty() {
            let chunk = self.answer.try_chunk().ok()?;
            assert!(!chunk.is_empty(), "the stream ends as if it were complete");
            self.feed(&chunk);
        }
        self.waiting.pop_front()
    }

    fn feed(&mut self, chunk: &[u8]) {
        let mut items = self.decoder.feed(chunk);
        while let Some(item) = items.next() {
            if let Item::Message(message) = item.expect("our events are small") {
                let (name, data) = (message.event.to_owned(), message.data.to_owned());
                self.waiting.push_back(Event { name, data, id: message.last_event_id.to_owned() });
            }
        }
    }

    /// Reads up to the next event of this name.
    pub(crate) fn find(&mut self, name: &str) -> Event {
        let found = std::iter::from_fn(|| self.next()).find(|event| event.name == name);
        found.unwrap_or_else(|| panic!("the stream ended without a {name:?} event"))
    }
}

impl Event {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.data)
            .unwrap_or_else(|error| panic!("{:?} is not JSON: {error}", self.data))
    }

    /// Sequence of this event in its channel; its id has the stream's position in all channels.
    pub(crate) fn sequence(&self) -> u64 {
        let sequence =
            own_position(&self.name, &self.id).rsplit_once('-').map(|(_, sequence)| sequence.parse());
        sequence.and_then(Result::ok).unwrap_or_else(|| panic!("no number in {:?}", self.id))
    }

    /// The parts of the event that are the same for every reader.
    pub(crate) fn common(&self) -> (&str, &str, &str) {
        (own_position(&self.name, &self.id), &self.name, &self.data)
    }
}

/// Part of an id that belongs to the event's own channel: the stream may have been at other positions in the
/// other channels.
pub(crate) fn own_position<'a>(name: &str, id: &'a str) -> &'a str {
    let channel = ["stats", "chat", "people"].iter().position(|channel| *channel == name);
    let place = channel.and_then(|channel| id.split(',').nth(channel));
    place.unwrap_or_else(|| panic!("no place of {name:?} in {id:?}"))
}
