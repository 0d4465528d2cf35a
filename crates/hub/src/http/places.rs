use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many connections there may be, in all, from each address, and in a second.
#[derive(Debug)]
pub(crate) struct Places(Arc<Inner>);

/// What limits connections; None for no limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    pub(crate) at_once: usize,
    pub(crate) of_one_address: Option<usize>,
    pub(crate) in_a_second: Option<u32>,
}

#[derive(Debug)]
struct Inner {
    most: Most,
    taken: AtomicUsize,
    of_one: Mutex<HashMap<IpAddr, usize>>,
    /// The second that runs, and how many have come in it.
    second: Mutex<(Instant, u32)>,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Inner>,
    /// Whose it is, where that is counted.
    peer: Option<IpAddr>,
}

impl Places {
    pub(crate) fn new(most: Most, now: Instant) -> Self {
        let (taken, of_one, second) = (AtomicUsize::new(0), Mutex::default(), Mutex::new((now, 0)));
        Self(Arc::new(Inner { most, taken, of_one, second }))
    }

    /// A place for one more; None when all are taken, all of this peer, or too many have come in this second.
    pub(crate) fn take(&self, peer: Option<IpAddr>, now: Instant) -> Option<Place> {
        let inner = &self.0;
        if inner.most.in_a_second.is_some_and(|most| !inner.in_time(most, now)) {
            return None;
        }
        if inner.taken.fetch_add(1, Ordering::Relaxed) >= inner.most.at_once {
            inner.taken.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        // From here on, dropping the place gives it back.
        let mut place = Place { places: Arc::clone(inner), peer: None };
        if let (Some(most), Some(peer)) = (inner.most.of_one_address, peer) {
            let mut of_one = inner.of_one.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = of_one.entry(peer).or_insert(0);
            if *taken >= most {
                return None;
            }
            *taken += 1;
            place.peer = Some(peer);
        }
        Some(place)
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }
}

impl Inner {
    /// Counts one more; false when there were enough in this second.
    fn in_time(&self, most: u32, now: Instant) -> bool {
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(second.0) >= Duration::from_secs(1) {
            *second = (now, 0);
        }
        second.1 += 1;
        second.1 <= most
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Ordering::Relaxed);
        let Some(peer) = self.peer else { return };
        let mut of_one = self.places.of_one.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = of_one.get_mut(&peer) {
            *taken -= 1;
            if *taken == 0 {
                of_one.remove(&peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(at_once: usize, of_one_address: Option<usize>, in_a_second: Option<u32>) -> (Places, Instant) {
        let now = Instant::now();
        (Places::new(Most { at_once, of_one_address, in_a_second }, now), now)
    }

    #[test]
    fn who_leaves_makes_room_for_another_of_the_same_address() {
        let (places, now) = places(3, Some(2), None);
        let (a, b) = (Some([127, 0, 0, 1].into()), Some([127, 0, 0, 2].into()));
        let first = places.take(a, now).expect("one");
        let second = places.take(a, now).expect("two");
        assert!(places.take(a, now).is_none(), "a third of one address");
        let third = places.take(b, now).expect("one of another address");
        assert!(places.take(b, now).is_none(), "a fourth in all");
        drop((first, third));
        assert_eq!(places.taken(), 1);
        let _again = places.take(a, now).expect("one again");
        assert_eq!(places.taken(), 2);
        drop(second);
    }

    #[test]
    fn who_comes_too_soon_after_others_is_told_to_come_back() {
        let (places, now) = places(100, None, Some(2));
        let came = |after| places.take(None, now + Duration::from_millis(after)).is_some();
        assert_eq!(
            [0, 10, 20, 999, 1000, 1001, 1002].map(came),
            [true, true, false, false, true, true, false]
        );
    }
}
