use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What a log keeps, and for how long: the first rule that matches a record's canonical topic decides, and what no rule
/// matches is kept by `rest`.
///
/// A record stays with the rule that it was appended under.
///
/// ```
/// use ssekit_log::{Keep, Retention, Rule};
///
/// let retention = Retention::new(
///     vec![Rule::new("prices", |topic| topic.starts_with("/prices/"), Keep { last_per_topic: Some(1), ..Keep::ALL })],
///     Keep { records: Some(1_000_000), ..Keep::ALL },
/// )?;
/// # Ok::<(), ssekit_log::RetentionError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Retention {
    rules: Arc<[Rule]>,
    rest: Keep,
}

/// Which records are kept, and for how long.
#[derive(Clone)]
pub struct Rule {
    /// By this name the rule is known across restarts. Not empty, unlike any other of the same log, at most [`Rule::NAME`] bytes.
    pub name: Arc<str>,
    /// Whether it is about records with this canonical topic. Called once for each record, in the order of the log.
    pub matches: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    /// How much it keeps.
    pub keep: Keep,
    /// Whether what it drops moves [`Bounds::separate_horizon`](crate::Bounds::separate_horizon) instead of
    /// [`Bounds::horizon`](crate::Bounds::horizon): for records that most readers never read.
    pub separate: bool,
}

/// How much of its records a rule keeps. What exceeds one of the limits goes, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// At most so many records.
    pub records: Option<u64>,
    /// At most so many bytes of records ([`Record::size`](crate::Record::size)).
    pub bytes: Option<u64>,
    /// No record longer than that.
    pub age: Option<Duration>,
    /// Of each canonical topic, only so many of the newest: 1 to [`Keep::LAST_PER_TOPIC`].
    pub last_per_topic: Option<usize>,
}

impl Retention {
    /// The most rules that a log takes.
    pub const RULES: usize = 65;

    /// Takes rules, first come first served, and what is kept of what they do not match.
    ///
    /// # Errors
    /// When there are too many rules, two of one name, or one outside of its limits.
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

    /// Keeps so much of everything.
    ///
    /// # Errors
    /// When `keep` is outside of its limits.
    pub fn of_everything(keep: Keep) -> Result<Self, RetentionError> {
        Self::new(Vec::new(), keep)
    }

    /// The rules, in order.
    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What is kept of what no rule matches.
    pub(crate) fn rest(&self) -> Keep {
        self.rest
    }

    /// The number of the rule for a record with this canonical topic; that of the rest is how many rules there are.
    pub(crate) fn rule_of(&self, topic: &str) -> usize {
        self.rules.iter().position(|rule| (rule.matches)(topic)).unwrap_or(self.rules.len())
    }
}

impl Rule {
    /// The most bytes of a name.
    pub const NAME: usize = 255;

    /// A rule for the records whose canonical topic matches.
    pub fn new(
        name: impl Into<Arc<str>>,
        matches: impl Fn(&str) -> bool + Send + Sync + 'static,
        keep: Keep,
    ) -> Self {
        Self { name: name.into(), matches: Arc::new(matches), keep, separate: false }
    }

    /// Has what this rule drops counted by itself ([`Rule::separate`]).
    #[must_use]
    pub fn counted_separately(self) -> Self {
        Self { separate: true, ..self }
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("name", &self.name)
            .field("keep", &self.keep)
            .field("separate", &self.separate)
            .finish_non_exhaustive()
    }
}

impl Keep {
    /// Everything, for ever.
    pub const ALL: Self = Self { records: None, bytes: None, age: None, last_per_topic: None };

    /// The most that [`Keep::last_per_topic`] may be.
    pub const LAST_PER_TOPIC: usize = 1_000;

    /// Whether that is too much to keep.
    pub(crate) fn exceeded_by(&self, held: Held) -> bool {
        self.records.is_some_and(|limit| held.records > limit)
            || self.bytes.is_some_and(|limit| held.bytes > limit)
    }

    /// Whether a record of that time is too old to keep.
    pub(crate) fn outlived_by(&self, time: SystemTime, now: SystemTime) -> bool {
        self.age.is_some_and(|age| now.duration_since(time).is_ok_and(|old| old > age))
    }
}

/// When records that were stored by a clock that was ahead count as stored: when that is noticed.
///
/// Nothing else is known of their age, and behind them no record would ever become too old.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ahead(Option<SystemTime>);

impl Ahead {
    /// The time of a record, the oldest that a rule holds, for its age.
    pub(crate) fn time_of(&mut self, time: SystemTime, now: SystemTime) -> SystemTime {
        if time <= now {
            return time;
        }
        let noticed = self.0.map_or(now, |noticed| noticed.min(now));
        self.0 = Some(noticed);
        noticed
    }
}

/// How much is held under a rule.
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

/// Why rules cannot be a log's.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetentionError {
    /// Too many rules.
    #[error("there are {0} retention rules; the limit is {limit}", limit = Retention::RULES)]
    Rules(usize),
    /// A name that is none.
    #[error("the name of a retention rule must have 1 to {limit} bytes, unlike {0:?}", limit = Rule::NAME)]
    Name(Arc<str>),
    /// A name that is another rule's.
    #[error("two retention rules are named {0:?}: give each rule its own name")]
    Twice(Arc<str>),
    /// A number of last records outside of its limits.
    #[error(
        "the retention rule {0:?} must keep 1 to {limit} last records of each topic", limit = Keep::LAST_PER_TOPIC
    )]
    LastPerTopic(Arc<str>),
}
