use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use ssekit_wire::Event;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::builder::RunsBuilder;
use super::id::RunId;
use super::output::RunOutput;
use super::status::{RunState, RunStatus};
use crate::channel::{Channel, First};
use crate::error::Error;
use crate::last_event_id::LastEventId;
use crate::produce::Produce;

/// One run: a producer, and the events that it has emitted. Clones are handles of the same run.
#[derive(Clone)]
pub struct Run {
    inner: Arc<Inner>,
}

struct Inner {
    id: RunId,
    channel: Channel,
    started: SystemTime,
    progress: Mutex<Progress>,
    /// The state with which the producer is to stop.
    stop: watch::Sender<Option<RunState>>,
}

struct Progress {
    state: RunState,
    ended: Option<SystemTime>,
    events: u64,
    bytes: usize,
    /// The time of the last event.
    active: Instant,
}

impl Run {
    pub(super) fn new(id: RunId) -> Self {
        let channel = Channel::builder().keep_all().first(First::All).build();
        let progress =
            Progress { state: RunState::Running, ended: None, events: 0, bytes: 0, active: Instant::now() };
        let (stop, _) = watch::channel(None);
        let inner = Inner { id, channel, started: SystemTime::now(), progress: Mutex::new(progress), stop };
        Self { inner: Arc::new(inner) }
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> &RunId {
        &self.inner.id
    }

    /// Answers with the events of the run: all of them, or those after this last event ID.
    ///
    /// The stream ends after the last event. A client that returns then is answered with 204, which tells
    /// browsers and our clients to stay away.
    pub fn follow(&self, last: LastEventId) -> Produce {
        self.inner.channel.subscribe(last)
    }

    /// Stops the producer: its future is dropped, and viewers receive the end with the state
    /// [`Cancelled`](RunState::Cancelled). Returns false if the run has ended.
    #[doc(alias("abort", "stop"))]
    pub fn cancel(&self) -> bool {
        self.stop(RunState::Cancelled)
    }

    pub(super) fn stop(&self, state: RunState) -> bool {
        let is_running = self.progress().state == RunState::Running;
        if is_running {
            self.inner.stop.send_modify(|stop| {
                stop.get_or_insert(state);
            });
        }
        is_running
    }

    /// The state and the numbers now.
    #[must_use]
    pub fn status(&self) -> RunStatus {
        let viewers = self.inner.channel.stats().subscribers;
        let progress = self.progress();
        RunStatus {
            state: progress.state.clone(),
            started: self.inner.started,
            ended: progress.ended,
            viewers,
            events: progress.events,
            bytes: progress.bytes,
        }
    }

    pub(super) fn channel(&self) -> &Channel {
        &self.inner.channel
    }

    pub(super) fn bytes(&self) -> usize {
        self.progress().bytes
    }

    /// Counts an event of this size, and returns the numbers with it.
    pub(super) fn count(&self, size: usize) -> (u64, usize) {
        let mut progress = self.progress();
        progress.events += 1;
        progress.bytes += size;
        progress.active = Instant::now();
        (progress.events, progress.bytes)
    }

    /// Counts an event that was refused no longer.
    pub(super) fn uncount(&self, size: usize) {
        let mut progress = self.progress();
        progress.events -= 1;
        progress.bytes -= size;
    }

    /// Runs the producer until it ends or is stopped, and then states the end to the viewers.
    pub(super) async fn produce<F, Fut>(&self, limits: &RunsBuilder, output: RunOutput, producer: F)
    where
        F: FnOnce(RunOutput) -> Fut,
        Fut: Future<Output = Result<(), Error>>,
    {
        let state = {
            let mut stopped = pin!(self.stopped());
            let mut idle = pin!(self.idle_for_too_long(limits.idle));
            let mut unwatched = pin!(self.unwatched_for_too_long(limits.abandoned));
            let mut produced = pin!(catch_panics(move || producer(output)));
            poll_fn(|cx| {
                if let Poll::Ready(state) = stopped.as_mut().poll(cx) {
                    return Poll::Ready(state);
                }
                if let Poll::Ready(produced) = produced.as_mut().poll(cx) {
                    return Poll::Ready(match produced {
                        Ok(()) => RunState::Finished,
                        Err(error) => RunState::Failed { reason: error.to_string() },
                    });
                }
                let idle = idle.as_mut().poll(cx);
                if idle.is_ready() { idle } else { unwatched.as_mut().poll(cx) }
            })
            .await
        };
        self.end(state, &limits.end_event);
    }

    fn end(&self, state: RunState, event: &str) {
        if let RunState::Failed { reason } = &state {
            tracing::error!(run = %self.inner.id, reason, "a run has failed");
        }
        let last = Event::new(state.json()).with_event(event.to_owned());
        let mut progress = self.progress();
        (progress.state, progress.ended) = (state, Some(SystemTime::now()));
        drop(progress);
        // The channel takes every event until it is closed; a name with a line break is no event.
        if let Ok(last) = last {
            let _ = self.inner.channel.try_send(last);
        }
        self.inner.channel.close();
    }

    async fn stopped(&self) -> RunState {
        let mut stop = self.inner.stop.subscribe();
        let state = stop.wait_for(Option::is_some).await.ok().and_then(|state| state.clone());
        // The sender lives as long as `self`.
        state.unwrap_or(RunState::Cancelled)
    }

    async fn idle_for_too_long(&self, limit: Option<Duration>) -> RunState {
        let Some(limit) = limit else { return std::future::pending().await };
        loop {
            let ends = self.progress().active + limit;
            if ends <= Instant::now() {
                return RunState::Failed { reason: format!("no event was emitted for {limit:?}") };
            }
            sleep_until(ends).await;
        }
    }

    async fn unwatched_for_too_long(&self, limit: Option<Duration>) -> RunState {
        let Some(limit) = limit else { return std::future::pending().await };
        let mut presence = self.inner.channel.presence();
        loop {
            let is_watched = self.inner.channel.stats().subscribers > 0;
            let changed = presence.next();
            if is_watched {
                changed.await;
            } else if tokio::time::timeout(limit, changed).await.is_err() {
                return RunState::Cancelled;
            }
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.inner.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a producer; a panic is an error.
async fn catch_panics<Fut>(start: impl FnOnce() -> Fut) -> Result<(), Error>
where
    Fut: Future<Output = Result<(), Error>>,
{
    let future = catch_unwind(AssertUnwindSafe(start)).map_err(|panic| Error::from_panic(&*panic))?;
    let mut future = pin!(future);
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        polled.unwrap_or_else(|panic| Poll::Ready(Err(Error::from_panic(&*panic))))
    })
    .await
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("id", &self.inner.id).finish_non_exhaustive()
    }
}
