//! HTTP/2 byte by byte (RFC 9113), for peers that behave like no client.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use crate::hub::PATH;

/// HTTP/2 connection, over a socket or TLS.
pub(crate) struct Http2<S = TcpStream> {
    pub(crate) socket: S,
    next: u32,
}

/// Received frame.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) payload: Vec<u8>,
}

impl<S: Read + Write> Http2<S> {
    /// Begins a connection that grants the hub this window for each stream.
    pub(crate) fn over(socket: S, window: u32) -> Self {
        let mut http2 = Self { socket, next: 1 };
        let mut settings = vec![0, 4];
        settings.extend_from_slice(&window.to_be_bytes());
        http2.socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("the hub reads");
        http2.send(SETTINGS, 0, 0, &settings).expect("the hub reads");
        http2
    }

    /// Opens a stream with a subscription; returns its number.
    pub(crate) fn subscribe(&mut self, query: &str) -> u32 {
        self.request(0x82, &format!("{PATH}?{query}"), &[], END_STREAM).expect("the hub reads")
    }

    /// Sends the head of a request, whose method is this entry of the static table (RFC 7541, appendix A).
    pub(crate) fn request(
        &mut self,
        method: u8,
        path: &str,
        fields: &[(&str, &str)],
        flags: u8,
    ) -> io::Result<u32> {
        let stream = self.next;
        self.next += 2;
        // `:scheme http`, then `:path` and `:authority` as literals.
        let mut head = vec![method, 0x86, 0x04];
        text(path, &mut head);
        head.push(0x01);
        text("localhost", &mut head);
        for (name, value) in fields {
            head.push(0);
            text(name, &mut head);
            text(value, &mut head);
        }
        self.send(HEADERS, flags | END_HEADERS, stream, &head)?;
        Ok(stream)
    }

    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend_from_slice(&[kind, flags]);
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        self.socket.write_all(&frame)
    }

    /// Reads the next frame; an error at the end of the connection.
    pub(crate) fn next(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head)?;
        let [a, b, c, kind, flags, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.socket.read_exact(&mut payload)?;
        Ok(Frame { kind, flags, payload })
    }

    /// Reads up to the end of the connection; returns the kinds of frames, and the number of bytes of DATA.
    pub(crate) fn until_closed(&mut self) -> (Vec<u8>, usize) {
        let (mut kinds, mut data) = (Vec::new(), 0);
        while let Ok(frame) = self.next() {
            data += if frame.kind == DATA { frame.payload.len() } else { 0 };
            kinds.push(frame.kind);
        }
        (kinds, data)
    }
}

/// Encodes a text without Huffman code (RFC 7541, section 5.2).
fn text(text: &str, out: &mut Vec<u8>) {
    let mut length = text.len();
    if length < 127 {
        out.push(length as u8);
    } else {
        out.push(127);
        length -= 127;
        while length >= 128 {
            out.push((length % 128) as u8 | 128);
            length /= 128;
        }
        out.push(length as u8);
    }
    out.extend_from_slice(text.as_bytes());
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
