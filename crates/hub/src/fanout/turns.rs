//! Turns of reads of the log: few at once, and fair to all waiting readers.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Gives turns one after the other.
///
/// Readers that find events for their subscriber go before those that have found none so far. In each of
/// these two lanes the addresses take turns, so that many readers of one address delay others no more than
/// two readers would.
#[derive(Debug)]
pub(super) struct Turns {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    finding: Queue,
    searching: Queue,
    /// Turns given in a row while a reader searches.
    in_a_row: u32,
}

/// Whether a reader has found events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// It has found some, or has not read yet.
    Finding,
    /// It has read a part of the log without events for it.
    Searching,
}

/// Waiting readers, by the address that they share turns with.
#[derive(Debug, Default)]
struct Queue {
    addresses: VecDeque<u32>,
    waiting: HashMap<u32, VecDeque<oneshot::Sender<Turn>>>,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn(Arc<Turns>);

impl Turns {
    /// Allows this number of turns at once.
    pub(super) fn new(at_once: usize) -> Arc<Self> {
        let (finding, searching) = (Queue::default(), Queue::default());
        let state = State { free: at_once.max(1), finding, searching, in_a_row: 0 };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Waits for a turn.
    pub(super) async fn take(self: &Arc<Self>, lane: Lane, address: u32) -> Turn {
        let waiting = {
            let mut state = self.lock();
            if state.free > 0 {
                state.free -= 1;
                None
            } else {
                let (sender, receiver) = oneshot::channel();
                state.queue(lane).push(address, sender);
                Some(receiver)
            }
        };
        match waiting {
            None => Turn(Arc::clone(self)),
            // The sender is dropped only with all turns, or if this reader has left.
            Some(waiting) => waiting.await.unwrap_or_else(|_| Turn(Arc::clone(self))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn queue(&mut self, lane: Lane) -> &mut Queue {
        match lane {
            Lane::Finding => &mut self.finding,
            Lane::Searching => &mut self.searching,
        }
    }

    /// Returns the next reader that has not left.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let search = self.in_a_row >= FINDING;
        let first = if search { Lane::Searching } else { Lane::Finding };
        let second = if search { Lane::Finding } else { Lane::Searching };
        for lane in [first, second] {
            if let Some(next) = self.queue(lane).pop() {
                self.in_a_row = if lane == Lane::Searching { 0 } else { self.in_a_row + 1 };
                return Some(next);
            }
        }
        None
    }
}

impl Queue {
    fn push(&mut self, address: u32, sender: oneshot::Sender<Turn>) {
        let waiting = self.waiting.entry(address).or_default();
        if waiting.is_empty() {
            self.addresses.push_back(address);
        }
        waiting.push_back(sender);
    }

    fn pop(&mut self) -> Option<oneshot::Sender<Turn>> {
        while let Some(address) = self.addresses.pop_front() {
            let Some(waiting) = self.waiting.get_mut(&address) else { continue };
            let next = std::iter::from_fn(|| waiting.pop_front()).find(|sender| !sender.is_closed());
            if waiting.is_empty() {
                self.waiting.remove(&address);
            } else {
                self.addresses.push_back(address);
            }
            if next.is_some() {
                return next;
            }
        }
        None
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = {
            let mut state = self.0.lock();
            let next = state.next();
            state.free += usize::from(next.is_none());
            next
        };
        if let Some(next) = next {
            // A reader that has left drops the turn, which passes it on.
            drop(next.send(Self(Arc::clone(&self.0))));
        }
    }
}

/// Turns of readers that find events, before one that searches gets a turn.
const FINDING: u32 = 3;

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::{Lane, Turn, Turns};

    type Waiting = Pin<Box<dyn Future<Output = Turn>>>;

    fn wait(turns: &std::sync::Arc<Turns>, lane: Lane, address: u32) -> Waiting {
        let turns = std::sync::Arc::clone(turns);
        let mut waiting: Waiting = Box::pin(async move { turns.take(lane, address).await });
        assert!(poll(&mut waiting).is_none(), "all turns are taken");
        waiting
    }

    fn poll(waiting: &mut Waiting) -> Option<Turn> {
        match waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    /// The order in which waiting readers get their turns, each for a moment.
    fn order(turns: &std::sync::Arc<Turns>, mut waiting: Vec<(&'static str, Waiting)>) -> Vec<&'static str> {
        let mut order = Vec::new();
        while !waiting.is_empty() {
            let mut turn = None;
            waiting.retain_mut(|(name, waiting)| {
                if turn.is_some() {
                    return true;
                }
                turn = poll(waiting);
                if turn.is_some() {
                    order.push(*name);
                }
                turn.is_none()
            });
            assert!(turn.is_some(), "somebody has the turn");
        }
        assert_eq!(turns.lock().free, 1, "it is given back");
        order
    }

    fn first(turns: &std::sync::Arc<Turns>) -> Turn {
        let mut first: Waiting = Box::pin({
            let turns = std::sync::Arc::clone(turns);
            async move { turns.take(Lane::Finding, 0).await }
        });
        poll(&mut first).expect("nobody else is there")
    }

    #[test]
    fn addresses_take_turns_however_many_wait_of_each() {
        let turns = Turns::new(1);
        let turn = first(&turns);
        let mut waiting: Vec<_> = (0..4).map(|_| ("many", wait(&turns, Lane::Finding, 1))).collect();
        waiting.push(("one", wait(&turns, Lane::Finding, 2)));
        waiting.push(("two", wait(&turns, Lane::Finding, 3)));
        waiting.push(("two", wait(&turns, Lane::Finding, 3)));
        drop(turn);
        assert_eq!(order(&turns, waiting), ["many", "one", "two", "many", "two", "many", "many"]);
    }

    #[test]
    fn those_who_find_go_before_those_who_search_and_keep_nobody_waiting_for_ever() {
        let turns = Turns::new(1);
        let turn = first(&turns);
        let mut waiting: Vec<_> = (0..3).map(|n| ("searches", wait(&turns, Lane::Searching, n))).collect();
        waiting.extend((0..5).map(|n| ("finds", wait(&turns, Lane::Finding, n))));
        drop(turn);
        let wanted = ["finds", "finds", "finds", "searches", "finds", "finds", "searches", "searches"];
        assert_eq!(order(&turns, waiting), wanted);
    }

    /// Asks for a turn, which is given at once if one is free.
    fn ask(turns: &std::sync::Arc<Turns>, lane: Lane, address: u32) -> Waiting {
        let turns = std::sync::Arc::clone(turns);
        let mut asked: Waiting = Box::pin(async move { turns.take(lane, address).await });
        match poll(&mut asked) {
            Some(turn) => Box::pin(std::future::ready(turn)),
            None => asked,
        }
    }

    /// Counts the turns of the peers until a reader that came last has had `own` turns.
    ///
    /// Each peer takes turns up to its number in its lane.
    fn turns_of_others(peers: impl IntoIterator<Item = (Lane, u32, usize)>, own: usize) -> usize {
        let turns = Turns::new(1);
        let turn = first(&turns);
        let mut peers: Vec<_> = peers
            .into_iter()
            .map(|(lane, peer, left)| (lane, peer, left, wait(&turns, lane, peer)))
            .collect();
        let mut reader = wait(&turns, Lane::Finding, u32::MAX);
        drop(turn);
        let (mut others, mut had) = (0, 0);
        while had < own {
            if let Some(turn) = poll(&mut reader) {
                had += 1;
                drop(turn);
                reader = ask(&turns, Lane::Finding, u32::MAX);
                continue;
            }
            let given =
                peers.iter_mut().enumerate().find_map(|(peer, (.., waiting))| Some((peer, poll(waiting)?)));
            let (peer, turn) = given.expect("somebody has the turn");
            others += 1;
            drop(turn);
            let (lane, address, left, waiting) = &mut peers[peer];
            *left -= 1;
            *waiting = ask(&turns, *lane, *address);
            if *left == 0 {
                drop(peers.swap_remove(peer));
            }
        }
        others
    }

    /// 40 MB are 160 pages.
    ///
    /// A peer that does not read asks for few pages, since only few bytes may wait for it.
    #[test]
    fn a_thousand_peers_delay_one_that_reads_much_by_a_bounded_number_of_turns() {
        const OWN: usize = 160;
        const IDLE: usize = 5;
        let of_one_address = (0..1000).map(|_| (Lane::Finding, 1, IDLE));
        assert!(turns_of_others(of_one_address, OWN) <= 2 * OWN, "two turns for each of its own");
        let of_many = (0..1000).map(|address| (Lane::Finding, address, IDLE));
        assert!(turns_of_others(of_many, OWN) <= 1000 * IDLE, "the pages that peers get without reading");
        let searching = (0..1000).map(|address| (Lane::Searching, address, usize::MAX));
        assert!(turns_of_others(searching, OWN) <= OWN, "one turn for each of its own");
    }

    #[test]
    fn those_who_have_gone_are_passed_over_and_their_turn_is_not_lost() {
        let turns = Turns::new(1);
        let turn = first(&turns);
        let gone: Vec<_> = (0..100_000).map(|_| wait(&turns, Lane::Finding, 7)).collect();
        let mut given = wait(&turns, Lane::Finding, 7);
        let last = wait(&turns, Lane::Finding, 8);
        drop(gone);
        drop(turn);
        // It has got the turn, and leaves before it polls.
        let mut last = last;
        assert!(poll(&mut last).is_none());
        drop(std::mem::replace(&mut given, Box::pin(std::future::pending())));
        assert!(poll(&mut last).is_some());
    }
}
