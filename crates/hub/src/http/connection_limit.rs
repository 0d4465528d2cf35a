//! Connection limits, in all and per address, and idle connections that make room for others.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Connection limit.
#[derive(Debug)]
pub(crate) struct ConnectionLimit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    /// Limit per address, if configured.
    most_of_one: Option<usize>,
    taken: AtomicUsize,
    of_one: Mutex<HashMap<IpAddr, usize>>,
    idle: Mutex<Idle>,
}

/// Idle connections, which make room for others; the one that has been idle for the longest time comes first.
#[derive(Debug, Default)]
struct Idle {
    next: u64,
    leases: BTreeMap<u64, Arc<Held>>,
}

/// Permit of a lease, until another connection gets it.
#[derive(Debug)]
struct Held {
    permit: Mutex<Option<Permit>>,
    evicted: Notify,
}

/// Permit for one connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    connection_limit: Arc<Inner>,
    /// Network of the peer.
    peer: Option<IpAddr>,
    /// Whether the connections of this peer are counted.
    counted: bool,
}

/// Reason why no permit is available.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LimitReached {
    /// Name of the limit.
    pub(crate) limit: &'static str,
    pub(crate) most: usize,
}

impl ConnectionLimit {
    pub(crate) fn new(most: usize, most_of_one: Option<usize>) -> Self {
        Self(Arc::new(Inner {
            most,
            most_of_one,
            taken: AtomicUsize::new(0),
            of_one: Mutex::default(),
            idle: Mutex::default(),
        }))
    }

    /// Takes a permit.
    ///
    /// If none is left, the connection that has been idle for the longest time is closed for it.
    ///
    /// # Errors
    /// With the limit that is reached: no connection is idle, or this peer has used up its own limit.
    pub(crate) fn take(&self, peer: Option<IpAddr>) -> Result<Permit, LimitReached> {
        Permit::take(&self.0, peer.map(network))
    }

    /// Number of permits.
    pub(crate) fn most(&self) -> usize {
        self.0.most
    }

    /// Number of permits in use.
    pub(crate) fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }
}

impl Inner {
    /// Limit of this peer.
    ///
    /// Unless configured, only public addresses have one: other addresses are mostly those of proxies with
    /// many clients.
    fn most_of(&self, peer: IpAddr) -> Option<usize> {
        self.most_of_one.or_else(|| is_public(peer).then(|| (self.most / PART).max(LEAST)))
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the permit of the connection that has been idle for the longest time; false if none is idle.
    fn evict(&self) -> bool {
        let Some((_, held)) = self.idle().leases.pop_first() else { return false };
        drop(held.permit().take());
        held.evicted.notify_one();
        true
    }
}

impl Permit {
    fn take(inner: &Arc<Inner>, peer: Option<IpAddr>) -> Result<Self, LimitReached> {
        // From here on, dropping the permit returns it.
        let mut permit = Self { connection_limit: Arc::clone(inner), peer, counted: false };
        let before = inner.taken.fetch_add(1, Ordering::Relaxed);
        if let Some(peer) = peer
            && let Some(most) = inner.most_of(peer)
        {
            let mut of_one = inner.of_one.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = of_one.entry(peer).or_insert(0);
            if *taken >= most {
                drop(of_one);
                return Err(LimitReached { limit: "limits.connections_per_address", most });
            }
            *taken += 1;
            permit.counted = true;
        }
        if before >= inner.most && !inner.evict() {
            return Err(LimitReached { limit: "limits.connections", most: inner.most });
        }
        Ok(permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.connection_limit.taken.fetch_sub(1, Ordering::Relaxed);
        let Some(peer) = self.peer.filter(|_| self.counted) else { return };
        let mut of_one = self.connection_limit.of_one.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = of_one.get_mut(&peer) {
            *taken -= 1;
            if *taken == 0 {
                of_one.remove(&peer);
            }
        }
    }
}

/// Permit of a connection that makes room for others while it is idle.
///
/// It is idle before its TLS handshake is done or its first head is complete, and while no request is open.
#[derive(Debug)]
pub struct Lease {
    connection_limit: Arc<Inner>,
    peer: Option<IpAddr>,
    held: Arc<Held>,
    /// Its number among the idle connections.
    idle: Mutex<Option<u64>>,
}

impl Lease {
    /// Makes the lease of a busy connection.
    pub(crate) fn new(permit: Permit) -> Self {
        let (connection_limit, peer) = (Arc::clone(&permit.connection_limit), permit.peer);
        let held = Arc::new(Held { permit: Mutex::new(Some(permit)), evicted: Notify::new() });
        Self { connection_limit, peer, held, idle: Mutex::new(None) }
    }

    /// Marks the connection as idle.
    pub(crate) fn set_idle(&self) {
        let mut own = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if own.is_none() && self.held.permit().is_some() {
            let mut idle = self.connection_limit.idle();
            idle.next += 1;
            let number = idle.next;
            idle.leases.insert(number, Arc::clone(&self.held));
            *own = Some(number);
        }
    }

    /// Marks the connection as busy.
    pub(crate) fn set_busy(&self) {
        let own = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(number) = own {
            self.connection_limit.idle().leases.remove(&number);
        }
    }

    /// Waits until another connection has got the permit.
    pub async fn evicted(&self) {
        self.held.evicted.notified().await;
    }

    /// Takes another permit for the same peer.
    ///
    /// # Errors
    /// Those of [`ConnectionLimit::take`].
    pub(crate) fn another(&self) -> Result<Permit, LimitReached> {
        Permit::take(&self.connection_limit, self.peer)
    }

    /// Network of the peer.
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
    fn permit(&self) -> MutexGuard<'_, Option<Permit>> {
        self.permit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Addresses that count as one.
///
/// They are those of one IPv6 network (RFC 4291, section 2.5.4), because one machine can use all of them.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

/// Whether an address belongs neither to this machine nor to a private network (RFC 1918, 4193, 6598).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            let is_shared = a == 100 && b & 0xc0 == 64;
            !(address.is_loopback() || address.is_private() || address.is_link_local() || is_shared)
        }
        // The network of the loopback address equals that of the unspecified one.
        IpAddr::V6(address) => {
            !(address.is_unspecified()
                || address.is_loopback()
                || address.is_unique_local()
                || address.is_unicast_link_local())
        }
    }
}

/// Part of all permits that one public address may have, but at least [`LEAST`].
///
/// It is enough for the clients of a network behind one address.
const PART: usize = 10;
const LEAST: usize = 64;

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{ConnectionLimit, Lease, is_public, network};

    #[test]
    fn who_leaves_makes_room_for_another_of_the_same_address() {
        let connection_limit = ConnectionLimit::new(3, Some(2));
        let (a, b) = (Some([127, 0, 0, 1].into()), Some([127, 0, 0, 2].into()));
        let first = connection_limit.take(a).expect("one");
        let second = connection_limit.take(a).expect("two");
        assert!(connection_limit.take(a).is_err(), "a third of one address");
        let third = connection_limit.take(b).expect("one of another address");
        assert!(connection_limit.take(b).is_err(), "a fourth in all");
        drop((first, third));
        assert_eq!(connection_limit.taken(), 1);
        let _again = connection_limit.take(a).expect("one again");
        assert_eq!(connection_limit.taken(), 2);
        drop(second);
    }

    #[test]
    fn who_is_idle_makes_room_for_others_the_oldest_first() {
        let connection_limit = ConnectionLimit::new(3, None);
        let leases: Vec<_> =
            (0..3).map(|_| Lease::new(connection_limit.take(None).expect("there is room"))).collect();
        assert!(connection_limit.take(None).is_err(), "all are busy");
        for lease in [&leases[1], &leases[0], &leases[2]] {
            lease.set_idle();
        }
        leases[1].set_busy();
        let new = connection_limit.take(None).expect("that of the first");
        assert_eq!(connection_limit.taken(), 3);
        // A lost permit does not come back.
        leases[0].set_idle();
        leases[0].set_busy();
        let other = connection_limit.take(None).expect("that of the third");
        assert!(connection_limit.take(None).is_err(), "the second is busy");
        assert!(leases.iter().map(|lease| lease.held.permit().is_some()).eq([false, true, false]));
        drop((new, other, leases));
        assert_eq!((connection_limit.taken(), connection_limit.0.idle().leases.len()), (0, 0));
    }

    #[test]
    fn one_public_address_has_a_part_of_all_places() {
        let address = |text: &str| Some(text.parse::<IpAddr>().expect("an address"));
        let fill = |connection_limit: &ConnectionLimit, peer| {
            std::iter::from_fn(|| connection_limit.take(peer).ok()).collect::<Vec<_>>()
        };
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
            let connection_limit = ConnectionLimit::new(most, None);
            assert_eq!(fill(&connection_limit, address(peer)).len(), part, "{peer}");
        }
        let connection_limit = ConnectionLimit::new(2000, Some(7));
        assert_eq!(
            fill(&connection_limit, address("127.0.0.1")).len(),
            7,
            "where it is configured, each has that"
        );
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
