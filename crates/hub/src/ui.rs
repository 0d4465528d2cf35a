//! The hub's page, at `/hub/`: to publish, to watch, and to see who is subscribed, how fast it goes and why somebody is refused.
//!
//! ```text
//!  figures of /metrics ── once a second, while anybody looks ──▶ Channel ─▶ GET /hub/stats
//!  Log::read ── what the asker may read of it ─────────────────────────────▶ GET /hub/history
//!  a pasted token ── mercure::explain ─────────────────────────────────────▶ POST /hub/explain
//! ```
//!
//! The page itself is for everyone and holds nothing. What it shows comes by the rights of who looks: publishing, watching and
//! the list of subscriptions are the hub's own protocol, and history is read as by a subscriber, so that private updates are
//! for those who have a grant. The figures are about others, so who reads them needs a token of a subscriber that grants the
//! list of all subscriptions, `{hub path}/subscriptions`. With `--dev` nobody needs a token for anything.
//!
//! | what | at most | beyond it |
//! |---|---|---|
//! | streams of figures | 256 | a stream that ends at once, with the time to return |
//! | figures that are kept for who comes | 60 s | forgotten |
//! | updates of one page of history | 100 | as many |
//! | updates, and bytes, that are looked at for one page | 20,000 and 16 MiB | the page ends there, and says where to go on |
//! | pages of history that are read at once | 4 | wait |
//! | an update's data, and topics, in the history | 2 KiB, 5 | cut, and said so |
//! | a question about a token | 64 KiB, 100 topics | 413 |

mod explain;
mod history;
mod page;
mod stats;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::response::Response;
use axum::routing::{get, post};
use ssekit_server::{Channel, First, Streams};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use crate::hub::Hub;
use crate::mercure::Problem;

/// What the page asks for. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Ui {
    hub: Arc<Hub>,
    figures: Channel,
    streams: Streams,
    /// Pages of history that may be read now.
    readers: Arc<Semaphore>,
    /// Reads the figures.
    meter: AbortHandle,
}

impl Ui {
    /// A page for a hub. It reads the hub's figures from now on, while anybody looks.
    pub(crate) fn start(hub: Arc<Hub>) -> Self {
        let figures = Channel::builder().name("figures").keep_for(stats::KEPT).first(First::All).build();
        let meter = tokio::spawn(stats::measure(Arc::clone(&hub), figures.clone())).abort_handle();
        let streams = Streams::builder().max(MAX_STREAMS).retry(hub.retry()).build();
        Self { hub, figures, streams, readers: Arc::new(Semaphore::new(MAX_READERS)), meter }
    }

    /// The page, and what it asks for.
    pub(crate) fn router(&self) -> Router {
        let answers = Router::new()
            .route("/hub/stats", get(stats::stats))
            .route("/hub/history", get(history::history))
            .route("/hub/explain", post(explain::explain))
            .layer(DefaultBodyLimit::max(explain::MAX_BODY))
            .with_state(self.clone());
        page::router(&self.hub).merge(answers)
    }

    /// Ends every stream, and opens no more.
    pub(crate) fn close(&self) {
        self.meter.abort();
        self.streams.shutdown();
    }
}

fn refuse(problem: &Problem) -> Response {
    problem.response().map(Body::from)
}

/// Streams of figures at once.
const MAX_STREAMS: usize = 256;
/// Pages of history that are read at once.
const MAX_READERS: usize = 4;
