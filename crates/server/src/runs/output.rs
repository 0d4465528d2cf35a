use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ssekit_wire::Event;

use super::builder::RunsBuilder;
use super::run::Run;
use crate::channel::EventId;
use crate::emit_error::EmitError;

/// The producer's end of a [`Run`]: it emits the events.
///
/// No call waits for viewers, because each of them has a cursor of its own.
pub struct RunOutput {
    run: Run,
    max_events: u64,
    max_bytes: usize,
    max_total_bytes: usize,
    /// Bytes of the events of all runs.
    total: Arc<AtomicUsize>,
}

impl RunOutput {
    pub(super) fn new(run: &Run, limits: &RunsBuilder, total: &Arc<AtomicUsize>) -> Self {
        let RunsBuilder { max_events, max_bytes, max_total_bytes, .. } = *limits;
        Self { run: run.clone(), max_events, max_bytes, max_total_bytes, total: Arc::clone(total) }
    }

    /// Emits an event of this name. An empty name is read as `message`.
    ///
    /// # Errors
    /// [`RunFull`](EmitError::RunFull) beyond a limit of the [builder](RunsBuilder), and the errors of
    /// [`Channel::emit`](crate::Channel::emit).
    pub fn emit(&self, name: &str, data: impl AsRef<str>) -> Result<EventId, EmitError> {
        self.try_send(Event::new(data.as_ref()).with_event(name)?)
    }

    /// Emits an event whose data is this value as JSON, on one line.
    ///
    /// # Errors
    /// [`Json`](EmitError::Json) if the value has no JSON form, and the errors of [`emit`](Self::emit).
    #[cfg(feature = "json")]
    pub fn emit_json(
        &self,
        name: &str,
        data: &(impl serde::Serialize + ?Sized),
    ) -> Result<EventId, EmitError> {
        self.emit(name, serde_json::to_string(data)?)
    }

    /// Emits a variant of an enum, as [`Emitter::emit_event`](crate::Emitter::emit_event) does.
    ///
    /// # Errors
    /// As [`emit_json`](Self::emit_json).
    #[cfg(feature = "json")]
    pub fn emit_event(&self, event: &(impl serde::Serialize + ?Sized)) -> Result<EventId, EmitError> {
        self.try_send(Event::typed(event)?)
    }

    /// Emits an event that was built elsewhere.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub fn try_send(&self, event: Event<'_>) -> Result<EventId, EmitError> {
        let size = event.event().map_or(0, str::len) + event.data().map_or(0, str::len);
        let full = |limit| Err(EmitError::RunFull { limit });
        let total = self.total.fetch_add(size, Ordering::Relaxed);
        let emitted = match self.run.count(size) {
            (events, _) if events > self.max_events => full("events of a run (max_events)"),
            (_, bytes) if bytes > self.max_bytes => full("bytes of a run (max_bytes)"),
            _ if total + size > self.max_total_bytes => full("bytes of all runs (max_total_bytes)"),
            _ => self.run.channel().try_send(event),
        };
        if emitted.is_err() {
            self.run.uncount(size);
            self.total.fetch_sub(size, Ordering::Relaxed);
        }
        emitted
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> &Run {
        &self.run
    }
}

impl fmt::Debug for RunOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunOutput").field("run", &self.run).finish_non_exhaustive()
    }
}
