//! The options of a log on disk.

use std::time::Duration;

use fjall::PersistMode;

use crate::{Clock, Keep, Retention};

/// The options of a [`DurableLog`](crate::DurableLog).
#[derive(Clone, Debug)]
pub struct DurableOptions {
    /// The point at which the log confirms an append. The default is [`Durability::Periodic`] of 100 ms.
    pub durability: Durability,
    /// The records that are kept. The default keeps all.
    pub retention: Retention,
    /// Bytes of the cache of read blocks. The default is 32 MiB.
    pub cache: u64,
    /// Bytes of written data in memory before the store writes them into tables.
    ///
    /// It is also the limit of records whose ids are not in tables yet. The store holds
    /// up to six times as much while it writes tables. The default is 16 MiB; the log clamps the value to
    /// 1 MiB to 1 GiB.
    pub write_buffer: u64,
    /// The source of the time.
    pub clock: Clock,
}

/// The point at which the log confirms an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before the write, which follows within this time.
    ///
    /// `kill -9` loses the records confirmed since the last write.
    Memory(Duration),
    /// After the write; a sync follows within this time.
    ///
    /// `kill -9` loses no confirmed record; a loss of power loses the records confirmed since the last sync.
    Periodic(Duration),
    /// After the sync. A loss of power loses no confirmed record, if the disk honors the sync.
    Sync,
}

impl Default for Durability {
    fn default() -> Self {
        Self::Periodic(Duration::from_millis(100))
    }
}

impl Default for DurableOptions {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            retention: Retention::of_everything(Keep::ALL).expect("no rule is outside of its limits"),
            cache: 32 * 1024 * 1024,
            write_buffer: 16 * 1024 * 1024,
            clock: Clock::default(),
        }
    }
}

impl Durability {
    /// The mode of each write; `None` leaves it in memory.
    pub(super) fn mode(self) -> Option<PersistMode> {
        match self {
            Self::Memory(_) => None,
            Self::Periodic(_) => Some(PersistMode::Buffer),
            Self::Sync => Some(PersistMode::SyncData),
        }
    }

    /// The mode of the later step that makes writes durable.
    pub(super) fn deferred_mode(self) -> PersistMode {
        match self {
            Self::Memory(_) => PersistMode::Buffer,
            Self::Periodic(_) | Self::Sync => PersistMode::SyncData,
        }
    }

    /// The longest time until that step.
    pub(super) fn interval(self) -> Duration {
        match self {
            Self::Memory(interval) | Self::Periodic(interval) => interval,
            Self::Sync => Duration::ZERO,
        }
    }
}
