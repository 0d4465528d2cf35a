use std::sync::Arc;
use std::time::SystemTime;

use ssekit_log::{Entry, Position};

use super::framing::Piece;
use crate::mercure::{Ids, Selector, Token, may_read};

/// A record as it goes out: the same bytes for everybody.
#[derive(Clone, Debug)]
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
}

impl Frame {
    /// Gives a record its id.
    pub fn new(entry: Entry, ids: &Ids) -> Self {
        let Entry { position, time, record } = entry;
        let made;
        let id = match &record.id {
            Some(id) => &**id,
            None => {
                made = ids.id(position);
                &made
            }
        };
        let piece = Piece::of(&[b"id: ", id.as_bytes(), b"\n", &record.body]);
        Self { position, time, topics: record.topics, private: record.private, piece }
    }

    /// Whether it is meant for who asked for these topics, and whether they may read it.
    pub fn is_for(&self, interest: &Interest) -> bool {
        interest.selectors.iter().any(|selector| self.topics.iter().any(|topic| selector.matches(topic)))
            && interest.may_read(self)
    }

    /// What it takes in memory, in bytes.
    pub fn weight(&self) -> usize {
        OVERHEAD + self.piece.len()
    }
}

/// A frame's own memory, with its topics; roughly.
const OVERHEAD: usize = 160;

/// What a subscriber asked for, and by which right.
#[derive(Clone, Debug)]
pub struct Interest {
    /// The topics, one of which must match; none of them twice.
    pub(super) selectors: Arc<[Selector]>,
    /// What it may read besides what is public.
    pub(super) token: Option<Arc<Token>>,
}

impl Interest {
    /// An interest in what one of the selectors matches; each counts once.
    pub fn new(mut selectors: Vec<Selector>, token: Option<Arc<Token>>) -> Self {
        let mut seen = std::collections::HashSet::new();
        selectors.retain(|selector| seen.insert(selector.clone()));
        Self { selectors: selectors.into(), token }
    }

    /// Whether the token no longer verifies that it was granted by.
    pub(super) fn is_revoked(&self) -> bool {
        self.token.as_ref().is_some_and(|token| token.is_revoked())
    }

    pub(super) fn may_read(&self, frame: &Frame) -> bool {
        may_read(self.token.as_deref(), &frame.topics, frame.private)
    }
}
