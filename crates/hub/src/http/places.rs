use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How many connections there may be, in all and from each address.
#[derive(Debug)]
pub(crate) struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    most_of_one: Option<usize>,
    taken: AtomicUsize,
    of_one: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Inner>,
    /// Whose it is, where that is counted.
    peer: Option<IpAddr>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// The name of the limit.
    pub(crate) limit: &'static str,
    pub(crate) most: usize,
}

impl Places {
    pub(crate) fn new(most: usize, most_of_one: Option<usize>) -> Self {
        Self(Arc::new(Inner { most, most_of_one, taken: AtomicUsize::new(0), of_one: Mutex::default() }))
    }

    /// A place for one more.
    ///
    /// # Errors
    /// When all are taken, or all of this peer: by which limit.
    pub(crate) fn take(&self, peer: Option<IpAddr>) -> Result<Place, Taken> {
        Place::take(&self.0, peer)
    }

    /// How many there are.
    pub(crate) fn most(&self) -> usize {
        self.0.most
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }
}

impl Place {
    fn take(inner: &Arc<Inner>, peer: Option<IpAddr>) -> Result<Self, Taken> {
        if inner.taken.fetch_add(1, Ordering::Relaxed) >= inner.most {
            inner.taken.fetch_sub(1, Ordering::Relaxed);
            return Err(Taken { limit: "limits.connections", most: inner.most });
        }
        // From here on, dropping the place gives it back.
        let mut place = Self { places: Arc::clone(inner), peer: None };
        if let (Some(most), Some(peer)) = (inner.most_of_one, peer) {
            let mut of_one = inner.of_one.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = of_one.entry(peer).or_insert(0);
            if *taken >= most {
                return Err(Taken { limit: "limits.connections_per_address", most });
            }
            *taken += 1;
            place.peer = Some(peer);
        }
        Ok(place)
    }

    /// Another place for the same peer.
    ///
    /// # Errors
    /// As [`Places::take`].
    pub(crate) fn another(&self) -> Result<Self, Taken> {
        Self::take(&self.places, self.peer)
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
    use super::Places;

    #[test]
    fn who_leaves_makes_room_for_another_of_the_same_address() {
        let places = Places::new(3, Some(2));
        let (a, b) = (Some([127, 0, 0, 1].into()), Some([127, 0, 0, 2].into()));
        let first = places.take(a).expect("one");
        let second = places.take(a).expect("two");
        assert!(places.take(a).is_err(), "a third of one address");
        let third = places.take(b).expect("one of another address");
        assert!(places.take(b).is_err(), "a fourth in all");
        drop((first, third));
        assert_eq!(places.taken(), 1);
        let _again = places.take(a).expect("one again");
        assert_eq!(places.taken(), 2);
        drop(second);
    }
}
