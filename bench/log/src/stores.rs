//! The work of the log, as plainly as each store lets it be done: records by place, and the places of ids.

use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;
use fjall::config::FilterPolicy;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use redb::{ReadableDatabase, TableDefinition};
use ssekit_log::{Durability, DurableLog, DurableOptions, Limit, Log, Position, Record};

#[derive(Clone, Copy, ValueEnum)]
pub enum Kind {
    Fjall,
    Redb,
    /// The log itself
    Log,
}

/// The meaning of an answer.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// It is in the process
    Memory,
    /// The system has it: killing the process loses nothing
    Written,
    /// The disk has it
    Synced,
}

pub trait Store {
    /// Appends records of these places, each with an id.
    fn append(&mut self, places: std::ops::Range<u64>, level: Level) -> Result<()>;
    /// Reads so many after a place, and says how many bytes they had.
    fn page(&self, after: u64, count: usize) -> Result<usize>;
    fn find(&self, place: u64) -> Result<u64>;
    fn close(self: Box<Self>) -> Result<()>;
}

/// Opens a store, or makes it; of the log it may be said that its records have no ids.
pub fn open(kind: Kind, folder: &Path, plain: bool) -> Result<Box<dyn Store>> {
    Ok(match kind {
        Kind::Fjall => {
            let database = Database::builder(folder)
                .manual_journal_persist(true)
                .worker_threads(2)
                .max_journaling_size(128 << 20)
                .open()?;
            let options = || {
                KeyspaceCreateOptions::default()
                    .max_memtable_size(16 << 20)
                    .filter_policy(FilterPolicy::disabled())
            };
            let (records, ids) = (database.keyspace("records", options)?, database.keyspace("ids", options)?);
            Box::new(Fjall { database, records, ids })
        }
        Kind::Redb => {
            std::fs::create_dir_all(folder)?;
            let database = redb::Database::builder().set_cache_size(64 << 20).create(folder.join("store"))?;
            Box::new(Redb { database })
        }
        Kind::Log => {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build()?;
            let log = runtime.block_on(DurableLog::open(folder, options(Level::Written)))?;
            Box::new(TheLog { runtime, log, plain })
        }
    })
}

pub fn options(level: Level) -> DurableOptions {
    let interval = std::time::Duration::from_millis(100);
    let durability = match level {
        Level::Memory => Durability::Memory(interval),
        Level::Written => Durability::Periodic(interval),
        Level::Synced => Durability::Sync,
    };
    DurableOptions { durability, ..DurableOptions::default() }
}

struct Fjall {
    database: Database,
    records: Keyspace,
    ids: Keyspace,
}

impl Store for Fjall {
    fn append(&mut self, places: std::ops::Range<u64>, level: Level) -> Result<()> {
        let mode = match level {
            Level::Memory => None,
            Level::Written => Some(PersistMode::Buffer),
            Level::Synced => Some(PersistMode::SyncData),
        };
        let mut batch = self.database.batch().durability(mode);
        for place in places {
            batch.insert(&self.records, place.to_be_bytes(), body(place));
            batch.insert(&self.ids, [hash(place).as_slice(), &place.to_be_bytes()].concat(), []);
        }
        Ok(batch.commit()?)
    }

    fn page(&self, after: u64, count: usize) -> Result<usize> {
        let page = self.records.range((after + 1).to_be_bytes()..).take(count);
        page.map(|guard| Ok(guard.into_inner()?.1.len())).sum()
    }

    fn find(&self, place: u64) -> Result<u64> {
        let key = self.ids.prefix(hash(place)).next().context("an id that is there")?.key()?;
        Ok(u64::from_be_bytes(key[16..].try_into()?))
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }
}

struct Redb {
    database: redb::Database,
}

const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");
const IDS: TableDefinition<'_, ([u8; 16], u64), ()> = TableDefinition::new("ids");

impl Store for Redb {
    fn append(&mut self, places: std::ops::Range<u64>, level: Level) -> Result<()> {
        let mut transaction = self.database.begin_write()?;
        // There is nothing between: data that is not synced is not written, either.
        transaction.set_durability(if level == Level::Memory {
            redb::Durability::None
        } else {
            redb::Durability::Immediate
        })?;
        {
            let mut records = transaction.open_table(RECORDS)?;
            let mut ids = transaction.open_table(IDS)?;
            for place in places {
                records.insert(place, &*body(place))?;
                ids.insert((hash(place), place), ())?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn page(&self, after: u64, count: usize) -> Result<usize> {
        let records = self.database.begin_read()?.open_table(RECORDS)?;
        records.range(after + 1..)?.take(count).map(|record| Ok(record?.1.value().len())).sum()
    }

    fn find(&self, place: u64) -> Result<u64> {
        let ids = self.database.begin_read()?.open_table(IDS)?;
        let found = ids.range((hash(place), 0)..)?.next().context("an id that is there")??;
        Ok(found.0.value().1)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct TheLog {
    runtime: tokio::runtime::Runtime,
    log: DurableLog,
    plain: bool,
}

impl Store for TheLog {
    fn append(&mut self, places: std::ops::Range<u64>, _: Level) -> Result<()> {
        let records = places.map(|place| record(place, !self.plain)).collect();
        self.runtime.block_on(Log::append(&self.log, records))?;
        Ok(())
    }

    fn page(&self, after: u64, count: usize) -> Result<usize> {
        let page = self
            .runtime
            .block_on(self.log.read(Position(after), Limit { records: count, bytes: usize::MAX }))?;
        Ok(page.entries.iter().map(|entry| entry.record.body.len()).sum())
    }

    fn find(&self, place: u64) -> Result<u64> {
        Ok(self.runtime.block_on(self.log.find(&format!("urn:{place}")))?.context("an id that is there")?.0)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.runtime.block_on(self.log.close())?)
    }
}

/// A record of the log with about 100 bytes.
pub fn record(place: u64, with_id: bool) -> Record {
    Record {
        topics: [format!("https://example.com/{}", place % 1000).into()].into(),
        private: false,
        id: with_id.then(|| format!("urn:{place}").into()),
        body: body(place).into(),
    }
}

/// 100 bytes, half of them as random as a price or a name.
pub fn body(place: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(place);
    let mut body = b"data: {\"name\":\"something\",\"value\":\"at rest\"} ".to_vec();
    body.extend(std::iter::repeat_with(|| random.alphanumeric() as u8).take(100 - body.len() - 2));
    body.extend(b"\n\n");
    body
}

fn hash(place: u64) -> [u8; 16] {
    fastrand::Rng::with_seed(place).u128(..).to_be_bytes()
}
