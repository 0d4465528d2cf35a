use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;
use ssekit_wire::Event;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::cursor::{Cursor, Notice, Reset, StartPosition};
use super::id::{Epoch, EventId, is_id_of};
use super::log::{Log, Resume, Retention};
use super::policy::{First, Overtaken};
use super::segment::Frame;
use super::stats::ChannelStats;
use super::subscribers::Subscribers;
use super::sync::{AtomicU64, Mutex, MutexGuard};
use crate::compress::PieceCache;
use crate::emit_error::EmitError;
use crate::error::Error;
use crate::presence::{Presence, PresenceChange, Watchers};
use crate::queue::check_size;

/// The state that the handles and readers of a channel share.
///
/// One lock guards the log and the subscribers. Under it, no foreign code runs but the `clone` of wakers, no
/// task is woken, and no waker is dropped.
pub(crate) struct ChannelShared {
    state: Mutex<ChannelState>,
    /// The sequence of the next event that is not released yet, or `CLOSED`. With it, a waiting subscriber
    /// sees without the lock that there is nothing yet.
    head: AtomicU64,
    /// Publishers that wait for subscribers wait for this first, in order.
    turn: tokio::sync::Mutex<()>,
    room: Notify,
    gathers: bool,
    watchers: Watchers<()>,
    pub(crate) compressed: PieceCache,
    /// The key of all subscribers in presence changes.
    no_key: Arc<()>,
    epoch: Epoch,
    pub(crate) name: Option<Box<str>>,
    pub(crate) overtaken: Overtaken,
    pub(crate) first: First,
    pub(crate) after_reset: First,
    #[cfg(feature = "metrics")]
    pub(crate) recorded: crate::recorded::Recorded,
}

#[derive(Debug)]
struct ChannelState {
    log: Log,
    subscribers: Subscribers,
    /// How the channel has ended, if it has.
    end: Option<End>,
    release: Release,
    missed: u64,
}

/// How a channel has ended: it takes no more events.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Closed,
    Failed(Arc<Error>),
}

/// Up to where subscribers may read.
#[derive(Debug)]
struct Release {
    /// Events before this sequence are released.
    end: u64,
    /// At least so much time lies between two releases.
    gather: Option<Duration>,
    /// When events are released next, if there are any.
    due: Instant,
    /// The subscriber whose timer releases gathered events.
    flusher: Option<usize>,
    /// Candidates were woken; the first to poll becomes the flusher.
    is_election_open: bool,
}

/// The result of a read.
#[derive(Debug)]
pub(crate) enum Reading {
    /// Events from one sequence up to another, and the notice before them; one of both may be missing. A
    /// subscriber that has fallen behind catches up and reads on under one lock, so that nothing can be
    /// dropped in between: it makes progress however fast events come.
    Events { notice: Option<Notice>, from: u64, bytes: Bytes, next: u64 },
    /// As many events are gone, and the stream is to end.
    Overtaken(u64),
    /// The channel has ended, and everything is read.
    Ended(End),
}

impl ChannelShared {
    pub(crate) fn new(
        retention: Retention,
        gather: Option<Duration>,
        name: Option<Box<str>>,
        overtaken: Overtaken,
        first: First,
        after_reset: First,
    ) -> Self {
        let epoch = Epoch::random();
        let log = Log::new(epoch, retention);
        let state = ChannelState {
            log,
            subscribers: Subscribers::new(overtaken == Overtaken::Wait),
            end: None,
            release: Release { end: 1, gather, due: Instant::now(), flusher: None, is_election_open: false },
            missed: 0,
        };
        let (state, turn, room) = (Mutex::new(state), tokio::sync::Mutex::default(), Notify::new());
        let (watchers, no_key, compressed) = (Watchers::new(), Arc::new(()), PieceCache::default());
        Self {
            state,
            head: AtomicU64::new(1),
            gathers: gather.is_some(),
            turn,
            room,
            watchers,
            no_key,
            compressed,
            epoch,
            name,
            overtaken,
            first,
            after_reset,
            #[cfg(feature = "metrics")]
            recorded: crate::recorded::Recorded::default(),
        }
    }

    /// Appends all of these events or none, wakes waiting subscribers, and returns the id of the last event.
    pub(crate) fn publish(&self, events: &[Event<'_>], now: Instant) -> Result<EventId, EmitError> {
        events.iter().try_for_each(|event| self.check(event))?;
        let mut state = self.state();
        if state.end.is_some() {
            return Err(EmitError::Closed);
        }
        if self.overtaken == Overtaken::Wait {
            state.make_room(events)?;
        }
        for event in events {
            state.log.append(event, now);
        }
        let id = self.id(state.log.next() - 1);
        self.sweep_state(&mut state, now);
        if state.is_due(now) {
            self.release(state, now);
        } else if state.release.flusher.is_none() {
            let candidates = state.elect_flusher();
            drop(state);
            candidates.into_iter().for_each(Waker::wake);
        }
        Ok(id)
    }

    /// Refuses events that no subscriber could read, or resume after.
    fn check(&self, event: &Event<'_>) -> Result<(), EmitError> {
        check_size(event)?;
        match event.id() {
            Some(id) if is_id_of(self.epoch, id) => Err(EmitError::ReservedId { id: id.into() }),
            _ => Ok(()),
        }
    }

    /// Lets subscribers read everything, and wakes those that wait.
    fn release(&self, mut state: MutexGuard<'_, ChannelState>, now: Instant) {
        state.release(now);
        self.head.store(state.release.end, Ordering::Release);
        wake(state);
    }

    /// Publishes as soon as every subscriber has read the events that this would drop. Publishers wait in
    /// order.
    pub(crate) async fn send(&self, events: &[Event<'_>]) -> Result<EventId, EmitError> {
        match self.publish(events, Instant::now()) {
            Err(EmitError::Behind { .. }) => {}
            answer => return answer,
        }
        let _turn = self.turn.lock().await;
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            match self.publish(events, Instant::now()) {
                Err(EmitError::Behind { .. }) => room.await,
                answer => return answer,
            }
        }
    }

    pub(crate) fn sweep(&self, now: Instant) {
        let mut state = self.state();
        self.sweep_state(&mut state, now);
    }

    fn sweep_state(&self, state: &mut ChannelState, now: Instant) {
        let floor = match self.overtaken {
            Overtaken::Wait => state.floor(),
            Overtaken::Close | Overtaken::Gap => u64::MAX,
        };
        state.log.sweep(floor, now);
    }

    /// Takes no more events. The first end stands.
    pub(crate) fn end(&self, end: End) {
        let mut state = self.state();
        if state.end.is_some() {
            return;
        }
        state.end = Some(end);
        state.release.end = state.log.next();
        self.head.store(CLOSED, Ordering::Release);
        wake(state);
        self.room.notify_waiters();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().end.is_some()
    }

    /// How the channel has ended, if this subscriber has nothing to read and no notice to get. For one that
    /// has not begun.
    pub(crate) fn finished_for(&self, cursor: &Cursor) -> Option<End> {
        let state = self.state();
        let has_notice = match cursor.start() {
            StartPosition::Resumed | StartPosition::New(_) => false,
            StartPosition::All => state.log.start() > 1,
            StartPosition::Reset(_) => true,
        };
        state.end.clone().filter(|_| !has_notice && cursor.next >= state.log.next())
    }

    /// Adds a subscriber with this last event ID, if any part of it names this channel.
    pub(crate) fn resume(&self, id: &str, now: Instant) -> Option<Cursor> {
        let mut state = self.state();
        self.sweep_state(&mut state, now);
        let (next, start) = match state.log.resume(id)? {
            Resume::From(next) => (next, StartPosition::Resumed),
            Resume::Expired { seen } => {
                let next = self.after_reset.position(&state.log);
                (next, StartPosition::Reset(Reset::Expired { seen, missed: next - seen - 1 }))
            }
            Resume::Unknown => (self.after_reset.position(&state.log), StartPosition::Reset(Reset::Unknown)),
        };
        Some(self.add_subscriber(state, next, start))
    }

    /// Adds a subscriber without a last event ID of this channel.
    pub(crate) fn join(&self, first: First, now: Instant) -> Cursor {
        let mut state = self.state();
        self.sweep_state(&mut state, now);
        let next = first.position(&state.log);
        let start = match first {
            First::All => StartPosition::All,
            First::New | First::Last(_) => StartPosition::New(state.log.next()),
        };
        self.add_subscriber(state, next, start)
    }

    /// Adds a subscriber whose last event ID is unknown here.
    pub(crate) fn join_after_unknown_id(&self, now: Instant) -> Cursor {
        let mut state = self.state();
        self.sweep_state(&mut state, now);
        let next = self.after_reset.position(&state.log);
        self.add_subscriber(state, next, StartPosition::Reset(Reset::Unknown))
    }

    fn add_subscriber(
        &self,
        mut state: MutexGuard<'_, ChannelState>,
        next: u64,
        start: StartPosition,
    ) -> Cursor {
        let key = state.subscribers.join(next);
        let mut cursor = Cursor::new(key, next, start);
        cursor.knows_end = state.end.is_some() && start == StartPosition::Resumed && next == state.log.next();
        let streams = state.subscribers.len();
        let pending = self.watchers.record(PresenceChange::Joined { key: self.no_key.clone(), streams });
        drop(state);
        pending.wake();
        cursor
    }

    pub(crate) fn leave(&self, key: usize) {
        let mut state = self.state();
        let waker = state.subscribers.leave(key);
        let mut candidates = Candidates::new();
        if state.release.flusher.take_if(|flusher| *flusher == key).is_some() {
            state.release.is_election_open = false;
            candidates = state.elect_flusher();
        }
        let streams = state.subscribers.len();
        let pending = self.watchers.record(PresenceChange::Left { key: self.no_key.clone(), streams });
        drop(state);
        drop(waker);
        candidates.into_iter().for_each(Waker::wake);
        pending.wake();
        self.has_read();
    }

    /// Returns the joins and leaves from now on.
    pub(crate) fn presence(&self) -> Presence<()> {
        let _state = self.state();
        self.watchers.watch()
    }

    /// Releases gathered events that are due, if this subscriber is the flusher. For one that cannot read
    /// now.
    pub(crate) fn flush_if_due(&self, cursor: &mut Cursor, now: Instant) {
        if !self.gathers {
            return;
        }
        cursor.set_wake_at(None);
        let mut state = self.state();
        if state.release.end < state.log.next() {
            match state.is_due(now) {
                true => self.release(state, now),
                false => cursor.set_wake_at(state.become_flusher(cursor.key())),
            }
        }
    }

    /// Returns whether this subscriber waits for an event that has not come yet. Where events are gathered,
    /// it may have been woken for something else.
    pub(crate) fn is_caught_up(&self, cursor: &Cursor) -> bool {
        cursor.waits && !self.gathers && self.head.load(Ordering::Acquire) == cursor.next
    }

    /// Reads whole events from here on, with their frames if they are asked for. A reader that finds nothing
    /// will be woken, and must come back at [`Cursor::wake_at`].
    pub(crate) fn read(
        &self,
        cursor: &mut Cursor,
        max: usize,
        frames: Option<&mut Vec<Frame>>,
        reader: &Waker,
        now: Instant,
    ) -> Poll<Reading> {
        let mut state = self.state();
        if state.release.end < state.log.next() && state.is_due(now) {
            self.release(state, now);
            state = self.state();
        }
        let end = state.release.end;
        let everything = cursor.start() == StartPosition::All;
        let notice = cursor.catch_up(state.log.start());
        if let Some(Notice::Gap(missed)) = notice
            && !everything
        {
            state.missed += missed;
            if cursor.has_read && self.overtaken == Overtaken::Close {
                state.subscribers.advance(cursor.key(), cursor.next);
                return Poll::Ready(Reading::Overtaken(missed));
            }
        }
        let from = cursor.next;
        let events = state.log.read(from, end, max, frames);
        cursor.waits = false;
        cursor.set_wake_at(None);
        let reading = match (events, notice, &state.end) {
            (Some((bytes, next)), notice, _) => {
                (cursor.next, cursor.has_read) = (next, true);
                // A reader of everything waits from here on, and need not take the lock again to find that
                // out.
                cursor.waits = next >= end && state.release.end == state.log.next();
                Poll::Ready(Reading::Events { notice, from, bytes, next })
            }
            (None, Some(_), _) => {
                Poll::Ready(Reading::Events { notice, from, bytes: Bytes::new(), next: from })
            }
            (None, None, Some(_)) if cursor.knows_end => return Poll::Ready(Reading::Ended(End::Closed)),
            (None, None, Some(end)) => return Poll::Ready(Reading::Ended(end.clone())),
            (None, None, None) => {
                cursor.waits = true;
                if state.release.end < state.log.next() {
                    cursor.set_wake_at(state.become_flusher(cursor.key()));
                }
                Poll::Pending
            }
        };
        let before = cursor.waits.then(|| state.subscribers.wait(cursor.key(), reader));
        state.subscribers.advance(cursor.key(), cursor.next);
        drop(state);
        drop(before);
        if reading.is_ready() {
            self.has_read();
        }
        reading
    }

    pub(crate) fn id(&self, sequence: u64) -> EventId {
        EventId::new(self.epoch, sequence)
    }

    pub(crate) fn stats(&self) -> ChannelStats {
        let state = self.state();
        let next = state.log.next();
        ChannelStats {
            subscribers: state.subscribers.len(),
            waiting: state.subscribers.waiting(),
            events: state.log.len(),
            bytes: state.log.bytes(),
            published: next - 1,
            lag: state.subscribers.slowest().map_or(0, |slowest| next - slowest),
            missed: state.missed,
        }
    }

    /// A subscriber has read on or has left: waiting publishers may find room.
    fn has_read(&self) {
        if self.overtaken == Overtaken::Wait {
            self.room.notify_waiters();
        }
    }

    fn state(&self) -> MutexGuard<'_, ChannelState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChannelState {
    /// Takes waiting subscribers to wake, of which the first to poll releases the gathered events. A few are
    /// woken, because one is not polled while its transport is blocked.
    fn elect_flusher(&mut self) -> Candidates {
        let several =
            if std::mem::replace(&mut self.release.is_election_open, true) { 1 } else { MAX_CANDIDATES };
        std::iter::from_fn(|| self.subscribers.take_one_waiting()).take(several).collect()
    }

    /// Makes this subscriber the flusher unless there is one; returns its time to release gathered events.
    fn become_flusher(&mut self, key: usize) -> Option<Instant> {
        let flusher = *self.release.flusher.get_or_insert(key);
        (flusher == key).then_some(self.release.due)
    }

    /// Returns whether a publication releases at once: the last release was long ago, or much was gathered.
    fn is_due(&self, now: Instant) -> bool {
        let gathered = self.log.next() - self.release.end;
        let is_dropped_unread = self.log.start() > self.release.end;
        now >= self.release.due || gathered >= MAX_GATHERED || self.log.is_half(gathered) || is_dropped_unread
    }

    fn release(&mut self, now: Instant) {
        self.release.end = self.log.next();
        (self.release.flusher, self.release.is_election_open) = (None, false);
        if let Some(time) = self.release.gather {
            self.release.due = now + time;
        }
    }

    /// Makes room without dropping events that a subscriber has not read.
    fn make_room(&mut self, events: &[Event<'_>]) -> Result<(), EmitError> {
        let count = events.len() as u64;
        let bytes = events.iter().map(size).sum();
        let floor = self.floor();
        match self.log.make_room(count, bytes, floor) {
            true => Ok(()),
            false => Err(EmitError::Behind { unread: self.log.next() - floor }),
        }
    }

    /// No subscriber has yet to read an event before this sequence.
    fn floor(&self) -> u64 {
        self.subscribers.slowest().unwrap_or(u64::MAX)
    }
}

/// Wakes all waiting subscribers, after the lock is released.
fn wake(mut state: MutexGuard<'_, ChannelState>) {
    let mut wakers = Vec::with_capacity(state.subscribers.waiting());
    state.subscribers.take_waiting(&mut wakers);
    drop(state);
    for waker in wakers {
        waker.wake();
    }
}

/// No event has this sequence.
const CLOSED: u64 = u64::MAX;
/// So many gathered events are released at once, before their time.
const MAX_GATHERED: u64 = 256;
const MAX_CANDIDATES: usize = 4;
type Candidates = SmallVec<[Waker; MAX_CANDIDATES]>;

/// About as many bytes as the event takes when it is encoded.
fn size(event: &Event<'_>) -> usize {
    let [data, name, id] = [event.data(), event.event(), event.id()].map(|text| text.map_or(0, str::len));
    data + name + id + FIELDS
}

/// The fields' names, an id of ours, line feeds.
const FIELDS: usize = 48;

impl First {
    /// The sequence of the first event to read.
    fn position(self, log: &Log) -> u64 {
        match self {
            Self::New => log.next(),
            Self::Last(events) => log.start().max(log.next().saturating_sub(events)),
            Self::All => log.start(),
        }
    }
}
