//! Attacks: connections that are opened, kept and opened again.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::Target;
use crate::hub::{PATH, subscribe};
use crate::token::token;

/// Attack: connections that each send hostile bytes, kept open and opened again.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// Number of concurrent connections.
    many: usize,
    /// Time for which a connection is kept.
    hold: Duration,
    /// Whether the peer reads, and answers pings.
    reads: bool,
    say: fn(&mut TcpStream, usize) -> std::io::Result<()>,
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) const ATTACKS: &[Attack] = &[
    Attack {
        name: "256 replays over HTTP/2 without a window",
        many: 16,
        hold: seconds(60),
        reads: true,
        say: zero_window,
    },
    Attack {
        name: "a megabyte without a token, all but its last byte",
        many: 300,
        hold: seconds(30),
        reads: true,
        say: unfinished_body,
    },
    Attack {
        name: "a replay that finds nothing",
        many: 300,
        hold: seconds(5),
        reads: true,
        say: empty_replay,
    },
    Attack {
        name: "a replay of 40 MB that is not read",
        many: 300,
        hold: seconds(40),
        reads: false,
        say: unread_replay,
    },
    Attack {
        name: "eight templates of 32 variables",
        many: 200,
        hold: seconds(10),
        reads: true,
        say: templates,
    },
    Attack {
        name: "64 selectors, and gone at once",
        many: 10,
        hold: Duration::ZERO,
        reads: true,
        say: connect_and_leave,
    },
    Attack { name: "not a byte", many: 300, hold: seconds(60), reads: true, say: |_, _| Ok(()) },
    Attack {
        name: "one byte",
        many: 300,
        hold: seconds(60),
        reads: true,
        say: |socket, _| socket.write_all(b"G"),
    },
    Attack {
        name: "a thousand pings and more, without a request",
        many: 20,
        hold: seconds(2),
        reads: true,
        say: pings,
    },
    Attack { name: "a forged token", many: 10, hold: Duration::ZERO, reads: true, say: forged },
];

impl Attack {
    /// Attacks until the test is over; returns the number of opened connections.
    pub(crate) fn start(&'static self, number: usize, target: &Target) -> JoinHandle<u64> {
        let target = target.clone();
        let from = Ipv4Addr::new(127, 1, 0, 1 + number as u8);
        thread::spawn(move || self.run(from, &target))
    }

    fn run(&self, from: Ipv4Addr, target: &Target) -> u64 {
        let mut open: Vec<(TcpStream, Instant)> = Vec::new();
        let (mut opened, mut number) = (0, 0);
        while !target.is_over() {
            open.retain_mut(|(socket, since)| since.elapsed() < self.hold && (!self.reads || read(socket)));
            // Only as many at a time as leave CPU time for the hub, which runs on the same machine.
            for _ in 0..PER_TURN.min(self.many - open.len()) {
                number += 1;
                let Ok(mut socket) = connect(from, target.addr) else { break };
                opened += 1;
                let said = (self.say)(&mut socket, number);
                if said.is_ok() && socket.set_nonblocking(true).is_ok() {
                    open.push((socket, Instant::now()));
                }
            }
            thread::sleep(TURN);
        }
        opened
    }
}

const PER_TURN: usize = 10;
const TURN: Duration = Duration::from_millis(100);

fn connect(from: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(4096)?;
    socket.bind(&SocketAddr::new(IpAddr::V4(from), 0).into())?;
    socket.connect_timeout(&to.into(), seconds(1))?;
    let socket = TcpStream::from(socket);
    socket.set_write_timeout(Some(Duration::from_millis(50)))?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    Ok(socket)
}

/// Reads the available bytes; false when the hub has closed the connection.
fn read(socket: &mut TcpStream) -> bool {
    let mut scratch = [0; 16 << 10];
    match socket.read(&mut scratch) {
        Ok(0) => false,
        Ok(read) => {
            // The answer to a ping (RFC 9113, section 6.7) makes the hub believe that its peer is alive.
            if let Some(at) = scratch[..read].windows(PING.len()).position(|frame| frame == PING)
                && let Some(data) = scratch[..read].get(at + PING.len()..at + PING.len() + 8)
            {
                let _ = socket.write_all(&[&[0, 0, 8, 6, 1, 0, 0, 0, 0], data].concat());
            }
            true
        }
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

const PING: [u8; 9] = [0, 0, 8, 6, 0, 0, 0, 0, 0];

/// Subscribes 256 times on an HTTP/2 connection whose window is closed (RFC 9113, section 6.9.2).
fn zero_window(socket: &mut TcpStream, _: usize) -> std::io::Result<()> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    socket.write_all(&bytes)?;
    // The hub's settings have arrived, and are acknowledged.
    let _ = socket.read(&mut [0; 256])?;
    let mut bytes = vec![0, 0, 0, 4, 1, 0, 0, 0, 0];
    for number in 0..256 {
        // RFC 7541: GET and http from the static table, then a path and an authority as literals.
        let mut block = vec![0x82, 0x86];
        for (name, value) in
            [(4, format!("{PATH}?topic=bulk&lastEventID=earliest")), (1, "localhost".to_owned())]
        {
            block.extend([name, value.len() as u8]);
            block.extend(value.as_bytes());
        }
        bytes.extend([0, 0, block.len() as u8, 1, 5]);
        bytes.extend((2 * number + 1_u32).to_be_bytes());
        bytes.extend(block);
    }
    socket.write_all(&bytes)
}

/// The hub closes the connection during the flood.
fn pings(socket: &mut TcpStream, _: usize) -> std::io::Result<()> {
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")?;
    socket.write_all(&[PING, [0; 9]].concat()[..17].repeat(5_000))
}

fn unfinished_body(socket: &mut TcpStream, _: usize) -> std::io::Result<()> {
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\n\r\n",
        1 << 20
    );
    socket.write_all(head.as_bytes())?;
    // The hub may have refused it already.
    let _ = socket.write_all(&vec![b'x'; (1 << 20) - 1]);
    Ok(())
}

fn empty_replay(socket: &mut TcpStream, _: usize) -> std::io::Result<()> {
    socket.write_all(subscribe("topic=nothing&lastEventID=earliest").as_bytes())
}

fn unread_replay(socket: &mut TcpStream, _: usize) -> std::io::Result<()> {
    socket.write_all(subscribe("topic=bulk&lastEventID=earliest").as_bytes())
}

fn templates(socket: &mut TcpStream, number: usize) -> std::io::Result<()> {
    let mut query = String::new();
    for template in 0..8 {
        query.push_str(if query.is_empty() { "topic=" } else { "&topic=" });
        for variable in 0..32 {
            let _ = write!(query, "%7Bv{number}x{template}x{variable}:9999%7D");
        }
        query.push_str("%23id!");
    }
    socket.write_all(subscribe(&query).as_bytes())
}

fn connect_and_leave(socket: &mut TcpStream, number: usize) -> std::io::Result<()> {
    let selectors: Vec<_> =
        (0..64).map(|selector| format!("topic=gone-{number}-{selector}-{}", "x".repeat(60))).collect();
    socket.write_all(subscribe(&selectors.join("&")).as_bytes())?;
    let _ = socket.read(&mut [0; 256])?;
    Ok(())
}

fn forged(socket: &mut TcpStream, number: usize) -> std::io::Result<()> {
    let claims = serde_json::json!({ "mercure": { "publish": ["*"], "subscribe": ["*"] } });
    let token = token("another secret, which is as long as it must be", &claims);
    let (method, query) = if number.is_multiple_of(2) { ("GET", "?topic=honest") } else { ("POST", "") };
    let request = format!(
        "{method} {PATH}{query} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-length: 0\r\n\r\n"
    );
    socket.write_all(request.as_bytes())?;
    let mut answer = [0; 12];
    socket.read_exact(&mut answer)?;
    assert_eq!(answer, *b"HTTP/1.1 401", "a forged token is refused");
    Ok(())
}
