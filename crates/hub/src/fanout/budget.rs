//! Memory budget of bytes that wait for subscribers: one limit for all of them, over every transport.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::{Mutex, Notify};

/// Memory budget.
///
/// It counts each allocation with bytes for subscribers once, however many subscribers share it, until the
/// last of them drops it.
///
/// Updates in the [`DeliveryWindow`](super::window::DeliveryWindow), which has its own limit, are not
/// counted: waiting for one of them costs nothing. An update that has left the window counts in full while a
/// slow subscriber holds it.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    /// Bytes of all counted allocations.
    held: AtomicUsize,
    /// Bytes of `held` that the window accounts for.
    window: AtomicUsize,
    /// Reads of the log that wait for memory, without those that wait in the queue.
    waiting: AtomicUsize,
    /// Lock of the read that is being served; it goes to the others in their order.
    queue: Mutex<()>,
    freed: Notify,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            held: AtomicUsize::new(0),
            window: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            queue: Mutex::new(()),
            freed: Notify::new(),
        })
    }

    /// Bytes that wait for subscribers, without those of the window.
    pub(super) fn used(&self) -> usize {
        self.held.load(Ordering::Acquire).saturating_sub(self.window.load(Ordering::Acquire))
    }

    pub(super) fn free(&self) -> usize {
        self.limit.saturating_sub(self.used())
    }

    /// Whether unread bytes of some subscribers keep others from getting memory.
    pub(super) fn is_short(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0 || self.is_over()
    }

    /// Whether the budget is exceeded.
    ///
    /// Updates exceed it that have left the window, and of which subscribers had begun to read a part.
    pub(super) fn is_over(&self) -> bool {
        self.used() > self.limit
    }

    /// Counts bytes that are in memory already.
    pub(super) fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        self.held.fetch_add(bytes, Ordering::AcqRel);
        Charge { budget: Arc::clone(self), bytes }
    }

    /// Reserves this number of bytes, at most the limit.
    ///
    /// If that is not possible, waits until `fewer` bytes are available. Reservations are served in their
    /// order, so that none waits forever.
    pub(super) async fn reserve(self: &Arc<Self>, bytes: usize, fewer: usize) -> Charge {
        let bytes = bytes.min(self.limit);
        let _first = self.queue.lock().await;
        if let Some(charge) = self.try_reserve(bytes) {
            return charge;
        }
        let _waiting = Waiting::new(&self.waiting);
        loop {
            let freed = self.freed.notified();
            // Checked again, because memory that was freed before the wait sends no notification.
            if let Some(charge) = self.try_reserve(fewer.min(bytes)) {
                return charge;
            }
            freed.await;
        }
    }

    fn try_reserve(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        let window = self.window.load(Ordering::Acquire);
        let more = |held: usize| Some(held + bytes).filter(|held| held.saturating_sub(window) <= self.limit);
        self.held.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Charge { budget: Arc::clone(self), bytes })
    }

    fn release(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::AcqRel);
        if self.waiting.load(Ordering::Acquire) > 0 {
            self.freed.notify_waiters();
        }
    }
}

/// Reserved bytes of the budget, until they are dropped.
#[derive(Debug)]
pub(super) struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Charge {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns unneeded bytes, or counts more.
    pub(super) fn resize(&mut self, bytes: usize) {
        match self.bytes.checked_sub(bytes) {
            Some(less) => self.budget.release(less),
            None => _ = self.budget.held.fetch_add(bytes - self.bytes, Ordering::AcqRel),
        }
        self.bytes = bytes;
    }

    /// Makes bytes that are counted until their last slice is dropped.
    ///
    /// A thread, a response, or a connection's buffer may hold that slice.
    pub(super) fn own(mut self, bytes: Vec<u8>) -> Bytes {
        self.resize(bytes.len());
        Bytes::from_owner(Charged { bytes, _charge: self })
    }

    /// Moves these bytes to the account of the window, until the result is dropped.
    pub(super) fn in_window(&self) -> InWindow {
        self.budget.window.fetch_add(self.bytes, Ordering::AcqRel);
        InWindow { budget: Arc::clone(&self.budget), bytes: self.bytes }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.release(self.bytes);
    }
}

/// Bytes on the account of the window.
#[derive(Debug)]
pub(super) struct InWindow {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Drop for InWindow {
    fn drop(&mut self) {
        self.budget.window.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

struct Charged {
    bytes: Vec<u8>,
    _charge: Charge,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use super::Budget;

    #[test]
    fn bytes_count_once_until_their_last_slice_is_dropped() {
        let budget = Budget::new(1000);
        let bytes = budget.charge(0).own(vec![0; 600]);
        let slices = [bytes.slice(..1), bytes.slice(599..), bytes.clone()];
        drop(bytes);
        assert_eq!((budget.used(), budget.is_short()), (600, false));
        let more = budget.charge(500);
        assert_eq!((budget.used(), budget.is_short()), (1100, true));
        drop(more);
        let [first, last, all] = slices;
        drop((first, all));
        assert_eq!(budget.used(), 600);
        drop(last);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn bytes_in_the_window_are_free_and_count_when_they_have_left_it() {
        let budget = Budget::new(1000);
        let charge = budget.charge(600);
        let window = charge.in_window();
        let bytes = charge.own(vec![0; 600]);
        assert_eq!(budget.used(), 0);
        drop(window);
        assert_eq!(budget.used(), 600);
        drop(bytes);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn who_finds_no_room_waits_until_enough_is_given_back() {
        let budget = Budget::new(1000);
        let (first, second) = (budget.charge(500), budget.charge(300));
        let mut cx = Context::from_waker(Waker::noop());
        let mut reserved = pin!(budget.reserve(400, 400));
        assert!(reserved.as_mut().poll(&mut cx).is_pending());
        assert!(budget.is_short());
        drop(second);
        let Poll::Ready(mut charge) = reserved.as_mut().poll(&mut cx) else { panic!("there is room") };
        assert!(!budget.is_short());
        charge.resize(100);
        assert_eq!(budget.used(), 600);
        drop((charge, first));
        // A reservation that exceeds the limit is granted alone.
        let mut all = pin!(budget.reserve(5000, 5000));
        assert!(all.as_mut().poll(&mut cx).is_ready());
    }

    #[test]
    fn while_memory_is_short_a_page_is_small() {
        let budget = Budget::new(1000);
        let held = budget.charge(900);
        let mut cx = Context::from_waker(Waker::noop());
        let mut given = |bytes| {
            let Poll::Ready(charge) = pin!(budget.reserve(bytes, 50)).poll(&mut cx) else {
                panic!("there is room for 50 bytes");
            };
            charge.bytes()
        };
        assert_eq!([given(400), given(100), given(20)], [50, 100, 20]);
        drop(held);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn those_who_wait_are_served_in_their_order() {
        let budget = Budget::new(1000);
        let held = [(); 20].map(|()| budget.charge(50));
        let mut cx = Context::from_waker(Waker::noop());
        let reserve = |bytes| {
            let budget = Arc::clone(&budget);
            Box::pin(async move { budget.reserve(bytes, bytes).await })
        };
        let mut waiting = [reserve(200), reserve(50), reserve(100)];
        for reserved in &mut waiting {
            assert!(reserved.as_mut().poll(&mut cx).is_pending());
        }
        let mut given = Vec::new();
        let mut charges = Vec::new();
        for part in held {
            drop(part);
            // The last reservation is polled first.
            for (number, reserved) in waiting.iter_mut().enumerate().rev() {
                if given.contains(&number) {
                    continue;
                }
                if let Poll::Ready(charge) = reserved.as_mut().poll(&mut cx) {
                    given.push(number);
                    charges.push(charge);
                }
            }
            // A reservation that comes later waits as well.
            let is_late_served = reserve(50).as_mut().poll(&mut cx).is_ready();
            assert!(!is_late_served || given.len() == waiting.len());
        }
        assert_eq!(given, [0, 1, 2]);
        drop(charges);
        assert_eq!((budget.used(), budget.is_short()), (0, false));
    }

    #[test]
    fn who_gives_up_lets_the_next_one_go_on() {
        let budget = Budget::new(1000);
        let held = budget.charge(1000);
        let mut cx = Context::from_waker(Waker::noop());
        let mut first = Box::pin(budget.reserve(100, 100));
        let mut second = pin!(budget.reserve(100, 100));
        assert!(first.as_mut().poll(&mut cx).is_pending() && second.as_mut().poll(&mut cx).is_pending());
        drop(first);
        drop(held);
        assert!(second.as_mut().poll(&mut cx).is_ready());
    }
}
