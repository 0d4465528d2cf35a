//! The store of a log: an LSM tree on disk (`fjall`) with the four keyspaces of `layout.rs`.
//!
//! After `kill -9`, a start reads the store's journals, which have 64 MiB or more. The time for that depends
//! on the number of items, hardly on their bytes. So a write has few items: groups of records instead of
//! records, no ids, and a minimal average size of the items (write_batch.rs).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use fjall::compaction::Leveled;
use fjall::config::FilterPolicy;
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use siphasher::sip128::SipHasher24;

use super::damage::Damage;
use super::id_index::{IdIndex, LowWatermarks};
use super::layout::RuleId;
use super::options::DurableOptions;
use crate::{Epoch, Position};

/// The open store, and the parts of it that are in memory only.
pub(super) struct Store {
    epoch: Epoch,
    pub(super) path: PathBuf,
    pub(super) database: Database,
    pub(super) records: Keyspace,
    pub(super) ids: IdIndex,
    pub(super) topics: Keyspace,
    pub(super) meta: Keyspace,
    pub(super) damage: Damage,
    /// The order of the log's rules, the rest last.
    order: OnceLock<Vec<RuleId>>,
    /// The bytes of writes after which the store begins a flush, and the bytes since the last one.
    write_buffer: u64,
    written: AtomicU64,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store(..)")
    }
}

impl Store {
    /// Opens the store in a folder, or creates one there with the epoch `new`.
    pub(super) fn open(path: &Path, options: &DurableOptions, new: Epoch) -> fjall::Result<Self> {
        let low_watermarks = Arc::new(LowWatermarks::default());
        let filter = LowWatermarks::filter(&low_watermarks);
        let database = Database::builder(path)
            .cache_size(options.cache)
            .journal_compression(CompressionType::None)
            .manual_journal_persist(true)
            .max_journaling_size(MAX_JOURNAL_BYTES)
            .max_cached_files(Some(MAX_OPEN_FILES))
            .worker_threads(WORKERS)
            .with_compaction_filter_factories(Arc::new(move |name| {
                (name == IDS).then(|| Arc::clone(&filter))
            }))
            .open()?;
        // The log starts each flush itself, because the worker thread starts none while it merges tables.
        let keyspace = || KeyspaceCreateOptions::default().max_memtable_size(2 * options.write_buffer);
        // Reads of these keyspaces are ranges or existing keys, for which a filter is useless.
        let ranged = || keyspace().filter_policy(FilterPolicy::disabled());
        // Every table of ids overlaps all others. Merges of small tables do not delay appends.
        let small = Arc::new(Leveled::default().with_table_target_size(ID_TABLE_BYTES));
        let records = database.keyspace("records", ranged)?;
        let ids = database.keyspace(IDS, || ranged().compaction_strategy(small))?;
        let ids = IdIndex::new(ids, low_watermarks);
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
        let (damage, order) = (Damage::default(), OnceLock::new());
        let path = path.to_owned();
        Ok(Self { epoch, path, database, records, ids, topics, meta, damage, order, write_buffer, written })
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The order of the log's rules, the rest last; empty before [`set_order`](Self::set_order).
    pub(super) fn order(&self) -> &[RuleId] {
        self.order.get().map(Vec::as_slice).unwrap_or_default()
    }

    /// Sets the order of the log's rules, which does not change while the store is open.
    pub(super) fn set_order(&self, order: Vec<RuleId>) {
        self.order.get_or_init(|| order);
    }

    /// The hash of an id or a topic. Publishers cannot find collisions without knowing the epoch.
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

    /// Counts written bytes.
    pub(super) fn add_written(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Starts to write all data in memory into tables.
    ///
    /// The store deletes a journal when the data of all keyspaces in it is in tables.
    pub(super) fn start_flush(&self) -> fjall::Result<()> {
        self.written.store(0, Ordering::Relaxed);
        self.keyspaces().iter().try_for_each(|keyspace| keyspace.rotate_memtable().map(drop))
    }

    /// Writes all data in memory into tables, so that no start needs the journals.
    ///
    /// Returns false if this takes longer than [`FLUSH_TIMEOUT`].
    pub(super) fn flush(&self) -> fjall::Result<bool> {
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        self.start_flush()?;
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

    /// Waits until the store can take another write.
    ///
    /// Without this, `fjall` would wait without end if its worker thread has failed.
    pub(super) fn wait_for_room(&self) -> fjall::Result<()> {
        if self.written.load(Ordering::Relaxed) > self.write_buffer {
            self.start_flush()?;
        }
        let deadline = Instant::now() + STALL_TIMEOUT;
        while self
            .keyspaces()
            .iter()
            .any(|keyspace| keyspace.sealed_memtable_count() >= 3 || keyspace.l0_table_count() >= 16)
        {
            // This call fails if the worker thread has failed.
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

/// The keyspace of ids.
const IDS: &str = "ids";

/// The bytes of a table of ids. The first level has four times as many.
const ID_TABLE_BYTES: u64 = 8 * 1024 * 1024;

/// The size of the journals above which the store writes tables, since a start reads the journals.
const MAX_JOURNAL_BYTES: u64 = 64 * 1024 * 1024;

/// The most files that the store keeps open.
const MAX_OPEN_FILES: usize = 256;

/// Threads that write tables. A second one would spin while the first merges.
const WORKERS: usize = 1;

/// The time after which a store without room for a write counts as failed.
const STALL_TIMEOUT: Duration = Duration::from_secs(20);

/// The time for which the end of a log waits for its tables.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
