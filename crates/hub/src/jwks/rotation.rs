//! Rotation of keys: the schedule of fetches, and the use of their results.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ssekit_mercure::{Access, Action, Algorithm, KeyError, Keys};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

/// Schedule of fetches.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Time between two fetches.
    pub every: Duration,
    /// Minimum time between two successful fetches, and maximum time between two failed ones.
    pub at_least: Duration,
    /// Time after the first failure; it doubles with each further failure.
    pub first_retry: Duration,
    /// Maximum time of one fetch.
    pub timeout: Duration,
}

impl Default for Schedule {
    /// Every ten minutes, at most once in 30 s, 1 s after a first failure; 10 s for a fetch.
    fn default() -> Self {
        Self {
            every: Duration::from_secs(600),
            at_least: Duration::from_secs(30),
            first_retry: Duration::from_secs(1),
            timeout: Duration::from_secs(10),
        }
    }
}

impl Schedule {
    /// Time from a failed fetch to the next, after this number of failures in a row.
    fn after(&self, failures: u32) -> Duration {
        let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first_retry.saturating_mul(doubled).min(self.at_least.max(self.first_retry))
    }
}

/// Keeps [`Keys`] equal to their source.
#[derive(Debug)]
pub struct Rotation {
    source: String,
    keys: Keys,
    schedule: Schedule,
    allowed: Option<Vec<Algorithm>>,
    wanted: Arc<Notify>,
    progress: watch::Sender<Progress>,
}

/// Progress of a rotation.
#[derive(Clone, Copy, Debug)]
struct Progress {
    /// Number of fetches that have begun.
    begun: u64,
    /// Whether the last of them is running.
    fetching: bool,
    /// Whether the last finished fetch was successful.
    succeeded: bool,
    /// Earliest time of the next fetch.
    soonest: Instant,
}

/// Handle that requests missing keys from a [`Rotation`]. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Renewal {
    wanted: Arc<Notify>,
    progress: watch::Receiver<Progress>,
    schedule: Schedule,
}

/// Result of a [`Renewal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// The keys are newer than the request: a key that is still missing does not exist.
    Fresh,
    /// The keys are unchanged: no fetch may begin for this time, or it has failed.
    Later(Duration),
}

impl Rotation {
    /// Makes a rotation of these shared keys; only for these algorithms, if some are named.
    ///
    /// `source` names their source in logs.
    pub fn new(
        source: impl fmt::Display,
        keys: Keys,
        allowed: Option<Vec<Algorithm>>,
        schedule: Schedule,
    ) -> (Self, Renewal) {
        let wanted = Arc::new(Notify::new());
        let soonest = Instant::now();
        let (progress, watching) =
            watch::channel(Progress { begun: 0, fetching: false, succeeded: false, soonest });
        let renewal = Renewal { wanted: Arc::clone(&wanted), progress: watching, schedule };
        (Self { source: source.to_string(), keys, schedule, allowed, wanted, progress }, renewal)
    }

    /// Fetches the keys now and then again and again, forever; dropping the future ends it.
    ///
    /// `fetch` returns the text for [`Keys::read_set`].
    ///
    /// If a text cannot be fetched or is no key set, the rotation logs that, and the earlier keys stay in
    /// use.
    pub async fn run<F, Fetched, E>(self, mut fetch: F)
    where
        F: FnMut() -> Fetched,
        Fetched: Future<Output = Result<String, E>>,
        E: fmt::Display,
    {
        let mut failures = 0;
        loop {
            let begun = Instant::now();
            self.progress.send_modify(|progress| {
                progress.begun += 1;
                progress.fetching = true;
            });
            let renewed = match timeout(self.schedule.timeout, fetch()).await {
                Ok(Ok(text)) => {
                    self.renew(&text).map_err(|error| format!("cannot use JWKS {}: {error}", self.source))
                }
                Ok(Err(error)) => Err(format!("cannot fetch JWKS {}: {error}", self.source)),
                Err(_) => Err(format!(
                    "cannot fetch JWKS {}: no response within {} s",
                    self.source,
                    self.schedule.timeout.as_secs()
                )),
            };
            let (soonest, next) = match &renewed {
                Ok(()) => {
                    failures = 0;
                    (self.schedule.at_least, self.schedule.every.max(self.schedule.at_least))
                }
                Err(problem) => {
                    failures += 1;
                    let next = self.schedule.after(failures);
                    self.warn(problem, next);
                    (next, next)
                }
            };
            self.progress.send_modify(|progress| {
                progress.fetching = false;
                progress.succeeded = renewed.is_ok();
                progress.soonest = begun + soonest;
            });
            self.rest(begun + soonest, begun + next).await;
        }
    }

    fn warn(&self, problem: &str, next: Duration) {
        let consequence = if self.keys.is_empty() {
            "no keys yet, all tokens are refused".to_owned()
        } else {
            format!("the old keys stay in use: {}", self.keys.summary())
        };
        tracing::warn!("{problem}; {consequence}; next attempt in {} s", next.as_secs_f32());
    }

    /// Waits until the next fetch is due, or until a key is missing and a fetch may begin.
    async fn rest(&self, soonest: Instant, next: Instant) {
        let missed = async {
            sleep_until(soonest).await;
            self.wanted.notified().await;
        };
        tokio::select! {
            () = sleep_until(next) => {}
            () = missed => {}
        }
    }

    fn renew(&self, text: &str) -> Result<(), KeyError> {
        let mut keys = Keys::read_set(text)?;
        if let Some(allowed) = &self.allowed {
            keys = keys.allow(allowed)?;
        }
        let (before, first) = (self.keys.summary(), self.keys.is_empty());
        if self.keys.replace(&keys) {
            let (source, now) = (&self.source, self.keys.summary());
            if first {
                tracing::info!("JWKS {source}: {now}");
            } else {
                tracing::warn!("JWKS {source}: the keys were replaced; new keys: {now}; old keys: {before}");
            }
        }
        Ok(())
    }
}

/// Renewals of the keys of an [`Access`], if these keys are fetched.
#[derive(Clone, Debug, Default)]
pub struct KeyRenewals {
    /// Renewal of the publishers' keys.
    pub publishers: Option<Renewal>,
    /// Renewal of the subscribers' keys.
    pub subscribers: Option<Renewal>,
}

impl KeyRenewals {
    pub(crate) fn of(&self, action: Action) -> Option<&Renewal> {
        match action {
            Action::Publish => self.publishers.as_ref(),
            Action::Subscribe => self.subscribers.as_ref(),
        }
    }

    /// Whether a key set was never fetched yet, so that no token can be verified.
    pub(crate) fn are_awaited(&self, access: &Access) -> bool {
        self.publishers.is_some() && access.publishers.is_empty()
            || self.subscribers.is_some() && access.subscribers.is_empty()
    }
}

impl Renewal {
    /// Fetches the keys again, if a fetch may begin now, and waits for the result.
    ///
    /// Call it for a token that was refused by
    /// [`TokenError::UnknownKey`](ssekit_mercure::TokenError::UnknownKey) or
    /// [`NoKeys`](ssekit_mercure::TokenError::NoKeys), and then verify the token again. The wait is at most
    /// the time of one fetch. Dropping the future only ends the wait.
    pub async fn renewed(&self) -> Renewed {
        let mut progress = self.progress.clone();
        let asked = *progress.borrow();
        if !asked.fetching {
            let wait = asked.soonest.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                return Renewed::Later(wait);
            }
            self.wanted.notify_one();
        }
        // A fetch that had begun before may have a result older than the key.
        let ended = |now: &Progress| !now.fetching && (asked.fetching || now.begun > asked.begun);
        match timeout(self.schedule.timeout, progress.wait_for(ended)).await {
            Ok(Ok(now)) if now.succeeded && now.begun > asked.begun => Renewed::Fresh,
            Ok(Ok(now)) => Renewed::Later(now.soonest.saturating_duration_since(Instant::now())),
            // The rotation has ended, so no other keys will come.
            Ok(Err(_)) => Renewed::Fresh,
            Err(_) => Renewed::Later(self.schedule.at_least),
        }
    }
}
