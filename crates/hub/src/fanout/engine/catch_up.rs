//! What a subscriber is written that is not up to date.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ssekit_log::Position;

use super::{BYTES, Engine, FRAMES};
use crate::fanout::framing::{Framing, Piece};
use crate::fanout::inbox::Message;
use crate::fanout::replay::{Page, Wanted};
use crate::fanout::subscriber::{Doing, End, Reading};
use crate::fanout::{Figures, Frame};
use crate::log_limit::LogLimit;

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
            if let Some(bytes) = behind.unsent.first() {
                let written = match subscriber.sink.write(bytes) {
                    Ok(written) => written,
                    Err(error) => return ControlFlow::Break(End::of(&error)),
                };
                if written == 0 {
                    // Room that has come since then is told, or will be.
                    behind.doing = Doing::Writing;
                    return ControlFlow::Continue(());
                }
                behind.unsent.advance(written);
                behind.written += written as u64;
                (subscriber.wrote, behind.since) = (self.now, self.now);
                continue;
            }
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
            if self.steps == 0 {
                break;
            }
            let recent =
                stored.then(|| self.recent.read(behind.through, self.through, FRAMES, BYTES)).flatten();
            let Some(frames) = recent else {
                if !subscriber.sink.wants_more() {
                    behind.doing = Doing::Writing;
                    return ControlFlow::Continue(());
                }
                let upto = self.through.max(behind.stored);
                self.read(slot, upto);
                return ControlFlow::Continue(());
            };
            let interest = &self.audiences.get(subscriber.audience).interest;
            let mut own = Vec::new();
            for frame in &frames {
                let mut took = 0;
                if frame.is_for(interest, &mut took) {
                    own.push(frame);
                }
                behind.through = frame.position;
                self.steps = self.steps.saturating_sub(took);
                if self.steps == 0 {
                    break;
                }
            }
            if frames.is_empty() {
                behind.through = self.through;
            }
            if own.is_empty() {
                continue;
            }
            let written = match subscriber.sink.write_frames(own.iter().copied(), &mut None) {
                Ok(written) => written,
                Err(error) => return ControlFlow::Break(End::of(&error)),
            };
            subscriber.delivered = true;
            let mut delivered = own.len() as u64;
            if let Some(written) = written {
                let begun = begun(own.iter().copied(), subscriber.sink.framing(), written);
                behind.unsent.push(begun.rest);
                (behind.through, delivered) = (begun.through, begun.count);
                behind.written += written as u64;
            }
            if written != Some(0) {
                (subscriber.wrote, behind.since) = (self.now, self.now);
            }
            self.figures.delivered.inc_by(delivered);
        }
        let subscriber = &mut self.subscribers[slot as usize];
        if let Some(behind) = &mut subscriber.behind {
            behind.doing = Doing::Ready;
            self.ready.push_back((slot, subscriber.generation));
        }
        ControlFlow::Continue(())
    }

    /// Has a page of the log read for a subscriber; the answer comes as a message.
    fn read(&mut self, slot: u32, upto: Position) {
        let subscriber = &mut self.subscribers[slot as usize];
        let sent = subscriber.progress().map_or(0, |(_, sent, _)| sent);
        let Some(behind) = &mut subscriber.behind else { return };
        behind.doing = Doing::Reading;
        let wanted = Wanted {
            interest: self.audiences.get(subscriber.audience).interest.clone(),
            framing: subscriber.sink.framing(),
            after: behind.through,
            upto,
            told: behind.told,
            size: self.replay.page_size(sent),
            address: subscriber.sink.address(),
        };
        let generation = subscriber.generation;
        let (replay, inbox) = (self.replay.clone(), Arc::clone(&self.inbox));
        let counted = Counted::new(&self.figures);
        let reading = self.replay.background.spawn(async move {
            let _counted = counted;
            inbox.send(match replay.page(&wanted).await {
                Ok(page) => Message::Page(slot, generation, page),
                Err(error) => {
                    if let Some(count) = replay.log_limit.due("unreadable", LogLimit::OFTEN, Instant::now()) {
                        tracing::error!(
                            %error,
                            count,
                            topics = wanted.interest.shown(),
                            after = wanted.after.0,
                            "cannot read the log: closing streams that have to catch up, such as that of a subscriber to these topics; their clients reconnect and resume"
                        );
                    }
                    Message::Unreadable(slot, generation)
                }
            });
        });
        behind.reading = Some(Reading(reading));
    }

    pub(super) fn take_page(&mut self, slot: u32, generation: u32, page: Page) {
        if !self.is_here(slot, generation) {
            return;
        }
        let Page { bytes, through, lost, told, events } = page;
        self.figures.replayed.inc_by(events);
        self.figures.delivered.inc_by(events);
        if lost {
            if self.closes_when_overtaken(slot) {
                return self.end(slot, End::Overtaken);
            }
            self.figures.gaps.inc();
        }
        let subscriber = &mut self.subscribers[slot as usize];
        subscriber.delivered |= events > 0;
        if let Some(behind) = &mut subscriber.behind {
            if behind.last {
                // It is being sent away: what it has not had, it asks for when it is back.
                return;
            }
            if lost {
                behind.unsent.push(Piece::of(&[GAP]).shared(subscriber.sink.framing(), 0));
            }
            behind.unsent.push(bytes);
            (behind.through, behind.told, behind.reading) = (through, told, None);
            behind.replayed += events;
            self.go_on(slot, generation, Doing::Reading);
        }
    }
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
