//! The hub's page, at `/hub/`.
//!
//! It publishes, watches, and shows subscriptions, rates, and the reason why a token is refused.
//!
//! ```text
//! figures of /metrics ── once a second, while a reader is there ─▶ Channel ─▶ GET /hub/stats
//! Log::read ── updates that the reader may read ───────────────────────────▶ GET /hub/history
//! a pasted token ── explain ───────────────────────────────────────────────▶ POST /hub/explain
//! ```
//!
//! The page itself is for everyone and contains no data. Its requests have the rights of its user:
//! publishing, watching and the list of subscriptions are the hub's own protocol, and the history is read as
//! by a subscriber, so that private updates need a grant. The figures are about others, so they need a
//! subscriber's token that grants the list of all subscriptions, `{hub path}/subscriptions`. With `--dev`, no
//! request needs a token.
//!
//! | Limited | Limit | Beyond it |
//! |---|---|---|
//! | streams of figures | 256 | 200, `retry:` and the end |
//! | kept figures | 60 s | dropped |
//! | updates of one page of history | 100 | as many |
//! | updates, and bytes, searched for one page | 20,000 and 16 MiB | the page ends, and names its end |
//! | pages of history that are read at once | 4 | wait |
//! | data, and topics, of an update in the history | 2 KiB, 5 | cut, and marked |
//! | a question about a token | 64 KiB, 100 topics | 413 |

mod explain;
mod history;
mod page;
mod state;
mod stats;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use ssekit_hub::hub::Hub;
use ssekit_server::{Channel, First, Streams};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use self::state::PageState;

/// The hub's page, and the task that reads its figures.
#[derive(Debug)]
pub(crate) struct Ui {
    state: PageState,
    meter: AbortHandle,
}

impl Ui {
    /// Makes a page for a hub. It reads the hub's figures from now on, while a client receives them.
    pub(crate) fn start(hub: Arc<Hub>) -> Self {
        let figures =
            Channel::builder().name("figures").keep_for(stats::KEPT).first(First::Last(u64::MAX)).build();
        let meter = tokio::spawn(stats::measure(Arc::clone(&hub), figures.clone())).abort_handle();
        let streams = Streams::builder().max(MAX_STREAMS).retry(hub.retry()).build();
        let state = PageState { hub, figures, streams, readers: Arc::new(Semaphore::new(MAX_READERS)) };
        Self { state, meter }
    }

    /// Returns the page, and the routes of its requests.
    pub(crate) fn router(&self) -> Router {
        let answers = Router::new()
            .route("/hub/stats", get(stats::stats))
            .route("/hub/history", get(history::history))
            .route("/hub/explain", post(explain::explain))
            .layer(DefaultBodyLimit::max(explain::MAX_BODY))
            .with_state(self.state.clone());
        page::router(&self.state.hub).merge(answers)
    }

    /// Ends every stream, and opens no more.
    pub(crate) fn close(&self) {
        self.meter.abort();
        self.state.streams.shutdown();
    }
}

/// Maximum number of streams of figures.
const MAX_STREAMS: usize = 256;
/// Maximum number of pages of history that are read at once.
const MAX_READERS: usize = 4;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, SystemTime};

    use axum::Json;
    use axum::body::Body;
    use axum::extract::{Request, State};
    use axum::http::StatusCode;
    use serde_json::{Value, from_value, json};
    use ssekit_hub::fanout::{self, Overtaken, Pace};
    use ssekit_hub::hub;
    use ssekit_hub::jwks::{KeyRenewals, Rotation, Schedule};
    use ssekit_log::{Keep, MemoryLog, Retention};
    use ssekit_mercure::issue::{Claims, Grants, Lifetime, Signer, make};
    use ssekit_mercure::{Access, Keys, Limits};
    use ssekit_server::LastEventId;

    use super::*;

    /// Key set with one secret of this name.
    fn set(name: usize) -> String {
        // 32 bytes of `A`.
        let key = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE";
        json!({ "keys": [{ "kty": "oct", "kid": name.to_string(), "k": key }] }).to_string()
    }

    /// Token that grants to read everything, of the key with this name.
    fn token_of(name: usize) -> String {
        let grants = Grants { publish: Vec::new(), subscribe: vec!["*".to_owned()], payload: None };
        let claims = Claims::new(grants, SystemTime::now(), Lifetime(None));
        let signer = Signer::read(&"A".repeat(32)).expect("a secret");
        make(&claims, &signer, None, Some(&name.to_string())).expect("a token")
    }

    async fn hub(access: Access, key_renewals: KeyRenewals) -> Arc<Hub> {
        let log = MemoryLog::new(Retention::of_everything(Keep::ALL).expect("a rule")).expect("a log");
        let retry = Duration::from_secs(1);
        let pace =
            Pace { heartbeat: retry, stall: retry, retry: (retry, retry), overtaken: Overtaken::Close };
        let options = hub::Options {
            access,
            key_renewals,
            limits: Limits::default(),
            path: "/.well-known/mercure".to_owned(),
            subscriptions: hub::Announced::Nobody,
            fanout: fanout::Options {
                threads: 1,
                window: 1 << 20,
                pending_memory: 1 << 20,
                pending: 1 << 16,
                pace,
            },
            max_lifetime: None,
        };
        let mut registry = prometheus_client::registry::Registry::default();
        Hub::start(Arc::new(log), options, &mut registry).await.expect("a hub")
    }

    /// Formerly, the page's requests were refused while the hub's own requests waited for the key.
    #[tokio::test]
    async fn a_token_of_a_new_key_is_accepted_at_the_first_attempt() {
        let subscribers = Keys::read(&set(0)).expect("keys");
        let schedule = Schedule { at_least: Duration::ZERO, ..Schedule::default() };
        let (rotation, renewal) = Rotation::new("the issuer", subscribers.clone(), None, schedule);
        let access = Access { subscribers, ..Access::default() };
        let key_renewals = KeyRenewals { subscribers: Some(renewal), ..KeyRenewals::default() };
        let ui = Ui::start(hub(access, key_renewals).await);
        let fetched = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&fetched);
        // With each fetch the issuer has another key, named after the count; a fetch begins only when a
        // request waits.
        let rotating = tokio::spawn(rotation.run(move || {
            let name = count.fetch_add(1, Ordering::SeqCst);
            async move { Ok::<_, String>(set(name)) }
        }));
        while fetched.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let request = |path: &str, name| {
            let request = Request::get(path).header("authorization", format!("Bearer {}", token_of(name)));
            request.body(Body::empty()).expect("a request")
        };
        let history = history::history(State(ui.state.clone()), request("/hub/history?topic=*", 1)).await;
        assert_eq!((history.status(), fetched.load(Ordering::SeqCst)), (StatusCode::OK, 2));
        let last = LastEventId::default();
        let stats = stats::stats(State(ui.state.clone()), last, request("/hub/stats", 2)).await;
        assert_eq!((stats.status(), fetched.load(Ordering::SeqCst)), (StatusCode::OK, 3));
        let question = json!({ "token": token_of(3), "action": "subscribe" });
        let question = from_value(question).map(Json).expect("a question");
        let explained = explain::explain(State(ui.state.clone()), Ok(question)).await;
        let body = axum::body::to_bytes(explained.into_body(), explain::MAX_BODY).await.expect("a body");
        let explained: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!((&explained["allowed"], fetched.load(Ordering::SeqCst)), (&json!(true), 4), "{explained}");
        rotating.abort();
        ui.close();
    }
}
