//! How many connections there may be, in all and from each address, and which of them make room for others.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// How many connections there may be.
#[derive(Debug)]
pub(crate) struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    /// Of each address, where that is configured.
    most_of_one: Option<usize>,
    taken: AtomicUsize,
    of_one: Mutex<HashMap<IpAddr, usize>>,
    idle: Mutex<Idle>,
}

/// The connections that make room for others, those that have been idle for the longest time first.
#[derive(Debug, Default)]
struct Idle {
    next: u64,
    leases: BTreeMap<u64, Arc<Held>>,
}

/// The place of a lease, until it is given to another.
#[derive(Debug)]
struct Held {
    place: Mutex<Option<Place>>,
    evicted: Notify,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Inner>,
    /// The network of the peer.
    peer: Option<IpAddr>,
    /// Those of this peer are counted.
    counted: bool,
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
        Self(Arc::new(Inner {
            most,
            most_of_one,
            taken: AtomicUsize::new(0),
            of_one: Mutex::default(),
            idle: Mutex::default(),
        }))
    }

    /// A place for one more. When all are taken, the connection that has been idle for the longest time is closed for it.
    ///
    /// # Errors
    /// When none is idle, or all places of this peer are taken: by which limit.
    pub(crate) fn take(&self, peer: Option<IpAddr>) -> Result<Place, Taken> {
        Place::take(&self.0, peer.map(network))
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

impl Inner {
    /// The places of this peer. Unless configured, those of a public address: behind others are mostly proxies, with many clients.
    fn most_of(&self, peer: IpAddr) -> Option<usize> {
        self.most_of_one.or_else(|| is_public(peer).then(|| (self.most / PART).max(LEAST)))
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the place of the connection that has been idle for the longest time; false if none is.
    fn evict(&self) -> bool {
        let Some((_, held)) = self.idle().leases.pop_first() else { return false };
        drop(held.place().take());
        held.evicted.notify_one();
        true
    }
}

impl Place {
    fn take(inner: &Arc<Inner>, peer: Option<IpAddr>) -> Result<Self, Taken> {
        // From here on, dropping the place gives it back.
        let mut place = Self { places: Arc::clone(inner), peer, counted: false };
        let before = inner.taken.fetch_add(1, Ordering::Relaxed);
        if let Some(peer) = peer
            && let Some(most) = inner.most_of(peer)
        {
            let mut of_one = inner.of_one.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = of_one.entry(peer).or_insert(0);
            if *taken >= most {
                drop(of_one);
                return Err(Taken { limit: "limits.connections_per_address", most });
            }
            *taken += 1;
            place.counted = true;
        }
        if before >= inner.most && !inner.evict() {
            return Err(Taken { limit: "limits.connections", most: inner.most });
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Ordering::Relaxed);
        let Some(peer) = self.peer.filter(|_| self.counted) else { return };
        let mut of_one = self.places.of_one.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = of_one.get_mut(&peer) {
            *taken -= 1;
            if *taken == 0 {
                of_one.remove(&peer);
            }
        }
    }
}

/// The place of a connection that makes room for others while it is idle: before its TLS handshake is done, its first head is whole, or while no
/// request is open.
#[derive(Debug)]
pub struct Lease {
    places: Arc<Inner>,
    peer: Option<IpAddr>,
    held: Arc<Held>,
    /// Its number among those that are idle.
    idle: Mutex<Option<u64>>,
}

impl Lease {
    /// The lease of a connection that is busy.
    pub(crate) fn new(place: Place) -> Self {
        let (places, peer) = (Arc::clone(&place.places), place.peer);
        let held = Arc::new(Held { place: Mutex::new(Some(place)), evicted: Notify::new() });
        Self { places, peer, held, idle: Mutex::new(None) }
    }

    /// The connection is idle, from now on.
    pub(crate) fn set_idle(&self) {
        let mut own = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if own.is_none() && self.held.place().is_some() {
            let mut idle = self.places.idle();
            idle.next += 1;
            let number = idle.next;
            idle.leases.insert(number, Arc::clone(&self.held));
            *own = Some(number);
        }
    }

    /// The connection has something to do.
    pub(crate) fn set_busy(&self) {
        let own = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(number) = own {
            self.places.idle().leases.remove(&number);
        }
    }

    /// Waits until the place has been given to another.
    pub async fn evicted(&self) {
        self.held.evicted.notified().await;
    }

    /// Another place for the same peer.
    ///
    /// # Errors
    /// As [`Places::take`].
    pub(crate) fn another(&self) -> Result<Place, Taken> {
        Place::take(&self.places, self.peer)
    }

    /// The network of the peer.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        self.peer
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.set_busy();
    }
}

impl Held {
    fn place(&self) -> MutexGuard<'_, Option<Place>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The addresses that count as one: of IPv6 those of one network (RFC 4291, section 2.5.4), since whoever has one has all.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

/// Whether an address is not of this machine or of a private network (RFC 1918, 4193, 6598).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            let is_shared = a == 100 && b & 0xc0 == 64;
            !(address.is_loopback() || address.is_private() || address.is_link_local() || is_shared)
        }
        // The network of the loopback address is that of the unspecified one.
        IpAddr::V6(address) => {
            !(address.is_unspecified()
                || address.is_loopback()
                || address.is_unique_local()
                || address.is_unicast_link_local())
        }
    }
}

/// One public address may have this part of all places, but not fewer than so many: enough for the clients of a network behind one address.
const PART: usize = 10;
const LEAST: usize = 64;

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{Lease, Places, is_public, network};

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

    #[test]
    fn who_is_idle_makes_room_for_others_the_oldest_first() {
        let places = Places::new(3, None);
        let leases: Vec<_> = (0..3).map(|_| Lease::new(places.take(None).expect("there is room"))).collect();
        assert!(places.take(None).is_err(), "all are busy");
        for lease in [&leases[1], &leases[0], &leases[2]] {
            lease.set_idle();
        }
        leases[1].set_busy();
        let new = places.take(None).expect("that of the first");
        assert_eq!(places.taken(), 3);
        // What it has lost it does not get back.
        leases[0].set_idle();
        leases[0].set_busy();
        let other = places.take(None).expect("that of the third");
        assert!(places.take(None).is_err(), "the second is busy");
        assert!(leases.iter().map(|lease| lease.held.place().is_some()).eq([false, true, false]));
        drop((new, other, leases));
        assert_eq!((places.taken(), places.0.idle().leases.len()), (0, 0));
    }

    #[test]
    fn one_public_address_has_a_part_of_all_places() {
        let address = |text: &str| Some(text.parse::<IpAddr>().expect("an address"));
        let fill = |places: &Places, peer| std::iter::from_fn(|| places.take(peer).ok()).collect::<Vec<_>>();
        for (most, peer, part) in [
            (2000, "203.0.113.5", 200),
            (100, "203.0.113.5", 64),
            (2000, "2001:db8::1", 200),
            (2000, "::ffff:203.0.113.5", 200),
            (2000, "127.0.0.1", 2000),
            (2000, "::1", 2000),
            (2000, "::ffff:127.0.0.1", 2000),
            (2000, "10.1.2.3", 2000),
            (2000, "192.168.1.1", 2000),
            (2000, "100.64.0.1", 2000),
            (2000, "fd00::1", 2000),
            (2000, "fe80::1", 2000),
        ] {
            let places = Places::new(most, None);
            assert_eq!(fill(&places, address(peer)).len(), part, "{peer}");
        }
        let places = Places::new(2000, Some(7));
        assert_eq!(fill(&places, address("127.0.0.1")).len(), 7, "where it is configured, each has that");
    }

    #[test]
    fn addresses_of_one_network_of_ipv6_count_as_one() {
        let same =
            |a: &str, b: &str| network(a.parse().expect("one")) == network(b.parse().expect("another"));
        assert!(same("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"));
        assert!(same("::ffff:192.0.2.1", "192.0.2.1"));
        assert!(!same("2001:db8:1:2::1", "2001:db8:1:3::1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
        assert!(is_public(network("2001:db8::1".parse().expect("one"))));
    }
}
