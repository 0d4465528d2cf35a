//! From the log's tail to every subscriber.
//!
//! ```text
//!  Log::tail ─▶ feed ─▶ Recent (the newest frames) ─▶ thread ─▶ audiences ─▶ one write of shared bytes for each member
//!  Log::read ─▶ replay (a page at a time, one budget) ─┘            └ who is behind: a cursor, and what is unsent
//! ```
//!
//! A few threads, each with an epoll of its own (kqueue elsewhere), own the subscribers. One that is up to date is an entry in a
//! table: no task, no timer, no buffer. One that does not read costs what it has not been sent of one write, and a place in the
//! log: it goes on from there when there is room, from the window or by pages of the log, which share one budget of memory.
//! Live and replay are the same order read by the same cursor, so nothing is missed between them and nothing is repeated.

mod audience;
mod background;
mod budget;
mod engine;
mod figures;
mod frame;
mod framing;
mod inbox;
mod paced_log;
mod pipe;
mod prefix_tree;
mod recent;
mod replay;
mod sink;
mod subscriber;
mod template_budget;
mod templates;
mod turns;
mod wheel;

use std::any::Any;
use std::io;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use ssekit_log::{Entry, Log, Position, ReadError};
use tokio::task::AbortHandle;

use self::budget::Budget;
use self::engine::Engine;
pub use self::figures::Figures;
pub use self::frame::{Frame, Interest};
use self::framing::{Framing, Piece};
use self::inbox::{Inbox, Message};
use self::paced_log::{PacedLog, Unread};
use self::pipe::Pipe;
pub use self::pipe::{Body, Cut};
use self::recent::Recent;
use self::replay::Replay;
use self::sink::Sink;
pub use self::subscriber::End;
pub(crate) use self::template_budget::{TemplateBudget, TemplatesFull};
use ssekit_mercure::Ids;

use crate::log_limit::LogLimit;

/// How subscribers are served.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads that write; at least one.
    pub threads: usize,
    /// The newest frames that are kept in memory, in bytes.
    pub window: usize,
    /// Memory for the bytes that wait for all subscribers together, replayed or new, besides the window.
    pub pending_memory: usize,
    /// Bytes that may wait for one subscriber.
    pub pending: usize,
    /// When what is due.
    pub pace: Pace,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            window: 16 << 20,
            pending_memory: 64 << 20,
            pending: 64 << 10,
            pace: Pace::default(),
        }
    }
}

/// When what is due to a subscriber.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// A comment after so much silence.
    pub heartbeat: Duration,
    /// Who reads nothing for so long is closed.
    pub stall: Duration,
    /// When to come back: a time between these, other for each.
    pub retry: (Duration, Duration),
    /// What happens to who has still to read what the log no longer holds.
    pub overtaken: Overtaken,
}

/// What happens to a subscriber that the log's retention overtakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overtaken {
    /// It is closed, and told by a `reset` event when it comes back with its last event ID. A subscriber that has had no event yet
    /// could not say where to resume, and a subscriber that reads the whole history would begin again: both get an event `gap` and go on.
    Close,
    /// It goes on with what is left, after an event `gap`.
    Skip,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            // Below the 30 s after which the most impatient proxies give up, and twice within the usual 60 s.
            heartbeat: Duration::from_secs(25),
            stall: Duration::from_secs(30),
            retry: (Duration::from_millis(500), Duration::from_millis(1500)),
            overtaken: Overtaken::Close,
        }
    }
}

impl Pace {
    /// A reconnection time, spread so that those who leave together do not return together.
    pub fn retry(&self) -> Duration {
        let (from, to) = self.retry;
        from + to.saturating_sub(from).mul_f64(fastrand::f64())
    }

    fn farewell(&self) -> Vec<u8> {
        let mut farewell = Vec::new();
        ssekit_wire::Event::empty().with_retry(self.retry()).encode(&mut farewell);
        farewell
    }
}

/// A subscription: what for, from where, and how long.
#[derive(Debug)]
pub struct Subscription {
    /// What it is for.
    pub interest: Interest,
    /// What is written first: comments, a `reset` event.
    pub first: Bytes,
    /// Where it begins; None for what is published from now on.
    pub start: Option<Start>,
    /// Nothing is written to it from then on; it ends up to 0.1 s before.
    pub ends: Option<Instant>,
    /// Dropped when it has ended.
    pub guard: Option<Box<dyn Any + Send>>,
}

/// Where a subscription begins in what has been published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// After this place.
    pub after: Position,
    /// The subscriber knows of records that are gone up to here. None where it begins with the earliest record that is held when
    /// it is read: it misses nothing before its first event.
    pub told: Option<Position>,
    /// Up to here it gets what the log holds, and not what is still in memory although it is gone from there.
    pub stored: Position,
}

impl Start {
    /// After this place, of which nothing is missing.
    pub fn at(after: Position) -> Self {
        Self { after, told: Some(Position::START), stored: Position::START }
    }
}

/// The threads that serve subscribers, and what feeds them.
#[derive(Debug)]
pub struct Fanout {
    inboxes: Box<[Arc<Inbox>]>,
    recent: Arc<Recent>,
    log: Arc<PacedLog>,
    budget: Arc<Budget>,
    next: AtomicUsize,
    pending: usize,
    threads: Mutex<Vec<JoinHandle<io::Result<()>>>>,
    feed: AbortHandle,
}

impl Fanout {
    /// Starts to deliver what is appended to the log from now on.
    ///
    /// # Errors
    /// When the log cannot be read, or the system gives no epoll or thread.
    pub async fn start(log: Arc<dyn Log>, options: &Options, figures: Arc<Figures>) -> io::Result<Self> {
        let last = log.bounds().await.map_err(io::Error::other)?.last;
        // Opened now, so that it reports the loss of any record appended from now on.
        let tail = log.tail(last);
        let budget = Budget::new(options.pending_memory.max(replay::PAGE));
        let replay = Replay::start(Arc::clone(&log), Arc::clone(&budget))?;
        let polls = (0..options.threads.max(1)).map(|_| mio::Poll::new()).collect::<io::Result<Vec<_>>>()?;
        let wakers = polls.iter().map(engine::waker).collect::<io::Result<Vec<_>>>()?;
        let recent = Arc::new(Recent::new(options.window, last, wakers.clone()));
        let inboxes: Box<[_]> = wakers.into_iter().map(|waker| Arc::new(Inbox::new(waker))).collect();
        let mut threads = Vec::new();
        for (number, poll) in polls.into_iter().enumerate() {
            let engine = Engine::new(
                number,
                poll,
                Arc::clone(&inboxes[number]),
                Arc::clone(&recent),
                replay.clone(),
                options.pace,
                Arc::clone(&figures),
            );
            let thread = std::thread::Builder::new().name(format!("fan-out {number}"));
            threads.push(thread.spawn(move || engine.run())?);
        }
        let unread = Arc::new(Unread::new(last));
        let feed = Feed {
            ids: Ids::new(log.epoch()),
            recent: Arc::clone(&recent),
            unread: Arc::clone(&unread),
            budget: Arc::clone(&budget),
            figures,
        };
        let feed = tokio::spawn(feed.run(Arc::clone(&log), tail)).abort_handle();
        Ok(Self {
            inboxes,
            recent,
            log: Arc::new(PacedLog::new(log, unread)),
            budget,
            next: AtomicUsize::new(0),
            pending: options.pending,
            threads: Mutex::new(threads),
            feed,
        })
    }

    /// Subscribes a socket, from now on the hub's own: nothing else may read it or write to it. It is written this head of a response, and
    /// then a body in chunks (RFC 9112, section 7.1), an event each: readers that ask for so many bytes at a time have each event at once.
    pub fn subscribe_socket(
        &self,
        socket: mio::net::TcpStream,
        mut head: Vec<u8>,
        mut subscription: Subscription,
    ) {
        if !subscription.first.is_empty() {
            head.extend_from_slice(Piece::of(&[&subscription.first]).framed(Framing::Chunked));
        }
        subscription.first = head.into();
        self.subscribe(Sink::Socket(socket), subscription);
    }

    /// Subscribes the body of a response to this peer.
    pub fn subscribe_body(&self, mut subscription: Subscription, peer: Option<IpAddr>) -> Body {
        // Its head may be with the client before a thread knows of it: what is published from then on is for it.
        subscription.start.get_or_insert_with(|| Start::at(self.recent.last()));
        let pipe = Arc::new(Pipe::new(self.pending, Arc::clone(&self.budget)));
        self.subscribe(Sink::body(Arc::clone(&pipe), peer), subscription);
        Body(pipe)
    }

    fn subscribe(&self, sink: Sink, subscription: Subscription) {
        let thread = self.next.fetch_add(1, Ordering::Relaxed) % self.inboxes.len();
        self.inboxes[thread].send(Message::Join(Box::new((sink, subscription))));
    }

    /// The log, whose appends wait here for the fan-out: 10 s at most, then they fail with
    /// [`AppendError::Busy`](ssekit_log::AppendError::Busy).
    pub fn log(&self) -> Arc<dyn Log> {
        Arc::clone(&self.log) as Arc<dyn Log>
    }

    /// Bytes in memory that wait for subscribers, without the newest updates.
    pub fn pending_bytes(&self) -> usize {
        self.budget.used()
    }

    /// Ends the streams of tokens that no longer verify.
    pub fn keys_replaced(&self) {
        for inbox in &self.inboxes {
            inbox.send(Message::KeysReplaced);
        }
    }

    /// Up to where all who are up to date have been written.
    pub fn through(&self) -> Position {
        self.recent.passed()
    }

    /// Waits until what was appended up to there has been written to all who are up to date.
    pub async fn passed(&self, position: Position) {
        self.recent.until_passed(position).await;
    }

    /// Sends all subscribers away within this time, told when to come back, and waits for the threads' end.
    pub async fn end(&self, over: Duration) {
        for inbox in &self.inboxes {
            inbox.send(Message::End(over));
        }
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let ended = tokio::task::spawn_blocking(|| {
            for thread in threads {
                match thread.join() {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::error!(%error, "a delivery thread failed"),
                    Err(_) => tracing::error!("a delivery thread panicked"),
                }
            }
        });
        let _ = ended.await;
        self.feed.abort();
    }
}

impl Drop for Fanout {
    fn drop(&mut self) {
        self.feed.abort();
        for inbox in &self.inboxes {
            inbox.send(Message::End(Duration::ZERO));
        }
    }
}

/// Hands the records of the log's tail to the threads.
struct Feed {
    ids: Ids,
    recent: Arc<Recent>,
    unread: Arc<Unread>,
    budget: Arc<Budget>,
    figures: Arc<Figures>,
}

/// The tail of a log.
type Tail = BoxStream<'static, Result<Vec<Entry>, ReadError>>;

impl Feed {
    /// Reads the tail to its end. If the log panics, it opens another tail at the same place.
    async fn run(self, log: Arc<dyn Log>, tail: Tail) {
        let mut first = Some(tail);
        loop {
            let read = AssertUnwindSafe(async {
                self.read(first.take().unwrap_or_else(|| log.tail(self.recent.last()))).await;
            });
            if read.catch_unwind().await.is_ok() {
                return;
            }
            let after = self.recent.last().0;
            tracing::error!(
                after,
                "the log has panicked, so new updates are not delivered now; the hub tries again each second"
            );
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn read(&self, mut tail: Tail) {
        let log_limit = LogLimit::default();
        while let Some(next) = tail.next().await {
            match next {
                Ok(entries) => {
                    if let Some(newest) = entries.last() {
                        self.unread.read_upto(newest.position);
                    }
                    let frame = |entry| Arc::new(Frame::for_window(entry, &self.ids, &self.budget));
                    let frames = entries.into_iter().map(frame).collect();
                    self.recent.push(frames).await;
                }
                Err(ReadError::Missed { after, horizon }) => {
                    self.unread.read_upto(horizon);
                    self.figures.tail_gaps.inc();
                    if let Some(count) = log_limit.due("missed", LogLimit::OFTEN, Instant::now()) {
                        tracing::error!(
                            count,
                            after = after.0,
                            horizon = horizon.0,
                            "retention removed updates before they were delivered: every subscriber is disconnected or sent a `gap` event; increase the retention"
                        );
                    }
                    self.recent.skip_to(horizon).await;
                }
                Err(error) => {
                    if let Some(count) = log_limit.due("unreadable", LogLimit::SELDOM, Instant::now()) {
                        tracing::error!(%error, count, "cannot read new updates from the log, so they are not delivered; retrying every second");
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}

/// The pause after the log could not be read.
const RETRY: Duration = Duration::from_secs(1);
