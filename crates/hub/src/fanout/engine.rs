//! Fan-out thread: the loop over messages, sockets and frames.

mod catch_up;
mod clock;
mod reclaim;

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use mio::{Events, Interest as Ready, Poll, Token, Waker};
use slab::Slab;
use ssekit_log::Position;

use self::catch_up::{Begun, partially_written};
use self::clock::ticks;
use super::inbox::{Inbox, Message};
use super::replay::Replay;
use super::sink::Sink;
use super::subscriber::{Backlog, BacklogState, End, Subscriber};
use super::timer_wheel::TimerWheel;
use super::topic_index::TopicIndex;
use super::window::DeliveryWindow;
use super::{Frame, Metrics, Overtaken, Pace, Start, Subscription};

/// One fan-out thread: its subscribers, and its progress in the log.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) number: usize,
    pub(super) poll: Poll,
    pub(super) inbox: Arc<Inbox>,
    pub(super) recent: Arc<DeliveryWindow>,
    pub(super) replay: Replay,
    pub(super) pace: Pace,
    pub(super) metrics: Arc<Metrics>,
    subscribers: Slab<Subscriber>,
    audiences: TopicIndex,
    wheel: TimerWheel<(u32, u32)>,
    /// Position up to which the thread has delivered.
    through: Position,
    started: Instant,
    now: u32,
    generation: u32,
    /// Subscribers with more to write, which wait for their turn.
    ready: VecDeque<(u32, u32)>,
    /// Steps of matching that remain before other work gets a turn.
    steps: u64,
    /// Subscribers that have received more from another thread than this one has delivered.
    ahead: Vec<(u32, u32)>,
    /// Subscribers that have left while an audience was served.
    dead: Vec<(u32, End)>,
    /// Tick since which memory for unsent bytes is short, and tick of the last check.
    short: Option<(u32, u32)>,
    ending: bool,
}

impl Engine {
    pub(super) fn new(
        number: usize,
        poll: Poll,
        inbox: Arc<Inbox>,
        recent: Arc<DeliveryWindow>,
        replay: Replay,
        pace: Pace,
        metrics: Arc<Metrics>,
    ) -> Self {
        let through = recent.last();
        Self {
            number,
            poll,
            inbox,
            recent,
            replay,
            pace,
            metrics,
            subscribers: Slab::new(),
            audiences: TopicIndex::default(),
            wheel: TimerWheel::new(WHEEL),
            through,
            started: Instant::now(),
            now: 0,
            generation: 0,
            ready: VecDeque::new(),
            steps: 0,
            ahead: Vec::new(),
            dead: Vec::new(),
            short: None,
            ending: false,
        }
    }

    /// Serves subscribers until the thread is told to end and the last of them has left.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let patience = if self.ready.is_empty() { self.until_tick() } else { Some(Duration::ZERO) };
            match self.poll.poll(&mut events, patience) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            self.now = self.tick(Instant::now());
            self.steps = SLICE;
            // First, so that subscribers whose time is over get no later updates.
            self.run_timers();
            self.reclaim();
            for event in &events {
                if event.token() != WAKE {
                    self.on_io(event);
                }
            }
            for message in self.inbox.take() {
                self.handle_message(message);
            }
            if self.pass_on() {
                // There may be more frames, which come after all messages and events.
                self.inbox.wake();
            }
            self.serve_ready();
            if self.ending && self.subscribers.is_empty() {
                return Ok(());
            }
        }
    }

    fn on_io(&mut self, event: &mio::event::Event) {
        let (slot, generation) = name(event.token());
        let Some(subscriber) = self.subscribers.get_mut(slot as usize) else { return };
        if subscriber.generation != generation {
            return;
        }
        if event.is_readable()
            && let ControlFlow::Break(end) = subscriber.sink.hear()
        {
            return self.end(slot, end);
        }
        if event.is_writable() {
            self.resume(slot, generation, BacklogState::Writing);
        }
    }

    fn handle_message(&mut self, message: Message) {
        match message {
            Message::Join(newcomer) => self.join(newcomer.0, newcomer.1),
            Message::Room(slot, generation) => self.resume(slot, generation, BacklogState::Writing),
            Message::Gone(slot, generation) => {
                if self.is_here(slot, generation) {
                    self.end(slot, End::Left);
                }
            }
            Message::Page(slot, generation, page) => self.take_page(slot, generation, page),
            Message::Unreadable(slot, generation) => {
                if self.is_here(slot, generation) {
                    self.end(slot, End::Failed);
                }
            }
            Message::KeysReplaced => {
                for slot in self.audiences.revoked() {
                    self.end(slot, End::Revoked);
                }
            }
            Message::End(over) => self.start_shutdown(over),
        }
    }

    fn is_here(&self, slot: u32, generation: u32) -> bool {
        self.subscribers.get(slot as usize).is_some_and(|subscriber| subscriber.generation == generation)
    }

    fn join(&mut self, mut sink: Sink, subscription: Subscription) {
        if self.ending {
            return;
        }
        let Subscription { interest, first, start, ends, guard } = subscription;
        // The end is not later than that: the stream ends at the beginning of its tick.
        let ends = ends.map_or(u32::MAX, |ends| self.tick(ends));
        // A subscription that is over gets only its first bytes, which have a reconnection time. Keys may
        // have been replaced since the token was verified; from here on, a message reports replacements.
        if ends <= self.tick(Instant::now()) || interest.is_revoked() {
            if matches!(sink.write(&first), Ok(written) if written == first.len()) {
                sink.finish();
            }
            return;
        }
        let entry = self.subscribers.vacant_entry();
        let slot = entry.key() as u32;
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        if !sink.belongs_to(&self.inbox, slot, generation, self.now) {
            return;
        }
        if let Sink::Socket(socket) = &mut sink {
            let registry = self.poll.registry();
            if let Err(error) =
                registry.register(socket, token(slot, generation), Ready::READABLE | Ready::WRITABLE)
            {
                tracing::warn!(%error, "cannot poll the socket of a subscriber: closing it");
                return;
            }
        }
        let (audience, place) = self.audiences.join(interest, slot);
        let Start { after, told, stored } = start.unwrap_or_else(|| Start::at(self.through));
        let mut behind = Backlog::new(first, after, BacklogState::Ready, self.now, &self.metrics);
        (behind.told, behind.stored) = (told, stored);
        entry.insert(Subscriber {
            sink,
            generation,
            audience,
            place,
            wrote: self.now,
            delivered: false,
            ends,
            behind: Some(behind),
            guard,
        });
        self.metrics.subscribers.inc();
        // Heartbeats of subscribers that connect together do not come at the same time.
        let first = 1 + generation % ticks(self.pace.heartbeat.min(self.pace.stall)).max(1);
        self.wheel.insert(u64::from(ends.min(self.now + first)), (slot, generation));
        self.resume(slot, generation, BacklogState::Ready);
    }

    fn end(&mut self, slot: u32, end: End) {
        let Some(mut subscriber) = self.subscribers.try_remove(slot as usize) else { return };
        // To its reader, a stream that is cut instead looks broken.
        if end.is_orderly() && subscriber.behind.is_none_or(|behind| behind.unsent.is_empty()) {
            subscriber.sink.finish();
        }
        if let Some(moved) = self.audiences.leave(subscriber.audience, subscriber.place) {
            self.subscribers[moved as usize].place = subscriber.place;
        }
        self.metrics.ended(end);
        drop(subscriber.guard);
    }

    /// Delivers frames until none is left or other work should get a turn; true if there may be more.
    fn pass_on(&mut self) -> bool {
        self.steps = SLICE;
        let mut more = true;
        for _ in 0..PASSES {
            more = more && self.deliver_batch();
            if self.steps == 0 {
                break;
            }
        }
        more
    }

    /// Serves the subscribers that are ready, until other work should get a turn.
    fn serve_ready(&mut self) {
        self.steps = SLICE;
        let mut waiting = std::mem::take(&mut self.ready);
        while self.steps > 0
            && let Some((slot, generation)) = waiting.pop_front()
        {
            self.resume(slot, generation, BacklogState::Ready);
        }
        waiting.append(&mut self.ready);
        self.ready = waiting;
    }

    /// Delivers the next frames to all subscribers that are up to date; true if there may be more.
    fn deliver_batch(&mut self) -> bool {
        let Some(mut frames) = self.recent.read(self.through, Position(u64::MAX), FRAMES, BYTES) else {
            self.skip();
            return true;
        };
        if frames.is_empty() {
            return false;
        }
        let mut reached = Vec::new();
        let mut marked = 0;
        for (number, frame) in (0..).zip(&frames) {
            let took = self.audiences.mark(number, frame, &mut reached);
            self.metrics.matching.inc_by(took);
            self.steps = self.steps.saturating_sub(took);
            marked += 1;
            if self.steps == 0 {
                break;
            }
        }
        frames.truncate(marked);
        self.through = frames[frames.len() - 1].position;
        let mut deliveries = 0;
        for audience in reached {
            deliveries += self.write_audience(audience, &frames);
            for (slot, end) in std::mem::take(&mut self.dead) {
                self.end(slot, end);
            }
            self.audiences.clear(audience);
        }
        self.metrics.passed(&frames, deliveries, SystemTime::now());
        self.note_passed();
        true
    }

    /// Notes that everything up to `through` has been delivered.
    fn note_passed(&mut self) {
        self.recent.pass(self.number, self.through);
        for (slot, generation) in std::mem::take(&mut self.ahead) {
            self.resume(slot, generation, BacklogState::Ahead);
        }
    }

    /// Continues where the window begins again, behind records that the log dropped before they were in it.
    ///
    /// Subscribers that were up to date continue from the log, which has some of the records, and learn there
    /// of the missing ones.
    fn skip(&mut self) {
        let from = std::mem::replace(&mut self.through, self.recent.horizon());
        let up_to_date = self.subscribers.iter_mut().filter(|(_, subscriber)| subscriber.behind.is_none());
        let mut affected = Vec::new();
        for (slot, subscriber) in up_to_date {
            subscriber.behind =
                Some(Backlog::new(Bytes::new(), from, BacklogState::Ready, self.now, &self.metrics));
            affected.push((slot as u32, subscriber.generation));
        }
        for (slot, generation) in affected {
            if self.closes_when_overtaken(slot) {
                self.end(slot, End::Overtaken);
            } else {
                self.resume(slot, generation, BacklogState::Ready);
            }
        }
        self.note_passed();
    }

    /// Whether the hub closes this subscriber when events are lost for it.
    ///
    /// The subscriber must be able to resume: it has received an event, and so an id, and is not reading the
    /// whole history. Otherwise its next stream would be a `reset` and the same history again.
    fn closes_when_overtaken(&self, slot: u32) -> bool {
        let Some(subscriber) = self.subscribers.get(slot as usize) else { return false };
        let in_history = subscriber.behind.as_ref().is_some_and(|behind| behind.through < behind.stored);
        self.pace.overtaken == Overtaken::Close && subscriber.delivered && !in_history
    }

    /// Writes the pending frames of an audience to its members that are up to date.
    fn write_audience(&mut self, audience: u32, frames: &[Arc<Frame>]) -> u64 {
        let audience = self.audiences.get(audience);
        let pending = audience.pending.iter().map(|&number| &frames[number as usize]);
        let mut for_sockets = None;
        let mut deliveries = 0;
        for &slot in &audience.members {
            let subscriber = &mut self.subscribers[slot as usize];
            if subscriber.behind.is_some() {
                continue;
            }
            match subscriber.sink.write_frames(pending.clone(), &mut for_sockets) {
                Ok(None) => {
                    (subscriber.wrote, subscriber.delivered) = (self.now, true);
                    deliveries += audience.pending.len() as u64;
                }
                Ok(Some(written)) => {
                    (subscriber.wrote, subscriber.delivered) = (self.now, true);
                    let Begun { count, rest, through } =
                        partially_written(pending.clone(), subscriber.sink.framing(), written);
                    deliveries += count;
                    subscriber.behind =
                        Some(Backlog::new(rest, through, BacklogState::Writing, self.now, &self.metrics));
                    self.metrics.blocked.inc();
                }
                Err(error) => self.dead.push((slot, End::of(&error))),
            }
        }
        deliveries
    }
}

fn token(slot: u32, generation: u32) -> Token {
    Token((u64::from(generation) << 32 | u64::from(slot)) as usize)
}

fn name(token: Token) -> (u32, u32) {
    (token.0 as u32, (token.0 as u64 >> 32) as u32)
}

/// Token of the thread's own waker; no slot has that number.
pub(super) const WAKE: Token = Token(usize::MAX);

pub(super) fn waker(poll: &Poll) -> io::Result<Arc<Waker>> {
    Waker::new(poll.registry(), WAKE).map(Arc::new)
}

/// Number of ticks of a turn of the timer wheel.
const WHEEL: usize = 1024;
/// Maximum number of system events that are read at once.
const EVENTS: usize = 1024;
/// Maximum number of frames, and of their bytes, that are delivered at once.
const FRAMES: usize = 1024;
const BYTES: usize = 256 << 10;
/// Deliveries of frames before messages and system events are read.
const PASSES: usize = 4;
/// Steps of matching after which events, messages and timers get a turn: some milliseconds.
///
/// One frame may take more.
const SLICE: u64 = 1 << 20;
