use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use mio::net::TcpStream;

use super::Frame;
use super::framing::{Framing, LAST};
use super::inbox::Inbox;
use super::pipe::Pipe;
use super::subscriber::{End, Mark};
use crate::http::network;

/// The destination of a subscriber's bytes.
#[derive(Debug)]
pub(super) enum Sink {
    /// A socket that is ours alone.
    Socket(TcpStream),
    /// The body of a response, on a connection that is not ours: TLS, HTTP/2, a Unix socket, one that served before.
    Body(Box<Piped>),
}

/// A pipe, and what its thread has seen of its peer's progress.
#[derive(Debug)]
pub(super) struct Piped {
    pub(super) pipe: Arc<Pipe>,
    /// When bytes were sent last.
    pub(super) idle: Mark,
    /// How fast they are sent.
    pub(super) speed: Mark,
    /// The peer, as [`Sink::address`] gives it.
    address: u32,
}

impl Piped {
    /// The tick since which bytes wait and none was sent.
    pub(super) fn waits_since(&mut self, now: u32) -> Option<u32> {
        let (waiting, sent) = self.pipe.progress();
        if waiting == 0 {
            self.idle = Mark { tick: now, sent };
            return None;
        }
        Some(now - self.idle.idle(sent, now))
    }
}

impl Sink {
    pub(super) fn body(pipe: Arc<Pipe>, peer: Option<IpAddr>) -> Self {
        let (idle, speed, address) = (Mark::default(), Mark::default(), peer.map_or(0, address));
        Self::Body(Box::new(Piped { pipe, idle, speed, address }))
    }

    /// A number for the address of the peer; 0 where it has none. Others rarely have the same.
    pub(super) fn address(&self) -> u32 {
        match self {
            Self::Socket(socket) => socket.peer_addr().map_or(0, |peer| address(peer.ip())),
            Self::Body(body) => body.address,
        }
    }

    /// Names the subscriber that writes here from this tick on; false when nobody reads any more.
    pub(super) fn belongs_to(&mut self, inbox: &Arc<Inbox>, slot: u32, generation: u32, now: u32) -> bool {
        match self {
            Self::Socket(_) => true,
            Self::Body(body) => {
                // Nothing has waited for the peer before.
                (body.idle, body.speed) = (Mark { tick: now, sent: 0 }, Mark { tick: now, sent: 0 });
                body.pipe.belongs_to(inbox, slot, generation)
            }
        }
    }

    pub(super) fn framing(&self) -> Framing {
        match self {
            Self::Socket(_) => Framing::Chunked,
            Self::Body(_) => Framing::Plain,
        }
    }

    /// Ends the stream after all that has been written. Without it, dropping the sink cuts the stream: its reader sees an error.
    pub(super) fn finish(&mut self) {
        match self {
            // A peer that does not get this sees that the connection ends.
            Self::Socket(socket) => _ = socket.write(LAST),
            Self::Body(body) => body.pipe.finish(),
        }
    }

    /// Writes as much as there is room for.
    pub(super) fn write(&mut self, bytes: &Bytes) -> io::Result<usize> {
        match self {
            Self::Socket(socket) => write(socket, bytes),
            Self::Body(body) => body.pipe.write([bytes.clone()]),
        }
    }

    /// Writes as much as there is room for of frames in a row; gives how many bytes when that is not all of them. For a socket, they are joined
    /// into one write, once for all who get the same; a body shares each.
    pub(super) fn write_frames<'a>(
        &mut self,
        frames: impl Iterator<Item = &'a Arc<Frame>> + Clone,
        for_sockets: &mut Option<Bytes>,
    ) -> io::Result<Option<usize>> {
        let (written, all) = match self {
            Self::Socket(socket) => {
                let bytes = for_sockets.get_or_insert_with(|| joined(frames));
                (write(socket, bytes)?, bytes.len())
            }
            Self::Body(body) => {
                let all = frames.clone().map(|frame| frame.piece.framed(Framing::Plain).len()).sum();
                (body.pipe.write(frames.map(|frame| frame.piece.shared(Framing::Plain, 0)))?, all)
            }
        };
        Ok(Some(written).filter(|written| *written < all))
    }

    /// Whether the peer has so much of what was written that more of the log may be read for it. If not, a message says when that is so.
    pub(super) fn wants_more(&self) -> bool {
        match self {
            // What the system holds of it is no memory of ours.
            Self::Socket(_) => true,
            Self::Body(body) => body.pipe.wants_more(),
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

fn address(peer: IpAddr) -> u32 {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(network(peer));
    (hash as u32).max(1)
}

/// All of some frames in chunks, in a row: of one, its own bytes.
fn joined<'a>(mut frames: impl Iterator<Item = &'a Arc<Frame>> + Clone) -> Bytes {
    let all = frames.clone();
    if let (Some(one), None) = (frames.next(), frames.next()) {
        return one.piece.shared(Framing::Chunked, 0);
    }
    let mut joined = BytesMut::with_capacity(all.clone().map(|frame| frame.piece.len()).sum());
    all.for_each(|frame| joined.extend_from_slice(frame.piece.framed(Framing::Chunked)));
    joined.freeze()
}

fn write(socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match socket.write(bytes) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            written => return written,
        }
    }
}

/// Reads of 4 KiB at one go.
const MAX_READS: usize = 16;

impl Drop for Sink {
    fn drop(&mut self) {
        if let Self::Body(body) = self {
            body.pipe.cut();
        }
    }
}
