//! Connection of one subscriber.
//!
//! It sends a request, reads the head of the answer, and finds the marks in its body.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};
use ssekit_wire::media_type::EVENT_STREAM;

use super::answer::{Body, Head};
use super::arrivals::Arrivals;
use super::payload::{Clock, Mark, Marks};

/// Connection that reads everything as soon as it arrives.
#[derive(Debug)]
pub(super) struct Subscriber {
    /// `None` when the stream has ended.
    socket: Option<TcpStream>,
    stage: Stage,
    marks: Marks,
    /// Time at which it began to connect.
    since: Duration,
}

#[derive(Debug)]
enum Stage {
    /// Number of bytes of the request that were sent.
    SendingRequest(usize),
    /// Received part of the answer's head.
    ReadingHead(Vec<u8>),
    Stream(Body),
}

/// Result of reading from a subscriber.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Its stream has begun, this long after it began to connect.
    pub(super) opened: Option<Duration>,
    /// Reason of its end.
    pub(super) ended: Option<String>,
}

/// Totals of all reads.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) reads: u64,
    pub(super) bytes: u64,
}

impl Subscriber {
    /// Begins to connect subscriber number `first + index`; system events name it by its index.
    ///
    /// # Errors
    /// When this machine provides no socket or address, or the peer has refused already.
    pub(super) fn connect(
        server: SocketAddr,
        first: usize,
        index: usize,
        request: &[u8],
        registry: &Registry,
        clock: Clock,
    ) -> Result<Self> {
        let since = clock.now();
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, Some(Protocol::TCP))
            .context("cannot create a socket for a subscriber")?;
        socket.set_nonblocking(true)?;
        if let Some(source) = source(server, first + index) {
            socket.bind(&source.into()).with_context(|| format!("no free port on {source}"))?;
        }
        match socket.connect(&server.into()) {
            Err(error) if !is_under_way(&error) => {
                return Err(error).with_context(|| format!("cannot connect to {server}"));
            }
            _ => {}
        }
        let mut subscriber = Self {
            socket: Some(TcpStream::from_std(socket.into())),
            stage: Stage::SendingRequest(0),
            marks: Marks::default(),
            since,
        };
        subscriber.send_request(request).with_context(|| format!("cannot connect to {server}"))?;
        let is_sending = matches!(subscriber.stage, Stage::SendingRequest(_));
        let interest = if is_sending { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        let socket = subscriber.socket.as_mut().expect("just made");
        registry
            .register(socket, Token(index), interest)
            .context("cannot poll the socket of a subscriber")?;
        Ok(subscriber)
    }

    pub(super) fn is_open(&self) -> bool {
        self.socket.is_some() && matches!(self.stage, Stage::Stream(_))
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.socket.is_some() && !matches!(self.stage, Stage::Stream(_))
    }

    pub(super) fn close(&mut self) {
        self.socket = None;
    }

    /// Makes as much progress as possible now.
    pub(super) fn handle_event(
        &mut self,
        event: &Event,
        request: &[u8],
        buffer: &mut [u8],
        clock: Clock,
        tally: &mut Tally,
        arrivals: &mut Arrivals,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let ended = self.send_request(request).map_err(Into::into).and_then(|()| {
            self.read(event.token().0, event.is_read_closed(), buffer, clock, tally, arrivals, &mut outcome)
        });
        if let Err(error) = ended {
            outcome.ended = Some(format!("{error:#}"));
            self.socket = None;
        }
        outcome
    }

    /// Sends the rest of the request.
    fn send_request(&mut self, request: &[u8]) -> std::io::Result<()> {
        while let (Some(socket), Stage::SendingRequest(sent)) = (&mut self.socket, &mut self.stage) {
            match socket.write(&request[*sent..]) {
                Ok(more) => *sent += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_under_way(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
            if *sent == request.len() {
                self.stage = Stage::ReadingHead(Vec::new());
            }
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "the buffer, tally and arrivals serve all subscribers")]
    fn read(
        &mut self,
        index: usize,
        to_the_end: bool,
        buffer: &mut [u8],
        clock: Clock,
        tally: &mut Tally,
        arrivals: &mut Arrivals,
        outcome: &mut Outcome,
    ) -> Result<()> {
        while let Some(socket) = &mut self.socket {
            let read = match socket.read(buffer) {
                Ok(0) => anyhow::bail!("the server closed the connection"),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let now = clock.now();
            tally.reads += 1;
            tally.bytes += read as u64;
            let bytes = &buffer[..read];
            match &mut self.stage {
                Stage::SendingRequest(_) => anyhow::bail!("the server responded before the request"),
                Stage::Stream(body) => {
                    find_marks(body, &mut self.marks, bytes, |mark| arrivals.add(index, mark, now))?
                }
                Stage::ReadingHead(held) => {
                    held.extend_from_slice(bytes);
                    if let Some(head) = Head::read(held)? {
                        let rest = held.split_off(head.size);
                        let mut body = stream_body(head, &rest)?;
                        outcome.opened = Some(now - self.since);
                        find_marks(&mut body, &mut self.marks, &rest, |mark| arrivals.add(index, mark, now))?;
                        self.stage = Stage::Stream(body);
                    }
                }
            }
            // A short read has read everything; but the end must be read, too.
            if read < buffer.len() && !to_the_end {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Finds the marks in a piece of the stream.
fn find_marks(
    body: &mut Body,
    marks: &mut Marks,
    mut bytes: &[u8],
    mut each: impl FnMut(Mark),
) -> Result<()> {
    while let Some(piece) = body.next(&mut bytes)? {
        marks.find(piece, &mut each);
    }
    anyhow::ensure!(!body.is_over(), "the server ended the stream");
    Ok(())
}

/// Returns the body of an answer that is an event stream.
fn stream_body(head: Head, rest: &[u8]) -> Result<Body> {
    let Head { status, media_type, body, .. } = head;
    if status == 200 && media_type == EVENT_STREAM {
        return Ok(body);
    }
    let (mut body, mut bytes) = (body, rest);
    let text = body.next(&mut bytes)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text[..text.len().min(MAX_TEXT)]).trim().to_owned();
    anyhow::bail!("the response is not an event stream: {status} {media_type} {text}")
}

/// Returns another source address for each group of subscribers: an address has some 28,000 ports.
///
/// Outside of loopback, the system chooses the address.
fn source(server: SocketAddr, index: usize) -> Option<SocketAddr> {
    let SocketAddr::V4(server) = server else { return None };
    let group = u8::try_from(index / PER_ADDRESS).ok().filter(|group| *group > 0)?;
    server.ip().is_loopback().then(|| (Ipv4Addr::new(127, 0, 1, group), 0).into())
}

fn is_under_way(error: &std::io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::EINPROGRESS) {
        return true;
    }
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected)
}

/// Subscribers that connect from one address.
const PER_ADDRESS: usize = 20_000;

/// Maximum number of subscribers on loopback: 255 addresses.
pub(super) const MOST: u32 = 255 * PER_ADDRESS as u32;

/// Number of characters of a refusal that messages show.
const MAX_TEXT: usize = 400;
