use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::Frame as BodyFrame;
use mio::net::TcpStream;

use super::framing::{Framing, LAST};
use super::inbox::{Inbox, Message};
use super::subscriber::End;

/// Where a subscriber's bytes go.
#[derive(Debug)]
pub(super) enum Sink {
    /// A socket that is ours alone.
    Socket(TcpStream),
    /// The body of a response, on a connection that is not ours: TLS, HTTP/2, a Unix socket, one that served before.
    Body(Arc<Pipe>),
}

impl Sink {
    /// Says whose it is; false when nobody reads any more.
    pub(super) fn belongs_to(&self, inbox: &Arc<Inbox>, slot: u32, generation: u32) -> bool {
        let Self::Body(pipe) = self else { return true };
        // A pipe has one writer, who says so once.
        let _ = pipe.writer.set(Writer(Arc::clone(inbox), slot, generation));
        // Asked for afterwards: who goes from now on tells the writer.
        !pipe.lock().gone
    }

    pub(super) fn framing(&self) -> Framing {
        match self {
            Self::Socket(_) => Framing::Chunked,
            Self::Body(_) => Framing::Plain,
        }
    }

    /// Says that all of the stream has been written. A body says so by its own end.
    pub(super) fn finish(&mut self) {
        if let Self::Socket(socket) = self {
            // Who does not hear of it sees that the connection ends.
            let _ = socket.write(LAST);
        }
    }

    /// Writes as much as there is room for.
    pub(super) fn write(&mut self, bytes: &Bytes) -> io::Result<usize> {
        match self {
            Self::Socket(socket) => loop {
                match socket.write(bytes) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
                    written => return written,
                }
            },
            Self::Body(pipe) => pipe.write(bytes),
        }
    }

    /// Reads and forgets what the peer has sent. Breaks when it has ended, or sends more than a subscriber has to say.
    pub(super) fn hear(&mut self) -> ControlFlow<End> {
        let Self::Socket(socket) = self else { return ControlFlow::Continue(()) };
        let mut scratch = [0; 4096];
        for _ in 0..MAX_READS {
            match socket.read(&mut scratch) {
                Ok(0) => return ControlFlow::Break(End::Left),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return ControlFlow::Continue(()),
                Err(error) => return ControlFlow::Break(End::of(&error)),
            }
        }
        ControlFlow::Break(End::Left)
    }
}

/// Reads of 4 KiB at one go.
const MAX_READS: usize = 16;

impl Drop for Sink {
    fn drop(&mut self) {
        if let Self::Body(pipe) = self {
            pipe.end();
        }
    }
}

/// What lies between a fan-out thread and a response's body: bounded, and it never blocks.
#[derive(Debug)]
pub(super) struct Pipe {
    /// What it holds, and one chunk more: in bytes.
    room: usize,
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
    bytes: usize,
    /// Something was refused for lack of room.
    refused: bool,
    ended: bool,
    /// The body is gone.
    gone: bool,
    reader: Option<Waker>,
}

impl Pipe {
    pub(super) fn new(room: usize) -> Self {
        Self { room, state: Mutex::default(), writer: OnceLock::new() }
    }

    fn tell(&self, message: fn(u32, u32) -> Message) {
        if let Some(Writer(inbox, slot, generation)) = self.writer.get() {
            inbox.send(message(*slot, *generation));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all, or nothing when there is no room.
    fn write(&self, bytes: &Bytes) -> io::Result<usize> {
        let mut state = self.lock();
        if state.gone {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if state.bytes >= self.room {
            state.refused = true;
            return Ok(0);
        }
        state.bytes += bytes.len();
        state.chunks.push_back(bytes.clone());
        let reader = state.reader.take();
        drop(state);
        wake(reader);
        Ok(bytes.len())
    }

    fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        let reader = state.reader.take();
        drop(state);
        wake(reader);
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

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, Self::Error>>> {
        let mut state = self.0.lock();
        let Some(chunk) = state.chunks.pop_front() else {
            if state.ended {
                return Poll::Ready(None);
            }
            let replaced = state.reader.replace(cx.waker().clone());
            drop(state);
            drop(replaced);
            return Poll::Pending;
        };
        state.bytes -= chunk.len();
        let room = state.refused && state.bytes <= self.0.room / 2;
        state.refused &= !room;
        drop(state);
        if room {
            self.0.tell(Message::Room);
        }
        Poll::Ready(Some(Ok(BodyFrame::data(chunk))))
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.gone = true;
        let (chunks, reader) = (std::mem::take(&mut state.chunks), state.reader.take());
        drop(state);
        drop((chunks, reader));
        self.0.tell(Message::Gone);
    }
}
