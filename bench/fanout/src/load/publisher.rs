use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::mark::{self, Clock};
use super::phase::{Pace, Phase};

/// One connection that publishes, and waits for each answer.
pub struct Publisher {
    socket: TcpStream,
    answer: Vec<u8>,
}

impl Publisher {
    pub fn connect(port: u16) -> Result<Self> {
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket, answer: Vec::new() })
    }

    /// Publishes a phase's events; everyone has those before `complete`.
    pub fn run(&mut self, phase: &Phase, first: usize, clock: Clock, complete: &AtomicUsize) -> Result<()> {
        let begin = clock.now();
        for number in 0..phase.events {
            let mut published = clock.now();
            match phase.pace {
                Pace::Unwaiting => {}
                Pace::Rate(rate) => {
                    let due = begin + Duration::from_secs_f64(number as f64 / rate);
                    // An event that is late because an answer was late counts from the time when it was due.
                    published = match due.checked_sub(published) {
                        None => due,
                        Some(early) => {
                            thread::sleep(early);
                            clock.now()
                        }
                    };
                }
                Pace::Window(window) => {
                    let deadline = Instant::now() + PATIENCE;
                    while first + number >= complete.load(Ordering::Relaxed) + window {
                        ensure!(Instant::now() < deadline, "not everyone got an event in {PATIENCE:?}");
                        thread::park_timeout(Duration::from_millis(10));
                    }
                    published = clock.now();
                }
            }
            self.publish(&mark::data(first + number, published))?;
        }
        Ok(())
    }

    fn publish(&mut self, data: &str) -> Result<()> {
        let length = data.len();
        let head = format!("POST /publish HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n");
        self.socket.write_all((head + data).as_bytes())?;
        self.answer.clear();
        let mut piece = [0; 4096];
        loop {
            let read = self.socket.read(&mut piece).context("no answer to a publication")?;
            ensure!(read > 0, "the server has closed the publisher's connection");
            self.answer.extend_from_slice(&piece[..read]);
            if self.is_answered()? {
                return Ok(());
            }
        }
    }

    fn is_answered(&self) -> Result<bool> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut answer = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head) = answer.parse(&self.answer)? else { return Ok(false) };
        if answer.code != Some(200) {
            bail!("a publication was refused: {}", String::from_utf8_lossy(&self.answer));
        }
        let length = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
        let length: usize =
            str::from_utf8(length.context("an answer without content-length")?.value)?.parse()?;
        Ok(self.answer.len() >= head + length)
    }
}

/// How long an answer, or a delivery to everyone, may take.
const PATIENCE: Duration = Duration::from_secs(20);
