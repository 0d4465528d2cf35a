use std::sync::Arc;
use std::time::SystemTime;

use ssekit_log::{Entry, Position};
use ssekit_mercure::{Ids, Selector, Token, may_read, selects, shown};

use super::budget::{Budget, InWindow};
use super::framing::Piece;

/// A record as it goes out: the same bytes for everybody.
#[derive(Debug)]
pub struct Frame {
    /// Its place in the log.
    pub position: Position,
    /// When it was appended.
    pub time: SystemTime,
    /// What it is about.
    pub topics: Arc<[Box<str>]>,
    /// Only who is authorised for one of the topics may read it.
    pub private: bool,
    /// The event with its id.
    pub(super) piece: Piece,
    /// Dropped when nothing but slow subscribers hold the piece any more.
    _window: Option<InWindow>,
}

impl Frame {
    /// Gives a record its id.
    pub fn new(entry: Entry, ids: &Ids) -> Self {
        Self::of(entry, ids, |parts| (Piece::of(parts), None))
    }

    /// The same, for the window of the newest.
    pub(super) fn for_window(entry: Entry, ids: &Ids, budget: &Arc<Budget>) -> Self {
        Self::of(entry, ids, |parts| {
            let (piece, window) = Piece::for_window(parts, budget);
            (piece, Some(window))
        })
    }

    fn of(entry: Entry, ids: &Ids, piece: impl FnOnce(&[&[u8]]) -> (Piece, Option<InWindow>)) -> Self {
        let Entry { position, time, record } = entry;
        let made;
        let id = match &record.id {
            Some(id) => &**id,
            None => {
                made = ids.id(position);
                &made
            }
        };
        let (piece, window) = piece(&[b"id: ", id.as_bytes(), b"\n", &record.body]);
        Self { position, time, topics: record.topics, private: record.private, piece, _window: window }
    }

    /// Whether it is for a subscriber with this interest, which may read it. Adds the number of matching steps to `steps`.
    pub(super) fn is_for(&self, interest: &Interest, steps: &mut u64) -> bool {
        interest.includes(&self.topics, self.private, steps)
    }

    /// Its size in memory, in bytes.
    pub fn weight(&self) -> usize {
        let topics: usize = self.topics.iter().map(|topic| topic.len() + TOPIC).sum();
        OVERHEAD + topics + self.piece.len()
    }
}

/// The memory of a frame besides its bytes and topics, and of each topic besides its bytes, roughly.
const OVERHEAD: usize = 192;
const TOPIC: usize = 32;

/// Topics of a subscriber that are shown.
const SHOWN: usize = 3;

/// What a subscriber asked for, and by which right.
#[derive(Clone, Debug)]
pub struct Interest {
    /// The topics, one of which must match; none of them twice.
    pub(super) selectors: Arc<[Selector]>,
    /// What it may read besides what is public.
    pub(super) token: Option<Arc<Token>>,
    /// Whether subscription events may be for it.
    pub(super) subscriptions: bool,
}

impl Interest {
    /// An interest in what one of the selectors matches; each counts once.
    pub fn new(mut selectors: Vec<Selector>, token: Option<Arc<Token>>) -> Self {
        let mut seen = std::collections::HashSet::new();
        selectors.retain(|selector| seen.insert(selector.clone()));
        Self { selectors: selectors.into(), token, subscriptions: true }
    }

    /// Says whether subscription events may be for it. If not, it misses nothing when some of them are dropped.
    #[must_use]
    pub fn with_subscriptions(self, subscriptions: bool) -> Self {
        Self { subscriptions, ..self }
    }

    /// Whether the token no longer verifies that it was granted by.
    pub(super) fn is_revoked(&self) -> bool {
        self.token.as_ref().is_some_and(|token| token.is_revoked())
    }

    /// The topics, for the log: the first few.
    pub(super) fn shown(&self) -> String {
        let first: Vec<_> =
            self.selectors.iter().take(SHOWN).map(|selector| shown(selector.text())).collect();
        let first = first.join(", ");
        match self.selectors.len().saturating_sub(SHOWN) {
            0 => first,
            more => format!("{first} and {more} more"),
        }
    }

    /// Whether a record with these topics is selected, and the subscriber may read it. Adds the number of matching steps to `steps`.
    pub(super) fn includes(&self, topics: &[Box<str>], private: bool, steps: &mut u64) -> bool {
        let (is_selected, took) = selects(&self.selectors, topics);
        *steps += took + 1;
        is_selected && may_read(self.token.as_deref(), topics, private)
    }

    pub(super) fn may_read(&self, frame: &Frame) -> bool {
        may_read(self.token.as_deref(), &frame.topics, frame.private)
    }
}
