use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;
use ssekit_wire::Event;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::id::{Epoch, EventId};
use super::log::{Found, Keep, Log, Resume};
use super::seat::{Begins, Reset, Seat};
use super::segment::Frame;
use super::subscribers::Subscribers;
use super::sync::{AtomicU64, Mutex, MutexGuard};
use super::{ChannelStats, First, Overtaken};
use crate::compress::Pieces;
use crate::emitter::EmitError;
use crate::presence::{Presence, PresenceChange, Watchers};
use crate::queue::check_size;

/// What the handles and the readers of a channel share.
///
/// One lock guards the log and who reads it. No foreign code runs, and nobody is woken and no waker dropped, while it
/// is held.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// The sequence of the next event that is not released yet, or none when the channel is closed: so that who waits
    /// sees without the lock that there is nothing yet.
    head: AtomicU64,
    /// Publishers that wait for subscribers wait for this first, in order.
    turn: tokio::sync::Mutex<()>,
    room: Notify,
    gathers: bool,
    watchers: Watchers<()>,
    pub(crate) compressed: Pieces,
    /// A channel's subscribers have no names.
    nobody: Arc<()>,
    epoch: Epoch,
    pub(crate) name: Option<Box<str>>,
    pub(crate) overtaken: Overtaken,
    pub(crate) first: First,
    pub(crate) after_reset: First,
}

#[derive(Debug)]
struct State {
    log: Log,
    subscribers: Subscribers,
    closed: bool,
    release: Release,
    /// No subscriber has yet to read an event before this one. What is behind it may be dropped when publishers wait
    /// for subscribers; it is looked up anew when that is not enough.
    floor: u64,
    missed: u64,
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
    /// The subscriber whose timer releases them.
    keeper: Option<usize>,
    /// Some were woken, of whom the first is to become the keeper.
    asked: bool,
}

/// What a reader finds.
#[derive(Debug)]
pub(crate) enum Reading {
    Events(Bytes, u64),
    Missed(u64),
    Closed,
}

impl Shared {
    pub(crate) fn new(
        keep: Keep,
        gather: Option<Duration>,
        name: Option<Box<str>>,
        overtaken: Overtaken,
        first: First,
        after_reset: First,
    ) -> Self {
        let epoch = Epoch::random();
        let log = Log::new(epoch, keep);
        let state = State {
            log,
            subscribers: Subscribers::default(),
            closed: false,
            release: Release { end: 1, gather, due: Instant::now(), keeper: None, asked: false },
            floor: u64::MAX,
            missed: 0,
        };
        let (state, turn, room) = (Mutex::new(state), tokio::sync::Mutex::default(), Notify::new());
        let (watchers, nobody, compressed) = (Watchers::new(), Arc::new(()), Pieces::default());
        Self {
            state,
            head: AtomicU64::new(1),
            gathers: gather.is_some(),
            turn,
            room,
            watchers,
            nobody,
            compressed,
            epoch,
            name,
            overtaken,
            first,
            after_reset,
        }
    }

    /// Appends all of these events or none, and wakes who waits; gives the id of the last.
    pub(crate) fn publish(&self, events: &[Event<'_>], now: Instant) -> Result<EventId, EmitError> {
        events.iter().try_for_each(check_size)?;
        let mut state = self.state();
        if state.closed {
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
        } else if state.release.keeper.is_none() {
            let asked = state.ask_for_a_keeper();
            drop(state);
            asked.into_iter().for_each(Waker::wake);
        }
        Ok(id)
    }

    /// Lets subscribers read everything, and wakes who waits.
    fn release(&self, mut state: MutexGuard<'_, State>, now: Instant) {
        state.release(now);
        self.head.store(state.release.end, Ordering::Release);
        wake(state);
    }

    /// Publishes as soon as every subscriber has read what this would push out, first come first served.
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

    fn sweep_state(&self, state: &mut State, now: Instant) {
        let floor = match self.overtaken {
            Overtaken::Wait => state.floor,
            Overtaken::Close | Overtaken::Gap => u64::MAX,
        };
        state.log.sweep(floor, now);
    }

    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.release.end = state.log.next();
        self.head.store(CLOSED, Ordering::Release);
        wake(state);
        self.room.notify_waiters();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// A seat for a client that has this last event ID, if any part of it speaks of this channel.
    pub(crate) fn resume(&self, id: &str, now: Instant) -> Option<Seat> {
        let mut state = self.state();
        self.sweep_state(&mut state, now);
        let (next, begins) = match state.log.resume(id)? {
            Resume::From(next) => (next, Begins::There),
            Resume::Expired { seen } => {
                let next = self.after_reset.place(&state.log);
                (next, Begins::Reset(Reset::Expired { seen, missed: next - seen - 1 }))
            }
            Resume::Unknown => (self.after_reset.place(&state.log), Begins::Reset(Reset::Unknown)),
        };
        Some(self.take_seat(state, next, begins))
    }

    /// A seat for a client that has none, or whose last event ID is unknown here.
    pub(crate) fn join(&self, first: First, begins: Begins, now: Instant) -> Seat {
        let mut state = self.state();
        self.sweep_state(&mut state, now);
        let next = first.place(&state.log);
        self.take_seat(state, next, begins)
    }

    /// The subscriber begins to read. What was dropped meanwhile of the events before it has its seat is not missed:
    /// nobody had promised that it would be held.
    pub(crate) fn begin(&self, seat: &mut Seat) {
        let mut state = self.state();
        let start = match seat.begins() {
            (Begins::There, _) => return,
            (Begins::New | Begins::Reset(Reset::Unknown), taken) => state.log.start().min(taken),
            (Begins::Reset(Reset::Expired { seen, missed }), _) => {
                let missed = missed + state.log.start().saturating_sub(seat.next);
                seat.set_begins(Begins::Reset(Reset::Expired { seen, missed }));
                state.log.start()
            }
        };
        seat.next = seat.next.max(start);
        state.subscribers.advance(seat.key(), seat.next);
    }

    fn take_seat(&self, mut state: MutexGuard<'_, State>, next: u64, begins: Begins) -> Seat {
        state.floor = state.floor.min(next);
        let key = state.subscribers.join(next);
        let seat = Seat::new(key, next, state.log.next(), begins);
        let streams = state.subscribers.len();
        let told = self.watchers.tell(PresenceChange::Joined { key: self.nobody.clone(), streams });
        drop(state);
        told.wake();
        seat
    }

    pub(crate) fn leave(&self, key: usize) {
        let mut state = self.state();
        let waker = state.subscribers.leave(key);
        let mut asked = Asked::new();
        if state.release.keeper.take_if(|keeper| *keeper == key).is_some() {
            state.release.asked = false;
            asked = state.ask_for_a_keeper();
        }
        let streams = state.subscribers.len();
        let told = self.watchers.tell(PresenceChange::Left { key: self.nobody.clone(), streams });
        drop(state);
        drop(waker);
        asked.into_iter().for_each(Waker::wake);
        told.wake();
        self.has_read();
    }

    /// Who comes and goes from now on.
    pub(crate) fn presence(&self) -> Presence<()> {
        let _state = self.state();
        self.watchers.watch()
    }

    /// Sees to it that what was gathered is released, if that is up to this subscriber, though it cannot read itself.
    pub(crate) fn keep_time(&self, seat: &mut Seat, now: Instant) {
        if !self.gathers {
            return;
        }
        seat.set_until(None);
        let mut state = self.state();
        if state.release.end < state.log.next() {
            match state.is_due(now) {
                true => self.release(state, now),
                false => seat.set_until(state.keep(seat.key())),
            }
        }
    }

    /// Whether this subscriber waits already, and for what has not come yet. Where events are gathered, it may have been
    /// woken for something else.
    pub(crate) fn has_nothing_for(&self, seat: &Seat) -> bool {
        seat.waits && !self.gathers && self.head.load(Ordering::Acquire) == seat.next
    }

    /// Reads whole events from here on, with their frames if they are asked for. Who finds nothing will be woken, and
    /// is to come back at [`Seat::until`].
    pub(crate) fn read(
        &self,
        seat: &mut Seat,
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
        let found = state.log.read(seat.next, end, max, frames);
        seat.waits = false;
        seat.set_until(None);
        let reading = match found {
            Found::Events(bytes, next) => {
                seat.next = next;
                // Who has read everything waits from here on, and need not take the lock again to find that out.
                seat.waits = next >= end && state.release.end == state.log.next();
                Poll::Ready(Reading::Events(bytes, next))
            }
            Found::Missed(missed) => {
                seat.next += missed;
                state.missed += missed;
                Poll::Ready(Reading::Missed(missed))
            }
            Found::Nothing if state.closed => return Poll::Ready(Reading::Closed),
            Found::Nothing => {
                seat.waits = true;
                if state.release.end < state.log.next() {
                    seat.set_until(state.keep(seat.key()));
                }
                Poll::Pending
            }
        };
        let before = seat.waits.then(|| state.subscribers.wait(seat.key(), reader));
        state.subscribers.advance(seat.key(), seat.next);
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

    /// Somebody has read on or has left: who waits to publish may find room.
    fn has_read(&self) {
        if self.overtaken == Overtaken::Wait {
            self.room.notify_waiters();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Somebody has to see to it that what was gathered is released. A few are asked, since one may not be polled: where
    /// a transport stands still.
    fn ask_for_a_keeper(&mut self) -> Asked {
        let several = if std::mem::replace(&mut self.release.asked, true) { 1 } else { ASKED };
        std::iter::from_fn(|| self.subscribers.take_one_waiting()).take(several).collect()
    }

    /// The time at which this subscriber is to release what was gathered, unless another sees to it.
    fn keep(&mut self, key: usize) -> Option<Instant> {
        let keeper = *self.release.keeper.get_or_insert(key);
        (keeper == key).then_some(self.release.due)
    }

    /// Whether what is published now is to be released at once: the last release was long ago, or much was gathered.
    fn is_due(&self, now: Instant) -> bool {
        let gathered = self.log.next() - self.release.end;
        now >= self.release.due || gathered >= MAX_GATHERED || self.log.is_half(gathered)
    }

    fn release(&mut self, now: Instant) {
        self.release.end = self.log.next();
        (self.release.keeper, self.release.asked) = (None, false);
        if let Some(time) = self.release.gather {
            self.release.due = now + time;
        }
    }

    /// Makes room without dropping what somebody has yet to read.
    fn make_room(&mut self, events: &[Event<'_>]) -> Result<(), EmitError> {
        let count = events.len() as u64;
        let bytes = events.iter().map(size).sum();
        if self.log.make_room(count, bytes, self.floor) {
            return Ok(());
        }
        self.floor = self.subscribers.slowest().unwrap_or(u64::MAX);
        match self.log.make_room(count, bytes, self.floor) {
            true => Ok(()),
            false => Err(EmitError::Behind { unread: self.log.next() - self.floor }),
        }
    }
}

/// Wakes all who wait, after the lock was let go.
fn wake(mut state: MutexGuard<'_, State>) {
    let mut wakers = Vec::with_capacity(state.subscribers.waiting());
    state.subscribers.take_waiting(&mut wakers);
    drop(state);
    for waker in wakers {
        waker.wake();
    }
}

/// No event has this sequence.
const CLOSED: u64 = u64::MAX;
/// As many events are released at once.
const MAX_GATHERED: u64 = 256;
const ASKED: usize = 4;
type Asked = SmallVec<[Waker; ASKED]>;

/// About as many bytes as the event takes when it is encoded.
fn size(event: &Event<'_>) -> usize {
    let [data, name, id] = [event.data(), event.event(), event.id()].map(|text| text.map_or(0, str::len));
    data + name + id + FIELDS
}

/// The fields' names, an id of ours, line feeds.
const FIELDS: usize = 48;

impl First {
    /// The sequence of what is read first.
    fn place(self, log: &Log) -> u64 {
        match self {
            Self::New => log.next(),
            Self::Last(events) => log.start().max(log.next().saturating_sub(events)),
            Self::All => log.start(),
        }
    }
}
