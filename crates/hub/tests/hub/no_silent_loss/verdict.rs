//! Verdict of a case: a notice must stand for every event that a subscriber has not received.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ssekit_log::{Position, Record};

use super::case::Case;
use super::published::number_of;
use super::reader::{Reader, Seen};

/// Checks that a notice stands for each event that a subscriber has not received.
pub(super) struct Verdict<'a> {
    pub(super) case: &'a Case,
    /// All published records, including those that a killed hub has lost.
    pub(super) published: &'a BTreeMap<Position, Record>,
    /// Records in the log at the end.
    pub(super) held: &'a BTreeMap<Position, Record>,
    pub(super) reader: &'a Reader,
}

/// Part of the log for which a subscriber has received events or notices.
#[derive(Default)]
struct Place<'a> {
    /// Everything up to this position was received, or a notice has come.
    after: Position,
    /// The next event has a later position.
    order: Position,
    /// Whether a notice has come since the last event.
    noticed: bool,
    /// Positions in the log when it began with the earliest update or received a notice, and the last of
    /// them. The records between them had been dropped.
    history: Option<(&'a BTreeSet<Position>, Position)>,
}

impl Verdict<'_> {
    pub(super) fn of(&self, seen: &[Seen]) -> Result<(), String> {
        let positions: HashMap<usize, Position> =
            self.published.iter().map(|(position, record)| (number_of(record), *position)).collect();
        let mut place = Place::default();
        let (mut first, mut received, mut notices) = (Position::START, BTreeSet::new(), 0);
        for seen in seen {
            match seen {
                Seen::Now(position) => {
                    first = *position;
                    place = Place { after: *position, ..Place::default() };
                }
                Seen::After(position) => {
                    first = *position;
                    place = Place { after: *position, order: *position, ..Place::default() };
                }
                Seen::Earliest => place = Place { noticed: true, ..Place::default() },
                Seen::Held(held, upto) => place.history = Some((held, *upto)),
                Seen::Resumed => (place.noticed, place.history) = (false, None),
                Seen::Gap => (place.noticed, notices) = (true, notices + 1),
                Seen::Reset => {
                    (place.noticed, notices) = (true, notices + 1);
                    place.order = Position::START;
                }
                Seen::Event(number) => {
                    let position = *positions
                        .get(number)
                        .ok_or_else(|| format!("event {number} was never published"))?;
                    self.event(*number, position, &place)?;
                    received.insert(position);
                    place = Place { after: position, order: position, noticed: false, ..place };
                }
            }
        }
        if notices > 0 && self.case.keeps_all() {
            return Err(format!("{notices} notices, although the log keeps everything"));
        }
        // A record that is in the log now was always there, so no notice stands for it.
        for (position, record) in self.held.range(Position(first.0 + 1)..) {
            if self.published.get(position) != Some(record) {
                return Err(format!("{position} holds what was not published there"));
            }
            if self.reader.may_read(record) && !received.contains(position) {
                return Err(format!("{position} is held, and was not received"));
            }
        }
        Ok(())
    }

    fn event(&self, number: usize, position: Position, place: &Place<'_>) -> Result<(), String> {
        if !self.reader.may_read(&self.published[&position]) {
            return Err(format!("event {number} is not for this subscriber"));
        }
        if position <= place.order {
            return Err(format!("{position} (event {number}) comes after {}", place.order));
        }
        if place.noticed || position <= place.after {
            return Ok(());
        }
        let missed = self.published.range(Position(place.after.0 + 1)..position);
        for (missed, record) in missed.filter(|(_, record)| self.reader.may_read(record)) {
            let promised = place.history.is_none_or(|(held, upto)| held.contains(missed) || *missed > upto);
            if promised && !self.is_superseded(*missed, record) {
                let after = place.after;
                return Err(format!("{missed} is missing between {after} and {position}, without a notice"));
            }
        }
        Ok(())
    }

    /// Whether a rule keeps newer updates of the canonical topic instead.
    fn is_superseded(&self, position: Position, record: &Record) -> bool {
        let topic = &record.topics[0];
        let Some(last) = self.case.keep(topic).last_per_topic else { return false };
        let newer = self.published.range(Position(position.0 + 1)..);
        newer.filter(|(_, record)| record.topics[0] == *topic).take(last).count() == last
    }
}
