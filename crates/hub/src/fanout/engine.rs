use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use mio::{Events, Interest as Ready, Poll, Token, Waker};
use slab::Slab;
use ssekit_log::Position;
use tokio::runtime::Handle;

use super::audience::Audiences;
use super::inbox::{Inbox, Message};
use super::recent::Recent;
use super::replay::{Page, Replay};
use super::sink::Sink;
use super::subscriber::{Behind, Doing, End, Reading, Subscriber};
use super::wheel::Wheel;
use super::{Figures, Frame, Overtaken, Pace, Start, Subscription};

/// One fan-out thread: its subscribers, and what it has passed on to them.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) number: usize,
    pub(super) poll: Poll,
    pub(super) inbox: Arc<Inbox>,
    pub(super) recent: Arc<Recent>,
    pub(super) replay: Replay,
    pub(super) pace: Pace,
    pub(super) figures: Arc<Figures>,
    pub(super) runtime: Handle,
    subscribers: Slab<Subscriber>,
    audiences: Audiences,
    wheel: Wheel<(u32, u32)>,
    /// Everything up to here has been passed on.
    through: Position,
    started: Instant,
    now: u32,
    generation: u32,
    /// Who has more to write and waits for their turn.
    ready: Vec<(u32, u32)>,
    /// Who has had more elsewhere than has been passed on here.
    ahead: Vec<(u32, u32)>,
    /// Who has gone while an audience was served.
    dead: Vec<(u32, End)>,
    ending: bool,
}

impl Engine {
    #[expect(clippy::too_many_arguments, reason = "all that a thread shares with the others")]
    pub(super) fn new(
        number: usize,
        poll: Poll,
        inbox: Arc<Inbox>,
        recent: Arc<Recent>,
        replay: Replay,
        pace: Pace,
        figures: Arc<Figures>,
        runtime: Handle,
    ) -> Self {
        let through = recent.last();
        Self {
            number,
            poll,
            inbox,
            recent,
            replay,
            pace,
            figures,
            runtime,
            subscribers: Slab::new(),
            audiences: Audiences::default(),
            wheel: Wheel::new(WHEEL),
            through,
            started: Instant::now(),
            now: 0,
            generation: 0,
            ready: Vec::new(),
            ahead: Vec::new(),
            dead: Vec::new(),
            ending: false,
        }
    }

    /// Serves until it is told to end and the last subscriber has gone.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let patience = if self.ready.is_empty() { self.until_tick() } else { Some(Duration::ZERO) };
            match self.poll.poll(&mut events, patience) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            self.now = self.tick();
            // First, so that nobody whose time is over gets what has come since.
            self.look_at_the_clock();
            for event in &events {
                if event.token() != WAKE {
                    self.hear(event);
                }
            }
            for message in self.inbox.take() {
                self.obey(message);
            }
            let mut more = true;
            for _ in 0..PASSES {
                more = more && self.pass();
            }
            if more {
                // There may be more frames: not before all have been heard.
                self.inbox.wake();
            }
            for (slot, generation) in std::mem::take(&mut self.ready) {
                self.go_on(slot, generation, Doing::Ready);
            }
            if self.ending && self.subscribers.is_empty() {
                return Ok(());
            }
        }
    }

    fn tick(&self) -> u32 {
        u32::try_from(self.started.elapsed().as_millis() / TICK.as_millis()).unwrap_or(u32::MAX)
    }

    fn until_tick(&self) -> Option<Duration> {
        if self.subscribers.is_empty() {
            return None;
        }
        Some((TICK * (self.now + 1)).saturating_sub(self.started.elapsed()).max(Duration::from_millis(1)))
    }

    fn hear(&mut self, event: &mio::event::Event) {
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
            self.go_on(slot, generation, Doing::Writing);
        }
    }

    fn obey(&mut self, message: Message) {
        match message {
            Message::Join(newcomer) => self.join(newcomer.0, newcomer.1),
            Message::Room(slot, generation) => self.go_on(slot, generation, Doing::Writing),
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
            Message::End(over) => self.begin_to_end(over),
        }
    }

    fn is_here(&self, slot: u32, generation: u32) -> bool {
        self.subscribers.get(slot as usize).is_some_and(|subscriber| subscriber.generation == generation)
    }

    fn join(&mut self, mut sink: Sink, subscription: Subscription) {
        if self.ending {
            return;
        }
        let Subscription { interest, head, start, ends, guard } = subscription;
        let entry = self.subscribers.vacant_entry();
        let slot = entry.key() as u32;
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        if !sink.belongs_to(&self.inbox, slot, generation) {
            return;
        }
        if let Sink::Socket(socket) = &mut sink {
            let registry = self.poll.registry();
            if let Err(error) =
                registry.register(socket, token(slot, generation), Ready::READABLE | Ready::WRITABLE)
            {
                tracing::warn!(%error, "a subscriber's socket cannot be waited for: it is closed");
                return;
            }
        }
        let (audience, place) = self.audiences.join(interest, slot);
        // No later than that: the tick at which it comes to its end begins before.
        let ends = ends.map_or(u32::MAX, |left| self.now.saturating_add(whole_ticks(left)));
        let Start { after, told, stored } = start.unwrap_or_else(|| Start::at(self.through));
        let mut behind = Behind::new(head, after, Doing::Ready, self.now);
        (behind.told, behind.stored) = (told, stored);
        entry.insert(Subscriber {
            sink,
            generation,
            audience,
            place,
            wrote: self.now,
            ends,
            behind: Some(behind),
            guard,
        });
        self.figures.subscribers.inc();
        // Who comes together does not beat together.
        let first = 1 + generation % ticks(self.pace.heartbeat.min(self.pace.stall)).max(1);
        self.wheel.insert(u64::from(ends.min(self.now + first)), (slot, generation));
        self.go_on(slot, generation, Doing::Ready);
    }

    fn end(&mut self, slot: u32, end: End) {
        let Some(subscriber) = self.subscribers.try_remove(slot as usize) else { return };
        if let Some(moved) = self.audiences.leave(subscriber.audience, subscriber.place) {
            self.subscribers[moved as usize].place = subscriber.place;
        }
        self.figures.ended(end);
        drop(subscriber.guard);
    }

    /// Passes the next frames on to all who are up to date; true when there may be more.
    fn pass(&mut self) -> bool {
        let frames = match self.recent.read(self.through, Position(u64::MAX), FRAMES, BYTES) {
            Some(frames) if !frames.is_empty() => frames,
            _ => return false,
        };
        let mut reached = Vec::new();
        for (number, frame) in (0..).zip(&frames) {
            self.audiences.mark(number, frame, &mut reached);
        }
        self.through = frames[frames.len() - 1].position;
        let mut deliveries = 0;
        for audience in reached {
            deliveries += self.serve(audience, &frames);
            for (slot, end) in std::mem::take(&mut self.dead) {
                self.end(slot, end);
            }
            self.audiences.clear(audience);
        }
        self.recent.pass(self.number, self.through);
        self.figures.passed(&frames, deliveries, SystemTime::now());
        for (slot, generation) in std::mem::take(&mut self.ahead) {
            self.go_on(slot, generation, Doing::Ahead);
        }
        true
    }

    /// Writes what is pending for an audience to those of its members who are up to date.
    fn serve(&mut self, audience: u32, frames: &[Arc<Frame>]) -> u64 {
        let audience = self.audiences.get(audience);
        let pending = audience.pending.iter().map(|&number| &frames[number as usize]);
        let bytes = match &*audience.pending {
            [one] => frames[*one as usize].bytes.clone(),
            _ => joined(pending.clone()),
        };
        let mut deliveries = 0;
        for &slot in &audience.members {
            let subscriber = &mut self.subscribers[slot as usize];
            if subscriber.behind.is_some() {
                continue;
            }
            match subscriber.sink.write(&bytes) {
                Ok(written) => {
                    subscriber.wrote = self.now;
                    if written < bytes.len() {
                        let Begun { count, rest, through } = begun(pending.clone(), written);
                        deliveries += count;
                        subscriber.behind = Some(Behind::new(rest, through, Doing::Writing, self.now));
                        self.figures.blocked.inc();
                    } else {
                        deliveries += audience.pending.len() as u64;
                    }
                }
                Err(error) => self.dead.push((slot, End::of(&error))),
            }
        }
        deliveries
    }

    /// Lets a subscriber go on that waited for what has come.
    fn go_on(&mut self, slot: u32, generation: u32, waited: Doing) {
        if !self.is_here(slot, generation) {
            return;
        }
        let doing = self.subscribers[slot as usize].behind.as_ref().map(|behind| behind.doing);
        if doing == Some(waited)
            && let ControlFlow::Break(end) = self.catch_up(slot)
        {
            self.end(slot, end);
        }
    }

    /// Writes what a subscriber has not had yet, until it has, there is no room, or it has had its turn.
    fn catch_up(&mut self, slot: u32) -> ControlFlow<End> {
        for _ in 0..TURN {
            let subscriber = &mut self.subscribers[slot as usize];
            let Some(behind) = &mut subscriber.behind else { return ControlFlow::Continue(()) };
            if !behind.unsent.is_empty() {
                let written = match subscriber.sink.write(&behind.unsent) {
                    Ok(written) => written,
                    Err(error) => return ControlFlow::Break(End::of(&error)),
                };
                if written > 0 {
                    behind.unsent = behind.unsent.split_off(written);
                    (subscriber.wrote, behind.since) = (self.now, self.now);
                }
                if !behind.unsent.is_empty() {
                    behind.doing = Doing::Writing;
                    // With what it could not take: there is no word of room that has come since, or one will follow.
                    if written > 0 {
                        continue;
                    }
                    return ControlFlow::Continue(());
                }
            }
            behind.permit = None;
            if behind.last {
                return ControlFlow::Break(End::Shutdown);
            }
            // What is gone from the log is not for who was not there when it came, although it may be in memory.
            let stored = behind.through >= behind.stored;
            if stored && behind.through == self.through {
                subscriber.behind = None;
                return ControlFlow::Continue(());
            }
            if stored && behind.through > self.through {
                behind.doing = Doing::Ahead;
                self.ahead.push((slot, subscriber.generation));
                return ControlFlow::Continue(());
            }
            let recent =
                stored.then(|| self.recent.read(behind.through, self.through, FRAMES, BYTES)).flatten();
            let Some(frames) = recent else {
                behind.doing = Doing::Reading;
                let (after, told) = (behind.through, behind.told);
                let upto = self.through.max(behind.stored);
                self.read(slot, after, told, upto);
                return ControlFlow::Continue(());
            };
            behind.through = frames.last().map_or(self.through, |frame| frame.position);
            let interest = &self.audiences.get(subscriber.audience).interest;
            let own: Vec<_> = frames.iter().filter(|frame| frame.is_for(interest)).collect();
            if own.is_empty() {
                continue;
            }
            let bytes = joined(own.iter().copied());
            let written = match subscriber.sink.write(&bytes) {
                Ok(written) => written,
                Err(error) => return ControlFlow::Break(End::of(&error)),
            };
            if written > 0 {
                (subscriber.wrote, behind.since) = (self.now, self.now);
            }
            let mut delivered = own.len() as u64;
            if written < bytes.len() {
                let begun = begun(own.iter().copied(), written);
                (behind.unsent, behind.through, delivered) = (begun.rest, begun.through, begun.count);
            }
            self.figures.delivered.inc_by(delivered);
        }
        let subscriber = &mut self.subscribers[slot as usize];
        if let Some(behind) = &mut subscriber.behind {
            behind.doing = Doing::Ready;
            self.ready.push((slot, subscriber.generation));
        }
        ControlFlow::Continue(())
    }

    /// Has a page of the log read for a subscriber; the answer comes as a message.
    fn read(&mut self, slot: u32, after: Position, told: Position, upto: Position) {
        let subscriber = &mut self.subscribers[slot as usize];
        let generation = subscriber.generation;
        let interest = self.audiences.get(subscriber.audience).interest.clone();
        let (replay, inbox) = (self.replay.clone(), Arc::clone(&self.inbox));
        let counted = Counted::new(&self.figures);
        let reading = self.runtime.spawn(async move {
            let _counted = counted;
            inbox.send(match replay.page(&interest, after, told, upto).await {
                Ok(page) => Message::Page(slot, generation, page),
                Err(error) => {
                    tracing::error!(%error, "a subscriber cannot be told what it missed: it is sent away to come back");
                    Message::Unreadable(slot, generation)
                }
            });
        });
        if let Some(behind) = &mut subscriber.behind {
            behind.reading = Some(Reading(reading.abort_handle()));
        }
    }

    fn take_page(&mut self, slot: u32, generation: u32, page: Page) {
        if !self.is_here(slot, generation) {
            return;
        }
        let Page { mut bytes, through, lost, told, events, permit } = page;
        self.figures.replayed.inc_by(events);
        self.figures.delivered.inc_by(events);
        if lost {
            match self.pace.overtaken {
                Overtaken::Close => return self.end(slot, End::Overtaken),
                Overtaken::Skip => {
                    self.figures.gaps.inc();
                    bytes = [GAP, &bytes].concat().into();
                }
            }
        }
        if let Some(behind) = &mut self.subscribers[slot as usize].behind {
            if behind.last {
                // It is being sent away: what it has not had, it asks for when it is back.
                return;
            }
            (behind.unsent, behind.through, behind.told) = (bytes, through, told);
            (behind.permit, behind.reading) = (Some((permit, self.now)), None);
            self.go_on(slot, generation, Doing::Reading);
        }
    }

    /// Heartbeats, and the end of those whose time is over.
    fn look_at_the_clock(&mut self) {
        for (slot, generation) in self.wheel.turn(u64::from(self.now)) {
            if !self.is_here(slot, generation) {
                continue;
            }
            match self.due(slot) {
                ControlFlow::Break(end) => self.end(slot, end),
                ControlFlow::Continue(next) => self.wheel.insert(u64::from(next), (slot, generation)),
            }
        }
    }

    /// Does what is due for a subscriber; gives the tick at which to look again.
    fn due(&mut self, slot: u32) -> ControlFlow<End, u32> {
        let heartbeat = ticks(self.pace.heartbeat).max(1);
        let subscriber = &mut self.subscribers[slot as usize];
        if self.ending && subscriber.behind.as_ref().is_none_or(|behind| !behind.last) {
            return self.send_away(slot);
        }
        if subscriber.behind.as_ref().is_some_and(|behind| behind.last) {
            return ControlFlow::Break(End::Shutdown);
        }
        if subscriber.ends <= self.now {
            return ControlFlow::Break(End::Expired);
        }
        let next = if let Some(behind) = &subscriber.behind {
            let stall = ticks(self.pace.stall).max(1);
            let stalls = behind.since + stall;
            // It reads, but so slowly that others would have to wait for what it has of the budget.
            let hogs = behind.permit.as_ref().map(|(_, since)| since + stall);
            let hogs_now = hogs.is_some_and(|hogs| hogs <= self.now) && self.replay.is_short();
            match behind.doing {
                Doing::Writing if stalls <= self.now || hogs_now => return ControlFlow::Break(End::Stalled),
                Doing::Writing => hogs.map_or(stalls, |hogs| stalls.min(hogs.max(self.now + SOON))),
                _ => self.now + heartbeat.min(stall),
            }
        } else if subscriber.wrote + heartbeat <= self.now {
            match subscriber.sink.write(&Bytes::from_static(HEARTBEAT)) {
                Ok(written) if written == HEARTBEAT.len() => self.figures.heartbeats.inc(),
                Ok(written) => {
                    let rest = Bytes::from_static(&HEARTBEAT[written..]);
                    subscriber.behind = Some(Behind::new(rest, self.through, Doing::Writing, self.now));
                    self.figures.blocked.inc()
                }
                Err(error) => return ControlFlow::Break(End::of(&error)),
            };
            subscriber.wrote = self.now;
            self.now + heartbeat
        } else {
            subscriber.wrote + heartbeat
        };
        // Also who reads now may stop to.
        let next = next.min(self.now + ticks(self.pace.stall).max(1));
        ControlFlow::Continue(next.min(subscriber.ends))
    }

    /// Ends all subscriptions, spread over a time.
    fn begin_to_end(&mut self, over: Duration) {
        if std::mem::replace(&mut self.ending, true) {
            return;
        }
        let over = u64::from(ticks(over)).max(1);
        let all: Vec<_> = self.subscribers.iter().map(|(slot, who)| (slot as u32, who.generation)).collect();
        for (index, who) in (0u64..).zip(&all) {
            let at = index * over / all.len() as u64;
            self.wheel.insert(u64::from(self.now) + at, *who);
        }
    }

    /// Tells a subscriber when to come back, after what is being written, and ends it.
    fn send_away(&mut self, slot: u32) -> ControlFlow<End, u32> {
        let farewell = self.pace.farewell();
        let subscriber = &mut self.subscribers[slot as usize];
        let (now, through) = (self.now, self.through);
        let behind =
            subscriber.behind.get_or_insert_with(|| Behind::new(Bytes::new(), through, Doing::Ready, now));
        behind.last = true;
        behind.unsent = [&behind.unsent[..], &farewell].concat().into();
        behind.doing = Doing::Ready;
        self.catch_up(slot)?;
        ControlFlow::Continue(self.now + ticks(FAREWELL).max(1))
    }
}

/// All of some frames, in a row.
fn joined<'a>(frames: impl Iterator<Item = &'a Arc<Frame>> + Clone) -> Bytes {
    let mut all = BytesMut::with_capacity(frames.clone().map(|frame| frame.bytes.len()).sum());
    frames.for_each(|frame| all.extend_from_slice(&frame.bytes));
    all.freeze()
}

/// Where somebody stands who has not been written all of some frames.
struct Begun {
    /// How many of them it has had, with the one that has been begun.
    count: u64,
    /// What is left of that one: a part of the frame itself, which others have, too, and not of all that was to be written.
    rest: Bytes,
    /// Its place.
    through: Position,
}

/// Of frames in a row, of which so many bytes have been written and not all, the one with the next byte.
fn begun<'a>(frames: impl Iterator<Item = &'a Arc<Frame>>, mut written: usize) -> Begun {
    let (mut count, mut rest, mut through) = (0, Bytes::new(), Position::START);
    for frame in frames {
        (count, through) = (count + 1, frame.position);
        if let Some(over) = written.checked_sub(frame.bytes.len()) {
            written = over;
        } else {
            rest = frame.bytes.slice(written..);
            break;
        }
    }
    Begun { count, rest, through }
}

/// Counts a page that is read, until it has been or is given up.
struct Counted(Arc<Figures>);

impl Counted {
    fn new(figures: &Arc<Figures>) -> Self {
        figures.replays.inc();
        Self(Arc::clone(figures))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.replays.dec();
    }
}

fn ticks(time: Duration) -> u32 {
    u32::try_from(time.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u32::MAX / 4).min(u32::MAX / 4)
}

fn whole_ticks(time: Duration) -> u32 {
    u32::try_from(time.as_millis() / TICK.as_millis()).unwrap_or(u32::MAX / 4).min(u32::MAX / 4)
}

fn token(slot: u32, generation: u32) -> Token {
    Token((u64::from(generation) << 32 | u64::from(slot)) as usize)
}

fn name(token: Token) -> (u32, u32) {
    (token.0 as u32, (token.0 as u64 >> 32) as u32)
}

/// The token of the thread's own waker: no slot has that number.
pub(super) const WAKE: Token = Token(usize::MAX);

pub(super) fn waker(poll: &Poll) -> io::Result<Arc<Waker>> {
    Waker::new(poll.registry(), WAKE).map(Arc::new)
}

/// The clock's step.
const TICK: Duration = Duration::from_millis(100);
/// How many steps the wheel has.
const WHEEL: usize = 1024;
/// Events of the system that are heard at once.
const EVENTS: usize = 1024;
/// Frames, and their bytes, that are passed on at once.
const FRAMES: usize = 1024;
const BYTES: usize = 256 << 10;
/// How often frames are passed on before messages and events are heard.
const PASSES: usize = 4;
/// Writes of a subscriber that is behind, before the others have their turn.
const TURN: usize = 4;
/// After how many ticks one that is slow is looked at again.
const SOON: u32 = 10;
/// How long a subscriber that has been told to come back may take to read that.
const FAREWELL: Duration = Duration::from_millis(500);
/// A comment, which receivers ignore.
const HEARTBEAT: &[u8] = b":\n";
const GAP: &[u8] = b"event: gap\ndata: {\"reason\":\"overtaken\"}\n\n";
