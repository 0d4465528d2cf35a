//! The log on disk.

mod codec;
mod damage;
mod directory;
mod id_index;
mod journal_repair;
mod last_position;
mod ledger;
mod plan;
mod read;
mod shared;
mod snapshot;
mod store;
mod write_batch;
mod writer;

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::BoxStream;
use tokio::sync::{Semaphore, oneshot};
use tracing::warn;

use self::directory::Directory;
use self::journal_repair::truncate_torn_tail;
use self::last_position::Used;
use self::ledger::Ledger;
use self::read::{find, page};
use self::shared::{Follower, Shared};
use self::store::Store;
use self::writer::{Message, Request, Writer};
use crate::tail::tail;
use crate::{
    AppendError, Appended, Bounds, Clock, Entry, Epoch, IdempotencyKey, Keep, Limit, Log, OpenError, Page,
    Position, ReadError, Record, Retention,
};

/// A log in a folder.
///
/// Whoever appends is answered by one thread, which writes all that waits at once. What was answered survives `kill -9` and, as
/// [`Durability`] says, a loss of power. A folder is one log's: a second one is refused.
///
/// A full disk refuses records with [`AppendError::Full`], a folder that cannot be written with [`AppendError::Unavailable`]; who reads,
/// reads on, and what is appended once it is mended is taken.
///
/// ```
/// use ssekit_log::{DurableLog, DurableOptions, Limit, Log, Position, Record};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path().join("ssekit-data");
/// let log = DurableLog::open(&folder, DurableOptions::default()).await?;
/// let record = Record { topics: ["https://example.com/news".into()].into(), private: false, id: None, body: "data: hello\n\n".into() };
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
    /// What may wait to be written, in bytes.
    room: Arc<Semaphore>,
}

/// What a [`DurableLog`] is opened with.
#[derive(Clone, Debug)]
pub struct DurableOptions {
    /// When who appends is answered. [`Durability::Periodic`] of 100 ms unless set.
    pub durability: Durability,
    /// What is kept. Everything unless set.
    pub retention: Retention,
    /// Bytes of what was read that are held for the next who reads. 32 MiB unless set.
    pub cache: u64,
    /// Bytes of what was written that are held before they go into tables; up to six times as much while those are written. Also, of records whose
    /// ids are not in tables. 16 MiB unless set; 1 MiB to 1 GiB.
    pub write_buffer: u64,
    /// What it has the time from.
    pub clock: Clock,
}

/// When who appends is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// At once; within this time it is written. Killing the process loses what was answered since.
    Memory(Duration),
    /// When it is written; within this time it is synced. Killing the process loses nothing, a loss of power what was answered since.
    Periodic(Duration),
    /// When it is synced. A loss of power loses nothing, as far as the disk does what it says.
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

impl DurableLog {
    /// Opens the log in a folder, or makes it there.
    ///
    /// One that was left without [`Log::close`] is put in order, and what was found is told as a warning of `tracing`. Dropping the future leaves the
    /// log open until it has been.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(folder: impl AsRef<Path>, options: DurableOptions) -> Result<Self, OpenError> {
        let path = folder.as_ref().to_owned();
        let logger = tracing::dispatcher::get_default(Clone::clone);
        let open = move || tracing::dispatcher::with_default(&logger, || Self::open_now(&path, options));
        let opened = tokio::task::spawn_blocking(open).await;
        let (log, found) = opened.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        if let Some(Found { records, torn, lost: true, .. }) = found {
            tracing::error!(
                folder = %log.shared.path.display(),
                records,
                torn,
                "the log is damaged: confirmed updates are lost ({torn} bytes were removed and saved in its file `torn`); the others are kept, and subscribers that resume receive a `reset` event"
            );
        } else if let Some(Found { records, last, torn, .. }) = found {
            warn!(
                folder = %log.shared.path.display(),
                records,
                last = last.0,
                torn,
                "the log was not closed and has been repaired: it has {records} records up to position {last}; {torn} bytes of an unfinished write were removed (saved in its file `torn`)",
            );
        }
        Ok(log)
    }

    fn open_now(path: &Path, mut options: DurableOptions) -> Result<(Self, Option<Found>), OpenError> {
        options.write_buffer = options.write_buffer.clamp(1 << 20, 1 << 30);
        let (folder, unclean) = Directory::open(path)?;
        let repaired = truncate_torn_tail(&folder)?;
        let torn = repaired.bytes;
        let damaged = |problem: String| OpenError::Damaged { folder: folder.path().to_owned(), problem };
        let store =
            Store::open(&folder.store(), &options, Epoch::random()?).map_err(|error| match error {
                fjall::Error::Io(source) => {
                    OpenError::Io { what: "cannot open the store in", path: folder.store(), source }
                }
                fjall::Error::Locked => OpenError::InUse(folder.path().to_owned()),
                error => damaged(format!("{error:?}")),
            })?;
        let keys = store.view().used_keys().map_err(|error| damaged(error.to_string()))?;
        let loaded = Ledger::load(&store, &options.retention).map_err(|error| damaged(error.to_string()))?;
        let (mut ledger, mut changes) =
            loaded.map_err(|count| OpenError::Names { folder: folder.path().to_owned(), count })?;
        let path = folder.used();
        let (mut used, last) = Used::open(&path).map_err(|source| OpenError::Io {
            what: "cannot open",
            path: path.clone(),
            source,
        })?;
        let lost = ledger.lost(last, repaired.damaged);
        if let Some(lost) = lost {
            ledger.skip_to(lost, &mut changes);
        }
        // If this cannot be written, the first record cannot be, either: it is tried again then.
        let mode = if lost.is_some() { fjall::PersistMode::SyncAll } else { fjall::PersistMode::Buffer };
        match changes.commit(Some(mode)) {
            Ok(()) => folder.clear_damage(),
            Err(error) => {
                warn!(folder = %folder.path().display(), "the log can be read, but not written to: {error:?}");
            }
        }
        if let Err(error) = used.write(ledger.last) {
            warn!(file = %path.display(), "cannot write to the file: {error}");
        }
        let next = ledger.last.max(ledger.reserved).next();
        let found = (unclean || lost.is_some()).then(|| Found {
            records: ledger.held().records,
            last: ledger.last,
            torn,
            lost: lost.is_some(),
        });
        let shared = Arc::new(Shared::new(folder, store, &ledger));
        let retention = options.retention.clone();
        let (messages, waiting) = mpsc::channel();
        let writer = Writer::new(Arc::clone(&shared), options, ledger, keys, next, used);
        let spawned = std::thread::Builder::new()
            .name("ssekit-log".to_owned())
            .spawn(move || writer.run(&waiting, unclean));
        spawned.map_err(|source| OpenError::Io {
            what: "cannot start the writer thread of",
            path: shared.path.clone(),
            source,
        })?;
        Ok((Self { shared, retention, messages, room: Arc::new(Semaphore::new(WAITING)) }, found))
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
        let permits = u32::try_from(size.min(WAITING)).expect("no more than may wait");
        let room =
            Arc::clone(&self.room).acquire_many_owned(permits).await.map_err(|_| AppendError::Closed)?;
        let (answer, answered) = oneshot::channel();
        let request = Request { records, key, size, answer, _room: room };
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
        self.shared.reading(move |store| page(store, after, limit)).boxed()
    }

    fn tail(&self, after: Position) -> BoxStream<'static, Result<Vec<Entry>, ReadError>> {
        let horizon = self.shared.shown().bounds.horizon_of_all();
        tail(Arc::new(Follower::new(&self.shared)), after, horizon, self.shared.marks.subscribe())
    }

    fn find<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Position>, ReadError>> {
        let id: Box<str> = id.into();
        self.shared.reading(move |store| find(store, &id)).boxed()
    }

    fn bounds(&self) -> BoxFuture<'_, Result<Bounds, ReadError>> {
        async { Ok(self.shared.shown().bounds) }.boxed()
    }

    fn health(&self) -> BoxFuture<'_, Result<(), ReadError>> {
        let horizon = self.shared.shown().bounds.horizon;
        self.shared.reading(move |store| store.damage.check(horizon)).boxed()
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

/// What was found in a folder that was left without an end.
#[derive(Debug)]
struct Found {
    records: u64,
    last: Position,
    /// Bytes of an unfinished write.
    torn: u64,
    /// Records may be missing that were answered.
    lost: bool,
}

/// Bytes of records that may wait to be written; who comes then waits before.
const WAITING: usize = 64 * 1024 * 1024;
