//! Delivery to subscribers that are not up to date.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ssekit_log::Position;

use super::{BYTES, Engine, FRAMES};
use crate::fanout::framing::{Framing, Piece};
use crate::fanout::inbox::Message;
use crate::fanout::replay::{Page, Wanted};
use crate::fanout::subscriber::{BacklogState, End, Reading};
use crate::fanout::{Frame, Metrics};
use crate::log_limit::LogLimit;

impl Engine {
    /// Continues with a subscriber that waited for this event.
    pub(super) fn resume(&mut self, slot: u32, generation: u32, waited: BacklogState) {
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

    /// Writes to a subscriber until it is up to date, its socket or body is full, or its turn is over.
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
                    // If there is room by now, a message has reported or will report it.
                    behind.doing = BacklogState::Writing;
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
            // Frames in memory whose records the log had dropped before the subscription are not for this
            // subscriber.
            let stored = behind.through >= behind.stored;
            if stored && behind.through == self.through {
                subscriber.behind = None;
                return ControlFlow::Continue(());
            }
            if stored && behind.through > self.through {
                behind.doing = BacklogState::Ahead;
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
                    behind.doing = BacklogState::Writing;
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
                let partially_written =
                    partially_written(own.iter().copied(), subscriber.sink.framing(), written);
                behind.unsent.push(partially_written.rest);
                (behind.through, delivered) = (partially_written.through, partially_written.count);
                behind.written += written as u64;
            }
            if written != Some(0) {
                (subscriber.wrote, behind.since) = (self.now, self.now);
            }
            self.metrics.delivered.inc_by(delivered);
        }
        let subscriber = &mut self.subscribers[slot as usize];
        if let Some(behind) = &mut subscriber.behind {
            behind.doing = BacklogState::Ready;
            self.ready.push_back((slot, subscriber.generation));
        }
        ControlFlow::Continue(())
    }

    /// Requests a page of the log for a subscriber; the page comes as a message.
    fn read(&mut self, slot: u32, upto: Position) {
        let subscriber = &mut self.subscribers[slot as usize];
        let sent = subscriber.progress().map_or(0, |(_, sent, _)| sent);
        let Some(behind) = &mut subscriber.behind else { return };
        behind.doing = BacklogState::Reading;
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
        let counted = Counted::new(&self.metrics);
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
                            "cannot read the log: closing streams that have to catch up, such as that of \
                             a subscriber to these topics; their clients reconnect and resume"
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
        self.metrics.replayed.inc_by(events);
        self.metrics.delivered.inc_by(events);
        if lost {
            if self.closes_when_overtaken(slot) {
                return self.end(slot, End::Overtaken);
            }
            self.metrics.gaps.inc();
        }
        let subscriber = &mut self.subscribers[slot as usize];
        subscriber.delivered |= events > 0;
        if let Some(behind) = &mut subscriber.behind {
            if behind.last {
                // The stream is being ended; the subscriber asks for the rest when it returns.
                return;
            }
            if lost {
                behind.unsent.push(Piece::of(&[GAP]).shared(subscriber.sink.framing(), 0));
            }
            behind.unsent.push(bytes);
            (behind.through, behind.told, behind.reading) = (through, told, None);
            behind.replayed += events;
            self.resume(slot, generation, BacklogState::Reading);
        }
    }
}

/// State of a subscriber that has received a part of some frames.
pub(super) struct Begun {
    /// Number of frames that it has received, including the one that was partially written.
    pub(super) count: u64,
    /// Rest of that frame.
    ///
    /// It shares the frame's bytes with other subscribers, instead of the joined bytes of the write.
    pub(super) rest: Bytes,
    /// Position of that frame.
    pub(super) through: Position,
}

/// Finds the frame that was partially written, if this number of bytes of frames was written.
pub(super) fn partially_written<'a>(
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

/// Counts a page from its request until it is delivered or given up.
struct Counted(Arc<Metrics>);

impl Counted {
    fn new(metrics: &Arc<Metrics>) -> Self {
        metrics.replays.inc();
        Self(Arc::clone(metrics))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.replays.dec();
    }
}

/// Writes of a subscriber that is behind, before others get a turn.
const TURN: usize = 4;
const GAP: &[u8] = b"event: gap\ndata: {\"reason\":\"overtaken\"}\n\n";
