//! What the writer and those who read share: the store while it is open, and what was written last.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tracing::{error, warn};

use super::DurableOptions;
use super::directory::Directory;
use super::journal_repair::{self, truncate_torn_tail};
use super::ledger::Ledger;
use super::read::page;
use super::store::Store;
use super::writer::Failure;
use crate::tail::{Recent, Source, Watermark};
use crate::{Bounds, Entry, Epoch, Limit, Page, Position, ReadError};

/// What the writer and those who read share.
pub(super) struct Shared {
    pub(super) path: PathBuf,
    pub(super) epoch: Epoch,
    /// None after an attempt to open it again has failed, and after the end. Locked while it is opened again.
    store: RwLock<Option<Arc<Store>>>,
    /// Let go after the store.
    folder: Mutex<Option<Directory>>,
    /// All has been written that was to be.
    clean: AtomicBool,
    /// And it is in tables.
    settled: AtomicBool,
    /// The writer has ended: who leaves last lets the store go.
    ended: AtomicBool,
    tails: AtomicUsize,
    shown: Mutex<Shown>,
    pub(super) marks: watch::Sender<Watermark>,
    /// So many read from the disk at once.
    reads: Arc<Semaphore>,
}

/// What is seen of the log without looking into the store.
#[derive(Debug)]
pub(super) struct Shown {
    recent: Recent,
    pub(super) bounds: Bounds,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(folder: Directory, store: Store, ledger: &Ledger) -> Self {
        let (marks, _) = watch::channel(Watermark { last: ledger.last, closed: false });
        Self {
            path: folder.path().to_owned(),
            epoch: store.epoch(),
            store: RwLock::new(Some(Arc::new(store))),
            folder: Mutex::new(Some(folder)),
            clean: AtomicBool::new(false),
            settled: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            tails: AtomicUsize::new(0),
            shown: Mutex::new(Shown { recent: Recent::new(ledger.last), bounds: bounds(ledger) }),
            marks,
            reads: Arc::new(Semaphore::new(READS)),
        }
    }

    pub(super) fn store(&self) -> Option<Arc<Store>> {
        self.store.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn folder(&self) -> MutexGuard<'_, Option<Directory>> {
        self.folder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads from the store, where it makes nobody wait but who asks.
    pub(super) async fn reading<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Store) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let turn = Arc::clone(&self.reads).acquire_owned().await;
        let shared = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let store = shared.store().ok_or_else(|| {
                ReadError::Unavailable("it is closed, or it failed and has not been reopened yet".to_owned())
            })?;
            read(&store)
        });
        done.await.unwrap_or_else(|error| Err(ReadError::Damaged(error.to_string())))
    }

    /// Shows what has been written.
    pub(super) fn show(&self, entries: Vec<Entry>, ledger: &Ledger) {
        let mut shown = self.shown();
        shown.bounds = bounds(ledger);
        entries.into_iter().for_each(|entry| shown.recent.push(entry));
        drop(shown);
        self.marks.send_if_modified(|mark| std::mem::replace(&mut mark.last, ledger.last) != ledger.last);
    }

    /// Notes that the log may be written.
    pub(super) fn begin(&self) -> io::Result<()> {
        self.folder().as_mut().map_or(Ok(()), Directory::begin)
    }

    pub(super) fn is_running(&self) -> bool {
        self.folder().as_ref().is_some_and(Directory::is_running)
    }

    pub(super) fn probe(&self) -> io::Result<()> {
        self.folder().as_ref().map_or(Ok(()), Directory::probe)
    }

    /// Opens the store again after it has failed, and lets `mend` put it in order, which learns whether a journal has lost records.
    /// Readers wait until the store is in order: before, they could read refused records, or pass over lost ones unnoticed.
    pub(super) fn reopen<T>(
        &self,
        options: &DurableOptions,
        mend: impl FnOnce(&Store, bool) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut opened = self.store.write().unwrap_or_else(PoisonError::into_inner);
        take(&mut opened);
        let folder = self.folder();
        let folder = folder.as_ref().ok_or(Failure::Gone)?;
        let repaired = truncate_torn_tail(folder).map_err(|error| io::Error::other(error.to_string()))?;
        let store = Store::open(&folder.store(), options, self.epoch)?;
        let mended = mend(&store, repaired.damaged)?;
        folder.clear_damage();
        *opened = Some(Arc::new(store));
        Ok(mended)
    }

    /// Notes that all is written, and whether the journals are needed no more.
    pub(super) fn set_clean(&self, settled: bool) {
        self.settled.store(settled, Ordering::SeqCst);
        self.clean.store(true, Ordering::SeqCst);
    }

    /// Ends the log, and the tails once they have read it.
    pub(super) fn end(&self) {
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
            && let Err(error) = journal_repair::empty(&folder.store())
        {
            warn!(folder = %self.path.display(), "cannot empty the journals, so the next start takes longer: {error}");
        }
        if let Err(error) = folder.end() {
            error!(folder = %self.path.display(), "cannot mark the log as closed, so the next start has to check it: {error}");
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
pub(super) struct Follower(Arc<Shared>);

impl Follower {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
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

fn bounds(ledger: &Ledger) -> Bounds {
    let held = ledger.held();
    Bounds {
        horizon: ledger.horizon,
        separate_horizon: ledger.separate_horizon,
        last: ledger.last,
        records: held.records,
        bytes: held.bytes,
    }
}

/// So many read from the disk at once.
const READS: usize = 16;
