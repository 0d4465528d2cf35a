//! The records and what is known of them, in an LSM tree on disk: `fjall`.
//!
//! ```text
//! records   rule u16 · position u64       a group of records, the last of which is there (codec.rs)
//! ids       hash of the id · position     rule u16; of records with ids of their own (id_index.rs)
//! topics    rule u16 · hash of the topic  the positions of the newest, of rules that keep the last of each topic
//! meta      "epoch"                       16 bytes
//!           "reserved"                    up to where positions may have been used
//!           "rule" · rule u16             its name; rule 0 is the rest
//!           "held" · rule u16             records, bytes, a place before which none is held; and of the log when this was written:
//!                                         the last position, the horizon, a place up to which all ids are in tables,
//!                                         the horizon of the rules that are counted separately
//!           "keys" · position u64         the idempotency keys of the write whose first record is there (codec.rs)
//! ```
//! Numbers are big-endian, so that keys lie in order. A record's rule comes first, so that what a rule lets go lies in one place, and
//! the place of its group's last comes next, so that whatever follows a place begins with one seek.
//!
//! After `kill -9` a start repeats what the store's journals hold, of which there are 64 MB and more. That takes its time for each item in
//! them, hardly for their bytes: so there are few items, whole groups of records, none for an id, and none that is small (write_batch.rs).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fjall::compaction::Leveled;
use fjall::config::FilterPolicy;
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use siphasher::sip128::SipHasher24;

use super::DurableOptions;
use super::damage::Damage;
use super::id_index::{Fronts, Ids};
use super::snapshot::Snapshot;
use super::write_batch::WriteBatch;
use crate::{Epoch, Position};

/// The number of a rule in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RuleId(pub(super) u16);

impl RuleId {
    /// What no rule matches.
    pub(super) const REST: Self = Self(0);

    /// So many are possible.
    pub(super) const COUNT: u16 = 1024;
}

pub(super) struct Store {
    epoch: Epoch,
    pub(super) path: PathBuf,
    pub(super) database: Database,
    pub(super) records: Keyspace,
    pub(super) ids: Ids,
    pub(super) topics: Keyspace,
    pub(super) meta: Keyspace,
    pub(super) damage: Damage,
    /// Bytes that are written before they go into tables, and those that have been written.
    write_buffer: u64,
    written: AtomicU64,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store(..)")
    }
}

impl Store {
    /// Opens the store in a folder, or makes one there, of this epoch.
    pub(super) fn open(path: &Path, options: &DurableOptions, new: Epoch) -> fjall::Result<Self> {
        let low_watermarks = Arc::new(Fronts::default());
        let filter = Fronts::filter(&low_watermarks);
        let database = Database::builder(path)
            .cache_size(options.cache)
            .journal_compression(CompressionType::None)
            .manual_journal_persist(true)
            .max_journaling_size(JOURNALS)
            .max_cached_files(Some(FILES))
            .worker_threads(WORKERS)
            .with_compaction_filter_factories(Arc::new(move |name| {
                (name == IDS).then(|| Arc::clone(&filter))
            }))
            .open()?;
        // The log itself says when a table is due: who works behind the store would not, while it merges.
        let keyspace = || KeyspaceCreateOptions::default().max_memtable_size(2 * options.write_buffer);
        // Ranges are read of these, or keys that are there: a filter would say nothing.
        let ranged = || keyspace().filter_policy(FilterPolicy::disabled());
        // Every table of ids overlaps all others: small ones are merged without making anybody wait.
        let small = Arc::new(Leveled::default().with_table_target_size(IDS_TABLE));
        let records = database.keyspace("records", ranged)?;
        let ids = database.keyspace(IDS, || ranged().compaction_strategy(small))?;
        let ids = Ids::new(ids, low_watermarks);
        let topics = database.keyspace("topics", keyspace)?;
        let meta = database.keyspace("meta", keyspace)?;
        let epoch = match meta.get("epoch")? {
            Some(epoch) => Epoch(epoch.first_chunk().copied().ok_or(fjall::Error::Unrecoverable)?),
            None => {
                meta.insert("epoch", new.0)?;
                database.persist(PersistMode::SyncAll)?;
                new
            }
        };
        let (write_buffer, written) = (options.write_buffer, AtomicU64::new(0));
        let damage = Damage::default();
        let path = path.to_owned();
        Ok(Self { epoch, path, database, records, ids, topics, meta, damage, write_buffer, written })
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(super) fn view(&self) -> Snapshot<'_> {
        Snapshot::new(self)
    }

    pub(super) fn changes(&self) -> WriteBatch<'_> {
        WriteBatch::new(self)
    }

    /// Of texts that publishers choose: nobody who does not know the epoch finds two that collide.
    pub(super) fn hash(&self, text: &str) -> [u8; 16] {
        SipHasher24::new_with_key(&self.epoch.0).hash(text.as_bytes()).as_bytes()
    }

    pub(super) fn id_key(&self, id: &str, position: Position) -> [u8; 24] {
        let mut key = [0; 24];
        key[..16].copy_from_slice(&self.hash(id));
        key[16..].copy_from_slice(&position.0.to_be_bytes());
        key
    }

    pub(super) fn topic_key(&self, rule: RuleId, topic: &str) -> [u8; 18] {
        let mut key = [0; 18];
        key[..2].copy_from_slice(&rule.0.to_be_bytes());
        key[2..].copy_from_slice(&self.hash(topic));
        key
    }

    pub(super) fn persist(&self, mode: PersistMode) -> fjall::Result<()> {
        self.database.persist(mode)
    }

    /// Notes that so much has been written.
    pub(super) fn count(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Begins to move all that is in memory into tables: a journal goes when all that it holds is there, of every keyspace.
    pub(super) fn begin_to_settle(&self) -> fjall::Result<()> {
        self.written.store(0, Ordering::Relaxed);
        self.keyspaces().iter().try_for_each(|keyspace| keyspace.rotate_memtable().map(drop))
    }

    /// Moves all that is in memory into tables, so that the journals are needed no more. False if that takes too long.
    pub(super) fn settle(&self) -> fjall::Result<bool> {
        let deadline = Instant::now() + SETTLED;
        self.begin_to_settle()?;
        while self.keyspaces().iter().any(|keyspace| keyspace.sealed_memtable_count() > 0) {
            self.database.persist(PersistMode::SyncAll)?;
            if Instant::now() > deadline {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(true)
    }

    fn keyspaces(&self) -> [&Keyspace; 4] {
        [&self.records, self.ids.tables(), &self.topics, &self.meta]
    }

    /// Waits until the store has room for another write: `fjall` itself would wait for ever if what makes room has failed.
    pub(super) fn make_room(&self) -> fjall::Result<()> {
        if self.written.load(Ordering::Relaxed) > self.write_buffer {
            self.begin_to_settle()?;
        }
        let deadline = Instant::now() + STALLED;
        while self
            .keyspaces()
            .iter()
            .any(|keyspace| keyspace.sealed_memtable_count() >= 3 || keyspace.l0_table_count() >= 16)
        {
            // Tells whether a thread behind the store has failed.
            self.database.persist(PersistMode::Buffer)?;
            if Instant::now() > deadline {
                return Err(fjall::Error::Io(std::io::Error::new(
                    std::io::ErrorKind::TimedOut,
                    "the store does not complete its writes",
                )));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

pub(super) fn record_key(rule: RuleId, position: Position) -> [u8; 10] {
    let mut key = [0; 10];
    key[..2].copy_from_slice(&rule.0.to_be_bytes());
    key[2..].copy_from_slice(&position.0.to_be_bytes());
    key
}

pub(super) fn keys_key(write: Position) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(KEYS);
    key[4..].copy_from_slice(&write.0.to_be_bytes());
    key
}

/// The prefix of the rows of idempotency keys.
pub(super) const KEYS: &[u8; 4] = b"keys";

/// The keyspace of ids.
const IDS: &str = "ids";

/// A table of ids has so many bytes, and the first of their levels four times as much.
const IDS_TABLE: u64 = 8 * 1024 * 1024;

/// Journals of that size are kept until what they hold is in tables: the bound of what is read at a start.
const JOURNALS: u64 = 64 * 1024 * 1024;

/// Files that are held open.
const FILES: usize = 256;

/// Threads that move what is written from memory into tables. Of two, one would spin while the other merges.
const WORKERS: usize = 1;

/// What makes room gets so long, before the store is taken for failed.
const STALLED: Duration = Duration::from_secs(20);

/// So long a log that is closed waits for its tables.
const SETTLED: Duration = Duration::from_secs(5);
