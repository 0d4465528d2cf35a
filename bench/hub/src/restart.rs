//! A hub that has kept much, and starts again.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::measure::bench;
use crate::server::{Contestant, Program, Server, Store};

/// How long it took until a new subscriber had its stream.
pub struct Restart {
    pub events: u64,
    /// In seconds: after SIGTERM, and the longest after SIGKILL.
    pub asked: f64,
    pub killed: f64,
}

/// Fills a hub, kills it, and starts it again on the same folder, several times; at last, asks it to end.
pub fn run(program: &Program, events: u64) -> Result<Restart> {
    let folder = tempfile::tempdir()?;
    let start = || -> Result<(Server, f64)> {
        let begin = Instant::now();
        let server = Contestant::Hub.start(program, Store::Folder(folder.path()))?;
        subscribe(&server.url)?;
        Ok((server, begin.elapsed().as_secs_f64()))
    };
    let (mut server, empty) = start()?;
    let mut killed = Vec::new();
    for more in [events, events / 50, events / 70, events / 30, events / 100] {
        let fill = format!("publish --batch 1000 --pipeline 4 --events {more}");
        bench(program, &server.url, &server.pids()?, &fill, Contestant::Hub.options(false))?;
        server.stop("-KILL")?;
        let again = start()?;
        server = again.0;
        killed.push(again.1);
    }
    server.stop("-TERM")?;
    let (server, asked) = start()?;
    drop(server);
    eprintln!("    empty {empty:.3} s, after SIGKILL {killed:.3?} s, after SIGTERM {asked:.3} s");
    Ok(Restart { events, asked, killed: killed.into_iter().fold(0.0, f64::max) })
}

/// Subscribes, and waits for the stream.
fn subscribe(address: &str) -> Result<()> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(socket, "GET /.well-known/mercure?topic=bench HTTP/1.1\r\nhost: {address}\r\n\r\n")?;
    let mut head = [0; 1024];
    let read = socket.read(&mut head).context("no answer to a subscriber")?;
    ensure!(head[..read].starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&head[..read]));
    Ok(())
}
