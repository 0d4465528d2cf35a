use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Socket, Type};

use super::Arrivals;
use super::mark::{self, Clock, MARK};

/// A connection that reads at once.
pub struct Subscriber {
    socket: Option<TcpStream>,
    has_head: bool,
    /// The number that the next event has, when none is lost.
    next: usize,
    /// The beginning of a mark whose end has not come yet.
    cut: Vec<u8>,
}

impl Subscriber {
    pub fn connect(port: u16, index: usize, registry: &Registry) -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        if let Some(group @ 1..) = index.checked_div(PER_ADDRESS) {
            // An address has some 28,000 ports.
            let address = Ipv4Addr::new(127, 0, 1, u8::try_from(group).context("too many subscribers")?);
            socket.bind(&SocketAddrV4::new(address, 0).into())?;
        }
        subscribe(&socket, port)?;
        socket.set_nonblocking(true)?;
        let mut socket = TcpStream::from_std(socket.into());
        registry.register(&mut socket, Token(index), Interest::READABLE)?;
        Ok(Self { socket: Some(socket), has_head: false, next: 0, cut: Vec::new() })
    }

    pub fn is_closed(&self) -> bool {
        self.socket.is_none()
    }

    /// Reads the answer's head, and says whether it has come now.
    pub fn read_head(&mut self, buffer: &mut [u8]) -> Result<bool> {
        let socket = self.socket.as_mut().context("a stream has ended at once")?;
        let read = match socket.read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            read => read?,
        };
        ensure!(self.has_head || is_stream(&buffer[..read]), "no stream: {}", text(&buffer[..read]));
        Ok(!std::mem::replace(&mut self.has_head, true))
    }

    /// Reads all that has come; gives the time of the last piece, and how many pieces there were.
    pub fn read(
        &mut self,
        buffer: &mut [u8],
        clock: Clock,
        arrivals: &mut Arrivals,
    ) -> Result<(Option<Duration>, usize)> {
        let (mut last, mut reads) = (None, 0);
        while let Some(socket) = &mut self.socket {
            let cut = self.cut.len();
            buffer[..cut].copy_from_slice(&self.cut);
            match socket.read(&mut buffer[cut..]) {
                Ok(read @ 1..) => {
                    let now = clock.now();
                    self.take(&buffer[..cut + read], now, arrivals)?;
                    (last, reads) = (Some(now), reads + 1);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Ok(0) | Err(_) => {
                    self.socket = None;
                    arrivals.over += 1;
                }
            }
        }
        Ok((last, reads))
    }

    fn take(&mut self, mut piece: &[u8], now: Duration, arrivals: &mut Arrivals) -> Result<()> {
        self.cut.clear();
        while let Some(at) = memchr::memchr(b'@', piece) {
            let Some(end) = piece.get(at + MARK..) else {
                self.cut.extend_from_slice(&piece[at..]);
                break;
            };
            let (number, published) = mark::read(&piece[at..at + MARK]).context("not a mark")?;
            ensure!(number >= self.next, "event {number} came after event {}", self.next - 1);
            self.next = number + 1;
            arrivals.add(number, now.saturating_sub(published))?;
            piece = end;
        }
        Ok(())
    }
}

/// A connection that reads the answer's head and nothing else. The system holds as little for it as for one
/// over Ethernet.
pub struct Stalled {
    _socket: Socket,
}

impl Stalled {
    pub fn connect(port: u16) -> Result<Self> {
        let mut socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_tcp_mss(1448)?;
        socket.set_recv_buffer_size(4096)?;
        socket.set_read_timeout(Some(Duration::from_secs(20)))?;
        subscribe(&socket, port)?;
        let mut head = [0; 1024];
        let read = socket.read(&mut head)?;
        ensure!(is_stream(&head[..read]), "no stream: {}", text(&head[..read]));
        Ok(Self { _socket: socket })
    }
}

fn subscribe(mut socket: &Socket, port: u16) -> Result<()> {
    socket.connect(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into())?;
    let request = "GET /events HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n";
    Ok(socket.write_all(request.as_bytes())?)
}

fn is_stream(head: &[u8]) -> bool {
    let head = text(head).to_ascii_lowercase();
    head.starts_with("http/1.1 200 ") && head.contains("\r\ncontent-type: text/event-stream")
}

fn text(head: &[u8]) -> String {
    String::from_utf8_lossy(head).into_owned()
}

/// Subscribers that connect from one address.
const PER_ADDRESS: usize = 20_000;
