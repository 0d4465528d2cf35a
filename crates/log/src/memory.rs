use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use futures_util::future::{self, BoxFuture, FutureExt};
use futures_util::stream::BoxStream;
use tokio::sync::watch;

use crate::idempotency::{KeyedAppend, UsedKeys};
use crate::retention::{Ahead, Held};
use crate::tail::{PageBuilder, Recent, Source, Watermark, tail};
use crate::{
    AppendError, Appended, Bounds, Clock, Entry, Epoch, IdempotencyKey, Keep, Limit, Log, OpenError, Page,
    Position, ReadError, Record, Retention,
};

/// A log that is gone with its process.
///
/// It holds the records that its [`Retention`] keeps, and for tails the newest ones besides, up to [`Record::BATCH_WEIGHT`].
///
/// ```
/// use ssekit_log::{Keep, Log, MemoryLog, Retention};
///
/// let retention = Retention::of_everything(Keep { records: Some(10_000), bytes: Some(64 << 20), ..Keep::ALL })?;
/// let log = MemoryLog::new(retention)?;
/// println!("{:?}", log.epoch());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MemoryLog {
    shared: Arc<Shared>,
}

impl MemoryLog {
    /// An empty log.
    ///
    /// # Errors
    /// When the system has no random bytes for its epoch.
    pub fn new(retention: Retention) -> Result<Self, OpenError> {
        Self::with_clock(retention, Clock::default())
    }

    /// An empty log that has the time from this clock.
    ///
    /// # Errors
    /// When the system has no random bytes for its epoch.
    pub fn with_clock(retention: Retention, clock: Clock) -> Result<Self, OpenError> {
        let rules = retention.rules().len() + 1;
        let state = State {
            keeps: retention.rules().iter().map(|rule| rule.keep).chain([retention.rest()]).collect(),
            separate: retention.rules().iter().map(|rule| rule.separate).chain([false]).collect(),
            last: Position::START,
            horizon: Position::START,
            separate_horizon: Position::START,
            entries: BTreeMap::new(),
            rules: (0..rules).map(|_| Kept::default()).collect(),
            ids: HashMap::new(),
            keys: UsedKeys::default(),
            recent: Recent::new(Position::START),
            closed: false,
        };
        let (marks, _) = watch::channel(Watermark { last: Position::START, closed: false });
        Ok(Self {
            shared: Arc::new(Shared {
                epoch: Epoch::random()?,
                retention,
                clock,
                state: Mutex::new(state),
                marks,
            }),
        })
    }
}

impl Drop for MemoryLog {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Log for MemoryLog {
    fn epoch(&self) -> Epoch {
        self.shared.epoch
    }

    fn append_with_key(
        &self,
        key: Option<IdempotencyKey>,
        records: Vec<Record>,
    ) -> BoxFuture<'_, Result<Appended, AppendError>> {
        future::lazy(move |_| self.shared.append(key, records)).boxed()
    }

    fn read(&self, after: Position, limit: Limit) -> BoxFuture<'_, Result<Page, ReadError>> {
        future::lazy(move |_| Ok(self.shared.state().page(after, limit))).boxed()
    }

    fn tail(&self, after: Position) -> BoxStream<'static, Result<Vec<Entry>, ReadError>> {
        let horizon = self.shared.state().bounds().horizon_of_all();
        tail(Arc::clone(&self.shared), after, horizon, self.shared.marks.subscribe())
    }

    fn find<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Position>, ReadError>> {
        future::lazy(move |_| Ok(self.shared.state().ids.get(id).and_then(|places| places.front().copied())))
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
    marks: watch::Sender<Watermark>,
}

impl Shared {
    /// Locks, and lets go what has become too old.
    fn state(&self) -> MutexGuard<'_, State> {
        let now = self.clock.now();
        // No foreign code runs under the lock.
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
        // Two appends may get here in either order.
        self.marks.send_modify(|mark| mark.last = mark.last.max(last));
        Ok(Appended { positions, repeated: false })
    }

    fn close(&self) {
        self.state().closed = true;
        self.marks.send_modify(|mark| mark.closed = true);
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
    /// What each rule keeps, and the rest.
    keeps: Box<[Keep]>,
    /// Whether what it drops is counted separately.
    separate: Box<[bool]>,
    last: Position,
    horizon: Position,
    separate_horizon: Position,
    /// What is kept, each with its rule.
    entries: BTreeMap<Position, (usize, Entry)>,
    rules: Vec<Kept>,
    /// The places of records with ids of their own, in order.
    ids: HashMap<Box<str>, VecDeque<Position>>,
    keys: UsedKeys,
    recent: Recent,
    closed: bool,
}

/// What is kept under a rule.
#[derive(Debug, Default)]
struct Kept {
    held: Held,
    ahead: Ahead,
    places: BTreeSet<Position>,
    /// Of each topic, if the rule asks for it, the newest.
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
        let kept = &mut self.rules[rule];
        kept.held.add(size);
        kept.places.insert(position);
        let mut replaced = None;
        if let Some(last) = self.keeps[rule].last_per_topic {
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

    /// Lets the oldest of a rule's records go, as long as there is too much of them.
    fn trim(&mut self, rule: usize, now: SystemTime) {
        let keep = self.keeps[rule];
        while let Some(oldest) = self.rules[rule].places.first().copied() {
            let time = self.entries.get(&oldest).filter(|_| keep.age.is_some()).map(|(_, entry)| entry.time);
            let old =
                time.is_some_and(|time| keep.outlived_by(self.rules[rule].ahead.time_of(time, now), now));
            if !old && !keep.exceeded_by(self.rules[rule].held) {
                break;
            }
            self.remove(oldest);
            let horizon = if self.separate[rule] { &mut self.separate_horizon } else { &mut self.horizon };
            *horizon = oldest.max(*horizon);
        }
    }

    fn remove(&mut self, position: Position) {
        let Some((rule, entry)) = self.entries.remove(&position) else { return };
        let kept = &mut self.rules[rule];
        kept.held.remove(entry.record.size());
        kept.places.remove(&position);
        let topic = &entry.record.topics[0];
        if let Some(newest) = kept.topics.get_mut(topic) {
            newest.retain(|place| *place != position);
            if newest.is_empty() {
                kept.topics.remove(topic);
            }
        }
        if let Some(id) = &entry.record.id
            && let Some(places) = self.ids.get_mut(id)
        {
            places.retain(|place| *place != position);
            if places.is_empty() {
                self.ids.remove(id);
            }
        }
    }

    fn page(&self, after: Position, limit: Limit) -> Page {
        let mut taken = PageBuilder::new(limit);
        let mut rest =
            self.entries.range((Bound::Excluded(after), Bound::Unbounded)).map(|(_, (_, entry))| entry);
        let end = rest.all(|entry| taken.copy(entry));
        let mut page = taken.page(after, end, [self.horizon, self.separate_horizon]);
        if end {
            page.through = page.through.max(self.last);
        }
        page
    }

    fn bounds(&self) -> Bounds {
        let (records, bytes) = self
            .rules
            .iter()
            .fold((0, 0), |(records, bytes), kept| (records + kept.held.records, bytes + kept.held.bytes));
        let (horizon, separate_horizon, last) = (self.horizon, self.separate_horizon, self.last);
        Bounds { horizon, separate_horizon, last, records, bytes }
    }
}
