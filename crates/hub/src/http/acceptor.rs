//! Acceptor of plain HTTP connections: a thread that looks at the first request of each without reading it.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use http::Method;
use http::request::Parts;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;
use ssekit_mercure::{Subscribe, cors};
use tokio::runtime::Handle;

use super::connection_limit::{Lease, Permit};
use super::http1::{self, first_request, parse};
use super::rejections::RejectReason;
use super::{Protocol, Server, publish_pipeline};

/// The thread that accepts plain HTTP connections.
///
/// A connection whose first request subscribes goes to the fan-out; one whose first request publishes goes to
/// [`publish_pipeline`], all others to hyper. The last two get it unread.
#[derive(Debug)]
pub(super) struct Acceptor {
    waker: Waker,
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Acceptor {
    /// Starts to accept on these listeners.
    pub(super) fn open(listeners: Vec<StdListener>, server: Arc<Server>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        let mut own = Vec::new();
        for (number, listener) in listeners.into_iter().enumerate() {
            listener.set_nonblocking(true)?;
            let mut listener = TcpListener::from_std(listener);
            poll.registry().register(&mut listener, Token(usize::MAX - 1 - number), Interest::READABLE)?;
            own.push(listener);
        }
        let closing = Arc::new(AtomicBool::new(false));
        let keeper = AcceptLoop {
            poll,
            listeners: own,
            waiting: Slab::new(),
            oldest: std::collections::VecDeque::new(),
            generation: 0,
            server,
            closing: Arc::clone(&closing),
            runtime: Handle::current(),
            reserve: std::fs::File::open("/dev/null").ok(),
        };
        let thread = std::thread::Builder::new().name("acceptor".to_owned()).spawn(move || keeper.run())?;
        Ok(Self { waker, closing, thread: Some(thread) })
    }

    /// Stops accepting.
    pub(super) fn close(&mut self) {
        self.closing.store(true, Ordering::Release);
        let _ = self.waker.wake();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the acceptor thread panicked: no new connections are accepted");
        }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.close();
    }
}

#[derive(Debug)]
struct AcceptLoop {
    poll: Poll,
    listeners: Vec<TcpListener>,
    /// Connections that have sent nothing yet.
    waiting: Slab<Waiting>,
    /// The same, oldest first; it also has connections that have sent something since.
    oldest: std::collections::VecDeque<(usize, u64, Instant)>,
    generation: u64,
    server: Arc<Server>,
    closing: Arc<AtomicBool>,
    runtime: Handle,
    /// Descriptor that is freed when none is left, so that a client can be told to retry.
    reserve: Option<std::fs::File>,
}

#[derive(Debug)]
struct Waiting {
    socket: TcpStream,
    peer: SocketAddr,
    generation: u64,
}

impl AcceptLoop {
    fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        // Listeners that may have more connections.
        let mut more = true;
        while !self.closing.load(Ordering::Acquire) {
            let patience = if more { Some(Duration::ZERO) } else { self.until_expiry() };
            match self.poll.poll(&mut events, patience) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::error!(%error, "the acceptor failed: no new connections are accepted");
                    return;
                }
            }
            for event in &events {
                let Token(token) = event.token();
                if token < self.listeners_from() {
                    self.on_readable(token);
                } else {
                    more = true;
                }
            }
            if more {
                more = (0..self.listeners.len()).map(|number| self.accept(number)).fold(false, |a, b| a | b);
            }
            self.close_expired();
        }
    }

    fn listeners_from(&self) -> usize {
        usize::MAX - self.listeners.len()
    }

    /// Accepts waiting connections; true if there may be more.
    fn accept(&mut self, number: usize) -> bool {
        for _ in 0..BATCH {
            match self.listeners[number].accept() {
                Ok((socket, peer)) => self.on_accept(socket, peer),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if is_exhausted(&error) => {
                    self.server.rejections.exhausted(&error);
                    if !self.evict_oldest() {
                        self.reject_without_fd(number);
                    }
                    return true;
                }
                // The client has left before it was accepted.
                Err(error) => tracing::debug!(%error, "cannot accept a connection"),
            }
        }
        true
    }

    /// Uses the reserved descriptor to tell one client to retry.
    ///
    /// A connection that sends no request within a moment cannot be answered, and is closed.
    fn reject_without_fd(&mut self, number: usize) {
        drop(self.reserve.take());
        let mut head = [0; MAX_HEAD];
        let accepted = self.listeners[number].accept().map(|(socket, _)| std::net::TcpStream::from(socket));
        match accepted {
            Ok(mut socket) => {
                let heard = socket
                    .set_nonblocking(false)
                    .and_then(|()| socket.set_read_timeout(Some(MOMENT)))
                    .and_then(|()| io::Read::read(&mut socket, &mut head));
                if let Ok(length @ 1..) = heard {
                    let _ = socket.set_nonblocking(true);
                    let _ = io::Write::write(&mut socket, &self.server.busy(&head[..length]));
                }
            }
            // An immediate retry would only keep the processor busy.
            Err(_) => std::thread::sleep(MOMENT),
        }
        self.reserve = std::fs::File::open("/dev/null").ok();
    }

    /// Closes the connection that has been silent for the longest time, if there is one.
    fn evict_oldest(&mut self) -> bool {
        while let Some((key, generation, _)) = self.oldest.pop_front() {
            if self.waiting.get(key).is_some_and(|waiting| waiting.generation == generation) {
                self.waiting.remove(key);
                self.server.rejections.connection(RejectReason::Silent);
                return true;
            }
        }
        false
    }

    /// Dispatches a new connection, or waits if it has sent nothing yet.
    fn on_accept(&mut self, socket: TcpStream, peer: SocketAddr) {
        let Err(mut socket) = self.dispatch(socket, peer) else { return };
        let connection_limit = &self.server.connection_limit;
        if self.waiting.len() >= connection_limit.most().saturating_sub(connection_limit.taken()).max(SILENT)
        {
            self.evict_oldest();
        }
        self.generation += 1;
        let (generation, since) = (self.generation, Instant::now());
        let entry = self.waiting.vacant_entry();
        let key = entry.key();
        if let Err(error) = self.poll.registry().register(&mut socket, Token(key), Interest::READABLE) {
            tracing::warn!(%error, "cannot poll a connection: closing it");
            return;
        }
        self.oldest.push_back((key, generation, since));
        entry.insert(Waiting { socket, peer, generation });
    }

    fn on_readable(&mut self, key: usize) {
        // After a spurious wake-up, the connection continues to wait.
        let spoke = |waiting: &mut Waiting| !matches!(waiting.socket.peek(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        if !self.waiting.get_mut(key).is_some_and(spoke) {
            return;
        }
        let Waiting { mut socket, peer, .. } = self.waiting.remove(key);
        if self.poll.registry().deregister(&mut socket).is_ok() {
            let _ = self.dispatch(socket, peer);
        }
    }

    /// Dispatches a connection by its first request; returns it if there is no request yet.
    fn dispatch(&mut self, socket: TcpStream, peer: SocketAddr) -> Result<(), TcpStream> {
        let mut head = [0; MAX_HEAD];
        let length = match socket.peek(&mut head) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(socket),
            Err(_) => return Ok(()),
        };
        let Some(permit) = self.server.admit(Some(peer.ip())) else {
            self.refuse(socket, &mut head);
            return Ok(());
        };
        match self.subscription(&head[..length]) {
            Some(_) if !self.admit_subscriber() => self.refuse(socket, &mut head),
            Some((request, subscribe)) => self.subscribe(socket, length, request, subscribe, permit),
            None => {
                let server = Arc::clone(&self.server);
                let first = &head[..length];
                let lease = Lease::new(permit);
                let is_whole = first_request(first).is_some();
                if !is_whole {
                    lease.set_idle();
                }
                let publishes = first.starts_with(b"POST ") && is_whole;
                let (socket, protocol) = (std::net::TcpStream::from(socket), Protocol::of(first));
                self.runtime.spawn(async move {
                    match tokio::net::TcpStream::from_std(socket) {
                        Ok(socket) if publishes => publish_pipeline::serve(&server, socket, lease).await,
                        Ok(socket) => server.serve(socket, protocol, lease).await,
                        Err(error) => tracing::warn!(%error, "cannot serve a connection: closing it"),
                    }
                });
            }
        }
        Ok(())
    }

    /// Answers a client beyond a limit.
    fn refuse(&self, mut socket: TcpStream, head: &mut [u8]) {
        // The request is read first: closing a connection with unread input resets it, and the answer is
        // lost.
        let length = io::Read::read(&mut socket, head).unwrap_or_default();
        let _ = io::Write::write(&mut socket, &self.server.busy(&head[..length]));
    }

    /// Whether one more subscriber is admitted now.
    fn admit_subscriber(&self) -> bool {
        if self.server.hub.is_ending() {
            return false;
        }
        let Some(rate) = self.server.rate.as_ref().filter(|rate| !rate.take(Instant::now())) else {
            return true;
        };
        self.server.rejections.turned_away("limits.connects_per_second", rate.per_second().into());
        false
    }

    /// Reads and grants the subscription of a request head.
    ///
    /// `None` for all other requests, which hyper answers.
    fn subscription(&self, head: &[u8]) -> Option<(Parts, Subscribe)> {
        let request = parse(head)?;
        if request.method != Method::GET || request.uri.path() != self.server.hub.path {
            return None;
        }
        let hub = &self.server.hub;
        let subscribe = Subscribe::read(&request, &hub.access, &hub.limits, SystemTime::now()).ok()?;
        Some((request, subscribe))
    }

    fn subscribe(
        &self,
        mut socket: TcpStream,
        length: usize,
        request: Parts,
        subscribe: Subscribe,
        permit: Permit,
    ) {
        // All bytes that were peeked at are in the socket's buffer, and are read now.
        if !matches!(io::Read::read(&mut socket, &mut [0; MAX_HEAD][..length]), Ok(read) if read == length) {
            return;
        }
        let hub = Arc::clone(&self.server.hub);
        let guard: Option<Box<dyn std::any::Any + Send>> = Some(Box::new(permit));
        if hub.is_simple(&subscribe) {
            let granted = hub.grant(&request, subscribe, guard);
            return start_stream(&hub, socket, granted);
        }
        let rejections = Arc::clone(&self.server.rejections);
        self.runtime.spawn(async move {
            match hub.resolve(&request, subscribe, guard).await {
                Ok(granted) => start_stream(&hub, socket, granted),
                Err(problem) => {
                    rejections.request(&problem);
                    let mut response = problem.response();
                    cors::allow_reading(&request, &hub.access.cors_origins, response.headers_mut());
                    let _ = io::Write::write(&mut socket, &http1::last(response));
                }
            }
        });
    }

    fn until_expiry(&self) -> Option<Duration> {
        let (.., since) = self.oldest.front()?;
        Some(
            (*since + self.server.head_time)
                .saturating_duration_since(Instant::now())
                .max(Duration::from_millis(1)),
        )
    }

    /// Closes connections that have been silent for too long.
    fn close_expired(&mut self) {
        let now = Instant::now();
        while let Some(&(key, generation, since)) = self.oldest.front() {
            let here = self.waiting.get(key).is_some_and(|waiting| waiting.generation == generation);
            if here && now.saturating_duration_since(since) < self.server.head_time {
                return;
            }
            self.oldest.pop_front();
            if here {
                self.waiting.remove(key);
                self.server.rejections.connection(RejectReason::Silent);
            }
        }
    }
}

/// Hands a socket to the fan-out, with the head of the answer.
fn start_stream(hub: &crate::hub::Hub, socket: TcpStream, granted: crate::hub::Granted) {
    let crate::hub::Granted { headers, subscription } = granted;
    hub.fanout.subscribe_socket(socket, http1::stream_head(&headers), subscription);
}

pub(super) fn is_exhausted(error: &io::Error) -> bool {
    // EMFILE and ENFILE have no `ErrorKind` of their own.
    matches!(error.raw_os_error(), Some(23 | 24)) || error.kind() == io::ErrorKind::OutOfMemory
}

const WAKE: Token = Token(usize::MAX);
/// Maximum number of connections that are accepted in a row.
const BATCH: usize = 256;
/// Maximum number of bytes of a head that are looked at; hyper serves longer ones.
const MAX_HEAD: usize = 8 << 10;
/// Number of connections that may be silent even if the connection limit is reached.
const SILENT: usize = 64;
/// Time for which the acceptor waits for the request of a client that it rejects.
const MOMENT: Duration = Duration::from_millis(10);
