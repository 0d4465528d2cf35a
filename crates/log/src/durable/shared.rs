//! The state that the writer shares with readers: the open store, the newest records, and the bounds.
//!
//! Reads of the store run on threads for blocking calls. The store closes after the log and its last tail.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tracing::{error, warn};

use super::directory::Directory;
use super::failure::Failure;
use super::journal_repair::{self, truncate_torn_tail};
use super::ledger::Ledger;
use super::options::DurableOptions;
use super::read::read_page;
use super::store::Store;
use crate::tail::{RecentRecords, Source, Watermark};
use crate::{Bounds, Entry, Epoch, Limit, Page, Position, ReadError};

/// The state that the writer shares with readers.
pub(super) struct Shared {
    pub(super) path: PathBuf,
    pub(super) epoch: Epoch,
    /// `None` after a failed attempt to reopen it, and after the end. A reopen holds the lock.
    store: RwLock<Option<Arc<Store>>>,
    /// Unlocked after the store is closed.
    directory: Mutex<Option<Directory>>,
    /// The writer has written all records.
    complete: AtomicBool,
    /// All records are in tables.
    flushed: AtomicBool,
    /// The writer has ended: the last tail closes the store.
    ended: AtomicBool,
    tails: AtomicUsize,
    live: Mutex<Live>,
    pub(super) watermark: watch::Sender<Watermark>,
    /// The permits of concurrent reads.
    read_permits: Arc<Semaphore>,
}

/// The part of the log that readers get from memory.
#[derive(Debug)]
pub(super) struct Live {
    recent: RecentRecords,
    pub(super) bounds: Bounds,
    /// The position up to which no rule holds a record.
    pub(super) empty_upto: Position,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(directory: Directory, store: Store, ledger: &Ledger) -> Self {
        let (watermark, _) = watch::channel(Watermark { last: ledger.last, closed: false });
        Self {
            path: directory.path().to_owned(),
            epoch: store.epoch(),
            store: RwLock::new(Some(Arc::new(store))),
            directory: Mutex::new(Some(directory)),
            complete: AtomicBool::new(false),
            flushed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            tails: AtomicUsize::new(0),
            live: Mutex::new(Live {
                recent: RecentRecords::new(ledger.last),
                bounds: bounds(ledger),
                empty_upto: ledger.empty_upto(),
            }),
            watermark,
            read_permits: Arc::new(Semaphore::new(MAX_READS)),
        }
    }

    pub(super) fn store(&self) -> Option<Arc<Store>> {
        self.store.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn directory(&self) -> MutexGuard<'_, Option<Directory>> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads from the store on a thread for blocking calls.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Store) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let permit = Arc::clone(&self.read_permits).acquire_owned().await;
        let shared = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let store = shared.store().ok_or_else(|| {
                ReadError::Unavailable("it is closed, or it failed and has not been reopened yet".to_owned())
            })?;
            read(&store)
        });
        done.await.unwrap_or_else(|error| Err(ReadError::Damaged(error.to_string())))
    }

    /// Shows written records and their bounds to readers, and wakes the tails.
    pub(super) fn show(&self, entries: Vec<Entry>, ledger: &Ledger) {
        let mut live = self.live();
        (live.bounds, live.empty_upto) = (bounds(ledger), ledger.empty_upto());
        entries.into_iter().for_each(|entry| live.recent.push(entry));
        drop(live);
        self.watermark
            .send_if_modified(|watermark| std::mem::replace(&mut watermark.last, ledger.last) != ledger.last);
    }

    /// Marks in the folder that the log may be written.
    pub(super) fn mark_running(&self) -> io::Result<()> {
        self.directory().as_mut().map_or(Ok(()), Directory::mark_running)
    }

    pub(super) fn is_running(&self) -> bool {
        self.directory().as_ref().is_some_and(Directory::is_running)
    }

    /// Checks that the folder can be written and its disk has room.
    pub(super) fn probe(&self) -> io::Result<()> {
        self.directory().as_ref().map_or(Ok(()), Directory::probe)
    }

    /// Opens the store again after a failure, and repairs its content with `repair`.
    ///
    /// The second argument of `repair` is true if a journal has lost records. Readers wait for the end of the
    /// repair: before it, they could read refused records, or miss lost records without learning of it.
    pub(super) fn reopen<T>(
        &self,
        options: &DurableOptions,
        repair: impl FnOnce(&Store, bool) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut opened = self.store.write().unwrap_or_else(PoisonError::into_inner);
        close_store(&mut opened);
        let directory = self.directory();
        let directory = directory.as_ref().ok_or(Failure::Closed)?;
        let repaired = truncate_torn_tail(directory).map_err(|error| io::Error::other(error.to_string()))?;
        let store = Store::open(&directory.store_path(), options, self.epoch)?;
        let result = repair(&store, repaired.damaged)?;
        directory.clear_damage();
        *opened = Some(Arc::new(store));
        Ok(result)
    }

    /// Sets that all records are written, and whether all of them are in tables.
    pub(super) fn set_complete(&self, flushed: bool) {
        self.flushed.store(flushed, Ordering::SeqCst);
        self.complete.store(true, Ordering::SeqCst);
    }

    /// Ends the log. Each tail ends once it has read all records.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.watermark.send_modify(|watermark| watermark.closed = true);
        self.close_if_unused();
    }

    /// Closes the store and unlocks the folder if the log has ended and has no tail.
    fn close_if_unused(&self) {
        if !self.ended.load(Ordering::SeqCst) || self.tails.load(Ordering::SeqCst) > 0 {
            return;
        }
        close_store(&mut self.store.write().unwrap_or_else(PoisonError::into_inner));
        let Some(mut directory) = self.directory().take() else { return };
        if !self.complete.load(Ordering::SeqCst) {
            return;
        }
        if self.flushed.load(Ordering::SeqCst)
            && let Err(error) = journal_repair::clear_journals(&directory.store_path())
        {
            let folder = self.path.display();
            warn!(%folder, "cannot empty the journals, so the next start takes longer: {error}");
        }
        if let Err(error) = directory.mark_closed() {
            let folder = self.path.display();
            error!(%folder, "cannot mark the log as closed, so the next start has to check it: {error}");
        }
    }
}

/// Closes the store after its present reads have ended.
fn close_store(store: &mut Option<Arc<Store>>) {
    let Some(mut store) = store.take() else { return };
    loop {
        match Arc::try_unwrap(store) {
            Ok(store) => return drop(store),
            Err(shared) => store = shared,
        }
        // The wait is short: a reader holds the store for one page.
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// The records of the log for a tail. The store stays open while a value of this type exists.
#[derive(Debug)]
pub(super) struct TailSource(Arc<Shared>);

impl TailSource {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        shared.tails.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(shared))
    }
}

impl Drop for TailSource {
    fn drop(&mut self) {
        let shared = Arc::clone(&self.0);
        shared.tails.fetch_sub(1, Ordering::SeqCst);
        if shared.ended.load(Ordering::SeqCst) {
            // Closing the store blocks, and this thread may run futures.
            std::thread::spawn(move || shared.close_if_unused());
        }
    }
}

impl Source for TailSource {
    async fn page(&self, after: Position, limit: Limit) -> Result<Page, ReadError> {
        let recent = self.0.live().recent.page(after, limit);
        match recent {
            Some(page) => Ok(page),
            None => self.0.read(move |store| read_page(store, after, limit)).await,
        }
    }
}

fn bounds(ledger: &Ledger) -> Bounds {
    let held = ledger.held();
    Bounds { horizons: ledger.horizons(), last: ledger.last, records: held.records, bytes: held.bytes }
}

/// The most concurrent reads of the store.
const MAX_READS: usize = 16;
