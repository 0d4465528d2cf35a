use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ssekit_wire::Event;

use crate::emit_error::EmitError;
use crate::error::Error;
use crate::outbox::Outbox;
use crate::stop::StopReason;

/// Sends events into one stream, from any thread or task: cheap to clone, and kept wherever events come from.
///
/// Nothing blocks: an event that finds no room in the stream's [buffer](crate::Produce::buffer) is refused,
/// or waited for by [`send`](Self::send). That an event was taken means that it waits in that buffer, not
/// that the client has it.
#[derive(Clone)]
pub struct Emitter {
    guard: Arc<OpenGuard>,
}

impl Emitter {
    pub(crate) fn new(outbox: Arc<Outbox>) -> Self {
        Self { guard: Arc::new(OpenGuard(outbox)) }
    }

    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.guard.0
    }

    /// Sends an event of this name. The data may hold anything; an empty name is read as `message`.
    ///
    /// # Errors
    /// [`Closed`](EmitError::Closed) when the stream has ended, [`Full`](EmitError::Full) when its buffer has
    /// no room, [`Field`](EmitError::Field) when the name holds CR or LF, [`TooLarge`](EmitError::TooLarge)
    /// above 16 MiB.
    pub fn emit(&self, name: &str, data: impl AsRef<str>) -> Result<(), EmitError> {
        self.try_send(Event::new(data.as_ref()).with_event(name)?)
    }

    /// Sends an event whose data is this value as JSON, on one line.
    ///
    /// ```
    /// # use ssekit::{Emitter, EmitError};
    /// #[derive(serde::Serialize)]
    /// struct Quote { symbol: &'static str, price: f64 }
    ///
    /// fn publish(stream: &Emitter) -> Result<(), EmitError> {
    ///     stream.emit_json("quote", &Quote { symbol: "RST", price: 28.3 })
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Json`](EmitError::Json) when the value has no JSON form, and those of [`emit`](Self::emit).
    #[cfg(feature = "json")]
    pub fn emit_json(&self, name: &str, data: &(impl serde::Serialize + ?Sized)) -> Result<(), EmitError> {
        self.emit(name, serde_json::to_string(data)?)
    }

    /// Sends a variant of an enum: its name is the event's, its content as JSON the data. See
    /// [`Event::typed`].
    ///
    /// The same type reads it in a client: `Select::typed` of `ssekit-client`.
    ///
    /// ```
    /// # use ssekit::{Emitter, EmitError};
    /// #[derive(serde::Serialize)]
    /// #[serde(rename_all = "snake_case")]
    /// enum Import {
    ///     Progress { percent: u8 },
    ///     Done,
    /// }
    ///
    /// fn publish(stream: &Emitter) -> Result<(), EmitError> {
    ///     stream.emit_event(&Import::Progress { percent: 50 })?; // event: progress, data: {"percent":50}
    ///     stream.emit_event(&Import::Done) // event: done
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Json`](EmitError::Json) when the value is no such enum or has no JSON form, and those of
    /// [`emit`](Self::emit).
    #[cfg(feature = "json")]
    #[doc(alias = "typed")]
    pub fn emit_event(&self, event: &(impl serde::Serialize + ?Sized)) -> Result<(), EmitError> {
        self.try_send(Event::typed(event)?)
    }

    /// Sends an event that was built elsewhere, with an id or a reconnection time of its own.
    ///
    /// Data without a name gets the name `message`. An event without data, as for an id alone, is sent as it
    /// is.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an event is given away, as to a channel and to `send`"
    )]
    pub fn try_send(&self, event: Event<'_>) -> Result<(), EmitError> {
        self.guard.0.push(|queue| queue.event(&event))
    }

    /// Sends an event as soon as the buffer has room for it: a producer that is faster than its client waits
    /// here.
    ///
    /// Waiting producers get their turn in order. Cancel-safe: dropped before it is ready, it has sent
    /// nothing.
    ///
    /// # Errors
    /// As [`emit`](Self::emit), but never [`Full`](EmitError::Full).
    #[doc(alias("backpressure"))]
    pub async fn send(&self, event: Event<'_>) -> Result<(), EmitError> {
        self.guard.0.send(event).await
    }

    /// Sends a comment, which receivers ignore.
    ///
    /// # Errors
    /// [`Closed`](EmitError::Closed) and [`Full`](EmitError::Full), as [`emit`](Self::emit).
    pub fn comment(&self, text: &str) -> Result<(), EmitError> {
        self.guard.0.push(|queue| queue.comment(text))
    }

    /// Sets the client's reconnection time, in whole milliseconds, at once and without an event.
    ///
    /// # Errors
    /// [`Closed`](EmitError::Closed) and [`Full`](EmitError::Full), as [`emit`](Self::emit).
    pub fn retry(&self, time: Duration) -> Result<(), EmitError> {
        self.guard.0.push(|queue| queue.retry(time))
    }

    /// The lock that keeps this stream open.
    #[must_use]
    pub fn lock(&self) -> Lock {
        Lock { guard: self.guard.clone() }
    }

    /// Ends the stream after its queued events. Does nothing if it is ending already.
    ///
    /// A browser's `EventSource` comes back and asks again: see [ending for good](crate#ending-for-good).
    #[doc(alias("end", "finish", "disconnect"))]
    pub fn close(&self) {
        self.guard.0.end(StopReason::Ended);
    }

    /// Ends the stream as failed, after its queued events: the response is cut, so that its client does not
    /// take it for complete. Does nothing if it is ending already.
    pub fn fail(&self, error: impl Into<Error>) {
        self.guard.0.end(StopReason::Failed(error.into()));
    }

    /// Whether the stream takes no more events: it was closed, or its client is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.guard.0.is_closed()
    }

    /// Waits until the stream takes no more events. Cancel-safe.
    ///
    /// A task that makes events for a stream can race its work against this, to end with it.
    pub async fn closed(&self) {
        self.guard.0.closed().await;
    }
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

/// Keeps a stream open after `start` has returned. Any number of handles, all of the same lock.
///
/// A stream starts locked. Unlocking it ends it after its queued events, and it cannot be locked again. When
/// `start` has returned and the last [`Emitter`] and `Lock` of a stream are dropped, the stream ends as if it
/// had been unlocked.
#[derive(Clone)]
pub struct Lock {
    guard: Arc<OpenGuard>,
}

impl Lock {
    /// `false` ends the stream after its queued events; `true` changes nothing.
    pub fn set(&self, locked: bool) {
        if !locked {
            self.guard.0.end(StopReason::Ended);
        }
    }

    /// Whether the stream is still open.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        !self.guard.0.is_closed()
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").field("locked", &self.is_locked()).finish()
    }
}

/// Shared by every emitter and lock of a stream; when the last one is dropped, the stream is abandoned.
struct OpenGuard(Arc<Outbox>);

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.0.abandon();
    }
}
