use tokio::time::Instant;

/// A subscriber's seat in a channel, and what it reads next. There may be very many, so what only few need, or only at
/// first, lies elsewhere.
#[derive(Debug)]
pub(crate) struct Seat {
    key: u32,
    pub(crate) next: u64,
    /// It waits in line since it has read what is before `next`.
    pub(crate) waits: bool,
    rare: Option<Box<Rare>>,
}

#[derive(Debug)]
struct Rare {
    taken: u64,
    begins: Begins,
    until: Option<Instant>,
}

/// Where a subscriber begins, until it has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begins {
    /// Where its last event ID says, or it has begun.
    There,
    /// Where new subscribers do.
    New,
    /// Elsewhere than its last event ID says, which it is to be told.
    Reset(Reset),
}

/// Why a client that has a last event ID cannot read on after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reset {
    /// As many events after this sequence are gone.
    Expired {
        seen: u64,
        missed: u64,
    },
    Unknown,
}

impl Seat {
    /// A seat that was taken when the next event to be published had the sequence `taken`.
    pub(crate) fn new(key: usize, next: u64, taken: u64, begins: Begins) -> Self {
        let rare = (begins != Begins::There).then(|| Box::new(Rare { taken, begins, until: None }));
        Self { key: key as u32, next, waits: false, rare }
    }

    /// Its place among the channel's subscribers, who are fewer than four billion.
    pub(crate) fn key(&self) -> usize {
        self.key as usize
    }

    /// Where it begins, and the sequence of the first event that was published since it was taken.
    pub(crate) fn begins(&self) -> (Begins, u64) {
        self.rare.as_ref().map_or((Begins::There, 0), |rare| (rare.begins, rare.taken))
    }

    /// It has begun, or is about to be told more of where it begins.
    pub(crate) fn set_begins(&mut self, begins: Begins) {
        match (&mut self.rare, begins) {
            (rare, Begins::There) => *rare = None,
            (Some(rare), begins) => rare.begins = begins,
            (None, begins) => self.rare = Some(Box::new(Rare { taken: 0, begins, until: None })),
        }
    }

    /// When it is to read again even if nobody wakes it.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.rare.as_ref()?.until
    }

    pub(crate) fn set_until(&mut self, until: Option<Instant>) {
        match &mut self.rare {
            Some(rare) => rare.until = until,
            None if until.is_none() => {}
            None => self.rare = Some(Box::new(Rare { taken: 0, begins: Begins::There, until })),
        }
    }
}
