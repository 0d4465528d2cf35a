//! Presence without short absences. Which change is reported is decided from the changes and `now` alone.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{MAX_CHANGES, Presence, PresenceChange};

/// Keys that come online and go offline: [`Presence`] without the streams that a key has beside its first,
/// and without absences that are shorter than a time. Made by [`Presence::settled`].
///
/// A key is [`Joined`](PresenceChange::Joined), with one stream, when its first stream joins, and
/// [`Left`](PresenceChange::Left), with none, when it has had no stream for that time. The leaves of 1,024
/// keys wait for their time at most; beyond that, the oldest is reported at once. After
/// [`Missed`](PresenceChange::Missed), ask anew which keys there are: leaves that waited are not reported.
///
/// It needs a tokio runtime with time enabled.
#[must_use = "it does nothing unless it is polled"]
pub struct SettledPresence<K> {
    presence: Presence<K>,
    absent: Absent<K>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Keys without a stream whose leave is not reported yet; the one that left first is in front.
struct Absent<K> {
    keys: VecDeque<(Instant, K)>,
    time: Duration,
}

/// The longest time that a leave can wait.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl<K> SettledPresence<K> {
    pub(super) fn new(presence: Presence<K>, time: Duration) -> Self {
        let absent = Absent { keys: VecDeque::new(), time: time.min(LONGEST) };
        Self { presence, absent, timer: None }
    }
}

impl<K: Clone + PartialEq> SettledPresence<K> {
    /// The next change; `None` when nobody can join or leave any more. Cancel-safe.
    pub async fn next(&mut self) -> Option<PresenceChange<K>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<K: Clone + PartialEq> Stream for SettledPresence<K> {
    type Item = PresenceChange<K>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<PresenceChange<K>>> {
        let this = self.get_mut();
        loop {
            match Pin::new(&mut this.presence).poll_next(cx) {
                Poll::Ready(Some(change)) => match this.absent.report(change, Instant::now()) {
                    Some(change) => return Poll::Ready(Some(change)),
                    None => continue,
                },
                // Nobody can come back.
                Poll::Ready(None) => return Poll::Ready(this.absent.leave()),
                Poll::Pending => {}
            }
            if let Some(left) = this.absent.due(Instant::now()) {
                return Poll::Ready(Some(left));
            }
            let Some(at) = this.absent.next_due() else { return Poll::Pending };
            let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
            if timer.deadline() != at {
                timer.as_mut().reset(at);
            }
            ready!(timer.as_mut().poll(cx));
        }
    }
}

impl<K: PartialEq> Absent<K> {
    /// The change to report now, if there is one.
    fn report(&mut self, change: PresenceChange<K>, now: Instant) -> Option<PresenceChange<K>> {
        match change {
            PresenceChange::Joined { key, streams: 1 } => {
                match self.keys.iter().position(|(_, absent)| *absent == key) {
                    Some(index) => drop(self.keys.remove(index)),
                    None => return Some(PresenceChange::Joined { key, streams: 1 }),
                }
                None
            }
            PresenceChange::Left { key, streams: 0 } => {
                let oldest = if self.keys.len() >= MAX_CHANGES { self.leave() } else { None };
                self.keys.push_back((now + self.time, key));
                oldest
            }
            PresenceChange::Missed(changes) => {
                self.keys.clear();
                Some(PresenceChange::Missed(changes))
            }
            PresenceChange::Joined { .. } | PresenceChange::Left { .. } => None,
        }
    }
}

impl<K> Absent<K> {
    fn next_due(&self) -> Option<Instant> {
        self.keys.front().map(|(at, _)| *at)
    }

    fn due(&mut self, now: Instant) -> Option<PresenceChange<K>> {
        if self.next_due()? <= now { self.leave() } else { None }
    }

    /// The leave of the key that left first.
    fn leave(&mut self) -> Option<PresenceChange<K>> {
        self.keys.pop_front().map(|(_, key)| PresenceChange::Left { key, streams: 0 })
    }
}

/// Nothing is pinned in it but the timer, which is boxed.
impl<K> Unpin for SettledPresence<K> {}

impl<K> fmt::Debug for SettledPresence<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettledPresence")
            .field("presence", &self.presence)
            .field("absent", &self.absent.keys.len())
            .field("time", &self.absent.time)
            .finish_non_exhaustive()
    }
}
