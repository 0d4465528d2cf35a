//! The way from a fan-out thread into the body of a response: bounded, and it never blocks.
//!
//! ```text
//!  thread ─ write ─▶ chunks ─ poll_frame ─▶ handed out: hyper, h2, TLS ─▶ dropped: sent to the peer
//!                    └──────────────── bytes, at most `room` ───────────┘
//! ```

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::Frame as BodyFrame;

use super::budget::Budget;
use super::inbox::{Inbox, Message};

/// Bytes that were written to a body and that its peer does not have yet.
#[derive(Debug)]
pub(super) struct BodyChannel {
    /// Maximum number of waiting bytes.
    room: usize,
    budget: Arc<Budget>,
    state: Mutex<State>,
    /// The subscriber that writes, once it is known.
    writer: OnceLock<Writer>,
}

/// The subscriber that writes into a channel: its thread, slot and generation.
#[derive(Debug)]
struct Writer(Arc<Inbox>, u32, u32);

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Bytes>,
    /// Waiting bytes: those in `chunks`, and those that were handed out and not dropped yet.
    bytes: usize,
    /// Bytes that the connection has sent.
    sent: u64,
    /// Whether the writer wants a message when there is room again.
    refused: bool,
    ending: Ending,
    /// Whether the body has been dropped.
    gone: bool,
    reader: Option<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ending {
    #[default]
    Open,
    /// The body ends behind the waiting bytes.
    Finished,
    /// The body fails, so that the connection resets the stream.
    Cut,
}

impl BodyChannel {
    pub(super) fn new(room: usize, budget: Arc<Budget>) -> Self {
        Self { room, budget, state: Mutex::default(), writer: OnceLock::new() }
    }

    /// Sets the subscriber that writes; false if the body has been dropped.
    pub(super) fn belongs_to(&self, inbox: &Arc<Inbox>, slot: u32, generation: u32) -> bool {
        // A channel has one writer, which is set once.
        let _ = self.writer.set(Writer(Arc::clone(inbox), slot, generation));
        // Checked afterwards: a body that is dropped from now on notifies the writer.
        !self.lock().gone
    }

    /// Takes as many bytes as there is room for, and returns their number.
    pub(super) fn write(&self, pieces: impl IntoIterator<Item = Bytes>) -> io::Result<usize> {
        let mut state = self.lock();
        if state.gone {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let before = state.bytes;
        for mut piece in pieces {
            let room = self.room.saturating_sub(state.bytes);
            if piece.len() > room {
                state.refused = true;
                piece.truncate(room);
            }
            if !piece.is_empty() {
                state.bytes += piece.len();
                state.chunks.push_back(piece);
            }
            if state.refused {
                break;
            }
        }
        let written = state.bytes - before;
        let reader = if written > 0 { state.reader.take() } else { None };
        drop(state);
        wake(reader);
        Ok(written)
    }

    /// Whether only few bytes are waiting. If not, a message will say when that is so.
    pub(super) fn wants_more(&self) -> bool {
        let mut state = self.lock();
        let wants = state.bytes <= self.room / LOW;
        state.refused |= !wants;
        wants
    }

    /// Number of waiting bytes, and of bytes that the connection has sent so far.
    pub(super) fn progress(&self) -> (usize, u64) {
        let state = self.lock();
        (state.bytes, state.sent)
    }

    pub(super) fn finish(&self) {
        self.end(Ending::Finished);
    }

    /// Drops all waiting bytes, unless the stream is finished.
    pub(super) fn cut(&self) {
        self.end(Ending::Cut);
    }

    fn end(&self, ending: Ending) {
        let mut state = self.lock();
        if state.ending != Ending::Open {
            return;
        }
        state.ending = ending;
        let dropped = if ending == Ending::Cut { state.take_chunks() } else { VecDeque::new() };
        let reader = state.reader.take();
        drop(state);
        drop(dropped);
        wake(reader);
    }

    /// Notes that the connection has dropped this number of bytes.
    fn sent(&self, bytes: usize) {
        let mut state = self.lock();
        state.bytes -= bytes;
        state.sent += bytes as u64;
        let room = state.refused && state.bytes <= self.room / LOW;
        state.refused &= !room;
        drop(state);
        if room {
            self.tell(Message::Room);
        }
    }

    fn tell(&self, message: fn(u32, u32) -> Message) {
        if let Some(Writer(inbox, slot, generation)) = self.writer.get() {
            inbox.send(message(*slot, *generation));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns the next bytes for the connection, with small chunks joined.
    fn next(&mut self, budget: &Arc<Budget>) -> Option<Bytes> {
        let first = self.chunks.front_mut()?;
        if first.len() >= CHUNK {
            let part = first.split_to(CHUNK);
            if first.is_empty() {
                self.chunks.pop_front();
            }
            return Some(part);
        }
        let mut total = 0;
        let count = self.chunks.iter().take_while(|chunk| {
            total += chunk.len();
            total <= CHUNK
        });
        match count.count() {
            1 => self.chunks.pop_front(),
            count => {
                let mut joined = Vec::with_capacity(total.min(CHUNK));
                self.chunks.drain(..count).for_each(|chunk| joined.extend_from_slice(&chunk));
                // The bytes are few and are sent next, so they need no reservation.
                Some(budget.charge(0).own(joined))
            }
        }
    }

    fn take_chunks(&mut self) -> VecDeque<Bytes> {
        let chunks = std::mem::take(&mut self.chunks);
        self.bytes -= chunks.iter().map(Bytes::len).sum::<usize>();
        chunks
    }
}

fn wake(reader: Option<Waker>) {
    if let Some(reader) = reader {
        reader.wake();
    }
}

/// A subscriber's stream as the body of a response. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Body(pub(super) Arc<BodyChannel>);

/// Error of a body: the hub has ended a stream that its peer did not read.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the hub ended the stream before its peer had read all of it")]
pub struct Cut;

/// Bytes that the connection has, and has not sent yet.
struct HandedOut {
    bytes: Bytes,
    pipe: Arc<BodyChannel>,
}

impl AsRef<[u8]> for HandedOut {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for HandedOut {
    fn drop(&mut self) {
        self.pipe.sent(self.bytes.len());
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, Self::Error>>> {
        let pipe = &self.0;
        let mut state = pipe.lock();
        if let Some(bytes) = state.next(&pipe.budget) {
            drop(state);
            let handed = Bytes::from_owner(HandedOut { bytes, pipe: Arc::clone(pipe) });
            return Poll::Ready(Some(Ok(BodyFrame::data(handed))));
        }
        match state.ending {
            Ending::Finished => Poll::Ready(None),
            Ending::Cut => Poll::Ready(Some(Err(Cut))),
            Ending::Open => {
                let replaced = state.reader.replace(cx.waker().clone());
                drop(state);
                drop(replaced);
                Poll::Pending
            }
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.gone = true;
        let (chunks, reader) = (state.take_chunks(), state.reader.take());
        drop(state);
        drop((chunks, reader));
        self.0.tell(Message::Gone);
    }
}

/// Maximum size of one piece of the body.
///
/// It is that of a DATA frame, unless its peer allows more (RFC 9113, section 4.2).
const CHUNK: usize = 16 << 10;
/// More is written when at most this fraction of the room is in use.
const LOW: usize = 4;
