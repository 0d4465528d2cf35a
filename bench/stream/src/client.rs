use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::server::DATA;

/// Reads one stream from a socket and counts its events, by a character that each holds once.
pub struct Client {
    socket: TcpStream,
    buffer: Vec<u8>,
}

pub struct Counted {
    pub events: usize,
    pub time: Duration,
}

impl Client {
    pub fn connect(port: u16) -> Result<Self> {
        let mut socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        socket.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
        Ok(Self { socket, buffer: vec![0; 256 << 10] })
    }

    pub fn count_for(&mut self, time: Duration) -> Result<Counted> {
        let mark = DATA.as_bytes()[0];
        let (begin, mut events) = (Instant::now(), 0);
        loop {
            let read = self.socket.read(&mut self.buffer)?;
            ensure!(read > 0, "the server has ended its stream");
            events += memchr::memchr_iter(mark, &self.buffer[..read]).count();
            if begin.elapsed() >= time {
                ensure!(events > 0, "no event has come");
                return Ok(Counted { events, time: begin.elapsed() });
            }
        }
    }
}
