//! The requests that are open on a connection that hyper serves.
//!
//! A connection without one is idle, and is closed after a while. One whose peer does not let go of a stream that the hub has ended is closed, too:
//! over HTTP/2 nothing else frees the memory of a stream for which the peer grants no window.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http_body::{Body, Frame, SizeHint};
use tokio::sync::Notify;

use super::places::{Lease, Place, Taken};

/// What is open on one connection.
#[derive(Debug)]
pub(super) struct Activity {
    /// The place of the connection, which its first stream shares.
    lease: Lease,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    open: Vec<Request>,
    next: u64,
    idle_since: Instant,
    /// Some request has come.
    asked: bool,
    /// A stream has the connection's own place.
    shared: bool,
    /// Nobody looks at the clock until something changes.
    unwatched: bool,
    /// Its peer only keeps the hub busy.
    given_up: bool,
}

#[derive(Debug)]
struct Request {
    id: u64,
    /// The hub has ended the stream, and the connection has still to let go of it.
    ended: Option<Instant>,
}

/// What is to become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on; it is looked at again then, or when something changes.
    Fine(Option<Instant>),
    /// It has sent no request in time.
    Unasked,
    /// It has been idle for too long.
    Idle,
    /// Its peer does not let go of a stream that has ended.
    Abandoned,
    /// It has sent too many frames that ask for nothing.
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

    /// A request has come; it is open until that is dropped.
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

    /// Whether any request has come.
    pub(super) fn was_asked(&self) -> bool {
        self.lock().asked
    }

    /// Looks at the connection, which may be idle for so long.
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

    /// Waits until the connection must be looked at earlier than the last verdict says.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The connection is to be closed, since its peer floods it.
    pub(super) fn give_up(&self) {
        self.lock().given_up = true;
        self.changed.notify_one();
    }

    /// Waits until the connection must make room for another.
    pub(super) async fn evicted(&self) {
        self.lease.evicted().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is open.
#[derive(Debug)]
pub(super) struct Open {
    activity: Arc<Activity>,
    id: u64,
}

impl Open {
    /// The address of the peer, if it has one.
    pub(super) fn peer(&self) -> Option<IpAddr> {
        self.activity.lease.peer()
    }

    /// The request subscribes. The first stream of a connection shares its place; each other one takes its own.
    ///
    /// # Errors
    /// When there is no place.
    pub(super) fn subscribe(&self) -> Result<Subscribed, Taken> {
        let activity = &self.activity;
        let shares = !std::mem::replace(&mut activity.lock().shared, true);
        let place = if shares { None } else { Some(activity.lease.another()?) };
        Ok(Subscribed { activity: Arc::clone(activity), id: self.id, place })
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

/// A stream that the hub serves, until it ends it.
#[derive(Debug)]
pub(super) struct Subscribed {
    activity: Arc<Activity>,
    id: u64,
    /// None where it shares the connection's.
    place: Option<Place>,
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        let mut state = self.activity.lock();
        if self.place.is_none() {
            state.shared = false;
        }
        if let Some(request) = state.open.iter_mut().find(|request| request.id == self.id) {
            request.ended = Some(Instant::now());
            self.activity.changed.notify_one();
        }
    }
}

/// The body of a response, whose request is open as long as it is there.
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

/// How long a connection may take to let go of a stream that the hub has ended.
const LET_GO: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Activity, LET_GO, Verdict};
    use crate::http::places::{Lease, Places};

    const IDLE: Duration = Duration::from_secs(10);

    #[test]
    fn a_connection_is_closed_when_it_asks_nothing_or_is_idle() {
        let start = Instant::now();
        let places = Places::new(10, None);
        let activity = Activity::new(Lease::new(places.take(None).expect("there is room")), start);
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
        let places = Places::new(10, None);
        let activity = Activity::new(Lease::new(places.take(None).expect("there is room")), Instant::now());
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
        let places = Places::new(3, None);
        let activity = Activity::new(Lease::new(places.take(None).expect("there is room")), Instant::now());
        let open: Vec<_> = (0..4).map(|_| activity.open()).collect();
        let mut streams: Vec<_> =
            open[..3].iter().map(|open| open.subscribe().expect("there is room")).collect();
        assert_eq!(places.taken(), 3);
        assert!(open[3].subscribe().is_err());
        drop(streams.remove(0));
        assert!(open[3].subscribe().is_ok(), "the connection's own is free");
        drop((streams, open));
        assert_eq!(places.taken(), 1);
        drop(activity);
        assert_eq!(places.taken(), 0);
    }
}
