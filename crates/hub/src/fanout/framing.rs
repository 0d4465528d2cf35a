use std::sync::Arc;

use bytes::Bytes;

use super::budget::{Budget, InWindow};

/// How the pieces of a stream lie on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Each is a chunk (RFC 9112, section 7.1): on a socket of ours.
    Chunked,
    /// One after the other: in a body, which the connection that has it frames.
    Plain,
}

impl Framing {
    /// A comment, which receivers ignore.
    pub(super) fn heartbeat(self) -> &'static [u8] {
        match self {
            Self::Chunked => b"2\r\n:\n\r\n",
            Self::Plain => b":\n",
        }
    }
}

/// What ends a stream of chunks.
pub(super) const LAST: &[u8] = b"0\r\n\r\n";

/// Some of a stream, for either framing the same bytes in memory.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    chunk: Bytes,
    /// How long the line of its size is.
    size: usize,
}

impl Piece {
    /// Of these parts in a row, which are not all empty: a chunk of nothing would end the stream.
    pub(super) fn of(parts: &[&[u8]]) -> Self {
        let (chunk, size) = chunk(parts);
        Self { chunk: chunk.into(), size }
    }

    /// The same, for the window; the budget counts what is left of it afterwards.
    pub(super) fn for_window(parts: &[&[u8]], budget: &Arc<Budget>) -> (Self, InWindow) {
        let (chunk, size) = chunk(parts);
        let charge = budget.charge(chunk.len());
        let window = charge.in_window();
        (Self { chunk: charge.own(chunk), size }, window)
    }

    pub(super) fn framed(&self, framing: Framing) -> &[u8] {
        match framing {
            Framing::Chunked => &self.chunk,
            Framing::Plain => &self.chunk[self.size..self.chunk.len() - END.len()],
        }
    }

    /// The same, shared; from that byte on.
    pub(super) fn shared(&self, framing: Framing, from: usize) -> Bytes {
        self.chunk.slice_ref(&self.framed(framing)[from..])
    }

    /// What it takes in memory, in bytes.
    pub(super) fn len(&self) -> usize {
        self.chunk.len()
    }
}

/// A chunk of these parts, and how long the line of its size is.
fn chunk(parts: &[&[u8]]) -> (Vec<u8>, usize) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let size = format!("{length:x}\r\n");
    let mut chunk = Vec::with_capacity(size.len() + length + END.len());
    chunk.extend_from_slice(size.as_bytes());
    parts.iter().for_each(|part| chunk.extend_from_slice(part));
    chunk.extend_from_slice(END);
    (chunk, size.len())
}

const END: &[u8] = b"\r\n";
