//! The open requests of a connection that hyper serves.
//!
//! A connection without an open request is idle, and is closed after a while. A connection whose peer keeps a
//! stream that the hub has ended is closed, too: over HTTP/2 nothing else frees the memory of a stream for
//! which the peer grants no window.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http_body::{Body, Frame, SizeHint};
use tokio::sync::Notify;

use super::connection_limit::{Lease, LimitReached, Permit};

/// Open requests of one connection.
#[derive(Debug)]
pub(super) struct Activity {
    /// Permit of the connection, which its first stream shares.
    lease: Lease,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    open: Vec<Request>,
    next: u64,
    idle_since: Instant,
    /// Whether the connection has had a request.
    asked: bool,
    /// Whether a stream shares the permit of the connection.
    shared: bool,
    /// Whether the connection has no timer until its state changes.
    unwatched: bool,
    /// Whether the peer floods the connection.
    given_up: bool,
}

#[derive(Debug)]
struct Request {
    id: u64,
    /// Time at which the hub ended the stream, while the connection still keeps it.
    ended: Option<Instant>,
}

/// Decision about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The connection stays open; the next decision is due at this time, or when the state changes.
    Fine(Option<Instant>),
    /// The connection sent no request in time.
    Unasked,
    /// The connection has been idle for too long.
    Idle,
    /// The peer keeps a stream that has ended.
    Abandoned,
    /// The connection sent too many HTTP/2 frames without a request.
    Flooded,
}

impl Activity {
    pub(super) fn new(lease: Lease, now: Instant) -> Arc<Self> {
        let state = State {
            open: Vec::new(),
            next: 0,
            idle_since: now,
            asked: false,
            shared: false,
            unwatched: false,
            given_up: false,
        };
        Arc::new(Self { lease, state: Mutex::new(state), changed: Notify::new() })
    }

    /// Registers a request, which is open until the result is dropped.
    pub(super) fn open(self: &Arc<Self>) -> Arc<Open> {
        let mut state = self.lock();
        let id = state.next;
        (state.next, state.asked) = (id + 1, true);
        if state.open.is_empty() {
            self.lease.set_busy();
        }
        state.open.push(Request { id, ended: None });
        Arc::new(Open { activity: Arc::clone(self), id })
    }

    /// Whether the connection has had a request.
    pub(super) fn was_asked(&self) -> bool {
        self.lock().asked
    }

    /// Decides about the connection, which may be idle for this time.
    pub(super) fn verdict(&self, idle: Duration, now: Instant) -> Verdict {
        let mut state = self.lock();
        if state.given_up {
            return Verdict::Flooded;
        }
        let ended = state.open.iter().filter_map(|request| request.ended).min();
        let due = match ended {
            Some(ended) => Some(ended + LET_GO),
            None => state.open.is_empty().then(|| state.idle_since + idle),
        };
        state.unwatched = due.is_none();
        match due {
            Some(due) if due > now => Verdict::Fine(Some(due)),
            None => Verdict::Fine(None),
            Some(_) if ended.is_some() => Verdict::Abandoned,
            Some(_) if state.asked => Verdict::Idle,
            Some(_) => Verdict::Unasked,
        }
    }

    /// Waits until a decision is due earlier than the last one said.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Marks the connection for closing, because its peer floods it.
    pub(super) fn give_up(&self) {
        self.lock().given_up = true;
        self.changed.notify_one();
    }

    /// Waits until another connection needs the permit.
    pub(super) async fn evicted(&self) {
        self.lease.evicted().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open request.
#[derive(Debug)]
pub(super) struct Open {
    activity: Arc<Activity>,
    id: u64,
}

impl Open {
    /// Address of the peer, if it has one.
    pub(super) fn peer(&self) -> Option<IpAddr> {
        self.activity.lease.peer()
    }

    /// Marks the request as a subscription.
    ///
    /// The first stream of a connection shares its permit; each other one takes a permit.
    ///
    /// # Errors
    /// When the limit is reached.
    pub(super) fn subscribe(&self) -> Result<Subscribed, LimitReached> {
        let activity = &self.activity;
        let shares = !std::mem::replace(&mut activity.lock().shared, true);
        let permit = if shares { None } else { Some(activity.lease.another()?) };
        Ok(Subscribed { activity: Arc::clone(activity), id: self.id, permit })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.activity.lock();
        state.open.retain(|request| request.id != self.id);
        if state.open.is_empty() {
            state.idle_since = Instant::now();
            self.activity.lease.set_idle();
            if std::mem::take(&mut state.unwatched) {
                self.activity.changed.notify_one();
            }
        }
    }
}

/// A stream, until the hub ends it.
#[derive(Debug)]
pub(super) struct Subscribed {
    activity: Arc<Activity>,
    id: u64,
    /// `None` if it shares the permit of the connection.
    permit: Option<Permit>,
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        let mut state = self.activity.lock();
        if self.permit.is_none() {
            state.shared = false;
        }
        if let Some(request) = state.open.iter_mut().find(|request| request.id == self.id) {
            request.ended = Some(Instant::now());
            self.activity.changed.notify_one();
        }
    }
}

/// Body of a response, which keeps its request open.
#[derive(Debug)]
pub(super) struct Answering<B> {
    pub(super) body: B,
    pub(super) _open: Arc<Open>,
}

impl<B: Body + Unpin> Body for Answering<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Time within which a connection must drop a stream that the hub has ended.
const LET_GO: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Activity, LET_GO, Verdict};
    use crate::http::connection_limit::{ConnectionLimit, Lease};

    const IDLE: Duration = Duration::from_secs(10);

    #[test]
    fn a_connection_is_closed_when_it_asks_nothing_or_is_idle() {
        let start = Instant::now();
        let connection_limit = ConnectionLimit::new(10, None);
        let activity = Activity::new(Lease::new(connection_limit.take(None).expect("there is room")), start);
        let later = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(activity.verdict(IDLE, later(9)), Verdict::Fine(Some(later(10))));
        assert_eq!(activity.verdict(IDLE, later(10)), Verdict::Unasked);
        let (one, two) = (activity.open(), activity.open());
        assert_eq!(activity.verdict(IDLE, later(1000)), Verdict::Fine(None));
        drop(one);
        assert_eq!(activity.verdict(IDLE, later(1000)), Verdict::Fine(None));
        drop(two);
        assert_eq!(activity.verdict(IDLE, Instant::now() + IDLE), Verdict::Idle);
    }

    #[test]
    fn a_connection_that_keeps_a_stream_that_has_ended_is_closed() {
        let connection_limit = ConnectionLimit::new(10, None);
        let activity =
            Activity::new(Lease::new(connection_limit.take(None).expect("there is room")), Instant::now());
        let (good, evil) = (activity.open(), activity.open());
        let streams = [&good, &evil].map(|open| open.subscribe().expect("there is room"));
        assert_eq!(activity.verdict(IDLE, Instant::now() + IDLE), Verdict::Fine(None));
        drop(streams);
        assert!(matches!(activity.verdict(IDLE, Instant::now()), Verdict::Fine(Some(_))));
        drop(good);
        assert_eq!(activity.verdict(IDLE, Instant::now() + LET_GO), Verdict::Abandoned);
        drop(evil);
        assert!(matches!(activity.verdict(IDLE, Instant::now() + LET_GO), Verdict::Fine(Some(_))));
    }

    #[test]
    fn each_stream_takes_a_place_and_the_first_that_of_its_connection() {
        let connection_limit = ConnectionLimit::new(3, None);
        let activity =
            Activity::new(Lease::new(connection_limit.take(None).expect("there is room")), Instant::now());
        let open: Vec<_> = (0..4).map(|_| activity.open()).collect();
        let mut streams: Vec<_> =
            open[..3].iter().map(|open| open.subscribe().expect("there is room")).collect();
        assert_eq!(connection_limit.taken(), 3);
        assert!(open[3].subscribe().is_err());
        drop(streams.remove(0));
        assert!(open[3].subscribe().is_ok(), "the connection's own is free");
        drop((streams, open));
        assert_eq!(connection_limit.taken(), 1);
        drop(activity);
        assert_eq!(connection_limit.taken(), 0);
    }
}
