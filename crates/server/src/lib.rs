//! Produce server-sent events from any Rust web framework.

#[cfg(feature = "axum")]
mod axum;
mod body;
mod emitter;
mod error;
mod last_event_id;
mod outbox;
mod pace;
mod produce;
mod queue;
mod start;
mod stop;
#[cfg(feature = "tcp")]
mod tcp;

pub use body::{SseBody, Stalled};
pub use emitter::{EmitError, Emitter, Lock};
pub use error::Error;
pub use last_event_id::{InvalidLastEventId, LastEventId};
pub use produce::{HeaderError, Produce, produce, produce_with_cleanup};
pub use ssekit_wire::{Event, Field, FieldError};
pub use start::Started;
pub use stop::StopReason;
#[cfg(feature = "tcp")]
pub use tcp::watch_peer;
