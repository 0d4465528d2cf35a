use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ssekit_wire::{Event, FieldError};

use crate::emit_error::EmitError;
use crate::emitter::Emitter;
use crate::queue::Encoded;
use crate::stop::StopReason;

/// Streams of [`Clients`](crate::Clients) to emit to: those that there were when it was asked for.
///
/// Nothing blocks. An event is encoded once for all of them. One stream that is full or gone does not keep it
/// from the others; [`Delivery`] has the number of streams that took it.
#[must_use = "an audience does nothing until something is emitted to it"]
pub struct Audience {
    emitters: Vec<Emitter>,
    /// The streams of one key: no stream at all is an error.
    of_one_key: bool,
    losses: Arc<Losses>,
}

impl Audience {
    pub(crate) fn of_one_key(emitters: Vec<Emitter>, losses: &Arc<Losses>) -> Self {
        Self { emitters, of_one_key: true, losses: losses.clone() }
    }

    pub(crate) fn of_many(emitters: Vec<Emitter>, losses: &Arc<Losses>) -> Self {
        Self { emitters, of_one_key: false, losses: losses.clone() }
    }

    /// Sends an event of this name to all, as [`Emitter::emit`] does to one.
    ///
    /// # Errors
    /// [`Event`](AudienceError::Event) when it cannot be sent to anyone. For the streams of one key,
    /// [`Nobody`](AudienceError::Nobody) when there is none, and [`Full`](AudienceError::Full) when none had
    /// room. An empty audience of many keys is no error.
    pub fn emit(&self, name: &str, data: impl AsRef<str>) -> Result<Delivery, AudienceError> {
        self.try_send(Event::new(data.as_ref()).with_event(name)?)
    }

    /// Sends an event whose data is this value as JSON, on one line.
    ///
    /// # Errors
    /// Those of [`emit`](Self::emit).
    #[cfg(feature = "json")]
    pub fn emit_json(
        &self,
        name: &str,
        data: &(impl serde::Serialize + ?Sized),
    ) -> Result<Delivery, AudienceError> {
        self.emit(name, serde_json::to_string(data)?)
    }

    /// Sends a variant of an enum to all, as [`Emitter::emit_event`] does to one.
    ///
    /// # Errors
    /// Those of [`emit`](Self::emit).
    #[cfg(feature = "json")]
    #[doc(alias = "typed")]
    pub fn emit_event(&self, event: &(impl serde::Serialize + ?Sized)) -> Result<Delivery, AudienceError> {
        self.try_send(Event::typed(event)?)
    }

    /// Sends an event that was built elsewhere, with an id or a reconnection time of its own.
    ///
    /// # Errors
    /// Those of [`emit`](Self::emit).
    pub fn try_send(&self, event: Event<'_>) -> Result<Delivery, AudienceError> {
        let event = Encoded::new(event)?;
        let mut delivery = Delivery::default();
        for emitter in &self.emitters {
            match emitter.outbox().push(|queue| queue.copy(&event)) {
                Ok(()) => delivery.taken += 1,
                Err(EmitError::Full { .. }) => {
                    delivery.full += 1;
                    self.losses.count.fetch_add(1, Ordering::Relaxed);
                    if self.losses.when_full == WhenFull::End {
                        emitter.outbox().end(StopReason::Overtaken { missed: 1 });
                    }
                }
                Err(EmitError::Closed) => delivery.gone += 1,
                Err(error) => return Err(error.into()),
            }
        }
        match delivery {
            Delivery { taken: 0, full: 0, .. } if self.of_one_key => Err(AudienceError::Nobody),
            Delivery { taken: 0, full, .. } if self.of_one_key => Err(AudienceError::Full { streams: full }),
            delivery => Ok(delivery),
        }
    }

    /// Ends these streams after their emitted events, and returns their number. No later event reaches them.
    ///
    /// The reason is [`Ended`](StopReason::Ended), and their clients return, as after
    /// [`Clients::close`](crate::Clients::close). Streams that joined after this audience was asked for stay
    /// open.
    ///
    /// ```
    /// # let clients = ssekit::Clients::<(String, u64)>::new();
    /// let closed = clients.matching(|(role, _)| role == "guest").close();
    /// # assert_eq!(closed, 0);
    /// ```
    #[doc(alias("end", "disconnect"))]
    pub fn close(&self) -> usize {
        self.emitters.iter().for_each(Emitter::close);
        self.emitters.len()
    }

    /// Streams that there were when this was asked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.emitters.len()
    }

    /// Whether there was no stream.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.emitters.is_empty()
    }
}

impl fmt::Debug for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audience").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The delivery of an event to an [`Audience`]. The three numbers add up to its streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// Streams that took it.
    pub taken: usize,
    /// Streams that did not, since their buffer is full: their clients read too slowly. The sum over all
    /// events is [`Clients::left_out`](crate::Clients::left_out).
    pub full: usize,
    /// Streams that have ended or are ending.
    pub gone: usize,
}

/// Why an event reached nobody.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AudienceError {
    /// The key has no stream, or none that is not ending.
    #[error("no stream of this key is open: keep the event until its client connects, or drop it")]
    Nobody,
    /// Every stream of the key is full.
    #[error(
        "none of the {streams} streams of this key has room for the event: their clients read too slowly"
    )]
    Full {
        /// How many there are.
        streams: usize,
    },
    /// The event cannot be sent to anyone: its name or id, its size, or its JSON.
    #[error(transparent)]
    Event(#[from] EmitError),
}

impl From<FieldError> for AudienceError {
    fn from(error: FieldError) -> Self {
        Self::Event(error.into())
    }
}

#[cfg(feature = "json")]
impl From<serde_json::Error> for AudienceError {
    fn from(error: serde_json::Error) -> Self {
        Self::Event(error.into())
    }
}

/// The policy for a full stream, and the number of events that found one.
#[derive(Debug)]
pub(crate) struct Losses {
    when_full: WhenFull,
    count: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenFull {
    LeaveOut,
    End,
}

impl Losses {
    pub(crate) fn new(when_full: WhenFull) -> Self {
        Self { when_full, count: AtomicU64::new(0) }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}
