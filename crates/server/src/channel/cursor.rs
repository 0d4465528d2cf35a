use tokio::time::Instant;

/// A subscriber's cursor in a channel. There may be very many, so rare fields are boxed.
#[derive(Debug)]
pub(crate) struct Cursor {
    key: u32,
    /// The sequence of the event that it reads next.
    pub(crate) next: u64,
    /// It is registered as waiting, because it has read everything before `next`.
    pub(crate) waits: bool,
    /// It has given its client an event.
    pub(crate) has_read: bool,
    /// Its client came with the id of the last event, after the channel had ended: it knows the reason.
    pub(crate) knows_end: bool,
    rare: Option<Box<Rare>>,
}

#[derive(Debug)]
struct Rare {
    start: StartPosition,
    wake_at: Option<Instant>,
}

/// Where a subscriber starts, until it reads for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartPosition {
    /// After its last event ID, or it has begun.
    Resumed,
    /// With new events: it gets at least the events since this sequence.
    New(u64),
    /// With the oldest event; a notice reports dropped events.
    All,
    /// Elsewhere than after its last event ID, which a notice reports.
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

/// A notice that a subscriber gets before it reads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    Reset(Reset),
    /// As many events are gone.
    Gap(u64),
}

impl Cursor {
    pub(crate) fn new(key: usize, next: u64, start: StartPosition) -> Self {
        let rare = (start != StartPosition::Resumed).then(|| Box::new(Rare { start, wake_at: None }));
        Self { key: key as u32, next, waits: false, has_read: false, knows_end: false, rare }
    }

    /// Its key among the channel's subscribers, of which there are fewer than four billion.
    pub(crate) fn key(&self) -> usize {
        self.key as usize
    }

    /// Its start, until it has read.
    pub(crate) fn start(&self) -> StartPosition {
        self.rare.as_ref().map_or(StartPosition::Resumed, |rare| rare.start)
    }

    /// Moves to the oldest held event if it is behind that; returns the notice for its client.
    pub(crate) fn catch_up(&mut self, oldest: u64) -> Option<Notice> {
        let gone = oldest.saturating_sub(self.next);
        let notice = match self.start() {
            StartPosition::Resumed => Notice::Gap(gone),
            // Events that were published before it came and are dropped are not missed: nothing promised to
            // hold them.
            StartPosition::New(came) => Notice::Gap(oldest.saturating_sub(came.max(self.next))),
            StartPosition::All => Notice::Gap(oldest - 1),
            StartPosition::Reset(Reset::Expired { seen, missed }) => {
                Notice::Reset(Reset::Expired { seen, missed: missed + gone })
            }
            StartPosition::Reset(Reset::Unknown) => Notice::Reset(Reset::Unknown),
        };
        self.next += gone;
        self.rare.take_if(|rare| rare.wake_at.is_none());
        if let Some(rare) = &mut self.rare {
            rare.start = StartPosition::Resumed;
        }
        (notice != Notice::Gap(0)).then_some(notice)
    }

    /// The time to read again without a wake-up.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.rare.as_ref()?.wake_at
    }

    pub(crate) fn set_wake_at(&mut self, wake_at: Option<Instant>) {
        match &mut self.rare {
            Some(rare) => rare.wake_at = wake_at,
            None if wake_at.is_none() => {}
            None => self.rare = Some(Box::new(Rare { start: StartPosition::Resumed, wake_at })),
        }
    }
}
