//! Runs: producers that outlive the request that started them, with any number of viewers.

mod builder;
mod id;
mod output;
mod run;
mod status;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use tokio::sync::watch;
use tokio::time::Instant;

pub use self::builder::RunsBuilder;
pub use self::id::{InvalidRunId, RunId};
pub use self::output::RunOutput;
pub use self::run::Run;
pub use self::status::{RunState, RunStatus};
use crate::error::Error;
use crate::last_event_id::LastEventId;
use crate::produce::Produce;

/// Long answers, each of which one producer makes once, while its viewers come and go: a model's answer, an
/// export, a build.
///
/// A producer is a task of its own: it does not end with the request that started it, and runs without
/// viewers. Each viewer gets every event once and in order, from the beginning or after its last event ID. The
/// last event states the end; see [`RunState`].
///
/// Clones are handles of the same runs, which are in memory, and are gone after a restart.
///
/// ```
/// use axum::extract::{Path, State};
/// use axum::http::StatusCode;
/// use axum::{Json, Router, routing::{get, post}};
/// use ssekit::server::{RunId, Runs};
/// use ssekit::{LastEventId, Produce};
///
/// // POST /answers starts a run, and answers with its id.
/// async fn ask(State(runs): State<Runs>, question: String) -> Result<Json<String>, StatusCode> {
///     let run = runs.start(RunId::random(), |out| async move {
///         for word in question.split(' ') {
///             out.emit("token", word)?;
///         }
///         Ok(())
///     });
///     let run = run.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
///     Ok(Json(run.id().to_string()))
/// }
///
/// // GET /answers/{id} may come at any time, from any number of viewers. Check here whether the user may read it.
/// async fn follow(State(runs): State<Runs>, Path(id): Path<String>, last: LastEventId) -> Produce {
///     runs.follow(&id, last)
/// }
///
/// // DELETE /answers/{id} stops the producer.
/// async fn stop(State(runs): State<Runs>, Path(id): Path<String>) {
///     runs.cancel(&id);
/// }
///
/// # let _: Router = Router::new()
/// #     .route("/answers", post(ask))
/// #     .route("/answers/{id}", get(follow).delete(stop))
/// #     .with_state(Runs::new());
/// ```
///
/// # Who may read
///
/// Generated ids cannot be guessed, but a user can pass one on. [`follow`](Self::follow) does not decide who
/// may read: where answers are private, compare the owner that you stored with the user of the request first.
///
/// # Limits
///
/// [`RunsBuilder`] has all of them, with their defaults.
#[doc(alias("job", "resumable", "background", "llm"))]
#[derive(Clone)]
pub struct Runs {
    shared: Arc<Shared>,
}

/// The state that all handles share.
struct Shared {
    limits: RunsBuilder,
    registry: Mutex<Registry>,
    /// Bytes of the events of all runs.
    bytes: Arc<AtomicUsize>,
    /// The number of producers that have not ended.
    running: watch::Sender<usize>,
}

#[derive(Default)]
struct Registry {
    runs: HashMap<RunId, Run>,
    /// Ended runs, the oldest end first.
    ended: VecDeque<(Instant, RunId)>,
}

/// Too many producers run, so no further run can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{limit} runs have not ended, which is the limit: start this one later")]
pub struct RunLimit {
    /// The most runs; see [`RunsBuilder::max_runs`].
    pub limit: usize,
}

impl Runs {
    /// Creates an empty set of runs with the [builder](RunsBuilder)'s defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder with the limits of runs.
    pub fn builder() -> RunsBuilder {
        RunsBuilder::new()
    }

    fn with(limits: RunsBuilder) -> Self {
        let (running, _) = watch::channel(0);
        let (registry, bytes) = (Mutex::default(), Arc::default());
        Self { shared: Arc::new(Shared { limits, registry, bytes, running }) }
    }

    /// Starts a run, as a task of tokio's runtime; if there is a run with this id, returns that one instead.
    ///
    /// The producer then never runs, so that a repeated request starts nothing twice. When it returns, the run
    /// is [finished](RunState::Finished), or [failed](RunState::Failed) with its error. A panic is a failure,
    /// too. When the run is [cancelled](Self::cancel), the future is dropped.
    ///
    /// # Errors
    /// [`RunLimit`] if too many producers run. Ended runs make room for new ones, the oldest first.
    ///
    /// # Panics
    /// Outside of a tokio runtime, as [`tokio::spawn`] does.
    pub fn start<F, Fut>(&self, id: RunId, producer: F) -> Result<Run, RunLimit>
    where
        F: FnOnce(RunOutput) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let mut registry = self.registry();
        if let Some(run) = registry.runs.get(&id) {
            return Ok(run.clone());
        }
        let limit = self.shared.limits.max_runs;
        while registry.runs.len() >= limit {
            if !self.shared.forget_oldest(&mut registry) {
                return Err(RunLimit { limit });
            }
        }
        let run = Run::new(id.clone());
        registry.runs.insert(id, run.clone());
        drop(registry);
        self.shared.running.send_modify(|running| *running += 1);
        let (runs, output) = (self.clone(), RunOutput::new(&run, &self.shared.limits, &self.shared.bytes));
        let (of_task, limits) = (run.clone(), self.shared.limits.clone());
        tokio::spawn(async move {
            of_task.produce(&limits, output, producer).await;
            runs.note_end(&of_task);
        });
        Ok(run)
    }

    /// Returns the run with this id; `None` if there is none, or it ended too long ago.
    pub fn get(&self, id: &str) -> Option<Run> {
        self.registry().runs.get(id).cloned()
    }

    /// Answers with the events of a run, as [`Run::follow`] does; 404 if there is no run with this id.
    pub fn follow(&self, id: &str, last: LastEventId) -> Produce {
        match self.get(id) {
            Some(run) => run.follow(last),
            None => Produce::nothing(StatusCode::NOT_FOUND),
        }
    }

    /// Cancels a run, as [`Run::cancel`] does; false if it has ended, or there is no run with this id.
    #[doc(alias("abort", "stop"))]
    pub fn cancel(&self, id: &str) -> bool {
        self.get(id).is_some_and(|run| run.cancel())
    }

    /// The state of a run; `None` if there is no run with this id.
    pub fn status(&self, id: &str) -> Option<RunStatus> {
        self.get(id).map(|run| run.status())
    }

    /// Waits until every producer has ended, and interrupts those that have not ended after this time.
    ///
    /// Their viewers receive the end with the state [`Interrupted`](RunState::Interrupted). Call it after the
    /// server has stopped accepting requests.
    pub async fn shutdown(&self, grace: Duration) {
        let mut running = self.shared.running.subscribe();
        if tokio::time::timeout(grace, running.wait_for(|running| *running == 0)).await.is_err() {
            let runs: Vec<Run> = self.registry().runs.values().cloned().collect();
            for run in &runs {
                run.stop(RunState::Interrupted);
            }
            // Each task only has to drop its future. The sender lives as long as `self`.
            let _ = running.wait_for(|running| *running == 0).await;
        }
    }

    /// The registry, without the runs that ended too long ago.
    fn registry(&self) -> MutexGuard<'_, Registry> {
        let mut registry = self.shared.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, keep) = (Instant::now(), self.shared.limits.keep_finished);
        let is_over = |(ended, _): &(Instant, RunId)| now.saturating_duration_since(*ended) >= keep;
        while registry.ended.front().is_some_and(is_over) {
            self.shared.forget_oldest(&mut registry);
        }
        registry
    }

    fn note_end(&self, run: &Run) {
        self.registry().ended.push_back((Instant::now(), run.id().clone()));
        self.shared.running.send_modify(|running| *running -= 1);
    }
}

impl Shared {
    /// Forgets the run that ended first; false if none has ended.
    fn forget_oldest(&self, registry: &mut Registry) -> bool {
        let Some((_, id)) = registry.ended.pop_front() else { return false };
        if let Some(run) = registry.runs.remove(&id) {
            self.bytes.fetch_sub(run.bytes(), Ordering::Relaxed);
        }
        true
    }
}

impl Default for Runs {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runs").field("limits", &self.shared.limits).finish_non_exhaustive()
    }
}
