//! Active subscriptions: their list, and the events that announce the beginning and the end of each.
//!
//! The list shows the announced subscriptions. Beginnings are announced while the queue of events has room; a
//! subscriber that leaves before its beginning was announced is not announced at all. The end of an announced
//! subscription always is. So subscribers that come and go faster than events are written increase a counter,
//! and a client that reads the list and the events after it always gets the true state.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use ssekit_log::{AppendError, Keep, Log, Record, Rule};
use ssekit_mercure::Subscribe;
use ssekit_mercure::subscriptions::{self, Asked, Subscription, subscriber_id};
use tokio::sync::Notify;

use crate::log_limit::LogLimit;

/// Retention rule for subscription events.
///
/// They count separately from updates, so that visitors that come and go drop no update.
pub fn retention_rule(hub_path: &str, keep: Keep) -> Rule {
    let below = subscriptions::below(hub_path);
    Rule::new(RULE, move |topic| topic.starts_with(&*below), keep)
}

/// Name of the rule. No topic has a control character, so no rule of the configuration has this name.
pub(crate) const RULE: &str = "\u{1}subscriptions";

/// The active subscriptions.
#[derive(Clone, Debug)]
pub(crate) struct ActiveSubscriptions(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: Box<str>,
    /// Whether subscribers without a token are announced.
    anonymous: bool,
    all: Mutex<All>,
    /// Wakes the writer of events.
    changed: Notify,
    skipped: Counter,
    log_limit: LogLimit,
}

#[derive(Debug)]
struct All {
    of: BTreeMap<Box<str>, Subscriber>,
    /// Subscribers that are not announced yet.
    waiting: BTreeSet<Box<str>>,
    /// Announced changes that are not written yet, oldest first; true for a beginning.
    queue: VecDeque<(Arc<[Subscription]>, bool)>,
    /// Bytes of the queued events.
    queued: usize,
    /// Identifies a state of the list; it differs for each change, and for each hub.
    state: u128,
}

#[derive(Debug)]
struct Subscriber {
    subscriptions: Arc<[Subscription]>,
    announced: bool,
}

/// A registered subscriber; dropping it ends the registration.
#[derive(Debug)]
pub(crate) struct Presence {
    active: ActiveSubscriptions,
    subscriber: Box<str>,
}

/// A page of the subscriptions.
pub(crate) struct Listed {
    pub(crate) subscriptions: Vec<Subscription>,
    /// The last subscriber of the page, if there may be more behind it.
    pub(crate) next: Option<Box<str>>,
    /// Identifies the state of all subscriptions.
    pub(crate) state: u128,
}

impl ActiveSubscriptions {
    /// Starts without subscribers, and with a task that writes events to this log.
    pub(crate) fn start(log: Arc<dyn Log>, path: &str, anonymous: bool, registry: &mut Registry) -> Self {
        let skipped = Counter::default();
        registry.register(
            "subscribers_not_announced",
            "Subscribers that disconnected before the hub could announce them by a subscription event",
            skipped.clone(),
        );
        let all = All {
            of: BTreeMap::new(),
            waiting: BTreeSet::new(),
            queue: VecDeque::new(),
            queued: 0,
            state: random(),
        };
        let active = Self(Arc::new(Shared {
            path: path.into(),
            anonymous,
            all: Mutex::new(all),
            changed: Notify::new(),
            skipped,
            log_limit: LogLimit::default(),
        }));
        tokio::spawn(write(Arc::downgrade(&active.0), log));
        active
    }

    /// Whether a subscriber with this request is announced and listed.
    pub(crate) fn announces(&self, subscribe: &Subscribe) -> bool {
        self.0.anonymous || subscribe.token.is_some()
    }

    /// Registers a subscriber, until the result is dropped.
    pub(crate) fn register(&self, subscribe: &Subscribe) -> Presence {
        let subscriber: Box<str> = subscriber_id(random()).into();
        let subscriptions = subscribe
            .selectors
            .iter()
            .map(|selector| Subscription {
                selector: selector.clone(),
                subscriber: subscriber.clone(),
                payload: subscribe.token.as_ref().and_then(|token| token.payload_of(selector).cloned()),
            })
            .collect();
        let mut all = self.0.lock();
        all.of.insert(subscriber.clone(), Subscriber { subscriptions, announced: false });
        all.waiting.insert(subscriber.clone());
        all.announce();
        drop(all);
        self.0.changed.notify_one();
        Presence { active: self.clone(), subscriber }
    }

    /// Lists the requested subscriptions behind a subscriber; not many more than [`LISTED`].
    pub(crate) fn list(&self, asked: &Asked, after: Option<&str>) -> Listed {
        let all = self.0.lock();
        let among = |subscriber: &Subscriber| -> Vec<Subscription> {
            let announced = subscriber.subscriptions.iter().filter(|_| subscriber.announced);
            announced.filter(|one| asked.includes(one)).cloned().collect()
        };
        let mut listed = Listed { subscriptions: Vec::new(), next: None, state: all.state };
        if let Asked::One { subscriber, .. } = asked {
            listed.subscriptions = all.of.get(&**subscriber).map(among).unwrap_or_default();
            return listed;
        }
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = all.of.range::<str, _>((from, Bound::Unbounded)).peekable();
        while let Some((name, subscriber)) = rest.next() {
            listed.subscriptions.append(&mut among(subscriber));
            if listed.subscriptions.len() >= LISTED && rest.peek().is_some() {
                listed.next = Some(name.clone());
                break;
            }
        }
        listed
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    /// Announces waiting subscribers, while the queue has room.
    fn announce(&mut self) {
        while self.queued < QUEUE
            && let Some(subscriber) = self.waiting.pop_first()
        {
            if let Some(subscriber) = self.of.get_mut(&subscriber) {
                subscriber.announced = true;
                let subscriptions = Arc::clone(&subscriber.subscriptions);
                self.push(subscriptions, true);
            }
        }
    }

    fn push(&mut self, subscriptions: Arc<[Subscription]>, begins: bool) {
        self.state = self.state.wrapping_add(1);
        self.queued += weight(&subscriptions);
        self.queue.push_back((subscriptions, begins));
    }

    /// Takes the events of the next write.
    fn take(&mut self, path: &str) -> Vec<Record> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH
            && records.len() < BATCH_RECORDS
            && let Some((subscriptions, begins)) = self.queue.pop_front()
        {
            self.queued = self.queued.saturating_sub(weight(&subscriptions));
            bytes += weight(&subscriptions);
            records.extend(subscriptions.iter().map(|one| one.event(path, begins)));
        }
        if self.queue.is_empty() {
            // Frees the memory that a flood of events has needed.
            self.queue.shrink_to(1024);
        }
        self.announce();
        records
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let Shared { all, changed, skipped, .. } = &*self.active.0;
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Subscriber { subscriptions, announced }) = all.of.remove(&self.subscriber) else { return };
        if announced {
            all.push(subscriptions, false);
            drop(all);
            changed.notify_one();
        } else {
            all.waiting.remove(&self.subscriber);
            skipped.inc();
        }
    }
}

/// Writes announced events, not faster than [`RATE`], until the hub is dropped or the log is closed.
async fn write(shared: std::sync::Weak<Shared>, log: Arc<dyn Log>) {
    let mut paid = Instant::now();
    loop {
        let Some(active) = shared.upgrade() else { return };
        let records = active.lock().take(&active.path);
        if records.is_empty() {
            // Dropping the hub drops the sender of this notification; nobody needs the remaining events.
            tokio::select! {
                () = active.changed.notified() => {}
                () = tokio::time::sleep(IDLE) => {}
            }
            continue;
        }
        let bytes = records.iter().map(Record::size).sum();
        for some in records.chunks(BATCH_RECORDS) {
            if !append(&active, &log, some).await {
                return;
            }
        }
        drop(active);
        let now = Instant::now();
        paid = pay(paid, now, bytes);
        tokio::time::sleep(paid.saturating_duration_since(now)).await;
    }
}

/// Appends events, and repeats that while the log refuses them; false if the log is closed.
async fn append(active: &Shared, log: &Arc<dyn Log>, records: &[Record]) -> bool {
    loop {
        match log.append(records.to_vec()).await {
            Ok(_) => return true,
            Err(AppendError::Closed) => return false,
            Err(error) => {
                let invalid = matches!(error, AppendError::Invalid(_));
                if let Some(count) = active.log_limit.due("append", LogLimit::OFTEN, Instant::now()) {
                    tracing::error!(%error, count, "cannot append subscription events to the log; retrying");
                }
                if invalid {
                    return true;
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Time at which the written bytes are paid for at [`RATE`]. Unused time counts for at most [`BURST`].
fn pay(paid: Instant, now: Instant, bytes: usize) -> Instant {
    let from = now.checked_sub(BURST).map_or(paid, |earliest| paid.max(earliest));
    from + Duration::from_secs_f64(bytes as f64 / RATE)
}

/// Estimated bytes of the events of these subscriptions.
fn weight(subscriptions: &[Subscription]) -> usize {
    let payload = |one: &Subscription| if one.payload.is_some() { PAYLOAD } else { 0 };
    subscriptions.iter().map(|one| EVENT + 4 * one.selector.text().len() + payload(one)).sum()
}

/// 128 random bits, so that no two subscribers have the same.
fn random() -> u128 {
    u128::from(fastrand::u64(..)) << 64 | u128::from(fastrand::u64(..))
}

/// Maximum number of subscriptions of an answer; those of one subscriber may exceed it.
const LISTED: usize = 10_000;
/// Bytes of queued events, beyond which no further beginning is announced.
const QUEUE: usize = 16 << 20;
/// Bytes, and records, of one append; those of one subscriber may exceed it.
const BATCH: usize = 1 << 20;
const BATCH_RECORDS: usize = 1024;
/// Bytes of events per second, in the long run.
const RATE: f64 = (1 << 20) as f64;
/// Time for which unused bytes count.
const BURST: Duration = Duration::from_secs(16);
/// Pause after the log has refused events.
const RETRY: Duration = Duration::from_secs(1);
/// Interval at which the writer checks whether the hub is dropped.
const IDLE: Duration = Duration::from_secs(1);
/// Bytes of an event without its selector, which occurs up to four times, and its payload.
const EVENT: usize = 400;
const PAYLOAD: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_written_at_a_rate_after_a_burst() {
        let start = Instant::now() + Duration::from_secs(100);
        let mut paid = start - Duration::from_secs(100);
        for _ in 0..16 {
            paid = pay(paid, start, 1 << 20);
        }
        assert_eq!(paid, start, "sixteen seconds are saved, and no more");
        for second in 1..=10 {
            paid = pay(paid, start, 1 << 20);
            assert_eq!(paid, start + Duration::from_secs(second));
        }
    }
}
