//! What a subscriber is written that is not up to date.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use ssekit_log::Position;

use super::{BYTES, Engine, FRAMES};
use crate::fanout::framing::{Framing, Piece};
use crate::fanout::inbox::Message;
use crate::fanout::replay::Page;
use crate::fanout::subscriber::{Doing, End, Reading};
use crate::log_limit::LogLimit;
use crate::fanout::{Figures, Frame};

impl Engine {
    /// Lets a subscriber go on that waited for what has come.
    pub(super) fn go_on(&mut self, slot: u32, generation: u32, waited: Doing) {
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
    pub(super) fn catch_up(&mut self, slot: u32) -> ControlFlow<End> {
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
            let framing = subscriber.sink.framing();
            let bytes = joined(own.iter().copied(), framing);
            let written = match subscriber.sink.write(&bytes) {
                Ok(written) => written,
                Err(error) => return ControlFlow::Break(End::of(&error)),
            };
            if written > 0 {
                (subscriber.wrote, behind.since) = (self.now, self.now);
            }
            subscriber.delivered = true;
            let mut delivered = own.len() as u64;
            if written < bytes.len() {
                let begun = begun(own.iter().copied(), framing, written);
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
    fn read(&mut self, slot: u32, after: Position, told: Option<Position>, upto: Position) {
        let subscriber = &mut self.subscribers[slot as usize];
        let (generation, framing) = (subscriber.generation, subscriber.sink.framing());
        let interest = self.audiences.get(subscriber.audience).interest.clone();
        let (replay, inbox) = (self.replay.clone(), Arc::clone(&self.inbox));
        let counted = Counted::new(&self.figures);
        let reading = self.runtime.spawn(async move {
            let _counted = counted;
            inbox.send(match replay.page(&interest, framing, after, told, upto).await {
                Ok(page) => Message::Page(slot, generation, page),
                Err(error) => {
                    if let Some(count) = replay.log_limit.due("unreadable", LogLimit::OFTEN, Instant::now()) {
                        tracing::error!(%error, count, "the log cannot be read, so streams that are behind end: their clients come back and resume");
                    }
                    Message::Unreadable(slot, generation)
                }
            });
        });
        if let Some(behind) = &mut subscriber.behind {
            behind.reading = Some(Reading(reading.abort_handle()));
        }
    }

    pub(super) fn take_page(&mut self, slot: u32, generation: u32, page: Page) {
        if !self.is_here(slot, generation) {
            return;
        }
        let Page { mut bytes, through, lost, told, events, permit } = page;
        self.figures.replayed.inc_by(events);
        self.figures.delivered.inc_by(events);
        if lost {
            if self.closes_when_overtaken(slot) {
                return self.end(slot, End::Overtaken);
            }
            self.figures.gaps.inc();
            let framing = self.subscribers[slot as usize].sink.framing();
            bytes = [Piece::of(&[GAP]).framed(framing), &bytes].concat().into();
        }
        self.subscribers[slot as usize].delivered |= events > 0;
        if let Some(behind) = &mut self.subscribers[slot as usize].behind {
            if behind.last {
                // It is being sent away: what it has not had, it asks for when it is back.
                return;
            }
            (behind.unsent, behind.through, behind.told) = (bytes, through, told);
            (behind.permit, behind.reading) = (Some((permit, self.now)), None);
            behind.replayed += events;
            self.go_on(slot, generation, Doing::Reading);
        }
    }
}

/// All of some frames, in a row: of one, its own bytes.
pub(super) fn joined<'a>(
    mut frames: impl Iterator<Item = &'a Arc<Frame>> + Clone,
    framing: Framing,
) -> Bytes {
    let all = frames.clone();
    if let (Some(one), None) = (frames.next(), frames.next()) {
        return one.piece.shared(framing, 0);
    }
    let mut joined = BytesMut::with_capacity(all.clone().map(|frame| frame.piece.len()).sum());
    all.for_each(|frame| joined.extend_from_slice(frame.piece.framed(framing)));
    joined.freeze()
}

/// Where somebody stands who has not been written all of some frames.
pub(super) struct Begun {
    /// How many of them it has had, with the one that has been begun.
    pub(super) count: u64,
    /// What is left of that one: a part of the frame itself, which others have, too, and not of all that was to be written.
    pub(super) rest: Bytes,
    /// Its place.
    pub(super) through: Position,
}

/// Of frames in a row, of which so many bytes have been written and not all, the one with the next byte.
pub(super) fn begun<'a>(
    frames: impl Iterator<Item = &'a Arc<Frame>>,
    framing: Framing,
    mut written: usize,
) -> Begun {
    let (mut count, mut rest, mut through) = (0, Bytes::new(), Position::START);
    for frame in frames {
        (count, through) = (count + 1, frame.position);
        if let Some(over) = written.checked_sub(frame.piece.framed(framing).len()) {
            written = over;
        } else {
            rest = frame.piece.shared(framing, written);
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

/// Writes of a subscriber that is behind, before the others have their turn.
const TURN: usize = 4;
const GAP: &[u8] = b"event: gap\ndata: {\"reason\":\"overtaken\"}\n\n";
