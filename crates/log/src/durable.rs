//! The log on disk.

mod codec;
mod folder;
mod journal;
mod ledger;
mod store;
mod writer;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, mpsc};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::BoxStream;
use tokio::sync::{Semaphore, oneshot, watch};
use tracing::{error, warn};

use self::folder::Folder;
use self::journal::End;
use self::ledger::Ledger;
use self::store::Store;
use self::writer::{Failure, Message, Request, Writer};
use crate::tail::{Mark, Recent, Source, Taken, tail};
use crate::{
    AppendError, Bounds, Clock, Entry, Epoch, Keep, Limit, Log, OpenError, Page, Position, ReadError, Record,
    Retention,
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
    /// Bytes of what was written that are held before they go into tables; up to six times as much while those are written. It is fixed with a
    /// folder's first start. 16 MiB unless set.
    pub write_buffer: u64,
    /// The newest records, which who reads live does not read from the disk. 8,192 of them and 16 MiB unless set.
    pub recent: Limit,
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
            recent: Limit { records: 8192, bytes: 16 * 1024 * 1024 },
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
        let opened = tokio::task::spawn_blocking(move || Self::open_now(&path, options)).await;
        let (log, found) = opened.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        if let Some(Found { records, last, torn }) = found {
            warn!(
                folder = %log.shared.path.display(),
                records,
                last = last.0,
                torn,
                "the log was not closed; it has been put in order: {records} records up to {last}, {torn} bytes of an unfinished write cut off",
            );
        }
        Ok(log)
    }

    fn open_now(path: &Path, mut options: DurableOptions) -> Result<(Self, Option<Found>), OpenError> {
        options.write_buffer = options.write_buffer.clamp(1 << 20, 1 << 30);
        let (folder, unclean) = Folder::open(path)?;
        let torn = if unclean { torn(&folder)? } else { 0 };
        let damaged = |problem: String| OpenError::Damaged { folder: folder.path().to_owned(), problem };
        let store =
            Store::open(&folder.store(), &options, Epoch::random()?).map_err(|error| match error {
                fjall::Error::Io(source) => {
                    OpenError::Io { what: "cannot open the store in", path: folder.store(), source }
                }
                fjall::Error::Locked => OpenError::InUse(folder.path().to_owned()),
                error => damaged(format!("{error:?}")),
            })?;
        let loaded = Ledger::load(&store, &options.retention).map_err(|error| damaged(error.to_string()))?;
        let (ledger, changes) =
            loaded.map_err(|count| OpenError::Names { folder: folder.path().to_owned(), count })?;
        // If this cannot be written, the first record cannot be, either: it is tried again then.
        if let Err(error) = changes.commit(Some(fjall::PersistMode::Buffer)) {
            warn!(folder = %folder.path().display(), "the log can be read, but not written: {error:?}");
        }
        let next = ledger.last.max(ledger.reserved).next();
        let found = unclean.then(|| Found { records: ledger.held().records, last: ledger.last, torn });
        let (marks, _) = watch::channel(Mark { last: ledger.last, closed: false });
        let shared = Arc::new(Shared {
            path: folder.path().to_owned(),
            epoch: store.epoch(),
            store: RwLock::new(Some(Arc::new(store))),
            folder: Mutex::new(Some(folder)),
            clean: AtomicBool::new(false),
            settled: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            tails: AtomicUsize::new(0),
            shown: Mutex::new(Shown {
                recent: Recent::new(options.recent, ledger.last),
                bounds: bounds(&ledger),
            }),
            marks,
            reads: Arc::new(Semaphore::new(READS)),
        });
        let retention = options.retention.clone();
        let (messages, waiting) = mpsc::channel();
        let writer = Writer::new(Arc::clone(&shared), options, ledger, next);
        let spawned =
            std::thread::Builder::new().name("ssekit-log".to_owned()).spawn(move || writer.run(&waiting));
        spawned.map_err(|source| OpenError::Io {
            what: "cannot start a thread for",
            path: shared.path.clone(),
            source,
        })?;
        Ok((Self { shared, retention, messages, room: Arc::new(Semaphore::new(WAITING)) }, found))
    }

    async fn append(&self, records: Vec<Record>) -> Result<Vec<Position>, AppendError> {
        Record::check(&records)?;
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let size = records.iter().map(|record| record.size() + OVERHEAD).sum::<usize>();
        let records =
            records.into_iter().map(|record| (self.retention.rule_of(&record.topics[0]), record)).collect();
        let permits = u32::try_from(size.min(WAITING)).expect("no more than may wait");
        let room =
            Arc::clone(&self.room).acquire_many_owned(permits).await.map_err(|_| AppendError::Closed)?;
        let (answer, answered) = oneshot::channel();
        let request = Request { records, size, answer, _room: room };
        self.messages.send(Message::Append(request)).map_err(|_| AppendError::Closed)?;
        answered.await.unwrap_or(Err(AppendError::Closed))
    }
}

impl Log for DurableLog {
    fn epoch(&self) -> Epoch {
        self.shared.epoch
    }

    fn append(&self, records: Vec<Record>) -> BoxFuture<'_, Result<Vec<Position>, AppendError>> {
        self.append(records).boxed()
    }

    fn read(&self, after: Position, limit: Limit) -> BoxFuture<'_, Result<Page, ReadError>> {
        self.shared.reading(move |store| page(store, after, limit)).boxed()
    }

    fn tail(&self, after: Position) -> BoxStream<'static, Result<Vec<Entry>, ReadError>> {
        tail(Arc::new(Follower::new(&self.shared)), after, self.shared.marks.subscribe())
    }

    fn find<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Position>, ReadError>> {
        let id: Box<str> = id.into();
        self.shared.reading(move |store| find(store, &id)).boxed()
    }

    fn bounds(&self) -> BoxFuture<'_, Result<Bounds, ReadError>> {
        async { Ok(self.shared.shown().bounds) }.boxed()
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
}

/// What the writer and those who read share.
struct Shared {
    path: PathBuf,
    epoch: Epoch,
    /// None while it is opened again, and after the end.
    store: RwLock<Option<Arc<Store>>>,
    /// Let go after the store.
    folder: Mutex<Option<Folder>>,
    /// All has been written that was to be.
    clean: AtomicBool,
    /// And it is in tables.
    settled: AtomicBool,
    /// The writer has ended: who leaves last lets the store go.
    ended: AtomicBool,
    tails: AtomicUsize,
    shown: Mutex<Shown>,
    marks: watch::Sender<Mark>,
    /// So many read from the disk at once.
    reads: Arc<Semaphore>,
}

/// What is seen of the log without looking into the store.
#[derive(Debug)]
struct Shown {
    recent: Recent,
    bounds: Bounds,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Shared {
    fn store(&self) -> Option<Arc<Store>> {
        self.store.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn folder(&self) -> std::sync::MutexGuard<'_, Option<Folder>> {
        self.folder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads from the store, where it makes nobody wait but who asks.
    async fn reading<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Store) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let turn = Arc::clone(&self.reads).acquire_owned().await;
        let shared = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let store = shared.store().ok_or_else(|| {
                ReadError::Unavailable("it is closed, or has failed and is not open again yet".to_owned())
            })?;
            read(&store)
        });
        done.await.unwrap_or_else(|error| Err(ReadError::Damaged(error.to_string())))
    }

    /// Shows what has been written.
    fn show(&self, entries: Vec<Entry>, ledger: &Ledger) {
        let mut shown = self.shown();
        shown.bounds = bounds(ledger);
        entries.into_iter().for_each(|entry| shown.recent.push(entry));
        drop(shown);
        self.marks.send_if_modified(|mark| std::mem::replace(&mut mark.last, ledger.last) != ledger.last);
    }

    /// Notes that the log may be written.
    fn begin(&self) -> io::Result<()> {
        self.folder().as_mut().map_or(Ok(()), Folder::begin)
    }

    fn is_running(&self) -> bool {
        self.folder().as_ref().is_some_and(Folder::is_running)
    }

    fn probe(&self) -> io::Result<()> {
        self.folder().as_ref().map_or(Ok(()), Folder::probe)
    }

    /// Puts a fresh store into the place of one that has failed.
    fn reopen(&self, options: &DurableOptions) -> Result<(), Failure> {
        let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
        take(&mut store);
        if let Some(folder) = &*self.folder() {
            torn(folder).map_err(|error| io::Error::other(error.to_string()))?;
            *store = Some(Arc::new(Store::open(&folder.store(), options, self.epoch)?));
        }
        Ok(())
    }

    /// Notes that all is written, and whether the journals are needed no more.
    fn set_clean(&self, settled: bool) {
        self.settled.store(settled, Ordering::SeqCst);
        self.clean.store(true, Ordering::SeqCst);
    }

    /// Ends the log, and the tails once they have read it.
    fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.marks.send_modify(|mark| mark.closed = true);
        self.leave();
    }

    /// Lets the store and the folder go when the log has ended and nobody reads on.
    fn leave(&self) {
        if !self.ended.load(Ordering::SeqCst) || self.tails.load(Ordering::SeqCst) > 0 {
            return;
        }
        take(&mut self.store.write().unwrap_or_else(PoisonError::into_inner));
        let Some(mut folder) = self.folder().take() else { return };
        if !self.clean.load(Ordering::SeqCst) {
            return;
        }
        if self.settled.load(Ordering::SeqCst)
            && let Err(error) = journal::empty(&folder.store())
        {
            warn!(folder = %self.path.display(), "the next start takes longer: {error}");
        }
        if let Err(error) = folder.end() {
            error!(folder = %self.path.display(), "the log is closed, and cannot say so: {error}");
        }
    }
}

/// Takes the store out and drops it, once those who read from it have finished.
fn take(store: &mut Option<Arc<Store>>) {
    let Some(mut store) = store.take() else { return };
    loop {
        match Arc::try_unwrap(store) {
            Ok(store) => return drop(store),
            Err(shared) => store = shared,
        }
        // A page at most is being read.
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// A tail's hold on the log: until it has gone, the store stays.
#[derive(Debug)]
struct Follower(Arc<Shared>);

impl Follower {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.tails.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(shared))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let shared = Arc::clone(&self.0);
        shared.tails.fetch_sub(1, Ordering::SeqCst);
        if shared.ended.load(Ordering::SeqCst) {
            // Closing the store takes a while, and this may be a thread that others wait for.
            std::thread::spawn(move || shared.leave());
        }
    }
}

impl Source for Follower {
    async fn page(&self, after: Position, limit: Limit) -> Result<Page, ReadError> {
        let recent = self.0.shown().recent.page(after, limit);
        match recent {
            Some(page) => Ok(page),
            None => self.0.reading(move |store| page(store, after, limit)).await,
        }
    }
}

/// Reads the records of all rules, in their order.
fn page(store: &Store, after: Position, limit: Limit) -> Result<Page, ReadError> {
    let view = store.view();
    let (last, horizon) = view.log()?;
    let mut rules = Vec::new();
    let mut heads = BinaryHeap::new();
    let known = view.rules()?.into_iter().map(|(rule, _)| rule);
    for rule in known.chain([store::RuleId::REST]) {
        let (held, front) = view.held(rule)?;
        if held.records == 0 || after.0 == u64::MAX {
            continue;
        }
        let mut entries = view.records(rule, after.next().max(front));
        if let Some(entry) = entries.next().transpose()? {
            heads.push(Reverse((entry.position, rules.len())));
            rules.push((entry, entries));
        }
    }
    let mut taken = Taken::new(limit);
    while let Some(Reverse((_, rule))) = heads.pop() {
        let (head, entries) = &mut rules[rule];
        let size = head.record.size();
        if !taken.take(size, || head.clone()) {
            return Ok(taken.page(after, false, horizon));
        }
        if let Some(entry) = entries.next().transpose()? {
            heads.push(Reverse((entry.position, rule)));
            *head = entry;
        }
    }
    let mut page = taken.page(after, true, horizon);
    page.through = page.through.max(last);
    Ok(page)
}

fn find(store: &Store, id: &str) -> Result<Option<Position>, ReadError> {
    let view = store.view();
    for place in view.id_places(id) {
        let (rule, position) = place?;
        if view.record(rule, position)?.is_some_and(|entry| entry.record.id.as_deref() == Some(id)) {
            return Ok(Some(position));
        }
    }
    Ok(None)
}

fn bounds(ledger: &Ledger) -> Bounds {
    let held = ledger.held();
    Bounds { horizon: ledger.horizon, last: ledger.last, records: held.records, bytes: held.bytes }
}

/// Cuts off what an unfinished write has left, and says how much it was.
fn torn(folder: &Folder) -> Result<u64, OpenError> {
    let store = folder.store();
    let io = |what, path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { what, path, source }
    };
    let end = match End::find(&store) {
        Ok(Some(end)) => end,
        Ok(None) => return Ok(0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(io("cannot read", &store)(error)),
    };
    if end.torn() > 0 {
        end.cut().map_err(io("cannot repair", end.path()))?;
    }
    Ok(end.torn())
}

/// Bytes of records that may wait to be written; who comes then waits before.
const WAITING: usize = 64 * 1024 * 1024;

/// What a record takes while it waits, besides its bytes.
const OVERHEAD: usize = 256;

/// So many read from the disk at once.
const READS: usize = 16;
