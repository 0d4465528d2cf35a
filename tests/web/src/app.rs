//! The served streams, and the questions that tests may ask about them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use ssekit::{First, LastEventId, Produce, Streams};

use crate::news::News;
use crate::seen::{self, Request, Seen};
use crate::{files, streams};

#[derive(Clone)]
pub(crate) struct App {
    pub(crate) files: Option<Arc<PathBuf>>,
    pub(crate) news: Arc<News>,
    pub(crate) seen: Arc<Seen>,
    pub(crate) streams: Streams,
    opened: Arc<AtomicU64>,
}

impl App {
    pub(crate) fn new(files: Option<PathBuf>, log: Option<PathBuf>) -> anyhow::Result<Self> {
        Ok(Self {
            files: files.map(|folder| folder.canonicalize()).transpose()?.map(Arc::new),
            news: Arc::new(News::new(log)?),
            seen: Arc::default(),
            streams: Streams::new(),
            opened: Arc::default(),
        })
    }

    /// Counts a stream that a test may ask about.
    pub(crate) fn count(&self, stream: Produce) -> Produce {
        self.opened.fetch_add(1, Ordering::Relaxed);
        stream.within(&self.streams)
    }

    pub(crate) fn open(&self) -> Open {
        Open { open: self.streams.len(), opened: self.opened.load(Ordering::Relaxed) }
    }
}

pub(crate) fn routes(app: App) -> Router {
    // `EventSource` sends GET, `source` of the npm packages POST.
    let events = Router::new()
        .route("/clock", any(streams::clock))
        .route("/lock", any(streams::lock))
        .route("/ping", any(streams::ping))
        .route("/channel", any(channel))
        .route("/json", any(streams::json))
        .route("/live", any(streams::live))
        .route("/many", any(streams::many))
        .route("/tokens", any(streams::tokens))
        .route("/unnamed", any(streams::unnamed))
        .route("/retry", any(streams::retry))
        .route("/slow", any(streams::slow))
        .route("/cors", any(streams::clock).layer(axum::middleware::from_fn(streams::cross_origin)))
        .layer(from_fn_with_state(app.clone(), seen::record));
    Router::new()
        .merge(events)
        .route("/publish", post(publish))
        .route("/streams", get(open))
        .route("/requests", get(requests))
        .fallback(files::serve)
        .with_state(app)
}

#[derive(Deserialize)]
struct Beginning {
    #[serde(default)]
    all: bool,
    /// Milliseconds after which clients return.
    retry: Option<u64>,
}

/// Published events, with the ids 1, 2, …: from now on, or all (`?all=true`), or those after the last event
/// ID.
async fn channel(State(app): State<App>, Query(beginning): Query<Beginning>, last: LastEventId) -> Produce {
    let first = if beginning.all { First::All } else { First::New };
    let stream = app.news.channel.first(first).subscribe(last);
    let retry = beginning.retry.map(Duration::from_millis);
    app.count(match retry {
        Some(time) => stream.retry(time),
        None => stream,
    })
}

#[derive(Deserialize)]
pub(crate) struct Publication {
    pub(crate) event: String,
    pub(crate) data: String,
}

/// Answers with the event's id.
async fn publish(
    State(app): State<App>,
    Json(publication): Json<Publication>,
) -> Result<String, (StatusCode, String)> {
    app.news.publish(&publication).map_err(|error| (StatusCode::BAD_REQUEST, format!("{error:#}")))
}

#[derive(Serialize)]
pub(crate) struct Open {
    /// Streams that are open now.
    open: usize,
    /// Streams that were ever opened.
    opened: u64,
}

async fn open(State(app): State<App>) -> Json<Open> {
    Json(app.open())
}

#[derive(Deserialize)]
struct Which {
    path: Option<String>,
}

/// The latest requests for streams, the oldest first; of one path if that is asked for.
async fn requests(State(app): State<App>, Query(which): Query<Which>) -> Json<Vec<Request>> {
    Json(app.seen.of(which.path.as_deref()))
}
