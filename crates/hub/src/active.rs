//! Who is subscribed to what, where that is to be told: by an update for each that comes and goes, and by an API.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ssekit_log::{Log, Record};
use tokio::sync::mpsc;

use crate::log_limit::LogLimit;
use crate::mercure::Subscribe;
use crate::mercure::subscriptions::{Asked, Subscription, subscriber_id};

/// All subscriptions that are active now.
#[derive(Clone, Debug)]
pub(crate) struct Active {
    path: Arc<str>,
    all: Arc<Mutex<All>>,
    news: mpsc::Sender<Vec<Record>>,
    log_limit: Arc<LogLimit>,
}

#[derive(Debug)]
struct All {
    of: BTreeMap<Box<str>, Vec<Subscription>>,
    /// Another for each change, and for each hub.
    state: u128,
}

/// A subscriber, until it is dropped.
#[derive(Debug)]
pub(crate) struct Presence {
    active: Active,
    subscriber: Box<str>,
}

/// Some of all subscriptions.
pub(crate) struct Listed {
    pub(crate) subscriptions: Vec<Subscription>,
    /// There may be more, of the subscribers after this one.
    pub(crate) next: Option<Box<str>>,
    /// What tells this state of all from others.
    pub(crate) state: u128,
}

impl Active {
    /// Nobody yet; who comes and goes is told by updates in this log.
    pub(crate) fn start(log: Arc<dyn Log>, path: &str) -> Self {
        let (news, mut told) = mpsc::channel::<Vec<Record>>(WAITING);
        let log_limit = Arc::new(LogLimit::default());
        let limit = Arc::clone(&log_limit);
        tokio::spawn(async move {
            while let Some(mut records) = told.recv().await {
                // Many who come together are told in one append.
                while records.len() < BATCH {
                    let Ok(more) = told.try_recv() else { break };
                    records.extend(more);
                }
                let count = records.len();
                if let Err(error) = log.append(records).await
                    && let Some(appends) = limit.due("not appended", LogLimit::OFTEN, Instant::now())
                {
                    tracing::error!(%error, appends, count, "the log has refused subscription events");
                }
            }
        });
        let all = All { of: BTreeMap::new(), state: random() };
        Self { path: path.into(), all: Arc::new(Mutex::new(all)), news, log_limit }
    }

    /// A subscriber has come: it is active until what this gives is dropped.
    pub(crate) fn enter(&self, subscribe: &Subscribe) -> Presence {
        let subscriber: Box<str> = subscriber_id(random()).into();
        let subscriptions: Vec<_> = subscribe
            .selectors
            .iter()
            .map(|selector| Subscription {
                selector: selector.clone(),
                subscriber: subscriber.clone(),
                payload: subscribe.token.as_ref().and_then(|token| token.payload.clone()),
            })
            .collect();
        // It is there before that is told: who reads the list and then what follows has it from one or the other.
        self.lock().change().insert(subscriber.clone(), subscriptions.clone());
        self.tell(&subscriptions, true);
        Presence { active: self.clone(), subscriber }
    }

    /// Those that somebody asks for, of the subscribers after one; not many more than [`LISTED`].
    pub(crate) fn list(&self, asked: &Asked, after: Option<&str>) -> Listed {
        let all = self.lock();
        let among = |subscriptions: &[Subscription]| -> Vec<Subscription> {
            subscriptions.iter().filter(|one| asked.includes(one)).cloned().collect()
        };
        let mut listed = Listed { subscriptions: Vec::new(), next: None, state: all.state };
        if let Asked::One { subscriber, .. } = asked {
            listed.subscriptions = all.of.get(&**subscriber).map(|of| among(of)).unwrap_or_default();
            return listed;
        }
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = all.of.range::<str, _>((from, Bound::Unbounded)).peekable();
        while let Some((subscriber, of)) = rest.next() {
            listed.subscriptions.append(&mut among(of));
            if listed.subscriptions.len() >= LISTED && rest.peek().is_some() {
                listed.next = Some(subscriber.clone());
                break;
            }
        }
        listed
    }

    fn tell(&self, subscriptions: &[Subscription], active: bool) {
        let events: Vec<_> = subscriptions.iter().map(|one| one.event(&self.path, active)).collect();
        match self.news.try_send(events) {
            Err(mpsc::error::TrySendError::Full(events)) => {
                if let Some(changes) = self.log_limit.due("not queued", LogLimit::OFTEN, Instant::now()) {
                    tracing::error!(
                        changes,
                        count = events.len(),
                        "subscription events are lost: they come faster than the log takes them"
                    );
                }
            }
            // When the hub has ended, nobody listens.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    fn change(&mut self) -> &mut BTreeMap<Box<str>, Vec<Subscription>> {
        self.state = self.state.wrapping_add(1);
        &mut self.of
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let gone = self.active.lock().change().remove(&self.subscriber);
        if let Some(subscriptions) = gone {
            self.active.tell(&subscriptions, false);
        }
    }
}

/// 128 random bits: no two subscribers have the same.
fn random() -> u128 {
    u128::from(fastrand::u64(..)) << 64 | u128::from(fastrand::u64(..))
}

/// Subscriptions of an answer, and those of one subscriber more.
const LISTED: usize = 10_000;
/// Comings and goings that wait to be appended.
const WAITING: usize = 1 << 16;
/// Updates that are appended at once, and those of one subscriber more.
const BATCH: usize = 1024;
