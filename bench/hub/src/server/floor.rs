use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Context, Result};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use socket2::{Domain, Socket, Type};

/// The least that a server can do: one thread, one epoll, one buffer that is sent to each subscriber as it
/// is. It has no topics, keeps nothing, sends no heartbeats, and loses the bytes that a subscriber's socket
/// does not take at once.
pub fn serve() -> Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0).into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let mut listener = TcpListener::from_std(socket.into());
    println!("{}", listener.local_addr()?);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut floor = Floor { peers: Slab::new(), number: 0, buffer: vec![0; 64 << 10] };
    let mut events = Events::with_capacity(1024);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((socket, _)) = listener.accept() {
                    floor.welcome(socket, &poll)?;
                }
            } else if floor.peers.contains(event.token().0) && floor.hear(event.token().0)?.is_none() {
                floor.peers.remove(event.token().0);
            }
        }
    }
}

struct Floor {
    peers: Slab<Peer>,
    /// Of the last event.
    number: u64,
    buffer: Vec<u8>,
}

struct Peer {
    socket: TcpStream,
    subscribes: bool,
    /// A request that is not whole yet.
    received: Vec<u8>,
}

impl Floor {
    fn welcome(&mut self, socket: TcpStream, poll: &Poll) -> Result<()> {
        socket.set_nodelay(true)?;
        let entry = self.peers.vacant_entry();
        let token = Token(entry.key());
        let peer = entry.insert(Peer { socket, subscribes: false, received: Vec::new() });
        poll.registry().register(&mut peer.socket, token, Interest::READABLE)?;
        // Most have sent their request already.
        if self.hear(token.0)?.is_none() {
            self.peers.remove(token.0);
        }
        Ok(())
    }

    /// Reads and serves the requests that have come; `None` if the peer has gone.
    fn hear(&mut self, key: usize) -> Result<Option<()>> {
        loop {
            let peer = &mut self.peers[key];
            let read = match peer.socket.read(&mut self.buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Some(())),
                Ok(0) | Err(_) => return Ok(None),
                Ok(read) => read,
            };
            peer.received.extend_from_slice(&self.buffer[..read]);
            while let Some((head, length)) = request(&self.peers[key].received)? {
                let peer = &mut self.peers[key];
                if peer.received.len() < head + length {
                    break;
                }
                let body: Vec<u8> = peer.received.drain(..head + length).skip(head).collect();
                if body.is_empty() {
                    peer.subscribes = true;
                    peer.socket.write_all(STREAM)?;
                    peer.received = Vec::new();
                } else {
                    self.publish(&body)?;
                    self.peers[key].socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
                }
            }
        }
    }

    fn publish(&mut self, data: &[u8]) -> Result<()> {
        self.number += 1;
        let event = format!("id: {}\nevent: message\ndata: {}\n\n", self.number, str::from_utf8(data)?);
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        for (_, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.subscribes) {
            // A peer that has gone is noticed when its socket is read.
            let _ = peer.socket.write(chunk.as_bytes());
        }
        Ok(())
    }
}

/// The length of a request's head and of its body, once the head is there.
fn request(received: &[u8]) -> Result<Option<(usize, usize)>> {
    if received.is_empty() {
        return Ok(None);
    }
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(received)? else { return Ok(None) };
    let length = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.map_or(Ok("0"), |length| str::from_utf8(length.value))?;
    Ok(Some((head, length.trim().parse().context("content-length")?)))
}

const STREAM: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

const LISTENER: Token = Token(usize::MAX);

const BACKLOG: i32 = 4096;
