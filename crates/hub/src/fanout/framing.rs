//! Framing of streams: chunks on plain sockets, plain bytes in bodies, from the same memory.

use std::sync::Arc;

use bytes::Bytes;

use super::budget::{Budget, InWindow};

/// Framing of the pieces of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Each piece is a chunk (RFC 9112, section 7.1), on a socket that the fan-out owns.
    Chunked,
    /// The pieces follow one another, in a body that its connection frames.
    Plain,
}

impl Framing {
    /// Comment, which receivers ignore.
    pub(super) fn heartbeat(self) -> &'static [u8] {
        match self {
            Self::Chunked => b"2\r\n:\n\r\n",
            Self::Plain => b":\n",
        }
    }
}

/// Last chunk of a stream.
pub(super) const LAST: &[u8] = b"0\r\n\r\n";

/// Part of a stream, whose bytes in memory serve both framings.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    chunk: Bytes,
    /// Length of the line with the size of the chunk.
    size: usize,
}

impl Piece {
    /// Joins these parts. At least one must have bytes: an empty chunk would end the stream.
    pub(super) fn of(parts: &[&[u8]]) -> Self {
        let (chunk, size) = chunk(parts);
        Self { chunk: chunk.into(), size }
    }

    /// Joins parts for the window; the budget counts the bytes when they have left it.
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

    /// Bytes in a framing from this offset on, shared.
    pub(super) fn shared(&self, framing: Framing, from: usize) -> Bytes {
        self.chunk.slice_ref(&self.framed(framing)[from..])
    }

    /// Bytes in memory.
    pub(super) fn len(&self) -> usize {
        self.chunk.len()
    }
}

/// Encodes a chunk of these parts; returns the length of its size line, too.
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
