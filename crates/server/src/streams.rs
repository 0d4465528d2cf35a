mod builder;

use std::collections::hash_map::{Entry, RandomState};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slab::Slab;
use tokio::sync::Notify;

pub use self::builder::StreamsBuilder;
use crate::emitter::Emitter;
use crate::outbox::Outbox;
use crate::refusal::{Refusal, RefusalReason, jittered};
use crate::stop::{Membership, StopReason};
use crate::timers::Lifetime;

/// The open streams of a server: ends them all when it shuts down, and limits how many there are and for how
/// long.
///
/// Cheap to clone, all clones are the same. A stream is counted from the building of its response until it
/// has ended or its response was dropped; to come and to go costs the same whatever their number. A stream
/// may be counted by several of these.
///
/// # Shutting down
/// The graceful shutdown of a framework waits for every response, and an event stream has no end by itself.
/// So [`shutdown`](Self::shutdown) ends the streams as it begins. Set once, as a layer, it knows those of
/// every handler:
///
/// ```
/// use axum::{Router, routing::get};
/// use ssekit::{Streams, produce};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// # let ctrl_c = std::future::ready; // as tokio::signal::ctrl_c is
/// let streams = Streams::new();
/// let router = Router::new()
///     .route("/events", get(|| async { produce(|stream| { /* keep it */ drop(stream) }) }))
///     .layer(streams.clone());
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
///
/// let shutdown = streams.shutdown_on(ctrl_c(()));
/// axum::serve(listener, router).with_graceful_shutdown(shutdown).await?;
/// streams.ended().await; // every `on_stop` has run
/// # Ok(()) }
/// ```
///
/// [Other frameworks](crate#shutting-down) have a middleware, a hoop or a fairing instead. With hyper
/// itself, [`scope`](Self::scope) goes around the service, and then:
///
/// ```
/// # use hyper_util::server::graceful::GracefulShutdown;
/// # use ssekit::Streams;
/// # async fn stop(streams: Streams, graceful: GracefulShutdown) {
/// streams.shutdown();
/// graceful.shutdown().await;
/// streams.ended().await;
/// # }
/// ```
///
/// A single stream joins by [`within`](crate::Produce::within), or, where a key of it is to be counted, by
/// [`within_as`](crate::Produce::within_as).
///
/// # Limits
/// A browser's `EventSource` gives up for good when it is answered with anything but 200. So a stream beyond
/// a limit is answered with 200, the time after which to return, and the end. A header, `ssekit-refused`,
/// says why. `start` does not run, and `on_stop` gets [`Refused`](StopReason::Refused).
///
/// ```
/// use std::time::Duration;
/// use ssekit::{Produce, Streams, produce};
///
/// let streams = Streams::builder()
///     .max(10_000)
///     .max_per_key(6)
///     .max_lifetime(Duration::from_secs(3600))
///     .build();
///
/// fn events(streams: &Streams, user: &str) -> Produce {
///     produce(|stream| { /* keep it */ drop(stream) }).within_as(streams, user)
/// }
/// # let _ = events(&streams, "ada");
/// ```
#[derive(Clone)]
pub struct Streams {
    shared: Arc<StreamsShared>,
}

struct StreamsShared {
    limits: StreamsBuilder,
    keys: RandomState,
    state: Mutex<StreamsState>,
    ended: Notify,
    #[cfg(feature = "metrics")]
    recorded: crate::recorded::Recorded,
}

/// Guarded by a lock under which no task is woken and no foreign code runs; removed values are dropped later.
#[derive(Default)]
struct StreamsState {
    open: Slab<Arc<Outbox>>,
    /// Open streams by the hash of their key. It is a keyed hash of 64 bits: nobody can aim at another's
    /// count, and that two of a million keys share one by chance is less likely than one to ten million.
    by_key: HashMap<u64, usize>,
    /// Streams that have left or were refused, and whose `on_stop` or clean-up has not run to its end.
    stopping: usize,
    refused: u64,
    /// Streams that have ended, by the label of the reason.
    ends: BTreeMap<&'static str, u64>,
    shut_down: bool,
}

impl Streams {
    /// Any number of streams, for as long as they like.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Limits to be set.
    pub fn builder() -> StreamsBuilder {
        StreamsBuilder::default()
    }

    /// Ends every stream, from any thread; the second time, nothing happens.
    ///
    /// Each stream takes no more events, sends its emitted events, sends its client a time to return
    /// ([`retry`](StreamsBuilder::retry), spread so that they do not return together), and ends, with
    /// [`Shutdown`](StopReason::Shutdown). Events that a channel still holds for it are not sent: the client
    /// resumes there.
    ///
    /// All have ended within 100 ms. A transport that has not written the rest after 50 ms is given an error,
    /// so that the connection is closed: a graceful shutdown would wait for it. That does not reach
    /// transports that hide it ([`stall_timeout`](crate::Produce::stall_timeout)); give the graceful shutdown
    /// a deadline of its own.
    ///
    /// A stream that is built or first read from now on answers in the same way, and its `start` never runs.
    pub fn shutdown(&self) {
        let open: Vec<_> = {
            let mut state = self.shared.state();
            if std::mem::replace(&mut state.shut_down, true) {
                return;
            }
            state.open.iter().map(|(_, outbox)| outbox.clone()).collect()
        };
        for outbox in open {
            outbox.end_with_retry(StopReason::Shutdown, self.shared.limits.jittered_retry());
        }
        self.shared.notify_if_ended();
    }

    /// Waits for the signal, and then [shuts down](Self::shutdown), for the graceful shutdown of a framework.
    pub fn shutdown_on<F: Future>(&self, signal: F) -> impl Future<Output = ()> + use<F> {
        let streams = self.clone();
        async move {
            signal.await;
            streams.shutdown();
        }
    }

    /// Waits until [`shutdown`](Self::shutdown) was called, no stream is left, and every `on_stop` and
    /// clean-up has run. Cancel-safe.
    ///
    /// A response that was built and is neither read nor dropped is a stream, too; so is one that its
    /// transport does not ask for bytes any more. So give this a deadline, as the graceful shutdown.
    pub async fn ended(&self) {
        let ended = self.shared.ended.notified();
        tokio::pin!(ended);
        ended.as_mut().enable();
        if !self.shared.state().has_ended() {
            ended.await;
        }
    }

    /// Whether [`shutdown`](Self::shutdown) was called.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.shared.state().shut_down
    }

    /// Open streams.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.state().open.len()
    }

    /// Whether no stream is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Streams that were beyond a limit, since the beginning.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.shared.state().refused
    }

    /// Streams that have ended since the beginning, by [why](StopReason::label): each reason that there was.
    pub fn ends(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let ends = self.shared.state().ends.clone();
        ends.into_iter()
    }

    /// The name that they were built with.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.shared.limits.name.as_deref()
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn recorded(&self) -> &crate::recorded::Recorded {
        &self.shared.recorded
    }

    /// Returns whether one more stream would be accepted now, for servers that answer 503 to clients that are
    /// not browsers. Another stream may come first; then the answer is the usual one.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.shared.state().check_room(&self.shared.limits, None).is_ok()
    }

    /// The same, for a stream of this key.
    #[must_use]
    pub fn has_room_for(&self, key: impl Hash) -> bool {
        // Before the lock is taken: hashing runs the key's code.
        let key = self.hash_key(key);
        self.shared.state().check_room(&self.shared.limits, Some(key)).is_ok()
    }

    pub(crate) fn hash_key(&self, key: impl Hash) -> u64 {
        self.shared.keys.hash_one(key)
    }

    /// For how long the next stream lives.
    pub(crate) fn lifetime(&self) -> Option<Lifetime> {
        let limits = &self.shared.limits;
        let time = jittered(limits.max_lifetime?, 0.8, 1.0);
        Some(Lifetime { time, retry: limits.jittered_retry() })
    }

    /// Returns the registration of a stream.
    pub(crate) fn join(&self, key: Option<u64>) -> Join {
        let shared = self.shared.clone();
        let join: JoinFn = Box::new(move |emitter| {
            let mut state = shared.state();
            let room = state.check_room(&shared.limits, key);
            let index = match room {
                Ok(()) => {
                    if let Some(key) = key {
                        *state.by_key.entry(key).or_default() += 1;
                    }
                    Some(state.open.insert(emitter.outbox().clone()))
                }
                Err(reason) => {
                    state.refused += u64::from(reason != RefusalReason::ShutDown);
                    state.stopping += 1;
                    None
                }
            };
            drop(state);
            let refusal = room.err().map(|reason| Refusal::new(reason, shared.limits.jittered_retry()));
            (Box::new(StreamsMembership { shared, key, index }), refusal)
        });
        Join { streams: Some(self.clone()), join }
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Default for Streams {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams")
            .field("len", &self.len())
            .field("shut_down", &self.is_shut_down())
            .finish_non_exhaustive()
    }
}

/// A registry that a stream joins when its response is built.
pub(crate) struct Join {
    /// The `Streams` that it joins, if it is these: each of them once.
    pub(crate) streams: Option<Streams>,
    pub(crate) join: JoinFn,
}

/// Adds a stream to others, or refuses it.
pub(crate) type JoinFn = Box<dyn FnOnce(&Emitter) -> (Box<dyn Membership>, Option<Refusal>) + Send + Sync>;

/// A stream's membership in [`Streams`].
struct StreamsMembership {
    shared: Arc<StreamsShared>,
    key: Option<u64>,
    /// Until it has left; none if it was refused.
    index: Option<usize>,
}

impl Membership for StreamsMembership {
    fn leave(&mut self, reason: &StopReason) {
        let Some(index) = self.index.take() else { return };
        let mut state = self.shared.state();
        let outbox = state.open.remove(index);
        state.stopping += 1;
        *state.ends.entry(reason.label()).or_default() += 1;
        if let Some(key) = self.key
            && let Entry::Occupied(mut count) = state.by_key.entry(key)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        drop(state);
        drop(outbox);
    }
}

impl Drop for StreamsMembership {
    fn drop(&mut self) {
        self.leave(&StopReason::Disconnected);
        self.shared.state().stopping -= 1;
        self.shared.notify_if_ended();
    }
}

impl StreamsShared {
    fn state(&self) -> MutexGuard<'_, StreamsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify_if_ended(&self) {
        let ended = self.state().has_ended();
        if ended {
            self.ended.notify_waiters();
        }
    }
}

impl StreamsState {
    fn check_room(&self, limits: &StreamsBuilder, key: Option<u64>) -> Result<(), RefusalReason> {
        let of_key = || key.and_then(|key| self.by_key.get(&key)).copied().unwrap_or_default();
        if self.shut_down {
            Err(RefusalReason::ShutDown)
        } else if limits.max.is_some_and(|max| self.open.len() >= max) {
            Err(RefusalReason::Full)
        } else if key.is_some() && limits.max_per_key.is_some_and(|max| of_key() >= max) {
            Err(RefusalReason::KeyFull)
        } else {
            Ok(())
        }
    }

    fn has_ended(&self) -> bool {
        self.shut_down && self.open.is_empty() && self.stopping == 0
    }
}
