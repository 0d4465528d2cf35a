//! The hub's storage: an append-only log of updates, which does not know subscribers.
//!
//! ```text
//!  append ─▶ Log ─▶ tail    all records after a position, then each new one: live delivery
//!                 ─▶ read    a page of records after a position: replay
//!                 ─▶ find    the position of an id that a publisher chose
//! ```
//!
//! Each record has a [`Position`]. Positions grow in the order of the log, may have gaps, and are never used
//! twice, not even after a crash. All readers read the same records in the same order, so that live delivery
//! and replay are one path.
//!
//! A [`MemoryLog`] ends with its process; a [`DurableLog`] stores its records in a folder. Their
//! [`Retention`] decides which records they keep, and for how long.
//!
//! # Limits
//!
//! The weight of a record is its size and 256 bytes.
//!
//! | Object | Limit | Beyond the limit |
//! |---|---|---|
//! | a record: size, topics | 16 MiB, 1,000 | [`AppendError::Invalid`] |
//! | one append | 16,384 records, 32 MiB | [`AppendError::Invalid`] |
//! | records that wait for the writer, by weight | 64 MiB | `append` waits |
//! | one write | 4,096 records or 4 MiB, and the append that exceeds it | the next write |
//! | newest records in memory, by weight | 36 MiB, the largest append | storage; [`ReadError::Missed`] |
//! | one page of a tail | 512 records, 1 MiB | the next page |
//! | concurrent reads from a disk | 16 | further reads wait |
//! | cache of read blocks | 32 MiB | blocks are read again |
//! | written data in memory | 16 MiB, up to six times as much during a flush | `append` waits |
//! | records whose ids are in memory only (size and 64 bytes each) | 16 MiB | the ids go into tables |
//! | a store that does not complete its writes | 20 s | reopened; [`AppendError::Unavailable`] |
//! | free space on a disk that was full | 16 MiB, tried every 0.5 s | [`AppendError::Full`] |
//! | idempotency keys: age, number | 24 h, 100,000 (220 bytes of memory each) | the oldest of the publisher with the most keys are forgotten |
//! | retention rules, last records of a topic | 65, 1,000 | [`RetentionError`] |
//! | stored names of rules in a folder | 1,023 | [`OpenError::Names`] |
//! | records that retention drops at once | 8,192 | the next write drops the rest |
//! | wait of a start for the end of another log in the folder | 1 s | [`OpenError::InUse`] |
//! | wait of `close` for the tables | 5 s | the next start takes longer |
//!
//! An append that repeats a forgotten idempotency key adds its records again.

mod clock;
mod durable;
mod error;
mod horizons;
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
pub use self::horizons::{Horizons, RuleSet};
pub use self::idempotency::{Appended, IdempotencyKey};
pub use self::log::{Bounds, Limit, Log, Page};
pub use self::memory::MemoryLog;
pub use self::position::{Epoch, Position};
pub use self::record::{Entry, Record};
pub use self::retention::{Keep, Retention, RetentionError, Rule};
