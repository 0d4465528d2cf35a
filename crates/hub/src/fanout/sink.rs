//! Destinations of a subscriber's bytes: a socket, or the body of a response.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use mio::net::TcpStream;

use super::Frame;
use super::body_channel::BodyChannel;
use super::framing::{Framing, LAST};
use super::inbox::Inbox;
use super::subscriber::{End, Mark};
use crate::http::network;

/// Destination of a subscriber's bytes.
#[derive(Debug)]
pub(super) enum Sink {
    /// Socket that the fan-out owns.
    Socket(TcpStream),
    /// Body of a response on a connection that the fan-out does not own.
    ///
    /// Such connections are TLS, HTTP/2, Unix sockets and reused connections.
    Body(Box<Piped>),
}

/// Body channel with measurements of the peer's progress.
#[derive(Debug)]
pub(super) struct Piped {
    pub(super) pipe: Arc<BodyChannel>,
    /// Measurement of the last sent byte.
    pub(super) idle: Mark,
    /// Measurement of the speed.
    pub(super) speed: Mark,
    /// Number of the peer's address, as returned by [`Sink::address`].
    address: u32,
}

impl Piped {
    /// Tick since which bytes wait and none was sent.
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
    pub(super) fn body(pipe: Arc<BodyChannel>, peer: Option<IpAddr>) -> Self {
        let (idle, speed, address) = (Mark::default(), Mark::default(), peer.map_or(0, address));
        Self::Body(Box::new(Piped { pipe, idle, speed, address }))
    }

    /// Number that stands for the address of the peer; 0 if it has none.
    ///
    /// Different addresses rarely have the same number.
    pub(super) fn address(&self) -> u32 {
        match self {
            Self::Socket(socket) => socket.peer_addr().map_or(0, |peer| address(peer.ip())),
            Self::Body(body) => body.address,
        }
    }

    /// Sets the subscriber that writes here from this tick on; false if the body has been dropped.
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

    /// Ends the stream behind all written bytes.
    ///
    /// Without it, dropping the sink cuts the stream, and its reader sees an error.
    pub(super) fn finish(&mut self) {
        match self {
            // If the peer does not get this, it sees the end of the connection.
            Self::Socket(socket) => _ = socket.write(LAST),
            Self::Body(body) => body.pipe.finish(),
        }
    }

    /// Writes as many bytes as there is room for.
    pub(super) fn write(&mut self, bytes: &Bytes) -> io::Result<usize> {
        match self {
            Self::Socket(socket) => write(socket, bytes),
            Self::Body(body) => body.pipe.write([bytes.clone()]),
        }
    }

    /// Writes as many bytes of consecutive frames as possible.
    ///
    /// Returns their number if that is not all.
    ///
    /// For a socket, the frames are joined into one write, once for all subscribers with the same frames; a
    /// body shares each frame.
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

    /// Whether the peer has taken enough to read more of the log for it.
    ///
    /// If not, a message will say when that is so.
    pub(super) fn wants_more(&self) -> bool {
        match self {
            // Bytes in the system's buffer are not memory of the hub.
            Self::Socket(_) => true,
            Self::Body(body) => body.pipe.wants_more(),
        }
    }

    /// Reads and discards input of the peer.
    ///
    /// Breaks if the peer has ended, or sends more than a subscriber needs to.
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

/// Joins consecutive frames in chunks; a single frame keeps its own bytes.
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

/// Maximum number of reads of 4 KiB in a row.
const MAX_READS: usize = 16;

impl Drop for Sink {
    fn drop(&mut self) {
        if let Self::Body(body) = self {
            body.pipe.cut();
        }
    }
}
