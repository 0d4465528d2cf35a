//! Window: the newest frames, in memory for all subscribers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use mio::Waker;
use ssekit_log::Position;
use tokio::sync::Notify;

use super::Frame;

/// The newest frames in memory. The threads deliver them, and subscribers that are slightly behind read them.
///
/// It drops no frame that a thread has not delivered: [`push`](Self::push) waits, so that a burst stays in
/// the log.
#[derive(Debug)]
pub(crate) struct DeliveryWindow {
    window: RwLock<Window>,
    /// Maximum number of bytes of frames.
    room: usize,
    threads: Box<[Thread]>,
    /// Notifies waiters that a thread has delivered frames.
    moved: Notify,
}

#[derive(Debug)]
struct Thread {
    /// Position up to which the thread has delivered everything.
    passed: AtomicU64,
    waker: Arc<Waker>,
}

#[derive(Debug)]
struct Window {
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
    /// Position up to which frames are not in the window.
    horizon: Position,
    last: Position,
}

impl DeliveryWindow {
    pub(crate) fn new(room: usize, after: Position, wakers: Vec<Arc<Waker>>) -> Self {
        let thread = |waker| Thread { passed: AtomicU64::new(after.0), waker };
        let window = Window { frames: VecDeque::new(), bytes: 0, horizon: after, last: after };
        Self {
            window: RwLock::new(window),
            room,
            threads: wakers.into_iter().map(thread).collect(),
            moved: Notify::new(),
        }
    }

    /// Adds frames, the newest last, as soon as there is room for them, and wakes the threads.
    pub(crate) async fn push(&self, frames: Vec<Arc<Frame>>) {
        let mut frames = frames.into_iter().peekable();
        while frames.peek().is_some() {
            let moved = self.moved.notified();
            if self.take(&mut frames) {
                self.wake();
            } else {
                moved.await;
            }
        }
    }

    /// Continues behind a position up to which the log has dropped records that were never in the window.
    ///
    /// The threads first deliver all frames; then [`read`](Self::read) sends all readers before the position
    /// to the log.
    pub(crate) async fn skip_to(&self, position: Position) {
        self.until_passed(self.last()).await;
        let mut window = self.window.write().unwrap_or_else(PoisonError::into_inner);
        window.frames.clear();
        (window.bytes, window.horizon, window.last) = (0, position, position);
        drop(window);
        self.wake();
    }

    fn wake(&self) {
        for thread in &self.threads {
            // Waking fails when the thread has ended, as at shutdown.
            let _ = thread.waker.wake();
        }
    }

    /// Takes as many frames as there is room for; true if there were any.
    fn take(&self, frames: &mut std::iter::Peekable<impl Iterator<Item = Arc<Frame>>>) -> bool {
        let passed = self.passed();
        let mut window = self.window.write().unwrap_or_else(PoisonError::into_inner);
        let mut any = false;
        while let Some(frame) = frames.peek() {
            while window.bytes + frame.weight() > self.room
                && window.frames.front().is_some_and(|oldest| oldest.position <= passed)
            {
                window.drop_oldest();
            }
            if window.bytes + frame.weight() > self.room && !window.frames.is_empty() {
                break;
            }
            let frame = frames.next().expect("it was peeked");
            window.last = frame.position;
            window.bytes += frame.weight();
            window.frames.push_back(frame);
            any = true;
        }
        any
    }

    /// Returns the frames after a position and up to another.
    ///
    /// They are at most this number of frames and, apart from the first, of bytes. `None` if the window no
    /// longer has all frames after the position.
    pub(crate) fn read(
        &self,
        after: Position,
        upto: Position,
        count: usize,
        bytes: usize,
    ) -> Option<Vec<Arc<Frame>>> {
        let window = self.window.read().unwrap_or_else(PoisonError::into_inner);
        if after < window.horizon {
            return None;
        }
        let first = window.frames.partition_point(|frame| frame.position <= after);
        let mut total = 0;
        let frames = window.frames.range(first..).take(count).take_while(|frame| {
            let within = frame.position <= upto && (total == 0 || total + frame.weight() <= bytes);
            total += frame.weight();
            within
        });
        Some(frames.cloned().collect())
    }

    /// Notes that a thread has delivered everything up to a position.
    pub(super) fn pass(&self, thread: usize, position: Position) {
        self.threads[thread].passed.store(position.0, Ordering::Release);
        self.moved.notify_waiters();
    }

    /// Position up to which every thread has delivered everything.
    pub(crate) fn passed(&self) -> Position {
        let passed = self.threads.iter().map(|thread| thread.passed.load(Ordering::Acquire)).min();
        Position(passed.unwrap_or(u64::MAX))
    }

    /// Waits until every thread has delivered everything up to a position.
    pub(crate) async fn until_passed(&self, position: Position) {
        loop {
            let moved = self.moved.notified();
            if self.passed() >= position {
                return;
            }
            moved.await;
        }
    }

    /// Position after which all frames are in the window.
    pub(crate) fn horizon(&self) -> Position {
        self.window.read().unwrap_or_else(PoisonError::into_inner).horizon
    }

    /// Position of the newest frame.
    pub(crate) fn last(&self) -> Position {
        self.window.read().unwrap_or_else(PoisonError::into_inner).last
    }
}

impl Window {
    fn drop_oldest(&mut self) {
        if let Some(frame) = self.frames.pop_front() {
            self.bytes -= frame.weight();
            self.horizon = frame.position;
        }
    }
}
