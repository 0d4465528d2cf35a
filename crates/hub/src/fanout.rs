//! Delivery from the log's tail to every subscriber.
//!
//! ```text
//!  Log::tail ─▶ feed ─▶ DeliveryWindow (the newest frames) ─▶ thread ─▶ audiences ─▶ one write per member
//!  Log::read ─▶ replay (a page at a time, one budget) ─┘            └ a subscriber behind: a cursor
//! ```
//!
//! A few threads, each with its own epoll (kqueue elsewhere), own the subscribers. A subscriber that is up to
//! date is an entry in a table: no task, no timer, no buffer. A subscriber that does not read costs the
//! unsent rest of one write and a cursor: when its socket takes more, it continues from the window, or with
//! pages of the log, which share one memory budget. Live delivery and replay read the same order with the
//! same cursor, so nothing between them is lost or repeated.

mod background;
mod body_channel;
mod budget;
mod engine;
mod frame;
mod framing;
mod inbox;
mod metrics;
mod paced_log;
mod prefix_tree;
mod replay;
mod sink;
mod subscriber;
mod template_budget;
mod templates;
mod timer_wheel;
mod topic_index;
mod turns;
mod window;

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

use self::body_channel::BodyChannel;
pub use self::body_channel::{Body, Cut};
use self::budget::Budget;
use self::engine::Engine;
pub use self::frame::{Frame, Interest};
use self::framing::{Framing, Piece};
use self::inbox::{Inbox, Message};
pub use self::metrics::Metrics;
use self::paced_log::{PacedLog, Unread};
use self::replay::Replay;
use self::sink::Sink;
pub use self::subscriber::End;
pub(crate) use self::template_budget::{TemplateBudget, TemplatesFull};
use self::window::DeliveryWindow;
use ssekit_mercure::Ids;

use crate::log_limit::LogLimit;

/// Options of the delivery.
#[derive(Clone, Debug)]
pub struct Options {
    /// Number of threads that write; at least one.
    pub threads: usize,
    /// Bytes of the newest frames that stay in memory.
    pub window: usize,
    /// Bytes that may wait for all subscribers together, replayed or new, without the window.
    pub pending_memory: usize,
    /// Bytes that may wait for one subscriber.
    pub pending: usize,
    /// Times of the delivery.
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

/// Times of the delivery to a subscriber, and the policy for overtaken ones.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Silence after which the hub sends a comment.
    pub heartbeat: Duration,
    /// Time without progress after which a subscriber is closed.
    pub stall: Duration,
    /// Range of the reconnection time; each client gets a random value.
    pub retry: (Duration, Duration),
    /// Policy for subscribers that retention overtakes.
    pub overtaken: Overtaken,
}

/// Policy for a subscriber that the log's retention overtakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overtaken {
    /// Closes the subscriber.
    ///
    /// It gets a `reset` event when it returns with its last event ID. A subscriber that has had no event
    /// could not resume, and one that reads the whole history would begin again: both get a `gap` event and
    /// continue.
    Close,
    /// Continues with the remaining records, after a `gap` event.
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
    /// Returns a reconnection time, spread so that clients that leave together do not return together.
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

/// A subscription: its interest, its start, and its end.
#[derive(Debug)]
pub struct Subscription {
    /// Selectors and token.
    pub interest: Interest,
    /// First bytes of the stream: comments, a `reset` event.
    pub first: Bytes,
    /// Start in the log; `None` for updates from now on.
    pub start: Option<Start>,
    /// End of the stream; it ends up to 0.1 s before, and nothing is written to it after.
    pub ends: Option<Instant>,
    /// Dropped when the stream has ended.
    pub guard: Option<Box<dyn Any + Send>>,
}

/// Position in the log at which a subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The position before the first record.
    pub after: Position,
    /// The subscriber knows of lost records up to this position.
    ///
    /// `None` if it begins with the earliest record that the log has when it is read: it misses nothing
    /// before its first event.
    pub told: Option<Position>,
    /// Position up to which the subscriber gets only records that the log still has.
    ///
    /// Frames in memory whose records the log has dropped are not for it.
    pub stored: Position,
}

impl Start {
    /// Starts after this position, with no loss before it.
    pub fn at(after: Position) -> Self {
        Self { after, told: Some(Position::START), stored: Position::START }
    }
}

/// The threads that serve subscribers, and the task that feeds them.
#[derive(Debug)]
pub struct Fanout {
    inboxes: Box<[Arc<Inbox>]>,
    recent: Arc<DeliveryWindow>,
    log: Arc<PacedLog>,
    budget: Arc<Budget>,
    next: AtomicUsize,
    pending: usize,
    threads: Mutex<Vec<JoinHandle<io::Result<()>>>>,
    feed: AbortHandle,
}

impl Fanout {
    /// Starts to deliver the records that are appended from now on.
    ///
    /// # Errors
    /// When the log cannot be read, or the system provides no epoll or thread.
    pub async fn start(log: Arc<dyn Log>, options: &Options, metrics: Arc<Metrics>) -> io::Result<Self> {
        let last = log.bounds().await.map_err(io::Error::other)?.last;
        // The tail is opened now, so that it reports the loss of any record that is appended from now on.
        let tail = log.tail(last);
        let budget = Budget::new(options.pending_memory.max(replay::PAGE));
        let replay = Replay::start(Arc::clone(&log), Arc::clone(&budget))?;
        let polls = (0..options.threads.max(1)).map(|_| mio::Poll::new()).collect::<io::Result<Vec<_>>>()?;
        let wakers = polls.iter().map(engine::waker).collect::<io::Result<Vec<_>>>()?;
        let recent = Arc::new(DeliveryWindow::new(options.window, last, wakers.clone()));
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
                Arc::clone(&metrics),
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
            metrics,
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

    /// Subscribes a socket, which the hub owns from now on: nothing else may read it or write to it.
    ///
    /// The hub writes this response head and then a body in chunks (RFC 9112, section 7.1), one per event:
    /// clients that read a fixed number of bytes at a time then get each event at once.
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
        // The client may have the head before a thread knows of the body. The updates after this moment are
        // for it.
        subscription.start.get_or_insert_with(|| Start::at(self.recent.last()));
        let pipe = Arc::new(BodyChannel::new(self.pending, Arc::clone(&self.budget)));
        self.subscribe(Sink::body(Arc::clone(&pipe), peer), subscription);
        Body(pipe)
    }

    fn subscribe(&self, sink: Sink, subscription: Subscription) {
        let thread = self.next.fetch_add(1, Ordering::Relaxed) % self.inboxes.len();
        self.inboxes[thread].send(Message::Join(Box::new((sink, subscription))));
    }

    /// Returns the log.
    ///
    /// Its appends wait for the fan-out, for at most 10 s; then they fail with
    /// [`AppendError::Busy`](ssekit_log::AppendError::Busy).
    pub fn log(&self) -> Arc<dyn Log> {
        Arc::clone(&self.log) as Arc<dyn Log>
    }

    /// Bytes in memory that wait for subscribers, without the window.
    pub fn pending_bytes(&self) -> usize {
        self.budget.used()
    }

    /// Ends the streams of tokens that no longer verify.
    pub fn keys_replaced(&self) {
        for inbox in &self.inboxes {
            inbox.send(Message::KeysReplaced);
        }
    }

    /// Position up to which all subscribers that are up to date have been written to.
    pub fn through(&self) -> Position {
        self.recent.passed()
    }

    /// Waits until the records up to this position have been written to all subscribers that are up to date.
    pub async fn passed(&self, position: Position) {
        self.recent.until_passed(position).await;
    }

    /// Ends all streams within this time, and waits for the end of the threads.
    ///
    /// Each stream gets a reconnection time.
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
    recent: Arc<DeliveryWindow>,
    unread: Arc<Unread>,
    budget: Arc<Budget>,
    metrics: Arc<Metrics>,
}

/// The tail of a log.
type Tail = BoxStream<'static, Result<Vec<Entry>, ReadError>>;

impl Feed {
    /// Reads the tail to its end. If the log panics, it opens another tail at the same position.
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
                "the log panicked while the hub read new updates, so they are not delivered; retrying \
                 every second"
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
                    self.metrics.tail_gaps.inc();
                    if let Some(count) = log_limit.due("missed", LogLimit::OFTEN, Instant::now()) {
                        tracing::error!(
                            count,
                            after = after.0,
                            horizon = horizon.0,
                            "retention removed updates before they were delivered: every subscriber is \
                             disconnected or sent a `gap` event; increase the retention"
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

/// Pause after a failed read of the log.
const RETRY: Duration = Duration::from_secs(1);
