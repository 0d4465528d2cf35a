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
//! [`MemoryLog`] is gone with its process, [`DurableLog`] is in a folder. What they keep, and for how long, is their [`Retention`].
//!
//! # Limits
//!
//! | What | Limit | Beyond it |
//! |---|---|---|
//! | a record, its topics | 16 MiB, 1,000 | [`AppendError::Invalid`] |
//! | appended at once | 16,384 records, 32 MiB | [`AppendError::Invalid`] |
//! | what waits to be written | 64 MiB, each record counted 256 bytes larger | `append` waits |
//! | written at once | 4,096 records or 4 MiB, and the append that exceeds it | the next write |
//! | the newest records, for tails | 36 MiB, each record counted 256 bytes larger: one append of the largest size | read from storage, or [`ReadError::Missed`] |
//! | what a tail reads at once | 512 records, 1 MiB | the next page |
//! | who reads from a disk at once | 16 | waits |
//! | memory for what was read; for what was written | 32 MiB; 16 MiB, up to six times as much while it goes to the disk | read again; `append` waits |
//! | records whose ids are in memory alone, which a start after `kill -9` reads | 16 MiB, each record counted 64 bytes larger | the ids go into tables |
//! | a store that does not get on with its writes | 20 s | opened again; [`AppendError::Unavailable`] |
//! | room on a disk that was full | 16 MiB, tried every 0.5 s | [`AppendError::Full`] |
//! | idempotency keys that are remembered; those of one publisher | 24 h, 100,000, about 220 bytes of memory each; 50,000 | the oldest, or the oldest of this publisher, are forgotten: a repeated append adds its records again |
//! | retention rules, the last records of a topic | 65, 1,000 | [`RetentionError`] |
//! | names of rules that a folder remembers | 1,023 | [`OpenError::Names`] |
//! | let go at once by retention | 8,192 records | the rest with the next write |
//! | a start while another log in the folder ends | 1 s | [`OpenError::InUse`] |
//! | the end of a log that is closed | 5 s for its tables | the next start takes longer |

mod clock;
mod durable;
mod error;
mod idempotency;
mod log;
mod memory;
mod position;
mod record;
mod retention;
mod tail;

pub use self::clock::Clock;
pub use self::durable::{Durability, DurableLog, DurableOptions};
pub use self::error::{AppendError, OpenError, ReadError};
pub use self::idempotency::{Appended, IdempotencyKey};
pub use self::log::{Bounds, Limit, Log, Page};
pub use self::memory::MemoryLog;
pub use self::position::{Epoch, Position};
pub use self::record::{Entry, Record};
pub use self::retention::{Keep, Retention, RetentionError, Rule};
