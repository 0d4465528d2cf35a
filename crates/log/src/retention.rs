//! Retention: rules that limit the records of a log, and the counts that they are compared with.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::{Record, RuleSet};

/// The rules for the records that a log keeps, and for how long.
///
/// The first rule that matches the canonical topic of a record applies to it; `rest` applies to the records
/// that no rule matches. The rule of a record is chosen at its append and does not change.
///
/// ```
/// use ssekit_log::{Keep, Retention, Rule};
///
/// let newest = Keep { last_per_topic: Some(1), ..Keep::ALL };
/// let retention = Retention::new(
///     vec![Rule::new("prices", |topic| topic.starts_with("/prices/"), newest)],
///     Keep { records: Some(1_000_000), ..Keep::ALL },
/// )?;
/// # Ok::<(), ssekit_log::RetentionError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Retention {
    rules: Arc<[Rule]>,
    rest: Keep,
}

/// A limit for the records with matching topics.
#[derive(Clone)]
pub struct Rule {
    /// The name that identifies the rule across restarts: unique in its log, 1 to [`Rule::NAME`] bytes.
    pub name: Arc<str>,
    /// Returns true for the canonical topics of the rule.
    ///
    /// Equal topics must get equal answers, also after a restart with a rule of this name. The log calls it
    /// for each topic of a record, and not under a lock.
    pub matches: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    /// The limits of the rule.
    pub keep: Keep,
}

/// The limits of a rule. Retention drops the oldest records that exceed one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// The most records.
    pub records: Option<u64>,
    /// The most bytes of records ([`Record::size`](crate::Record::size)).
    pub bytes: Option<u64>,
    /// The greatest age of a record.
    pub age: Option<Duration>,
    /// The most records of one canonical topic, of which the newest stay: 1 to [`Keep::LAST_PER_TOPIC`].
    pub last_per_topic: Option<usize>,
}

impl Retention {
    /// The most rules of a log.
    pub const RULES: usize = 65;

    /// Creates a retention from rules in the order of their precedence, and limits for all other records.
    ///
    /// # Errors
    /// If there are too many rules, two rules have the same name, or a rule exceeds its limits.
    pub fn new(rules: Vec<Rule>, rest: Keep) -> Result<Self, RetentionError> {
        if rules.len() > Self::RULES {
            return Err(RetentionError::Rules(rules.len()));
        }
        let mut names = HashSet::new();
        for Rule { name, .. } in &rules {
            if name.is_empty() || name.len() > Rule::NAME {
                return Err(RetentionError::Name(Arc::clone(name)));
            }
            if !names.insert(name) {
                return Err(RetentionError::Twice(Arc::clone(name)));
            }
        }
        let keeps = rules.iter().map(|rule| (&*rule.name, rule.keep));
        for (name, keep) in keeps.chain([("the rest", rest)]) {
            if keep.last_per_topic.is_some_and(|last| last == 0 || last > Keep::LAST_PER_TOPIC) {
                return Err(RetentionError::LastPerTopic(name.into()));
            }
        }
        Ok(Self { rules: rules.into(), rest })
    }

    /// Creates a retention with the same limits for all records.
    ///
    /// # Errors
    /// If `keep` exceeds its limits.
    pub fn of_everything(keep: Keep) -> Result<Self, RetentionError> {
        Self::new(Vec::new(), keep)
    }

    /// The rules, in the order of their precedence.
    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The limits of the records that no rule matches.
    pub(crate) fn rest(&self) -> Keep {
        self.rest
    }

    /// The rules of the records that a reader of this topic may get.
    ///
    /// A record with several topics counts for the rules of all of them.
    pub fn rules_of(&self, topic: &str) -> RuleSet {
        RuleSet::of(self.rule_of(topic))
    }

    /// The rule with this name; none if there is none.
    pub fn rule_named(&self, name: &str) -> RuleSet {
        let rule = self.rules.iter().position(|rule| *rule.name == *name);
        rule.map_or(RuleSet::NONE, RuleSet::of)
    }

    /// The rules whose horizon a record of this rule moves when it is dropped.
    pub(crate) fn rules_moved_by(&self, rule: usize, record: &Record) -> RuleSet {
        let others = record.topics.iter().skip(1).map(|topic| self.rules_of(topic));
        others.fold(RuleSet::of(rule), |rules, other| rules | other)
    }

    /// The index of the rule for this canonical topic; the number of rules if none matches.
    pub(crate) fn rule_of(&self, topic: &str) -> usize {
        self.rules.iter().position(|rule| (rule.matches)(topic)).unwrap_or(self.rules.len())
    }
}

impl Rule {
    /// The most bytes of the name of a rule.
    pub const NAME: usize = 255;

    /// Creates a rule for the records with matching canonical topics.
    pub fn new(
        name: impl Into<Arc<str>>,
        matches: impl Fn(&str) -> bool + Send + Sync + 'static,
        keep: Keep,
    ) -> Self {
        Self { name: name.into(), matches: Arc::new(matches), keep }
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("name", &self.name).field("keep", &self.keep).finish_non_exhaustive()
    }
}

impl Keep {
    /// No limits.
    pub const ALL: Self = Self { records: None, bytes: None, age: None, last_per_topic: None };

    /// The greatest value of [`Keep::last_per_topic`].
    pub const LAST_PER_TOPIC: usize = 1_000;

    /// Returns true if the held records exceed the limit of their number or bytes.
    pub(crate) fn exceeded_by(&self, held: Held) -> bool {
        self.records.is_some_and(|limit| held.records > limit)
            || self.bytes.is_some_and(|limit| held.bytes > limit)
    }

    /// Returns true if a record of this time exceeds the limit of age.
    pub(crate) fn is_expired(&self, time: SystemTime, now: SystemTime) -> bool {
        self.age.is_some_and(|age| now.duration_since(time).is_ok_and(|old| old > age))
    }
}

/// The time that counts as the append of records whose times lie in the future.
///
/// Such records were appended while the clock was fast. Their age counts from the moment at which the log
/// notices them; otherwise they would keep all later records from expiring.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClockSkew(Option<SystemTime>);

impl ClockSkew {
    /// The time from which the age of a rule's oldest record counts.
    pub(crate) fn effective_time(&mut self, time: SystemTime, now: SystemTime) -> SystemTime {
        if time <= now {
            return time;
        }
        let noticed = self.0.map_or(now, |noticed| noticed.min(now));
        self.0 = Some(noticed);
        noticed
    }
}

/// The number and bytes of the held records of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

impl Held {
    pub(crate) fn add(&mut self, size: usize) {
        self.records += 1;
        self.bytes += size as u64;
    }

    pub(crate) fn remove(&mut self, size: usize) {
        self.records = self.records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(size as u64);
    }
}

/// The reason why rules were refused.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetentionError {
    /// There are too many rules.
    #[error("there are {0} retention rules; the limit is {limit}", limit = Retention::RULES)]
    Rules(usize),
    /// A name is empty or too long.
    #[error("the name of a retention rule must have 1 to {limit} bytes, unlike {0:?}", limit = Rule::NAME)]
    Name(Arc<str>),
    /// Two rules have the same name.
    #[error("two retention rules are named {0:?}: give each rule its own name")]
    Twice(Arc<str>),
    /// A value of [`Keep::last_per_topic`] exceeds its limits.
    #[error(
        "the retention rule {0:?} must keep 1 to {limit} last records of each topic",
        limit = Keep::LAST_PER_TOPIC
    )]
    LastPerTopic(Arc<str>),
}
