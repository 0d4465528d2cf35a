use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use sync_wrapper::SyncWrapper;
use tokio::runtime::Handle;

use crate::error::{ChannelFailed, Error};

/// Why a stream ended. The first cause stands: a stream that the server ended is `Ended`, also if its client
/// left before it had read everything.
///
/// A stream that [failed](Self::Failed) or was [overtaken](Self::Overtaken) is cut: its response has no
/// proper end, so that a client that reads it once does not take it for complete. See
/// [`BodyError`](crate::BodyError).
#[derive(Debug)]
#[non_exhaustive]
pub enum StopReason {
    /// The server ended it: by [`Emitter::close`](crate::Emitter::close), [`Lock::set`](crate::Lock::set) or
    /// [`Clients::close`](crate::Clients::close), when its last emitter was dropped, or when all its channels
    /// were closed and read. A request that is answered with 204, since there is nothing more to come, ends
    /// so too.
    Ended,
    /// The client went, or the server gave the connection up.
    Disconnected,
    /// The client has not read for the [stall time](crate::Produce::stall_timeout), so its connection was
    /// closed.
    Stalled {
        /// For how long it had not.
        after: Duration,
    },
    /// Its client reads too slowly, and must resume: a channel has dropped events that it had
    /// [yet to read](crate::Overtaken::Close), or an event for [`Clients`](crate::Clients)
    /// found its buffer [full](crate::ClientsBuilder::end_when_full).
    Overtaken {
        /// Events that are gone.
        missed: u64,
    },
    /// The server ends all its streams: [`Streams::shutdown`](crate::Streams::shutdown). A response that is
    /// built afterwards ends so too, and its `start` never runs.
    Shutdown,
    /// The stream has lived for its [time](crate::StreamsBuilder::max_lifetime). Its client got the time
    /// after which to return.
    Expired,
    /// There were as many streams as there may be, so `start` never ran. The client got a time to return.
    Refused,
    /// A newer stream of its key replaced it: [`replace_oldest`](crate::ClientsBuilder::replace_oldest). Its
    /// client got a time to return.
    Replaced,
    /// `start` returned an error or panicked, [`Emitter::fail`](crate::Emitter::fail) was called, or the
    /// response could not be built.
    Failed(Error),
}

impl StopReason {
    /// A word for it, as a label of metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Disconnected => "disconnected",
            Self::Stalled { .. } => "stalled",
            Self::Overtaken { .. } => "overtaken",
            Self::Shutdown => "shutdown",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Replaced => "replaced",
            Self::Failed(_) => "failed",
        }
    }

    /// Whether the client lacks a part of the stream that it would wait for in vain, and is to find that out.
    pub(crate) fn is_incomplete(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Overtaken { .. })
    }
}

/// Says why in words that follow "the stream ended: ".
impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("the server ended it"),
            Self::Disconnected => f.write_str("the client disconnected"),
            Self::Stalled { after } => write!(f, "the client read nothing for {after:?}"),
            Self::Overtaken { missed } => {
                write!(f, "the client reads too slowly: {missed} events were dropped before it had read them")
            }
            Self::Shutdown => f.write_str("the server is shutting down"),
            Self::Expired => f.write_str("its maximum lifetime is over"),
            Self::Refused => f.write_str("it was refused, because there are too many streams"),
            Self::Replaced => f.write_str("a newer stream of the same key replaced it"),
            Self::Failed(error) => write!(f, "{error}"),
        }
    }
}

/// The end of a stream: runs `on_stop` and then the clean-up, once, at the latest when this is dropped.
#[derive(Default)]
pub(crate) struct Stop {
    actions: Option<Box<StopActions>>,
    done: bool,
}

#[derive(Default)]
struct StopActions {
    on_stop: Option<SyncWrapper<OnStop>>,
    clean_up: CleanUp,
    /// The registries that the stream has joined.
    memberships: Vec<Box<dyn Membership>>,
    /// The runtime for an `on_stop` that has to wait.
    runtime: Option<Handle>,
}

pub(crate) type OnStop = Box<dyn FnOnce(StopReason) -> OnStopFuture + Send>;
pub(crate) type OnStopFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Stop {
    pub(crate) fn on_stop(&mut self, on_stop: OnStop) {
        let actions = self.actions();
        actions.on_stop = Some(SyncWrapper::new(on_stop));
        actions.runtime = Handle::try_current().ok();
    }

    pub(crate) fn clean_up(&mut self, clean_up: CleanUp) {
        if clean_up.0.is_some() {
            self.actions().clean_up = clean_up;
        }
    }

    pub(crate) fn joined(&mut self, membership: Box<dyn Membership>) {
        self.actions().memberships.push(membership);
    }

    /// Leaves the registries.
    pub(crate) fn leave(&mut self, reason: &StopReason) {
        self.actions
            .iter_mut()
            .flat_map(|actions| &mut actions.memberships)
            .for_each(|membership| membership.leave(reason));
    }

    fn actions(&mut self) -> &mut StopActions {
        self.actions.get_or_insert_default()
    }

    /// Runs `on_stop` and the clean-up; does nothing the second time.
    pub(crate) fn run(&mut self, reason: StopReason) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        match &reason {
            // The channel has logged it, once for all its streams.
            StopReason::Failed(error) if error.is::<ChannelFailed>() => {
                tracing::debug!(%reason, "event stream ended");
            }
            StopReason::Failed(error) => {
                let source = error.source();
                tracing::error!(error = %error, source, "event stream failed");
            }
            StopReason::Stalled { .. } => tracing::warn!(%reason, "event stream ended"),
            _ => tracing::debug!(%reason, "event stream ended"),
        }
        // The memberships go last, when `on_stop` and the clean-up have run.
        self.leave(&reason);
        let Some(actions) = self.actions.take() else { return };
        let StopActions { on_stop, clean_up, memberships, runtime } = *actions;
        let Some(on_stop) = on_stop else {
            drop(clean_up);
            return drop(memberships);
        };
        let Some(mut stopping) = log_panic("on_stop", || on_stop.into_inner()(reason)) else { return };
        let first = log_panic("on_stop", || stopping.as_mut().poll(&mut Context::from_waker(Waker::noop())));
        if first.is_none_or(|poll| poll.is_ready()) {
            return;
        }
        match Handle::try_current().ok().or(runtime) {
            Some(runtime) => {
                // The guard runs the clean-up afterwards, also when the runtime drops this unfinished.
                runtime.spawn(async move {
                    let _memberships = memberships;
                    let _clean_up = clean_up;
                    stopping.await;
                });
            }
            None => {
                tracing::error!("on_stop was not completed: it has to wait, and no tokio runtime is running")
            }
        }
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.run(StopReason::Disconnected);
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("done", &self.done).finish_non_exhaustive()
    }
}

/// A stream's membership in a registry, from the building of its response on.
///
/// It is left when the stream ends, before `on_stop` runs, and dropped when nothing of the stream is left to
/// run.
pub(crate) trait Membership: Send + Sync {
    fn leave(&mut self, reason: &StopReason);
}

/// The closure that `start` returned; it runs when this is dropped.
#[derive(Default)]
pub(crate) struct CleanUp(Option<SyncWrapper<Box<dyn FnOnce() + Send>>>);

impl CleanUp {
    pub(crate) fn new(clean_up: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(SyncWrapper::new(Box::new(clean_up))))
    }
}

impl Drop for CleanUp {
    fn drop(&mut self) {
        if let Some(clean_up) = self.0.take() {
            log_panic("clean-up", clean_up.into_inner());
        }
    }
}

/// Runs foreign code, and turns its panic into an error.
pub(crate) fn catch_panic<T>(run: impl FnOnce() -> T) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| Error::from_panic(&*panic))
}

/// The same, where the error can only be logged.
pub(crate) fn log_panic<T>(action: &str, run: impl FnOnce() -> T) -> Option<T> {
    catch_panic(run).inspect_err(|error| tracing::error!(%error, "{action} failed")).ok()
}
