//! The way from a fan-out thread into the body of a response: bounded, and it never blocks.
//!
//! ```text
//!  thread ─ write ─▶ chunks ─ poll_frame ─▶ handed out: hyper, h2, TLS ─▶ dropped, so the peer's system has it
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

/// Everything that was written to a body and that its peer does not have yet.
#[derive(Debug)]
pub(super) struct Pipe {
    /// The most bytes that wait.
    room: usize,
    budget: Arc<Budget>,
    state: Mutex<State>,
    /// Who writes into it, once that is known.
    writer: OnceLock<Writer>,
}

/// The subscriber that writes into a pipe: its thread, slot and generation.
#[derive(Debug)]
struct Writer(Arc<Inbox>, u32, u32);

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Bytes>,
    /// The bytes that wait: in `chunks`, or handed out and not dropped yet.
    bytes: usize,
    /// Bytes that the connection has sent.
    sent: u64,
    /// The writer wants to know when there is room again.
    refused: bool,
    ending: Ending,
    /// The body is gone.
    gone: bool,
    reader: Option<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ending {
    #[default]
    Open,
    /// The body ends after what waits.
    Finished,
    /// The body fails, so that the connection resets the stream.
    Cut,
}

impl Pipe {
    pub(super) fn new(room: usize, budget: Arc<Budget>) -> Self {
        Self { room, budget, state: Mutex::default(), writer: OnceLock::new() }
    }

    /// Names the subscriber that writes into it; false when the body is gone.
    pub(super) fn belongs_to(&self, inbox: &Arc<Inbox>, slot: u32, generation: u32) -> bool {
        // A pipe has one writer, which says so once.
        let _ = self.writer.set(Writer(Arc::clone(inbox), slot, generation));
        // Asked afterwards: a body that goes from now on tells the writer.
        !self.lock().gone
    }

    /// Takes as much as there is room for; gives how many bytes.
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

    /// Whether little of what was written still waits. If not, a message says when that is so.
    pub(super) fn wants_more(&self) -> bool {
        let mut state = self.lock();
        let wants = state.bytes <= self.room / LOW;
        state.refused |= !wants;
        wants
    }

    /// The bytes that wait, and those that the connection has sent so far.
    pub(super) fn progress(&self) -> (usize, u64) {
        let state = self.lock();
        (state.bytes, state.sent)
    }

    pub(super) fn finish(&self) {
        self.end(Ending::Finished);
    }

    /// Drops all that waits, unless the stream is finished.
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

    /// The connection has let go of so many bytes.
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
    /// The next bytes for the connection. Small chunks leave together.
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
                // It is little, and leaves next: it does not wait for room.
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
pub struct Body(pub(super) Arc<Pipe>);

/// Why a body fails: the hub has ended a stream that its peer did not read.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the hub ended the stream before its peer had read all of it")]
pub struct Cut;

/// Bytes that the connection has and that have still to be sent.
struct HandedOut {
    bytes: Bytes,
    pipe: Arc<Pipe>,
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

/// The most bytes of one piece of the body: those of a DATA frame, unless its peer allows more (RFC 9113, section 4.2).
const CHUNK: usize = 16 << 10;
/// More is written when only this part of the room is taken.
const LOW: usize = 4;
