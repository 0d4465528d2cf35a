//! The hub: joins the protocol, the log and the fan-out.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures_util::future::join_all;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use ssekit_log::{AppendError, Appended, Bounds, IdempotencyKey, Log, Position, ReadError, Record, RuleSet};
use ssekit_wire::{Event, media_type};

pub use crate::active_subscriptions::retention_rule;
use crate::active_subscriptions::{self, ActiveSubscriptions};
use ssekit_mercure::{
    Access, Action, Cursor, Ids, Kind as SelectorKind, Limits, Problem, ProblemKind, Publisher, Replacements,
    Subscribe, Token, cors, discovery, subscriptions,
};

use crate::fanout::{
    self, Fanout, Interest, Metrics, Pace, Start, Subscription, TemplateBudget, TemplatesFull,
};
use crate::jwks::{KeyRenewals, Renewal, Renewed};

/// A hub, which publishes updates into a log and serves subscribers from it.
#[derive(Debug)]
pub struct Hub {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) ids: Ids,
    pub(crate) fanout: Fanout,
    pub(crate) access: Access,
    key_renewals: KeyRenewals,
    pub(crate) limits: Limits,
    /// Templates of all subscribers.
    templates: Arc<TemplateBudget>,
    /// Path of the hub, `/.well-known/mercure` unless configured.
    pub(crate) path: String,
    /// Active subscriptions, if the hub announces and lists them.
    pub(crate) active: Option<ActiveSubscriptions>,
    pub(crate) metrics: Arc<Metrics>,
    pace: Pace,
    max_lifetime: Option<Duration>,
    pub(crate) published: Counter,
    repeated: Counter,
    ending: AtomicBool,
}

/// Options of a hub.
#[derive(Debug)]
pub struct Options {
    /// Access rules.
    pub access: Access,
    /// Renewals of the keys of `access`, for tokens that name a missing key.
    pub key_renewals: KeyRenewals,
    /// Limits of requests.
    pub limits: Limits,
    /// Path of the hub.
    pub path: String,
    /// Subscriptions that events announce and the API lists.
    pub subscriptions: Announced,
    /// Options of the delivery.
    pub fanout: fanout::Options,
    /// Maximum time of a stream, after which its client reconnects.
    pub max_lifetime: Option<Duration>,
}

impl Default for Options {
    /// A hub at `/.well-known/mercure` that lets nobody publish or subscribe, like the default of [`Access`].
    fn default() -> Self {
        Self {
            access: Access::default(),
            key_renewals: KeyRenewals::default(),
            limits: Limits::default(),
            // Clients of versions 0.x know no other path.
            path: "/.well-known/mercure".to_owned(),
            subscriptions: Announced::Nobody,
            fanout: fanout::Options::default(),
            max_lifetime: None,
        }
    }
}

/// Which subscriptions a hub announces and lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// None.
    Nobody,
    /// Subscriptions of subscribers with a token.
    WithToken,
    /// All subscriptions. Visitors without a token can then make the hub write.
    Everyone,
}

/// The updates of one publication request: all are published or none.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) records: Vec<Record>,
    pub(crate) key: Option<IdempotencyKey>,
}

/// A granted subscription.
#[derive(Debug)]
pub(crate) struct Granted {
    /// Headers of the answer.
    pub(crate) headers: HeaderMap,
    /// The subscription, without the head.
    pub(crate) subscription: Subscription,
}

impl Hub {
    /// Starts a hub on a log. The registry gets the metrics of the hub.
    ///
    /// # Errors
    /// When the log cannot be read, or the system provides no thread.
    pub async fn start(
        log: Arc<dyn Log>,
        options: Options,
        registry: &mut Registry,
    ) -> std::io::Result<Arc<Self>> {
        let Options { access, key_renewals, limits, path, subscriptions, fanout: fan, max_lifetime } =
            options;
        let metrics = Metrics::new(registry);
        let published = Counter::default();
        registry.register("events_published", "Events accepted from publishers", published.clone());
        let repeated = Counter::default();
        let help = "Publications that repeated an earlier one with the same Idempotency-Key";
        registry.register("publications_repeated", help, repeated.clone());
        let templates = TemplateBudget::new(&limits, registry);
        let fanout = Fanout::start(log, &fan, Arc::clone(&metrics)).await?;
        let log = fanout.log();
        let anonymous = subscriptions == Announced::Everyone;
        let active = (subscriptions != Announced::Nobody)
            .then(|| ActiveSubscriptions::start(Arc::clone(&log), &path, anonymous, registry));
        let ids = Ids::new(log.epoch());
        let ending = AtomicBool::new(false);
        let pace = fan.pace;
        let replacements = access.subscribers.replacements();
        let hub = Arc::new(Self {
            log,
            ids,
            fanout,
            access,
            key_renewals,
            limits,
            templates,
            path,
            active,
            metrics,
            pace,
            max_lifetime,
            published,
            repeated,
            ending,
        });
        tokio::spawn(end_revoked(replacements, Arc::downgrade(&hub)));
        Ok(hub)
    }

    /// Verifies the publisher of a request.
    pub(crate) async fn publisher(&self, request: &Parts) -> Result<Publisher, Problem> {
        self.verified(request, Action::Publish, |now| self.access.publisher(request, now)).await
    }

    /// The access rules.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// The limits of requests.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The path of the hub, `/.well-known/mercure` unless configured.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The log that holds the updates.
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }

    /// The ids of updates that have none from their publisher.
    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// The metrics of the fan-out.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The number of updates that publishers have sent since the start.
    pub fn published(&self) -> u64 {
        self.published.get()
    }

    /// Whether the hub announces and lists subscriptions.
    pub fn lists_subscriptions(&self) -> bool {
        self.active.is_some()
    }

    /// Verifies the token of a request that reads; `None` for a permitted anonymous request.
    ///
    /// # Errors
    /// Those of [`Access::subscriber`].
    pub async fn reader(&self, request: &Parts) -> Result<Option<Arc<Token>>, Problem> {
        self.verified(request, Action::Subscribe, |now| self.access.subscriber(request, now)).await
    }

    /// Reads a subscription from a request, and verifies its token.
    ///
    /// # Errors
    /// Those of [`Subscribe::read`].
    pub async fn asked(&self, request: &Parts) -> Result<Subscribe, Problem> {
        let read = |now| Subscribe::read(request, &self.access, &self.limits, now);
        self.verified(request, Action::Subscribe, read).await
    }

    /// Verifies with the cached keys.
    ///
    /// If keys come from a key set and the token names a missing one, fetches the set once and verifies
    /// again; if it cannot be fetched now, the answer tells the client to retry, because the token may be
    /// valid. Dropping the future only ends the wait.
    async fn verified<T>(
        &self,
        request: &Parts,
        action: Action,
        read: impl Fn(SystemTime) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let missing = |read: &Result<T, Problem>| {
            let refused = read.as_ref().is_err_and(|problem| problem.kind == ProblemKind::InvalidToken);
            let renewal = self.key_renewals.of(action).filter(|_| refused);
            renewal.filter(|_| self.access.lacks_key_of(request, action))
        };
        let first = read(SystemTime::now());
        let Some(renewal) = missing(&first) else { return first };
        let renewed = renewal.renewed().await;
        let second = read(SystemTime::now());
        match renewed {
            Renewed::Later(wait) if missing(&second).is_some() => Err(keys_awaited(wait)),
            _ => second,
        }
    }

    /// Returns the renewal of the keys for an action, if they lack the key that this token names.
    ///
    /// `None` if the keys are not fetched.
    pub fn renewal_for(&self, token: &str, action: Action) -> Option<&Renewal> {
        self.key_renewals.of(action).filter(|_| self.access.lacks_key(token, action))
    }

    /// Whether a key set was never fetched yet, so that no token can be verified.
    pub(crate) fn awaits_keys(&self) -> bool {
        self.key_renewals.are_awaited(&self.access)
    }

    /// Publishes records and returns their ids.
    ///
    /// # Errors
    /// When the topics of a record cost too much to match, the fan-out is too slow, or the log refuses.
    pub async fn publish(&self, records: Vec<Record>) -> Result<Vec<String>, Problem> {
        self.publish_batch(Batch { records, key: None }).await
    }

    /// Publishes a batch, unless an earlier one had the same idempotency key.
    ///
    /// Returns the ids of the updates, or those of the earlier batch.
    ///
    /// # Errors
    /// Those of [`publish`](Self::publish), and when the key was used for another batch.
    pub(crate) async fn publish_batch(&self, batch: Batch) -> Result<Vec<String>, Problem> {
        let Batch { records, key } = batch;
        if self.is_ending() {
            return Err(Problem::new(
                ProblemKind::Unavailable,
                "the hub is shutting down: publish again in a moment",
            )
            .retry_after(Duration::from_secs(1)));
        }
        if let Some(cost) = records.iter().find_map(|record| self.templates.excess(&record.topics)) {
            return Err(Problem::new(
                ProblemKind::TooLarge,
                format!(
                    "the update has too many or too long topics to match them with the templates of all subscribers: the cost is {cost} \
                     (for each topic, the number of template variables times the length in units of 64 bytes), the limit is {}; publish \
                     the update with fewer topics",
                    self.limits.matching
                ),
            ));
        }
        let own: Vec<_> = records.iter().map(|record| record.id.clone()).collect();
        let appended =
            self.log.append_with_key(key, records).await.map_err(|error| append_problem(&error))?;
        let Appended { positions, repeated } = appended;
        if repeated {
            self.repeated.inc();
        } else {
            self.published.inc_by(positions.len() as u64);
        }
        let id = |(own, position): (Option<Box<str>>, Position)| match own {
            Some(id) => id.into(),
            None => self.ids.id(position),
        };
        Ok(own.into_iter().zip(positions).map(id).collect())
    }

    /// Publishes batches in this order, each all or nothing; returns the ids of each.
    ///
    /// If a batch has an idempotency key, each is an append of its own: the log gets all appends together and
    /// in this order, and writes them together.
    pub(crate) async fn publish_each(
        &self,
        asked: Vec<Result<Batch, Problem>>,
    ) -> Vec<Result<Vec<String>, Problem>> {
        if asked.iter().flatten().all(|batch| batch.key.is_none()) {
            return self.publish_together(asked).await;
        }
        let append = |batch: Result<Batch, Problem>| async move { self.publish_batch(batch?).await };
        let appends = join_all(asked.into_iter().map(append));
        // With tokio's budget, an exhausted budget would make it poll the remaining appends in another order.
        tokio::task::unconstrained(appends).await
    }

    /// Publishes batches without idempotency keys in one append.
    ///
    /// If the log or a limit refuses that, they are published one after the other.
    async fn publish_together(
        &self,
        asked: Vec<Result<Batch, Problem>>,
    ) -> Vec<Result<Vec<String>, Problem>> {
        if asked.len() > 1 {
            let all = asked.iter().flatten().flat_map(|batch| &batch.records).cloned().collect();
            match self.publish(all).await {
                Ok(ids) => {
                    let mut ids = ids.into_iter();
                    let mut own = |batch: Batch| ids.by_ref().take(batch.records.len()).collect();
                    return asked.into_iter().map(|batch| batch.map(&mut own)).collect();
                }
                // The log may refuse one of them, or all of them together.
                Err(problem) if problem.kind == ProblemKind::TooLarge => {}
                Err(problem) => {
                    return asked.into_iter().map(|batch| batch.and_then(|_| Err(problem.clone()))).collect();
                }
            }
        }
        let mut answers = Vec::with_capacity(asked.len());
        for batch in asked {
            answers.push(match batch {
                Ok(batch) => self.publish_batch(batch).await,
                Err(problem) => Err(problem),
            });
        }
        answers
    }

    /// Grants a simple subscription ([`is_simple`](Self::is_simple)) at once.
    pub(crate) fn grant(
        &self,
        request: &Parts,
        subscribe: Subscribe,
        guard: Option<Box<dyn Any + Send>>,
    ) -> Granted {
        self.granted(request, subscribe, None, guard)
    }

    /// Whether [`grant`](Self::grant) is enough.
    ///
    /// Such a subscription begins now, is not announced and has no templates.
    pub(crate) fn is_simple(&self, subscribe: &Subscribe) -> bool {
        subscribe.cursor.is_none()
            && self.active.as_ref().is_none_or(|active| !active.announces(subscribe))
            && subscribe.selectors.iter().all(|selector| selector.variables() == 0)
            && !self.is_ending()
            && remaining_lifetime(subscribe).is_none_or(|left| !left.is_zero())
    }

    /// Grants a subscription: finds its start in the log, admits its templates and announces it.
    ///
    /// A browser that cannot be served now gets a stream with `retry:` and the end: it would give up on any
    /// other answer (HTML, section 9.2.3).
    ///
    /// # Errors
    /// When the hub shuts down or the log cannot be read, for a client that does not accept
    /// `text/event-stream`; when the token has expired.
    pub(crate) async fn resolve(
        &self,
        request: &Parts,
        mut subscribe: Subscribe,
        guard: Option<Box<dyn Any + Send>>,
    ) -> Result<Granted, Problem> {
        let place = match subscribe.cursor.take() {
            _ if self.is_ending() => Err(Problem::new(ProblemKind::Unavailable, "the hub is shutting down")
                .retry_after(self.pace.retry())),
            Some(cursor) => self
                .place(cursor, self.rules(&subscribe))
                .await
                .map(Some)
                .map_err(|error| read_problem(&error)),
            None => Ok(None),
        };
        let admitted = place.and_then(|place| {
            let admitted = self.templates.admit(&subscribe.selectors, subscribe.token.is_some());
            Ok((place, admitted.map_err(|full| templates_full(full).retry_after(self.pace.retry()))?))
        });
        let (place, templates) = match admitted {
            Ok(admitted) => admitted,
            Err(problem) if accepts_stream(request) => {
                tracing::debug!(
                    detail = problem.detail,
                    "subscription refused: the client is told to reconnect"
                );
                return Ok(self.retry_later(request, guard));
            }
            Err(problem) => return Err(problem),
        };
        let guard = Some(Box::new((guard, templates)) as Box<dyn Any + Send>);
        // The token may have expired during the search for the start.
        if remaining_lifetime(&subscribe).is_some_and(|left| left.is_zero()) {
            let words = "the token has expired (claim “exp”): get a new one";
            return Err(Problem::new(ProblemKind::InvalidToken, words));
        }
        let guard: Option<Box<dyn Any + Send>> = match &self.active {
            Some(active) if request.method != Method::HEAD && active.announces(&subscribe) => {
                Some(Box::new((guard, active.register(&subscribe))))
            }
            _ => guard,
        };
        Ok(self.granted(request, subscribe, place, guard))
    }

    fn granted(
        &self,
        request: &Parts,
        subscribe: Subscribe,
        place: Option<Place>,
        guard: Option<Box<dyn Any + Send>>,
    ) -> Granted {
        let (mut headers, mut first) = self.beginning(request);
        if let Some(place) = &place {
            discovery::begins_after(&place.before, &mut headers);
            if let Some(reason) = place.reset {
                headers.insert(HeaderName::from_static("ssekit-reset"), HeaderValue::from_static(reason));
                let data = format!("{{\"reason\":\"{reason}\"}}");
                if let Ok(reset) = Event::new(data).with_event("reset") {
                    reset.encode(&mut first);
                }
            }
        }
        let left = [remaining_lifetime(&subscribe), self.max_lifetime].into_iter().flatten().min();
        let ends = left.and_then(|left| Instant::now().checked_add(left));
        let rules = self.rules(&subscribe);
        let interest = Interest::new(subscribe.selectors, subscribe.token).with_rules(rules);
        let start = place.map(|place| place.start);
        Granted {
            headers,
            subscription: Subscription { interest, first: Bytes::from(first), start, ends, guard },
        }
    }

    /// Grants a stream that has only a `retry:` and ends.
    fn retry_later(&self, request: &Parts, guard: Option<Box<dyn Any + Send>>) -> Granted {
        let (headers, first) = self.beginning(request);
        let interest = Interest::new(Vec::new(), None);
        let ends = Some(Instant::now());
        Granted {
            headers,
            subscription: Subscription { interest, first: Bytes::from(first), start: None, ends, guard },
        }
    }

    /// Beginning of every stream: headers of the answer, and the reconnection time.
    fn beginning(&self, request: &Parts) -> (HeaderMap, Vec<u8>) {
        let mut first = Vec::new();
        Event::empty().with_retry(self.pace.retry()).encode(&mut first);
        let mut headers = HeaderMap::with_capacity(12);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type::EVENT_STREAM));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
        headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
        discovery::link(&self.path, &mut headers);
        cors::allow_reading(request, &self.access.cors_origins, &mut headers);
        (headers, first)
    }

    /// Returns the position of an update by the id that the hub or its publisher gave it.
    ///
    /// `None` if the update lies behind `last`, or does not exist.
    ///
    /// The answer does not depend on the client. A page's server may name an update that the page's user may
    /// not read, and the page continues after it; if that id were unknown, the page would get everything
    /// again. So the answer reveals only that an id exists. The hub's ids cannot be guessed, and publishers
    /// choose such ids for private updates.
    pub async fn position(&self, id: &str, last: Position) -> Result<Option<Position>, ReadError> {
        match self.ids.position(id) {
            Some(position) => Ok(Some(position).filter(|position| *position <= last)),
            None => self.log.find(id).await,
        }
    }

    /// Finds the start of a subscriber with a last event ID.
    async fn place(&self, cursor: Cursor, rules: RuleSet) -> Result<Place, ReadError> {
        let bounds = self.log.bounds().await?;
        let horizon = bounds.horizons.of(rules);
        let everything = |reset| Place {
            start: Start { after: Position::START, told: None, stored: bounds.last },
            before: discovery::EARLIEST.to_owned(),
            reset,
        };
        let id = match cursor {
            Cursor::Earliest => return Ok(everything(None)),
            Cursor::Now => {
                return Ok(Place {
                    start: Start::at(bounds.last),
                    before: self.newest(&bounds),
                    reset: None,
                });
            }
            Cursor::After(id) => id,
        };
        Ok(match self.position(&id, bounds.last).await? {
            None => everything(Some("unknown")),
            Some(after) if after < horizon => everything(Some("expired")),
            Some(after) => Place { start: Start::at(after), before: id.into(), reset: None },
        })
    }

    /// Retention rules of the updates that a subscriber may get.
    ///
    /// A subscriber to exact topics misses nothing when the log drops updates of other rules, and a
    /// subscriber without a right to subscription events nothing when it drops those.
    fn rules(&self, subscribe: &Subscribe) -> RuleSet {
        let retention = self.log.retention();
        let events = retention.rule_named(active_subscriptions::RULE);
        let selected = subscribe.selectors.iter().map(|selector| match selector.kind() {
            SelectorKind::Exact => retention.rules_of(selector.text()),
            _ => RuleSet::ALL.without(events),
        });
        let selected = selected.fold(RuleSet::NONE, |all, rules| all | rules);
        let reads_events =
            subscriptions::may_be_read(&subscribe.selectors, subscribe.token.as_deref(), &self.path);
        if reads_events { selected | events } else { selected }
    }

    /// Id of the newest update; `earliest` if the log is empty.
    pub(crate) fn newest(&self, bounds: &Bounds) -> String {
        if bounds.records > 0 { self.ids.id(bounds.last) } else { discovery::EARLIEST.to_owned() }
    }

    /// Whether the hub has begun to shut down.
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// Refuses new requests, and ends all streams within this time.
    pub async fn end(&self, over: Duration) {
        self.ending.store(true, Ordering::Relaxed);
        self.fanout.end(over).await;
    }

    /// Returns a reconnection time, random for each client.
    pub fn retry(&self) -> Duration {
        self.pace.retry()
    }
}

/// Ends the streams of tokens that no longer verify, whenever keys are replaced.
///
/// Their clients reconnect, and are verified again.
async fn end_revoked(mut replacements: Replacements, hub: Weak<Hub>) {
    while replacements.next().await {
        let Some(hub) = hub.upgrade() else { return };
        hub.fanout.keys_replaced();
    }
}

/// Start of a subscriber.
struct Place {
    start: Start,
    /// Last event ID before the first event, or `earliest`.
    before: String,
    /// Reason why the stream does not continue after the last event ID.
    reset: Option<&'static str>,
}

/// Time until the subscriber's token expires; `None` if it never does.
fn remaining_lifetime(subscribe: &Subscribe) -> Option<Duration> {
    let expires = subscribe.token.as_ref()?.expires?;
    Some(expires.duration_since(SystemTime::now()).unwrap_or_default())
}

/// Whether a request accepts an event stream, as those of `EventSource` do.
pub(crate) fn accepts_stream(request: &Parts) -> bool {
    let mut accepted = request.headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.any(media_type::accepts_event_stream)
}

/// Answer to a token whose key is not known yet.
fn keys_awaited(wait: Duration) -> Problem {
    let words = "the hub does not know the key of the token yet and fetches the issuer's keys again: retry in a moment";
    Problem::new(ProblemKind::Unavailable, words).retry_after(wait.max(Duration::from_secs(1)))
}

fn append_problem(error: &AppendError) -> Problem {
    let (kind, wait) = match error {
        AppendError::Full(_) => (ProblemKind::StorageFull, Some(Duration::from_secs(10))),
        AppendError::Invalid(_) => (ProblemKind::TooLarge, None),
        AppendError::KeyReused => (ProblemKind::IdempotencyKeyReused, None),
        _ => (ProblemKind::Unavailable, Some(Duration::from_secs(1))),
    };
    let detail = match error {
        AppendError::Busy(_) => {
            "updates are published faster than they can be delivered: publish again in a moment, and \
             fewer at a time"
                .to_owned()
        }
        AppendError::KeyReused => {
            "this Idempotency-Key was already used for a publication with another body: use a new key for each publication".to_owned()
        }
        _ => error.to_string(),
    };
    Problem { retry_after: wait, ..Problem::new(kind, detail) }
}

/// Answer to a subscriber whose templates exceed the budget.
fn templates_full(TemplatesFull { most }: TemplatesFull) -> Problem {
    Problem::new(
        ProblemKind::Unavailable,
        format!(
            "with the templates of this subscription, a topic would have to be matched with more than {most} template variables of all subscribers: \
             try again later, subscribe to topics instead of templates, or use templates that begin with a longer literal"
        ),
    )
}

/// Answer while the log cannot be read.
pub fn read_problem(error: &ReadError) -> Problem {
    Problem::new(ProblemKind::Unavailable, error.to_string()).retry_after(Duration::from_secs(1))
}
