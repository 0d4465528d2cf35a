//! Frames: records as they are delivered, and the interest of subscribers in them.

use std::sync::Arc;
use std::time::SystemTime;

use ssekit_log::{Entry, Position, RuleSet};
use ssekit_mercure::{Ids, Selector, Token, may_read, selects, shown};

use super::budget::{Budget, InWindow};
use super::framing::Piece;

/// Record that is encoded for delivery: the same bytes for every subscriber.
#[derive(Debug)]
pub struct Frame {
    /// Position in the log.
    pub position: Position,
    /// Time of the append.
    pub time: SystemTime,
    /// Topics.
    pub topics: Arc<[Box<str>]>,
    /// Only subscribers with a token for one of the topics may read it.
    pub private: bool,
    /// Encoded event with its id.
    pub(super) piece: Piece,
    /// Dropped when only slow subscribers still hold the piece.
    _window: Option<InWindow>,
}

impl Frame {
    /// Encodes a record with its id.
    pub fn new(entry: Entry, ids: &Ids) -> Self {
        Self::of(entry, ids, |parts| (Piece::of(parts), None))
    }

    /// Encodes a record for the window.
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

    /// Whether it is for a subscriber with this interest, and the subscriber may read it.
    ///
    /// Adds the number of matching steps to `steps`.
    pub(super) fn is_for(&self, interest: &Interest, steps: &mut u64) -> bool {
        interest.includes(&self.topics, self.private, steps)
    }

    /// Size in memory, in bytes.
    pub fn weight(&self) -> usize {
        let topics: usize = self.topics.iter().map(|topic| topic.len() + TOPIC).sum();
        OVERHEAD + topics + self.piece.len()
    }
}

/// Estimated memory of a frame besides its bytes and topics, and of each topic besides its bytes.
const OVERHEAD: usize = 192;
const TOPIC: usize = 32;

/// Number of a subscriber's topics that a log line shows.
const SHOWN: usize = 3;

/// Selectors and token of a subscriber.
#[derive(Clone, Debug)]
pub struct Interest {
    /// The selectors, one of which must match; none occurs twice.
    pub(super) selectors: Arc<[Selector]>,
    /// Token for private updates.
    pub(super) token: Option<Arc<Token>>,
    /// Retention rules of the updates that the subscriber may get.
    pub(super) rules: RuleSet,
}

impl Interest {
    /// Makes an interest in the topics of these selectors; repeated selectors count once.
    pub fn new(mut selectors: Vec<Selector>, token: Option<Arc<Token>>) -> Self {
        let mut seen = std::collections::HashSet::new();
        selectors.retain(|selector| seen.insert(selector.clone()));
        Self { selectors: selectors.into(), token, rules: RuleSet::ALL }
    }

    /// Sets the retention rules of the updates that the subscriber may get; all rules by default.
    ///
    /// It misses nothing when the log drops updates of other rules.
    #[must_use]
    pub fn with_rules(self, rules: RuleSet) -> Self {
        Self { rules, ..self }
    }

    /// Whether the token no longer verifies.
    pub(super) fn is_revoked(&self) -> bool {
        self.token.as_ref().is_some_and(|token| token.is_revoked())
    }

    /// Describes the first few topics for the log.
    pub(super) fn shown(&self) -> String {
        let first: Vec<_> =
            self.selectors.iter().take(SHOWN).map(|selector| shown(selector.text())).collect();
        let first = first.join(", ");
        match self.selectors.len().saturating_sub(SHOWN) {
            0 => first,
            more => format!("{first} and {more} more"),
        }
    }

    /// Whether a selector matches one of these topics, and the subscriber may read the record.
    ///
    /// Adds the number of matching steps to `steps`.
    pub(super) fn includes(&self, topics: &[Box<str>], private: bool, steps: &mut u64) -> bool {
        let (is_selected, took) = selects(&self.selectors, topics);
        *steps += took + 1;
        is_selected && may_read(self.token.as_deref(), topics, private)
    }

    pub(super) fn may_read(&self, frame: &Frame) -> bool {
        may_read(self.token.as_deref(), &frame.topics, frame.private)
    }
}
