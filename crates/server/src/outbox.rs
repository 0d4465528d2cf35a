use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use ssekit_wire::Event;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::emit_error::EmitError;
use crate::queue::{Ping, Queue};
use crate::stop::StopReason;
use crate::timers::{Flight, Stall, StreamTimers};

/// The queue and wakers between the emitters of a stream, on any thread, and the connection that reads it.
///
/// One lock guards it. Under it, no foreign code runs, no task is woken, and no waker is dropped.
#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<OutboxState>,
    /// Since somebody first waited for something.
    waiters: OnceLock<Box<Waiters>>,
}

/// The conditions that emitters wait for.
#[derive(Debug, Default)]
struct Waiters {
    /// Emitters that wait for room wait for this first, in order.
    turn: tokio::sync::Mutex<()>,
    room: Notify,
    closed: Notify,
}

#[derive(Debug)]
struct OutboxState {
    /// None for a stream without emitters.
    queue: Option<Box<Queue>>,
    /// Taken from the queue, or offered, and not handed out: the rest of bytes that are too long for one
    /// piece.
    rest: Bytes,
    phase: Phase,
    /// No emitter and no lock is left.
    abandoned: bool,
    pieces: u32,
    bytes: usize,
    /// The transport has let go of a piece since the body last looked.
    moved: bool,
    body: Option<Waker>,
    /// The body waits for the transport to let go of a piece, not for events.
    body_is_blocked: bool,
    /// The server shuts down: the stream is over when the transport has written the rest, or has had its time
    /// to.
    shuts_down: bool,
}

#[derive(Debug)]
enum Phase {
    Open,
    /// Takes no more events; ends when the waiting bytes have been handed out.
    Ending(StopReason),
    Ended,
}

/// The next action of the body.
#[derive(Debug)]
pub(crate) enum NextAction {
    Send(Bytes),
    /// To be compressed and offered.
    Compress(Bytes),
    End(StopReason),
    Stalled(Duration),
    /// The server shuts down, and the transport has not written the rest in time.
    Cut,
    /// Nothing that was emitted, until it is woken or this time has come.
    Wait {
        until: Option<Instant>,
        /// The transport takes more, would there be any.
        room: bool,
        /// The same task polled before.
        same: bool,
    },
}

/// The limits for the transport. hyper stops polling a body at 16 buffers or about 400 KiB, and a body that
/// is not polled cannot see that its peer has stalled; so a stream stays below both.
const MAX_PIECES: u32 = 12;
const MAX_FLIGHT_BYTES: usize = 256 << 10;
const MAX_PIECE_BYTES: usize = 64 << 10;

impl Outbox {
    /// An outbox for emitters, or, without a queue, for a stream that reads channels alone.
    pub(crate) fn new(queue: Option<Queue>) -> Self {
        Self {
            state: Mutex::new(OutboxState {
                abandoned: queue.is_none(),
                queue: queue.map(Box::new),
                rest: Bytes::new(),
                phase: Phase::Open,
                pieces: 0,
                bytes: 0,
                moved: false,
                body: None,
                body_is_blocked: false,
                shuts_down: false,
            }),
            waiters: OnceLock::new(),
        }
    }

    /// Writes to the queue and wakes the body.
    pub(crate) fn push(
        &self,
        write: impl FnOnce(&mut Queue) -> Result<(), EmitError>,
    ) -> Result<(), EmitError> {
        let mut state = self.state();
        if !matches!(state.phase, Phase::Open) {
            return Err(EmitError::Closed);
        }
        let Some(queue) = &mut state.queue else { return Err(EmitError::Closed) };
        write(queue)?;
        if !state.body_is_blocked {
            wake(state);
        }
        Ok(())
    }

    /// Waits for room, first come first served.
    pub(crate) async fn send(&self, event: Event<'_>) -> Result<(), EmitError> {
        match self.push(|queue| queue.event(&event)) {
            Err(EmitError::Full { .. }) => {}
            answer => return answer,
        }
        let Waiters { turn, room, .. } = self.waiters();
        let _turn = turn.lock().await;
        loop {
            let room = room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            match self.push(|queue| queue.event(&event)) {
                Err(EmitError::Full { .. }) => room.await,
                answer => return answer,
            }
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        !matches!(self.state().phase, Phase::Open)
    }

    pub(crate) async fn closed(&self) {
        let closed = self.waiters().closed.notified();
        tokio::pin!(closed);
        closed.as_mut().enable();
        if !self.is_closed() {
            closed.await;
        }
    }

    /// Takes no more events; the stream ends when the waiting bytes have been handed out. The first reason
    /// stands.
    pub(crate) fn end(&self, reason: StopReason) {
        let mut state = self.state();
        if matches!(state.phase, Phase::Open) {
            state.phase = Phase::Ending(reason);
            wake(state);
            self.notify_closed();
        }
    }

    /// The server ends the stream, as [`end`](Self::end) does; last of all, the client gets its
    /// reconnection time.
    ///
    /// With [`StopReason::Shutdown`], nobody waits for long for the transport to write the rest, also if the
    /// stream was ending already.
    pub(crate) fn end_with_retry(&self, reason: StopReason, retry: Duration) {
        let mut state = self.state();
        state.shuts_down |= matches!(reason, StopReason::Shutdown);
        let open = matches!(state.phase, Phase::Open);
        if open {
            state.queue.get_or_insert_with(|| Box::new(Queue::new(0, None, None))).push_last_retry(retry);
            state.phase = Phase::Ending(reason);
        }
        wake(state);
        if open {
            self.notify_closed();
        }
    }

    /// The last emitter is gone.
    pub(crate) fn abandon(&self) {
        let mut state = self.state();
        state.abandoned = true;
        wake(state);
    }

    /// Ends at once and drops the waiting bytes; returns the reason if one was given before.
    pub(crate) fn close(&self) -> Option<StopReason> {
        let mut state = self.state();
        let phase = std::mem::replace(&mut state.phase, Phase::Ended);
        let queue = state.queue.take();
        state.rest = Bytes::new();
        let body = state.body.take();
        drop(state);
        drop((queue, body));
        self.notify_closed();
        match phase {
            Phase::Ending(reason) => Some(reason),
            Phase::Open | Phase::Ended => None,
        }
    }

    /// Takes bytes that were not emitted here, or were compressed, to be handed out next. Nothing may wait
    /// before them: only after [`NextAction::Wait`] with room or [`NextAction::Compress`], by the body alone.
    pub(crate) fn offer(&self, bytes: Bytes) {
        let mut state = self.state();
        debug_assert!(state.rest.is_empty(), "offered bytes would replace others");
        state.rest = bytes;
    }

    /// Hands out bytes of the log that fit into one piece, by the body alone. Only after [`NextAction::Wait`]
    /// with room.
    pub(crate) fn track_whole(
        self: &Arc<Self>,
        bytes: Bytes,
        timers: &mut StreamTimers,
        now: Instant,
    ) -> Result<Bytes, Bytes> {
        if bytes.len() > MAX_PIECE_BYTES {
            return Err(bytes);
        }
        Ok(self.track(self.state(), bytes, timers, now))
    }

    /// Bytes as they are handed out: counted, where it matters, until the transport lets go of them.
    fn track(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, OutboxState>,
        bytes: Bytes,
        timers: &mut StreamTimers,
        now: Instant,
    ) -> Bytes {
        timers.on_sent(state.flight() == Flight::Empty, now);
        if !timers.detects_stalls() {
            return bytes;
        }
        state.pieces += 1;
        state.bytes += bytes.len();
        drop(state);
        Bytes::from_owner(TrackedBytes { bytes, outbox: self.clone() })
    }

    /// Returns the next action of the body. If that is to wait, `body` will be woken. `more_may_come`: from
    /// channels.
    pub(crate) fn next_action(
        self: &Arc<Self>,
        timers: &mut StreamTimers,
        ping: Ping,
        more_may_come: bool,
        compress: bool,
        body: &Waker,
        now: Instant,
    ) -> NextAction {
        let mut state = self.state();
        if std::mem::take(&mut state.moved) {
            timers.on_progress(now);
        }
        let flight = state.flight();
        let left = flight != Flight::Empty || !state.rest.is_empty() || state.has_queued();
        let cut = if state.shuts_down && left { timers.check_shutdown(now) } else { Stall::No };
        let stall = if flight == Flight::Empty { Stall::No } else { timers.check_stall(now) };
        match (cut, stall) {
            (Stall::Certain(_), _) => return NextAction::Cut,
            (_, Stall::Certain(held)) => return NextAction::Stalled(held),
            (Stall::Suspected, _) | (_, Stall::Suspected) => {
                drop(state);
                body.wake_by_ref();
                return NextAction::Wait { until: None, room: false, same: false };
            }
            (Stall::No, Stall::No) => {}
        }
        if flight != Flight::Full {
            let mut taken = false;
            if state.rest.is_empty() {
                if let Some(queue) = state.queue.as_mut().filter(|queue| !queue.is_empty()) {
                    state.rest = queue.take();
                    taken = true;
                } else if matches!(state.phase, Phase::Open) && timers.ping_is_due(now) {
                    state.rest = ping.bytes();
                }
                if compress && !state.rest.is_empty() {
                    let bytes = std::mem::take(&mut state.rest);
                    drop(state);
                    if taken {
                        self.notify_room();
                    }
                    return NextAction::Compress(bytes);
                }
            }
            if !state.rest.is_empty() {
                let len = state.rest.len().min(MAX_PIECE_BYTES);
                let bytes = state.rest.split_to(len);
                let bytes = self.track(state, bytes, timers, now);
                if taken {
                    self.notify_room();
                }
                return NextAction::Send(bytes);
            }
        }
        let mut blocked = flight == Flight::Full;
        if state.rest.is_empty() && !state.has_queued() {
            let nobody_can_emit = state.abandoned && !more_may_come;
            if nobody_can_emit || !matches!(state.phase, Phase::Open) {
                if flight == Flight::Empty || !state.awaits_transport() {
                    drop(state);
                    return NextAction::End(self.close().unwrap_or(StopReason::Ended));
                }
                blocked = true;
            }
        }
        state.body_is_blocked = blocked;
        let same = state.body.as_ref().is_some_and(|waker| waker.will_wake(body));
        if !same {
            let other = state.body.replace(body.clone());
            drop(state);
            drop(other);
        }
        NextAction::Wait { until: timers.next_wakeup(flight), room: !blocked, same }
    }

    /// The transport has written a piece, or has thrown it away.
    fn release(&self, len: usize) {
        let mut state = self.state();
        state.pieces -= 1;
        state.bytes -= len;
        state.moved = true;
        if state.body_is_blocked {
            state.body_is_blocked = false;
            wake(state);
        }
    }

    fn waiters(&self) -> &Waiters {
        self.waiters.get_or_init(Box::default)
    }

    fn notify_room(&self) {
        if let Some(waiters) = self.waiters.get() {
            waiters.room.notify_waiters();
        }
    }

    /// Wakes waiting emitters after the phase has changed; emitters that begin to wait see the change.
    fn notify_closed(&self) {
        if let Some(waiters) = self.waiters.get() {
            waiters.closed.notify_waiters();
            waiters.room.notify_waiters();
        }
    }

    fn state(&self) -> MutexGuard<'_, OutboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OutboxState {
    fn has_queued(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| !queue.is_empty())
    }

    /// Whether the stream is over only when the transport has written everything: a failed body would lose
    /// it.
    fn awaits_transport(&self) -> bool {
        self.shuts_down || matches!(&self.phase, Phase::Ending(reason) if reason.is_incomplete())
    }

    fn flight(&self) -> Flight {
        match self.pieces {
            0 => Flight::Empty,
            MAX_PIECES.. => Flight::Full,
            _ if self.bytes + MAX_PIECE_BYTES > MAX_FLIGHT_BYTES => Flight::Full,
            _ => Flight::Some,
        }
    }
}

/// Wakes the body, after the lock was let go.
fn wake(mut state: MutexGuard<'_, OutboxState>) {
    let body = state.body.take();
    drop(state);
    if let Some(body) = body {
        body.wake();
    }
}

/// Bytes in the hands of the transport, which drops them when it has written them.
struct TrackedBytes {
    bytes: Bytes,
    outbox: Arc<Outbox>,
}

impl AsRef<[u8]> for TrackedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for TrackedBytes {
    fn drop(&mut self) {
        self.outbox.release(self.bytes.len());
    }
}
