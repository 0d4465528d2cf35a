//! Publishers of a measurement.
//!
//! They publish at a pace, each waiting for its answers; or with as many requests as the connections may
//! carry.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use mio::event::Event;
use mio::{Events, Interest, Poll, Token};

use super::answer::{Answer, Answers};
use super::latency::Latencies;
use super::payload::{Clock, Mark};
use super::publication::Publication;
use super::run_state::{RESPONSE_TIMEOUT, RunState};

/// Pace of the events of a publisher.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// Each event as soon as the one before is answered.
    Unwaiting,
    /// This number of events per second.
    Rate(f64),
    /// After each answer, but at most this number of events ahead of the slowest subscriber.
    Window(u32),
}

/// Publishes this number of events at a pace, each after the answer to the one before.
///
/// Returns the times until the answers.
///
/// # Errors
/// When a publication is refused or not answered, or a subscriber gets no event for too long.
pub(super) fn pace(
    server: SocketAddr,
    mut publication: Publication,
    (run, publisher, events): (u32, u32, u32),
    pace: Pace,
    state: &RunState,
) -> Result<Latencies> {
    let clock = state.clock;
    let mut socket = connect(&server)?;
    socket.set_read_timeout(Some(RESPONSE_TIMEOUT))?;
    let (mut answers, mut piece) = (Answers::default(), [0; 16 << 10]);
    let mut latencies = Latencies::new();
    let begin = clock.now();
    for number in 0..events {
        let mut at = clock.now();
        match pace {
            Pace::Unwaiting => {}
            Pace::Rate(rate) => {
                let due = begin + Duration::from_secs_f64(f64::from(number) / rate);
                // The latency of an event that is late because of a late answer counts from the time at which
                // it was due.
                at = match due.checked_sub(at) {
                    None => due,
                    Some(early) => {
                        thread::sleep(early);
                        clock.now()
                    }
                };
            }
            Pace::Window(window) => {
                if let Some(event) = number.checked_sub(window) {
                    state.wait_until_received(publisher, event)?;
                    at = clock.now();
                }
            }
        }
        socket
            .write_all(publication.stamp(Mark { run, publisher, number, at }))
            .with_context(|| format!("cannot send publication {number} to the server"))?;
        let mut answered = None;
        while answered.is_none() {
            let read = socket.read(&mut piece).with_context(|| {
                format!("no response to publication {number} within {RESPONSE_TIMEOUT:?}")
            })?;
            ensure!(read > 0, "the server closed the publisher's connection after {number} publications");
            answers.take(&piece[..read], |answer| answered = Some(answer))?;
        }
        accepted(&answered.expect("just looked"))?;
        latencies.record(clock.now().saturating_sub(at));
    }
    Ok(latencies)
}

fn connect(server: &SocketAddr) -> Result<TcpStream> {
    let socket =
        TcpStream::connect_timeout(server, RESPONSE_TIMEOUT).context("a publisher cannot connect")?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

fn accepted(answer: &Answer) -> Result<()> {
    let Answer { status, text } = answer;
    ensure!(answer.is_success(), "a publication was refused with {status}: {}", text.trim());
    Ok(())
}

/// Plan of publications as fast as the server takes them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flood {
    pub(super) server: SocketAddr,
    pub(super) run: u32,
    pub(super) connections: u32,
    /// Unanswered requests per connection.
    pub(super) pipeline: u32,
    /// Events of each connection.
    pub(super) events: u32,
}

/// Publishes with this number of connections, and reports answered events.
///
/// Returns the times until the answers. Each connection is a publisher of its own.
///
/// # Errors
/// When a publication is refused, or not answered in time.
pub(super) fn flood(
    plan: Flood,
    publication: &Publication,
    clock: Clock,
    mut answered_events: impl FnMut(u64),
) -> Result<Latencies> {
    let mut poll = Poll::new().context("cannot create a poller for publishers")?;
    let mut events = Events::with_capacity(1024);
    let mut publishers = Vec::new();
    for number in 0..plan.connections {
        let socket = connect(&plan.server)?;
        socket.set_nonblocking(true)?;
        let mut socket = mio::net::TcpStream::from_std(socket);
        let token = Token(number as usize);
        poll.registry().register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        publishers.push(Flooder::new(socket, number, plan, publication.clone()));
    }
    let mut latencies = Latencies::new();
    let mut piece = vec![0; 64 << 10];
    let (mut busy, mut last_answer) = (publishers.len(), clock.now());
    while busy > 0 {
        poll.poll(&mut events, Some(Duration::from_millis(100)))?;
        for event in &events {
            let publisher = &mut publishers[event.token().0];
            if publisher.is_done() {
                continue;
            }
            let mut answers = 0;
            publisher.handle_event(event, &mut piece, clock, |answered| {
                latencies.record(answered);
                answers += 1;
            })?;
            answered_events(answers * u64::from(publication.events()));
            busy -= usize::from(publisher.is_done());
            last_answer = clock.now();
        }
        ensure!(
            clock.now() - last_answer < RESPONSE_TIMEOUT,
            "no response to any publication for {RESPONSE_TIMEOUT:?}"
        );
    }
    Ok(latencies)
}

/// One connection of a flood.
struct Flooder {
    socket: mio::net::TcpStream,
    plan: Flood,
    publication: Publication,
    next: Mark,
    /// Unwritten rest of the last request.
    rest: Vec<u8>,
    /// Times of the unanswered requests.
    sent: VecDeque<Duration>,
    answers: Answers,
}

impl Flooder {
    fn new(socket: mio::net::TcpStream, number: u32, plan: Flood, publication: Publication) -> Self {
        let next = Mark { run: plan.run, publisher: number, number: 0, at: Duration::ZERO };
        let (rest, sent) = (Vec::new(), VecDeque::new());
        Self { socket, plan, publication, next, rest, sent, answers: Answers::default() }
    }

    fn is_done(&self) -> bool {
        self.next.number >= self.plan.events && self.sent.is_empty()
    }

    fn handle_event(
        &mut self,
        event: &Event,
        piece: &mut [u8],
        clock: Clock,
        mut answered: impl FnMut(Duration),
    ) -> Result<()> {
        loop {
            self.write(clock)?;
            let read = match self.socket.read(piece) {
                Ok(0) => bail!("the server closed a publisher's connection"),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("a publisher's connection broke"),
            };
            let now = clock.now();
            let (sent, mut refused) = (&mut self.sent, None);
            self.answers.take(&piece[..read], |answer| match sent.pop_front() {
                Some(since) => {
                    answered(now - since);
                    if !answer.is_success() {
                        refused.get_or_insert(answer);
                    }
                }
                None => {
                    refused.get_or_insert(answer);
                }
            })?;
            if let Some(answer) = refused {
                accepted(&answer)?;
                bail!("the server sent a response without a request");
            }
            if read < piece.len() && !event.is_read_closed() {
                return self.write(clock);
            }
        }
    }

    /// Writes as many requests together as may be unanswered.
    fn write(&mut self, clock: Clock) -> Result<()> {
        loop {
            while self.rest.len() < TOGETHER
                && self.next.number < self.plan.events
                && self.sent.len() < self.plan.pipeline as usize
            {
                self.next.at = clock.now();
                self.sent.push_back(self.next.at);
                self.rest.extend_from_slice(self.publication.stamp(self.next));
                self.next.number += self.publication.events();
            }
            if self.rest.is_empty() {
                return Ok(());
            }
            match self.socket.write(&self.rest) {
                Ok(written) => drop(self.rest.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("a publisher's connection broke"),
            }
        }
    }
}

/// Number of bytes up to which requests are written together.
const TOGETHER: usize = 64 << 10;
