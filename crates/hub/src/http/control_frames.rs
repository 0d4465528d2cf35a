//! Limit of HTTP/2 frames that carry no request and only cost time: PING, SETTINGS and others.
//!
//! hyper and h2 have no such limit, so the frames are counted where the bytes of a connection are read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;

/// HTTP/2 connection that is closed when it exceeds the limit of such frames.
#[derive(Debug)]
pub(super) struct Limited<S> {
    socket: S,
    meter: Meter,
    activity: Arc<Activity>,
}

impl<S> Limited<S> {
    pub(super) fn new(socket: S, activity: Arc<Activity>) -> Self {
        Self { socket, meter: Meter::new(Instant::now()), activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Limited<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        if self.meter.read(&buffer.filled()[before..], Instant::now()) {
            return Poll::Ready(Ok(()));
        }
        // Nothing more is read until the connection is closed.
        self.activity.give_up();
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Limited<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.socket).poll_write(cx, bytes))?;
        self.meter.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.socket).poll_write_vectored(cx, parts))?;
        self.meter.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// Finds the frames in the bytes of a connection, in pieces of any size, and counts those without a request.
#[derive(Debug)]
struct Meter {
    /// Bytes to skip: the rest of the preface or of a payload.
    skip: usize,
    head: [u8; HEAD],
    /// Number of bytes of the next frame head that have arrived.
    here: usize,
    /// Number of such frames that are allowed at the time `since`.
    left: f64,
    since: Instant,
}

impl Meter {
    fn new(now: Instant) -> Self {
        Self { skip: PREFACE, head: [0; HEAD], here: 0, left: BURST, since: now }
    }

    /// Takes bytes that were read; false if there are too many frames.
    fn read(&mut self, mut bytes: &[u8], now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        (self.left, self.since) = ((self.left + passed * PER_SECOND).min(BURST), now.max(self.since));
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (HEAD - self.here).min(bytes.len());
            self.head[self.here..self.here + taken].copy_from_slice(&bytes[..taken]);
            self.here += taken;
            bytes = &bytes[taken..];
            if self.here < HEAD {
                break;
            }
            let [a, b, c, kind, ..] = self.head;
            (self.here, self.skip) = (0, u32::from_be_bytes([0, a, b, c]) as usize);
            // A request, or a part of its body, is useful work and has other limits.
            let asks = kind == HEADERS || kind == DATA && self.skip > 0;
            if !asks {
                self.left -= 1.0;
            }
        }
        self.left >= 0.0
    }

    /// Credits sent bytes: a peer may answer each frame with WINDOW_UPDATE.
    fn wrote(&mut self, bytes: usize) {
        self.left = (self.left + bytes as f64 / ANSWERED).min(BURST);
    }
}

/// Length of a frame head, and of the connection preface (RFC 9113, sections 4.1 and 3.4).
const HEAD: usize = 9;
const PREFACE: usize = 24;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
/// Number of such frames at once, and per second.
const BURST: f64 = 1_000.0;
const PER_SECOND: f64 = 100.0;
/// Sent bytes for which the peer may send one more frame.
const ANSWERED: f64 = 16.0;

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{BURST, Meter};

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let mut frame = (length as u32).to_be_bytes()[1..].to_vec();
        frame.extend_from_slice(&[kind, 0, 0, 0, 0, 0]);
        frame.resize(9 + length, b'x');
        frame
    }

    #[test]
    fn frames_are_found_in_pieces_of_any_size_and_those_that_ask_are_free() {
        let start = Instant::now();
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        for _ in 0..100 {
            for (kind, length) in [(1, 40), (0, 300), (6, 8), (4, 0), (8, 4), (0, 0), (200, 17)] {
                bytes.extend(frame(kind, length));
            }
        }
        for size in [1, 2, 7, 9, 100, 100_000] {
            let mut meter = Meter::new(start);
            assert!(bytes.chunks(size).all(|piece| meter.read(piece, start)));
            assert_eq!(meter.left, BURST - 500.0, "in pieces of {size}");
        }
    }

    #[test]
    fn a_flood_is_noticed_and_answers_to_what_was_sent_are_none() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        meter.skip = 0;
        let ping = frame(6, 8);
        let mut flood = (0..).take_while(|_| meter.read(&ping, start));
        assert_eq!(flood.by_ref().count(), 1_000);
        let later = start + Duration::from_secs(1);
        assert_eq!((0..).take_while(|_| meter.read(&ping, later)).count(), 99);
        for _ in 0..100_000 {
            // An event, and two window updates for it.
            meter.wrote(60);
            let update = frame(8, 4);
            assert!(meter.read(&update, later) && meter.read(&update, later));
        }
    }
}
