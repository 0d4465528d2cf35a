//! The records and what is known of them, in an LSM tree on disk: `fjall`.
//!
//! ```text
//! records   rule u16 · position u64       the record (codec.rs)
//! ids       hash of the id · position     rule u16; of records with ids of their own
//! topics    rule u16 · hash of the topic  the positions of the newest, of rules that keep the last of each topic
//! meta      "epoch"                       16 bytes
//!           "log"                         the last position, the horizon
//!           "reserved"                    up to where positions may have been used
//!           "rule" · rule u16             its name; rule 0 is the rest
//!           "held" · rule u16             records, bytes, a place before which none is held
//! ```
//! Numbers are big-endian, so that keys lie in order. A record's rule comes first, so that what a rule lets go lies in one place.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fjall::config::FilterPolicy;
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};
use siphasher::sip128::SipHasher24;

use super::DurableOptions;
use super::codec::{decode, encode};
use crate::retention::Held;
use crate::{Entry, Epoch, Position, ReadError};

/// The number of a rule in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RuleId(pub(super) u16);

impl RuleId {
    /// What no rule matches.
    pub(super) const REST: Self = Self(0);
}

pub(super) struct Store {
    epoch: Epoch,
    database: Database,
    records: Keyspace,
    ids: Keyspace,
    topics: Keyspace,
    meta: Keyspace,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store(..)")
    }
}

impl Store {
    /// Opens the store in a folder, or makes one there, of this epoch.
    pub(super) fn open(path: &Path, options: &DurableOptions, new: Epoch) -> fjall::Result<Self> {
        let database = Database::builder(path)
            .cache_size(options.cache)
            .journal_compression(CompressionType::None)
            .manual_journal_persist(true)
            .max_journaling_size(JOURNALS)
            .max_cached_files(Some(FILES))
            .worker_threads(WORKERS)
            .open()?;
        let write_buffer = options.write_buffer;
        let keyspace = |memtable: u64| KeyspaceCreateOptions::default().max_memtable_size(memtable);
        // Ranges are read of these, or keys that are there: a filter would say nothing.
        let ranged = |memtable: u64| keyspace(memtable).filter_policy(FilterPolicy::disabled());
        let records = database.keyspace("records", || ranged(write_buffer))?;
        let ids = database.keyspace("ids", || ranged(write_buffer))?;
        let topics = database.keyspace("topics", || keyspace(write_buffer / 2))?;
        let meta = database.keyspace("meta", || keyspace(write_buffer / 8))?;
        let epoch = match meta.get("epoch")? {
            Some(epoch) => Epoch(epoch.first_chunk().copied().ok_or(fjall::Error::Unrecoverable)?),
            None => {
                meta.insert("epoch", new.0)?;
                database.persist(PersistMode::SyncAll)?;
                new
            }
        };
        Ok(Self { epoch, database, records, ids, topics, meta })
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(super) fn view(&self) -> View<'_> {
        View { store: self, snapshot: self.database.snapshot() }
    }

    pub(super) fn changes(&self) -> Changes<'_> {
        Changes { store: self, batch: self.database.batch() }
    }

    /// Of texts that publishers choose: nobody who does not know the epoch finds two that collide.
    fn hash(&self, text: &str) -> [u8; 16] {
        SipHasher24::new_with_key(&self.epoch.0).hash(text.as_bytes()).as_bytes()
    }

    fn id_key(&self, id: &str, position: Position) -> [u8; 24] {
        let mut key = [0; 24];
        key[..16].copy_from_slice(&self.hash(id));
        key[16..].copy_from_slice(&position.0.to_be_bytes());
        key
    }

    fn topic_key(&self, rule: RuleId, topic: &str) -> [u8; 18] {
        let mut key = [0; 18];
        key[..2].copy_from_slice(&rule.0.to_be_bytes());
        key[2..].copy_from_slice(&self.hash(topic));
        key
    }

    pub(super) fn persist(&self, mode: PersistMode) -> fjall::Result<()> {
        self.database.persist(mode)
    }

    /// Moves all that is in memory into tables, so that the journals are needed no more. False if that takes too long.
    pub(super) fn settle(&self) -> fjall::Result<bool> {
        let patience = Instant::now() + SETTLED;
        for keyspace in self.keyspaces() {
            keyspace.rotate_memtable()?;
        }
        while self.keyspaces().iter().any(|keyspace| keyspace.sealed_memtable_count() > 0) {
            self.database.persist(PersistMode::SyncAll)?;
            if Instant::now() > patience {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(true)
    }

    fn keyspaces(&self) -> [&Keyspace; 4] {
        [&self.records, &self.ids, &self.topics, &self.meta]
    }

    /// Waits until the store has room for another write: `fjall` itself would wait for ever if what makes room has failed.
    pub(super) fn wait_for_room(&self) -> fjall::Result<()> {
        let patience = Instant::now() + STALLED;
        while self
            .keyspaces()
            .iter()
            .any(|keyspace| keyspace.sealed_memtable_count() >= 3 || keyspace.l0_table_count() >= 16)
        {
            // Tells whether a thread behind the store has failed.
            self.database.persist(PersistMode::Buffer)?;
            if Instant::now() > patience {
                return Err(fjall::Error::Io(std::io::Error::new(
                    std::io::ErrorKind::TimedOut,
                    "the store does not get on with its writes",
                )));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

/// What a store holds at one moment.
pub(super) struct View<'a> {
    store: &'a Store,
    snapshot: Snapshot,
}

impl<'a> View<'a> {
    /// A rule's records from a place on.
    pub(super) fn records(
        &self,
        rule: RuleId,
        from: Position,
    ) -> impl Iterator<Item = Result<Entry, ReadError>> + use<'a> {
        let range = self
            .snapshot
            .range(&self.store.records, record_key(rule, from)..=record_key(rule, Position(u64::MAX)));
        range.map(|guard| {
            let (key, value) = guard.into_inner().map_err(unreadable)?;
            let position =
                number(key.get(2..)).ok_or_else(|| ReadError::Damaged("a record's key is cut".to_owned()))?;
            decode(Position(position), value.into())
        })
    }

    pub(super) fn record(&self, rule: RuleId, position: Position) -> Result<Option<Entry>, ReadError> {
        let value = self.snapshot.get(&self.store.records, record_key(rule, position)).map_err(unreadable)?;
        value.map(|value| decode(position, value.into())).transpose()
    }

    /// Where an id may be, oldest first: another one may have the same hash.
    pub(super) fn id_places(
        &self,
        id: &str,
    ) -> impl Iterator<Item = Result<(RuleId, Position), ReadError>> + use<'a> {
        self.snapshot.prefix(&self.store.ids, self.store.hash(id)).map(|guard| {
            let (key, value) = guard.into_inner().map_err(unreadable)?;
            let place = number(key.get(16..)).zip(value.first_chunk::<2>());
            let (position, rule) =
                place.ok_or_else(|| ReadError::Damaged("an id's place is cut".to_owned()))?;
            Ok((RuleId(u16::from_be_bytes(*rule)), Position(position)))
        })
    }

    /// The newest of a topic, as a rule keeps them, oldest first.
    pub(super) fn newest(&self, rule: RuleId, topic: &str) -> Result<Vec<Position>, ReadError> {
        let value =
            self.snapshot.get(&self.store.topics, self.store.topic_key(rule, topic)).map_err(unreadable)?;
        let places = value.map(|value| {
            value.chunks_exact(8).filter_map(|place| number(Some(place))).map(Position).collect()
        });
        Ok(places.unwrap_or_default())
    }

    /// The last position and the horizon.
    pub(super) fn log(&self) -> Result<(Position, Position), ReadError> {
        let value = self.meta("log")?.unwrap_or_default();
        Ok((place(&value, 0), place(&value, 1)))
    }

    pub(super) fn reserved(&self) -> Result<Position, ReadError> {
        Ok(place(&self.meta("reserved")?.unwrap_or_default(), 0))
    }

    /// The rules that have been known, with their names.
    pub(super) fn rules(&self) -> Result<Vec<(RuleId, Box<str>)>, ReadError> {
        let rules = self.snapshot.prefix(&self.store.meta, "rule").map(|guard| {
            let (key, value) = guard.into_inner().map_err(unreadable)?;
            let rule =
                key.get(4..).and_then(|key| key.first_chunk::<2>()).zip(std::str::from_utf8(&value).ok());
            let (rule, name) = rule.ok_or_else(|| ReadError::Damaged("a rule's name is cut".to_owned()))?;
            Ok((RuleId(u16::from_be_bytes(*rule)), name.into()))
        });
        rules.collect()
    }

    /// What a rule holds, and a place before which it holds nothing.
    pub(super) fn held(&self, rule: RuleId) -> Result<(Held, Position), ReadError> {
        let value =
            self.snapshot.get(&self.store.meta, held_key(rule)).map_err(unreadable)?.unwrap_or_default();
        Ok((Held { records: place(&value, 0).0, bytes: place(&value, 1).0 }, place(&value, 2)))
    }

    fn meta(&self, key: &str) -> Result<Option<Bytes>, ReadError> {
        Ok(self.snapshot.get(&self.store.meta, key).map_err(unreadable)?.map(Into::into))
    }
}

/// What is written at once: all of it or nothing.
pub(super) struct Changes<'a> {
    store: &'a Store,
    batch: fjall::OwnedWriteBatch,
}

impl Changes<'_> {
    pub(super) fn insert(&mut self, rule: RuleId, entry: &Entry) {
        self.batch.insert(&self.store.records, record_key(rule, entry.position), encode(entry));
        if let Some(id) = &entry.record.id {
            self.batch.insert(&self.store.ids, self.store.id_key(id, entry.position), rule.0.to_be_bytes());
        }
    }

    pub(super) fn remove(&mut self, rule: RuleId, entry: &Entry) {
        self.batch.remove(&self.store.records, record_key(rule, entry.position));
        if let Some(id) = &entry.record.id {
            self.batch.remove(&self.store.ids, self.store.id_key(id, entry.position));
        }
    }

    pub(super) fn set_newest(&mut self, rule: RuleId, topic: &str, places: &[Position]) {
        if places.is_empty() {
            self.batch.remove(&self.store.topics, self.store.topic_key(rule, topic));
        } else {
            let places: Vec<u8> = places.iter().flat_map(|place| place.0.to_be_bytes()).collect();
            self.batch.insert(&self.store.topics, self.store.topic_key(rule, topic), places);
        }
    }

    pub(super) fn set_log(&mut self, last: Position, horizon: Position) {
        self.batch.insert(&self.store.meta, "log", places([last.0, horizon.0]));
    }

    pub(super) fn set_reserved(&mut self, reserved: Position) {
        self.batch.insert(&self.store.meta, "reserved", places([reserved.0]));
    }

    pub(super) fn set_rule(&mut self, rule: RuleId, name: &str) {
        self.batch.insert(&self.store.meta, [b"rule".as_slice(), &rule.0.to_be_bytes()].concat(), name);
    }

    pub(super) fn set_held(&mut self, rule: RuleId, held: Held, front: Position) {
        self.batch.insert(&self.store.meta, held_key(rule), places([held.records, held.bytes, front.0]));
    }

    /// Writes it: without a mode, into the process's own memory.
    pub(super) fn commit(self, mode: Option<PersistMode>) -> fjall::Result<()> {
        self.batch.durability(mode).commit()
    }
}

fn record_key(rule: RuleId, position: Position) -> [u8; 10] {
    let mut key = [0; 10];
    key[..2].copy_from_slice(&rule.0.to_be_bytes());
    key[2..].copy_from_slice(&position.0.to_be_bytes());
    key
}

fn held_key(rule: RuleId) -> Vec<u8> {
    [b"held".as_slice(), &rule.0.to_be_bytes()].concat()
}

fn places<const N: usize>(numbers: [u64; N]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// The number at this place of a row of them; 0 where there is none.
fn place(row: &[u8], index: usize) -> Position {
    Position(number(row.get(8 * index..)).unwrap_or(0))
}

fn number(bytes: Option<&[u8]>) -> Option<u64> {
    bytes?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

fn unreadable(error: fjall::Error) -> ReadError {
    match error {
        fjall::Error::Io(error) => ReadError::Unavailable(error.to_string()),
        fjall::Error::Storage(fjall::LsmError::Io(error)) => ReadError::Unavailable(error.to_string()),
        error => ReadError::Damaged(format!("{error:?}")),
    }
}

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
