//! Horizons: the positions up to which retention may have dropped records, for each rule.

use std::ops::BitOr;
use std::sync::Arc;

use crate::Position;

/// A set of the retention rules of a log, made by [`Retention`](crate::Retention).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleSet(u128);

impl RuleSet {
    /// No rule.
    pub const NONE: Self = Self(0);
    /// Every rule.
    pub const ALL: Self = Self(u128::MAX);

    /// The rule with this index. The number of rules stands for the rest; no larger index is in a set.
    pub(crate) fn of(rule: usize) -> Self {
        Self(u32::try_from(rule).ok().and_then(|rule| 1_u128.checked_shl(rule)).unwrap_or(0))
    }

    /// Returns true if the set has the rule with this index.
    pub(crate) fn has(self, rule: usize) -> bool {
        self.0 & Self::of(rule).0 != 0
    }

    /// The rules of this set that are not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for RuleSet {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The positions up to which records of each rule may be missing, by number, bytes or age.
///
/// A reader whose cursor lies before the horizon of its rules has missed records. A record that was replaced
/// by a newer one of its topic moves no horizon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Horizons {
    /// The horizon of every rule: of damaged or lost records, and of those from before a change of the rules.
    common: Position,
    /// The horizons of the rules, and of the rest.
    rules: Arc<[Position]>,
}

impl Horizons {
    pub(crate) fn new(common: Position, rules: impl IntoIterator<Item = Position>) -> Self {
        Self { common, rules: rules.into_iter().collect() }
    }

    /// The horizon for a reader of the records of these rules.
    pub fn of(&self, rules: RuleSet) -> Position {
        let of_rules = (0..).zip(&*self.rules).filter(|(rule, _)| rules.has(*rule));
        of_rules.map(|(_, horizon)| *horizon).max().unwrap_or_default().max(self.common)
    }

    /// The horizon for a reader of all records.
    pub fn of_all(&self) -> Position {
        self.of(RuleSet::ALL)
    }

    /// The horizons if also all records up to this position are missing.
    pub(crate) fn with_common(self, position: Position) -> Self {
        Self { common: self.common.max(position), ..self }
    }
}
