//! The hub's storage: an append-only log of updates that knows no subscriber.
//!
//! ```text
//!  append ─▶ Log ─▶ tail    every record from a place on, for ever: what the hub delivers, live
//!                 ─▶ read    a page of records after a place: what a subscriber missed
//!                 ─▶ find    the place of an id that a publisher chose
//! ```
//!
//! A record is kept at a [`Position`]. Positions grow in the order of the log, are never used twice, not even after a crash,
//! and may have gaps. Everybody who reads the log reads the same records in the same order, so that live delivery and
//! replay are one path.
//!
//! [`MemoryLog`] is gone with its process, [`DurableLog`] is in a folder.

mod clock;
mod durable;
mod error;
mod log;
mod memory;
mod position;
mod record;
mod retention;
mod tail;

pub use self::clock::Clock;
pub use self::durable::{Durability, DurableLog, DurableOptions};
pub use self::error::{AppendError, OpenError, ReadError};
pub use self::log::{Bounds, Limit, Log, Page};
pub use self::memory::MemoryLog;
pub use self::position::{Epoch, Position};
pub use self::record::{Entry, Record};
pub use self::retention::{Keep, Retention, RetentionError, Rule};
