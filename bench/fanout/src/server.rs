//! The contestants. Each serves `GET /events` and `POST /publish`, whose body becomes an event's data and
//! which is answered when the event has been published.

pub mod broadcast;
mod channel;
mod floor;

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use clap::ValueEnum;
use socket2::{Domain, Socket, Type};

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Contestant {
    Floor,
    Axum,
    Ssekit,
    Gathering,
}

impl Contestant {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Axum => "axum",
            Self::Ssekit => "ssekit",
            Self::Gathering => "gathering",
        }
    }

    /// Its name in the tables.
    pub fn title(self) -> &'static str {
        match self {
            Self::Floor => "floor: one thread, one `send`",
            Self::Axum => "axum `Sse`, tokio `broadcast`",
            Self::Ssekit => "ssekit `Channel`",
            Self::Gathering => "the same, `gather(10 ms)`",
        }
    }
}

/// Serves until the process is killed; prints the port first.
pub fn serve(name: Contestant, port: u16) -> Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    println!("{}", listener.local_addr()?.port());
    match name {
        Contestant::Floor => floor::serve(&listener),
        Contestant::Axum => run(listener, broadcast::router()),
        Contestant::Ssekit => run(listener, channel::router(Duration::ZERO)),
        Contestant::Gathering => run(listener, channel::router(GATHER)),
    }
}

/// Events that are published within this time leave together.
const GATHER: Duration = Duration::from_millis(10);

/// Connections that wait to be accepted; the standard library's 128 overflow when thousands come at once.
const BACKLOG: i32 = 4096;

/// As `#[tokio::main]` does it.
fn run(listener: TcpListener, router: Router) -> Result<()> {
    listener.set_nonblocking(true)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        Ok(axum::serve(listener, router).await?)
    })
}
