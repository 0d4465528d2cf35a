//! The log in memory. It calls no functions of its users while it holds its lock.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use futures_util::future::{self, BoxFuture, FutureExt};
use futures_util::stream::BoxStream;
use tokio::sync::watch;

use crate::idempotency::{KeyedAppend, UsedKeys};
use crate::retention::{ClockSkew, Held};
use crate::tail::{PageBuilder, RecentRecords, Source, Watermark, tail};
use crate::{
    AppendError, Appended, Bounds, Clock, Entry, Epoch, IdempotencyKey, Keep, Limit, Log, OpenError, Page,
    Position, ReadError, Record, Retention,
};

/// A log in memory, which ends with its process.
///
/// It holds the records that its [`Retention`] keeps and, for tails, also the newest ones up to
/// [`Record::BATCH_WEIGHT`].
///
/// ```
/// use ssekit_log::{Keep, Log, MemoryLog, Retention};
///
/// let keep = Keep { records: Some(10_000), bytes: Some(64 << 20), ..Keep::ALL };
/// let retention = Retention::of_everything(keep)?;
/// let log = MemoryLog::new(retention)?;
/// println!("{:?}", log.epoch());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MemoryLog {
    shared: Arc<Shared>,
}

impl MemoryLog {
    /// Creates an empty log.
    ///
    /// # Errors
    /// If the system has no random bytes for the epoch.
    pub fn new(retention: Retention) -> Result<Self, OpenError> {
        Self::with_clock(retention, Clock::default())
    }

    /// Creates an empty log that uses this clock.
    ///
    /// # Errors
    /// If the system has no random bytes for the epoch.
    pub fn with_clock(retention: Retention, clock: Clock) -> Result<Self, OpenError> {
        let rules = retention.rules().len() + 1;
        let state = State {
            limits: retention.rules().iter().map(|rule| rule.keep).chain([retention.rest()]).collect(),
            separate: retention.rules().iter().map(|rule| rule.separate).chain([false]).collect(),
            last: Position::START,
            horizon: Position::START,
            separate_horizon: Position::START,
            entries: BTreeMap::new(),
            rules: (0..rules).map(|_| RuleRecords::default()).collect(),
            ids: HashMap::new(),
            keys: UsedKeys::default(),
            recent: RecentRecords::new(Position::START),
            closed: false,
        };
        let epoch = Epoch::random().map_err(OpenError::Random)?;
        let (watermark, _) = watch::channel(Watermark { last: Position::START, closed: false });
        Ok(Self { shared: Arc::new(Shared { epoch, retention, clock, state: Mutex::new(state), watermark }) })
    }
}

impl Drop for MemoryLog {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Log for MemoryLog {
    fn append_with_key(
        &self,
        key: Option<IdempotencyKey>,
        records: Vec<Record>,
    ) -> BoxFuture<'_, Result<Appended, AppendError>> {
        future::lazy(move |_| self.shared.append(key, records)).boxed()
    }

    fn epoch(&self) -> Epoch {
        self.shared.epoch
    }

    fn read(&self, after: Position, limit: Limit) -> BoxFuture<'_, Result<Page, ReadError>> {
        future::lazy(move |_| Ok(self.shared.state().page(after, limit))).boxed()
    }

    fn tail(&self, after: Position) -> BoxStream<'static, Result<Vec<Entry>, ReadError>> {
        let horizon = self.shared.state().bounds().horizon_of_all();
        tail(Arc::clone(&self.shared), after, horizon, self.shared.watermark.subscribe())
    }

    fn find<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Position>, ReadError>> {
        future::lazy(move |_| {
            Ok(self.shared.state().ids.get(id).and_then(|positions| positions.front().copied()))
        })
        .boxed()
    }

    fn bounds(&self) -> BoxFuture<'_, Result<Bounds, ReadError>> {
        future::lazy(move |_| Ok(self.shared.state().bounds())).boxed()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        future::lazy(move |_| {
            self.shared.close();
            Ok(())
        })
        .boxed()
    }
}

#[derive(Debug)]
struct Shared {
    epoch: Epoch,
    retention: Retention,
    clock: Clock,
    state: Mutex<State>,
    watermark: watch::Sender<Watermark>,
}

impl Shared {
    /// Locks the state, and drops the records that have become too old.
    fn state(&self) -> MutexGuard<'_, State> {
        let now = self.clock.now();
        // The clock, a function of the user, was called before the lock.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (0..state.rules.len()).for_each(|rule| state.trim(rule, now));
        state
    }

    fn append(&self, key: Option<IdempotencyKey>, records: Vec<Record>) -> Result<Appended, AppendError> {
        Record::check(&records)?;
        let rules: Vec<usize> =
            records.iter().map(|record| self.retention.rule_of(&record.topics[0])).collect();
        let now = self.clock.now();
        let mut state = self.state();
        if state.closed {
            return Err(AppendError::Closed);
        }
        if let Some(key) = key.filter(|_| !records.is_empty()) {
            state.keys.forget(now);
            if let Some(answer) = state.keys.find(&key) {
                return answer;
            }
            let count = u32::try_from(records.len()).expect("a batch is limited");
            let first = state.last.next();
            state.keys.insert(KeyedAppend { key, first, count }, first, now);
            state.keys.forget(now);
        }
        let positions =
            records.into_iter().zip(rules).map(|(record, rule)| state.append(record, rule, now)).collect();
        let last = state.last;
        drop(state);
        // Two concurrent appends may get here in either order.
        self.watermark.send_modify(|watermark| watermark.last = watermark.last.max(last));
        Ok(Appended { positions, repeated: false })
    }

    fn close(&self) {
        self.state().closed = true;
        self.watermark.send_modify(|watermark| watermark.closed = true);
    }
}

impl Source for Shared {
    async fn page(&self, after: Position, limit: Limit) -> Result<Page, ReadError> {
        let state = self.state();
        Ok(state.recent.page(after, limit).unwrap_or_else(|| state.page(after, limit)))
    }
}

#[derive(Debug)]
struct State {
    /// The limits of each rule, and of the records that no rule matches.
    limits: Box<[Keep]>,
    /// Whether each rule moves the separate horizon.
    separate: Box<[bool]>,
    last: Position,
    horizon: Position,
    separate_horizon: Position,
    /// The held records, each with its rule.
    entries: BTreeMap<Position, (usize, Entry)>,
    rules: Vec<RuleRecords>,
    /// The positions of records with ids, by id, oldest first.
    ids: HashMap<Box<str>, VecDeque<Position>>,
    keys: UsedKeys,
    recent: RecentRecords,
    closed: bool,
}

/// The held records of a rule.
#[derive(Debug, Default)]
struct RuleRecords {
    held: Held,
    clock_skew: ClockSkew,
    positions: BTreeSet<Position>,
    /// The newest positions of each topic, if the rule limits their number.
    topics: HashMap<Box<str>, VecDeque<Position>>,
}

impl State {
    fn append(&mut self, record: Record, rule: usize, now: SystemTime) -> Position {
        self.last = self.last.next();
        let position = self.last;
        let size = record.size();
        if let Some(id) = &record.id {
            self.ids.entry(id.clone()).or_default().push_back(position);
        }
        let records = &mut self.rules[rule];
        records.held.add(size);
        records.positions.insert(position);
        let mut replaced = None;
        if let Some(last) = self.limits[rule].last_per_topic {
            let newest = self.rules[rule].topics.entry(record.topics[0].clone()).or_default();
            newest.push_back(position);
            if newest.len() > last {
                replaced = newest.front().copied();
            }
        }
        let entry = Entry { position, time: now, record };
        self.recent.push(entry.clone());
        self.entries.insert(position, (rule, entry));
        if let Some(replaced) = replaced {
            self.remove(replaced);
        }
        self.trim(rule, now);
        position
    }

    /// Drops the oldest records of a rule while they exceed its limits.
    fn trim(&mut self, rule: usize, now: SystemTime) {
        let keep = self.limits[rule];
        while let Some(oldest) = self.rules[rule].positions.first().copied() {
            let time = self.entries.get(&oldest).filter(|_| keep.age.is_some()).map(|(_, entry)| entry.time);
            let expired = time.is_some_and(|time| {
                keep.is_expired(self.rules[rule].clock_skew.effective_time(time, now), now)
            });
            if !expired && !keep.exceeded_by(self.rules[rule].held) {
                break;
            }
            self.remove(oldest);
            let horizon = if self.separate[rule] { &mut self.separate_horizon } else { &mut self.horizon };
            *horizon = oldest.max(*horizon);
        }
    }

    fn remove(&mut self, position: Position) {
        let Some((rule, entry)) = self.entries.remove(&position) else { return };
        let records = &mut self.rules[rule];
        records.held.remove(entry.record.size());
        records.positions.remove(&position);
        let topic = &entry.record.topics[0];
        if let Some(newest) = records.topics.get_mut(topic) {
            newest.retain(|other| *other != position);
            if newest.is_empty() {
                records.topics.remove(topic);
            }
        }
        if let Some(id) = &entry.record.id
            && let Some(positions) = self.ids.get_mut(id)
        {
            positions.retain(|other| *other != position);
            if positions.is_empty() {
                self.ids.remove(id);
            }
        }
    }

    fn page(&self, after: Position, limit: Limit) -> Page {
        let mut page = PageBuilder::new(limit);
        let mut later =
            self.entries.range((Bound::Excluded(after), Bound::Unbounded)).map(|(_, (_, entry))| entry);
        let end = later.all(|entry| page.push_copy(entry));
        let mut page = page.finish(after, end, [self.horizon, self.separate_horizon]);
        if end {
            page.through = page.through.max(self.last);
        }
        page
    }

    fn bounds(&self) -> Bounds {
        let (records, bytes) = self
            .rules
            .iter()
            .fold((0, 0), |(records, bytes), rule| (records + rule.held.records, bytes + rule.held.bytes));
        let (horizon, separate_horizon, last) = (self.horizon, self.separate_horizon, self.last);
        Bounds { horizon, separate_horizon, last, records, bytes }
    }
}
