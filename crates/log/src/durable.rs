//! The log on disk. One thread writes; the futures of its callers never block on the disk.

mod codec;
mod damage;
mod directory;
mod failure;
mod id_index;
mod journal_repair;
mod keys;
mod last_position;
mod ledger;
mod options;
mod plan;
mod read;
mod shared;
mod snapshot;
mod store;
mod write_batch;
mod writer;

use std::path::Path;
use std::sync::{Arc, mpsc};

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::BoxStream;
use tokio::sync::{Semaphore, oneshot};
use tracing::warn;

use self::directory::Directory;
use self::journal_repair::truncate_torn_tail;
use self::last_position::LastPositionFile;
use self::ledger::Ledger;
pub use self::options::{Durability, DurableOptions};
use self::read::{find_id, read_page};
use self::shared::{Shared, TailSource};
use self::snapshot::Snapshot;
use self::store::Store;
use self::writer::{Message, Request, Writer};
use crate::tail::tail;
use crate::{
    AppendError, Appended, Bounds, Entry, Epoch, IdempotencyKey, Limit, Log, OpenError, Page, Position,
    ReadError, Record, Retention,
};

/// A log in a folder.
///
/// One thread writes all waiting appends at once, and then confirms them. Confirmed records survive `kill -9`
/// and, depending on the [`Durability`], a loss of power. A folder belongs to one log; opening it a second
/// time fails.
///
/// While the disk is full, appends fail with [`AppendError::Full`]; while the folder cannot be written, with
/// [`AppendError::Unavailable`]. Reads continue, and appends succeed again once the cause is removed.
///
/// ```
/// use ssekit_log::{DurableLog, DurableOptions, Limit, Log, Position, Record};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path().join("ssekit-data");
/// let log = DurableLog::open(&folder, DurableOptions::default()).await?;
/// let record = Record {
///     topics: ["https://example.com/news".into()].into(),
///     private: false,
///     id: None,
///     body: "data: hello\n\n".into(),
/// };
/// log.append(vec![record]).await?;
/// log.close().await?;
///
/// let log = DurableLog::open(&folder, DurableOptions::default()).await?;
/// let page = log.read(Position::START, Limit { records: 100, bytes: 1 << 20 }).await?;
/// assert_eq!(page.entries[0].record.body, "data: hello\n\n");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DurableLog {
    shared: Arc<Shared>,
    retention: Retention,
    messages: mpsc::Sender<Message>,
    /// A permit for each byte of weight that may wait for the writer.
    permits: Arc<Semaphore>,
}

impl DurableLog {
    /// Opens the log in a folder, or creates one there.
    ///
    /// If the log was not closed with [`Log::close`], it is repaired, and `tracing` gets a warning. If the
    /// caller drops the future, the log is still opened, and then closed.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(folder: impl AsRef<Path>, options: DurableOptions) -> Result<Self, OpenError> {
        let path = folder.as_ref().to_owned();
        let logger = tracing::dispatcher::get_default(Clone::clone);
        let open = move || tracing::dispatcher::with_default(&logger, || Self::open_now(&path, options));
        let opened = tokio::task::spawn_blocking(open).await;
        let (log, report) = opened.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        if let Some(RepairReport { records, torn, lost: true, .. }) = report {
            tracing::error!(
                folder = %log.shared.path.display(),
                records,
                torn,
                "the log is damaged: confirmed updates are lost ({torn} bytes were removed and saved in \
                 its file `torn`); the others are kept, and subscribers that resume receive a `reset` event"
            );
        } else if let Some(RepairReport { records, last, torn, .. }) = report {
            warn!(
                folder = %log.shared.path.display(),
                records,
                last = last.0,
                torn,
                "the log was not closed and has been repaired: it has {records} records up to position \
                 {last}; {torn} bytes of an unfinished write were removed (saved in its file `torn`)",
            );
        }
        Ok(log)
    }

    fn open_now(path: &Path, mut options: DurableOptions) -> Result<(Self, Option<RepairReport>), OpenError> {
        options.write_buffer = options.write_buffer.clamp(1 << 20, 1 << 30);
        let (directory, unclean) = Directory::open(path)?;
        let repaired = truncate_torn_tail(&directory)?;
        let torn = repaired.bytes;
        let damaged = |problem: String| OpenError::Damaged { folder: directory.path().to_owned(), problem };
        let store =
            Store::open(&directory.store_path(), &options, Epoch::random().map_err(OpenError::Random)?);
        let store = store.map_err(|error| match error {
            fjall::Error::Io(source) => {
                OpenError::Io { what: "cannot open the store in", path: directory.store_path(), source }
            }
            fjall::Error::Locked => OpenError::InUse(directory.path().to_owned()),
            error => damaged(format!("{error:?}")),
        })?;
        let keys = Snapshot::new(&store).used_keys().map_err(|error| damaged(error.to_string()))?;
        let loaded = Ledger::load(&store, &options.retention).map_err(|error| damaged(error.to_string()))?;
        let (mut ledger, mut batch) =
            loaded.map_err(|count| OpenError::Names { folder: directory.path().to_owned(), count })?;
        let path = directory.last_position_path();
        let (mut last_position_file, last_position) = LastPositionFile::open(&path)
            .map_err(|source| OpenError::Io { what: "cannot open", path: path.clone(), source })?;
        let lost = ledger.lost_upto(last_position, repaired.damaged);
        if let Some(lost) = lost {
            ledger.skip_to(lost, &mut batch);
        }
        // If this write fails, the write of the first record fails, too, and the writer tries again then.
        let mode = if lost.is_some() { fjall::PersistMode::SyncAll } else { fjall::PersistMode::Buffer };
        match batch.commit(Some(mode)) {
            Ok(()) => directory.clear_damage(),
            Err(error) => {
                let folder = directory.path().display();
                warn!(%folder, "the log can be read, but not written to: {error:?}");
            }
        }
        if let Err(error) = last_position_file.write(ledger.last) {
            warn!(file = %path.display(), "cannot write to the file: {error}");
        }
        let next = ledger.last.max(ledger.reserved).next();
        let report = (unclean || lost.is_some()).then(|| RepairReport {
            records: ledger.held().records,
            last: ledger.last,
            torn,
            lost: lost.is_some(),
        });
        let shared = Arc::new(Shared::new(directory, store, &ledger));
        let retention = options.retention.clone();
        let (messages, receiver) = mpsc::channel();
        let writer = Writer::new(Arc::clone(&shared), options, ledger, keys, next, last_position_file);
        let spawned = std::thread::Builder::new()
            .name("ssekit-log".to_owned())
            .spawn(move || writer.run(&receiver, unclean));
        spawned.map_err(|source| OpenError::Io {
            what: "cannot start the writer thread of",
            path: shared.path.clone(),
            source,
        })?;
        let permits = Arc::new(Semaphore::new(MAX_WAITING_BYTES));
        Ok((Self { shared, retention, messages, permits }, report))
    }

    async fn append_all(
        &self,
        key: Option<IdempotencyKey>,
        records: Vec<Record>,
    ) -> Result<Appended, AppendError> {
        Record::check(&records)?;
        if records.is_empty() {
            return Ok(Appended { positions: Vec::new(), repeated: false });
        }
        let size = records.iter().map(Record::weight).sum::<usize>();
        let records =
            records.into_iter().map(|record| (self.retention.rule_of(&record.topics[0]), record)).collect();
        let count = u32::try_from(size.min(MAX_WAITING_BYTES)).expect("64 MiB fit into 32 bits");
        let permit =
            Arc::clone(&self.permits).acquire_many_owned(count).await.map_err(|_| AppendError::Closed)?;
        let (answer, answered) = oneshot::channel();
        let request = Request { records, key, size, answer, _permit: permit };
        self.messages.send(Message::Append(request)).map_err(|_| AppendError::Closed)?;
        answered.await.unwrap_or(Err(AppendError::Closed))
    }
}

impl Log for DurableLog {
    fn epoch(&self) -> Epoch {
        self.shared.epoch
    }

    fn append_with_key(
        &self,
        key: Option<IdempotencyKey>,
        records: Vec<Record>,
    ) -> BoxFuture<'_, Result<Appended, AppendError>> {
        self.append_all(key, records).boxed()
    }

    fn read(&self, after: Position, limit: Limit) -> BoxFuture<'_, Result<Page, ReadError>> {
        self.shared.read(move |store| read_page(store, after, limit)).boxed()
    }

    fn tail(&self, after: Position) -> BoxStream<'static, Result<Vec<Entry>, ReadError>> {
        let horizon = self.shared.live().bounds.horizon_of_all();
        tail(Arc::new(TailSource::new(&self.shared)), after, horizon, self.shared.watermark.subscribe())
    }

    fn find<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Position>, ReadError>> {
        let id: Box<str> = id.into();
        self.shared.read(move |store| find_id(store, &id)).boxed()
    }

    fn bounds(&self) -> BoxFuture<'_, Result<Bounds, ReadError>> {
        async { Ok(self.shared.live().bounds) }.boxed()
    }

    fn health(&self) -> BoxFuture<'_, Result<(), ReadError>> {
        let horizon = self.shared.live().bounds.horizon;
        self.shared.read(move |store| store.damage.check(horizon)).boxed()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        async {
            let (answer, answered) = oneshot::channel();
            match self.messages.send(Message::Close(answer)) {
                Ok(()) => answered.await.unwrap_or(Ok(())),
                Err(_) => Ok(()),
            }
        }
        .boxed()
    }
}

/// The state of a log that was not closed, after its repair.
#[derive(Debug)]
struct RepairReport {
    records: u64,
    last: Position,
    /// The removed bytes of an unfinished write.
    torn: u64,
    /// Confirmed records may be missing.
    lost: bool,
}

/// The most weight of records that wait for the writer; further appends wait for permits.
const MAX_WAITING_BYTES: usize = 64 * 1024 * 1024;
