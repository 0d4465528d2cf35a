//! The one thread that writes: it takes all that waits, writes it at once, and answers.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use fjall::PersistMode;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::{error, info, warn};

use super::codec::encode_keys;
use super::directory::PROBE;
use super::last_position::Used;
use super::ledger::Ledger;
use super::plan::Plan;
use super::shared::Shared;
use super::store::Store;
use super::{Durability, DurableOptions};
use crate::idempotency::{KeyedAppend, UsedKeys};
use crate::{AppendError, Appended, IdempotencyKey, Position, Record};

/// What waits to be written.
#[derive(Debug)]
pub(super) enum Message {
    Append(Request),
    Close(oneshot::Sender<Result<(), AppendError>>),
}

#[derive(Debug)]
pub(super) struct Request {
    /// Each with its rule.
    pub(super) records: Vec<(usize, Record)>,
    pub(super) key: Option<IdempotencyKey>,
    pub(super) size: usize,
    pub(super) answer: oneshot::Sender<Result<Appended, AppendError>>,
    /// Its share of what may wait.
    pub(super) _room: OwnedSemaphorePermit,
}

#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    options: DurableOptions,
    ledger: Ledger,
    keys: UsedKeys,
    /// The place of the next record.
    next: Position,
    /// Since when something is not synced, or, without answers that wait for it, not written.
    dirty: Option<Instant>,
    broken: Option<Broken>,
    used: Used,
}

/// What keeps the log from being written.
#[derive(Debug)]
struct Broken {
    error: AppendError,
    /// When to try again.
    retry: Instant,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        options: DurableOptions,
        ledger: Ledger,
        keys: UsedKeys,
        next: Position,
        used: Used,
    ) -> Self {
        Self { shared, options, ledger, keys, next, dirty: None, broken: None, used }
    }

    /// Writes until the log is closed, or nobody is left to close it.
    pub(super) fn run(mut self, messages: &Receiver<Message>, unclean: bool) {
        // However it ends, the tails do, too.
        let _ended = Ended(Arc::clone(&self.shared));
        if unclean {
            self.settle();
        }
        loop {
            let message = match self.timeout() {
                Some(timeout) => messages.recv_timeout(timeout),
                None => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let ended = match message {
                Ok(message) => self.gather(message, messages),
                Err(RecvTimeoutError::Timeout) => ControlFlow::Continue(()),
                Err(RecvTimeoutError::Disconnected) => ControlFlow::Break(None),
            };
            if let ControlFlow::Break(answer) = ended {
                let finished = self.finish();
                self.shared.end();
                if let (Err(error), None) = (&finished, &answer) {
                    error!(folder = %self.shared.path.display(), "cannot complete the log before closing it: {error}");
                }
                answer.map(|answer| answer.send(finished));
                return;
            }
            self.run_maintenance();
        }
    }

    /// Has what was found in journals put into tables, so that another start does not find it there again.
    fn settle(&self) {
        if let Some(Err(error)) = self.shared.store().map(|store| store.begin_to_settle()) {
            warn!(folder = %self.shared.path.display(), "cannot write the journals into tables, so the next start takes longer: {error:?}");
        }
    }

    /// How long nothing is to be done if nothing comes; for ever if there is nothing to do.
    fn timeout(&self) -> Option<Duration> {
        if let Some(broken) = &self.broken {
            return Some(broken.retry.saturating_duration_since(Instant::now()));
        }
        let sync = self.dirty.map(|since| {
            (since + self.options.durability.interval()).saturating_duration_since(Instant::now())
        });
        let now = self.options.clock.now();
        let due = if self.ledger.is_due(now) {
            Some(Duration::ZERO)
        } else {
            self.ledger.rest_until_due(now).map(|rest| rest.min(PATIENCE))
        };
        sync.into_iter().chain(due).min()
    }

    /// Writes what has come, and all that waits behind it, as far as one write should go. Breaks at the end of the log.
    fn gather(
        &mut self,
        message: Message,
        messages: &Receiver<Message>,
    ) -> ControlFlow<Option<oneshot::Sender<Result<(), AppendError>>>> {
        let mut group = Vec::new();
        let (mut records, mut bytes) = (0, 0);
        let mut next = Some(message);
        let ended = loop {
            match next {
                None => break ControlFlow::Continue(()),
                Some(Message::Close(answer)) => break ControlFlow::Break(Some(answer)),
                Some(Message::Append(request)) => {
                    records += request.records.len();
                    bytes += request.size;
                    group.push(request);
                }
            }
            next = if records < GROUP && bytes < GROUP_SIZE { messages.try_recv().ok() } else { None };
        };
        if !group.is_empty() {
            self.write_group(group);
        }
        ended
    }

    /// Writes a group and answers; if the store fails, once more when it has been mended.
    fn write_group(&mut self, group: Vec<Request>) {
        let written = match self.mended() {
            Ok(()) => self.write(&group).or_else(|failure| {
                self.fail(&failure);
                self.mended().and_then(|()| {
                    self.write(&group).map_err(|failure| {
                        self.fail(&failure);
                        failure.into_answer()
                    })
                })
            }),
            Err(error) => Err(error),
        };
        match written {
            Ok(answers) => {
                for (request, answer) in group.into_iter().zip(answers) {
                    // A caller that has gone does not wait for its answer.
                    _ = request.answer.send(answer);
                }
            }
            Err(error) => {
                for request in group {
                    _ = request.answer.send(Err(error.clone()));
                }
            }
        }
    }

    /// Writes the records of a group, except those of repeated appends, and returns the answer to each append.
    fn write(&mut self, group: &[Request]) -> Result<Vec<Result<Appended, AppendError>>, Failure> {
        let first = self.next;
        let Decided { answers, next, keyed, forgotten, time } = self.decide(group);
        // These positions are used, even if the write fails.
        self.next = next;
        if next == first && forgotten.is_empty() {
            return Ok(answers);
        }
        let added = group.iter().zip(&answers).filter(|(_, answer)| adds_records(answer));
        let records = added.flat_map(|(request, _)| request.records.iter().cloned());
        self.commit(|store, ledger, now| {
            let mut plan = Plan::new(store, ledger, first, records, now)?;
            if !keyed.is_empty() {
                plan.changes.insert_keys(first, &encode_keys(&keyed, time));
            }
            forgotten.into_iter().for_each(|write| plan.changes.remove_keys(write));
            Ok(plan)
        })?;
        Ok(answers)
    }

    /// Decides which appends of a group add records and at which positions, and remembers their keys. If the write then fails,
    /// [`mend`](Self::mend) reads the keys again before the next write.
    fn decide(&mut self, group: &[Request]) -> Decided {
        let time = self.options.clock.now();
        let has_keys = group.iter().any(|request| request.key.is_some());
        let mut forgotten = if has_keys { self.keys.forget(time) } else { Vec::new() };
        let mut keyed = Vec::new();
        let mut next = self.next;
        let answers = group.iter().map(|request| {
            if let Some(answer) = request.key.and_then(|key| self.keys.find(&key)) {
                return answer;
            }
            let first = next;
            next = Position(first.0 + request.records.len() as u64);
            if let Some(key) = request.key {
                let count = u32::try_from(request.records.len()).expect("an append's records are limited");
                let append = KeyedAppend { key, first, count };
                self.keys.insert(append, self.next, time);
                keyed.push(append);
            }
            Ok(Appended { positions: (first.0..next.0).map(Position).collect(), repeated: false })
        });
        let answers = answers.collect();
        if !keyed.is_empty() {
            forgotten.extend(self.keys.forget(time));
        }
        Decided { answers, next, keyed, forgotten, time }
    }

    /// Writes what was planned, and shows it to who reads live.
    fn commit<P>(&mut self, plan: P) -> Result<(), Failure>
    where
        P: for<'a> FnOnce(&'a Store, &Ledger, SystemTime) -> Result<Plan<'a>, crate::ReadError>,
    {
        self.shared.begin()?;
        let store = self.shared.store().ok_or(Failure::Gone)?;
        store.make_room()?;
        if self.ledger.unindexed > self.options.write_buffer {
            store.ids.index()?;
            self.ledger.set_indexed();
        }
        let plan = plan(&store, &self.ledger, self.options.clock.now())?;
        let mode = if plan.reserves { Some(PersistMode::SyncAll) } else { self.options.durability.mode() };
        plan.changes.commit(mode)?;
        if matches!(mode, None | Some(PersistMode::Buffer)) && self.dirty.is_none() {
            self.dirty = Some(Instant::now());
        }
        if !plan.entries.is_empty() {
            self.used.write(plan.ledger.last)?;
        }
        self.ledger = plan.ledger;
        self.shared.show(plan.entries, &self.ledger);
        Ok(())
    }

    /// What is to be done without anybody who asks: syncs, lets go what is too old, mends.
    fn run_maintenance(&mut self) {
        if self.broken.is_some() {
            _ = self.mended();
            return;
        }
        if self.dirty.is_some_and(|since| since.elapsed() >= self.options.durability.interval())
            && let Err(failure) = self.sync()
        {
            return self.fail(&failure);
        }
        if self.ledger.is_due(self.options.clock.now()) {
            let next = self.next;
            if let Err(failure) = self.commit(|store, ledger, now| Plan::new(store, ledger, next, [], now)) {
                self.fail(&failure);
            }
        }
    }

    fn sync(&mut self) -> Result<(), Failure> {
        let store = self.shared.store().ok_or(Failure::Gone)?;
        store.persist(self.options.durability.later())?;
        self.dirty = None;
        Ok(())
    }

    fn fail(&mut self, failure: &Failure) {
        let answer = failure.answer();
        warn!(folder = %self.shared.path.display(), "{answer}; the store reports {failure}");
        self.broken = Some(Broken { error: answer, retry: Instant::now() });
    }

    /// Mends what is broken, if it is time to try.
    fn mended(&mut self) -> Result<(), AppendError> {
        let Some(broken) = &self.broken else { return Ok(()) };
        if broken.retry > Instant::now() {
            return Err(broken.error.clone());
        }
        match self.mend() {
            Ok(()) => {
                self.broken = None;
                info!(folder = %self.shared.path.display(), last = %self.ledger.last, "the log can be written to again");
                Ok(())
            }
            Err(failure) => {
                let error = failure.answer();
                self.broken = Some(Broken { error: error.clone(), retry: Instant::now() + RETRY });
                Err(error)
            }
        }
    }

    /// Opens the store again, because one that failed to write refuses all later writes. Until there is room for that, readers
    /// read from the failed store.
    fn mend(&mut self) -> Result<(), Failure> {
        self.shared.probe()?;
        let (last, retention) = (self.ledger.last, &self.options.retention);
        let folder = self.shared.path.display();
        let (ledger, keys) = self.shared.reopen(&self.options, |store, damaged| {
            let Ok((mut ledger, rules)) = Ledger::load(store, retention)? else {
                return Err(io::Error::other("it has too many retention rules").into());
            };
            rules.commit(Some(PersistMode::Buffer))?;
            if ledger.last > last {
                // What was refused must not be read.
                let plan = Plan::cut(store, &ledger, last)?;
                plan.changes.commit(Some(PersistMode::SyncAll))?;
                ledger = plan.ledger;
            }
            if ledger.last < last || damaged {
                // Records that were answered before they were written, or whose journal is damaged.
                error!(%folder, upto = last.0, "confirmed records are lost: subscribers that resume receive a `reset` event");
                let mut changes = store.changes();
                ledger.skip_to(last, &mut changes);
                changes.commit(Some(PersistMode::SyncAll))?;
            }
            Ok((ledger, store.view().used_keys()?))
        })?;
        self.shared.show(Vec::new(), &ledger);
        (self.ledger, self.keys) = (ledger, keys);
        self.dirty = None;
        Ok(())
    }

    /// Writes the end of the log.
    fn finish(&mut self) -> Result<(), AppendError> {
        if let Some(broken) = &mut self.broken {
            broken.retry = Instant::now();
        }
        self.mended()?;
        let ended = (|| {
            let Some(store) = self.shared.store() else { return Err(Failure::Gone) };
            if !self.shared.is_running() {
                return Ok(false);
            }
            // Nothing else is used: the next start goes on without a gap.
            store.ids.index()?;
            self.ledger.set_indexed();
            let mut changes = store.changes();
            self.ledger.write(&mut changes);
            changes.set_reserved(Position(self.next.0 - 1));
            changes.commit(Some(PersistMode::SyncAll))?;
            Ok(store.settle()?)
        })();
        let settled = ended.map_err(Failure::into_answer)?;
        self.shared.set_clean(settled);
        Ok(())
    }
}

/// The decision on the appends of a group.
struct Decided {
    answers: Vec<Result<Appended, AppendError>>,
    /// The position after the added records.
    next: Position,
    /// The appends with keys that add records.
    keyed: Vec<KeyedAppend>,
    /// Earlier writes of which every key is forgotten.
    forgotten: Vec<Position>,
    time: SystemTime,
}

fn adds_records(answer: &Result<Appended, AppendError>) -> bool {
    matches!(answer, Ok(Appended { repeated: false, .. }))
}

/// Ends the log when it is dropped.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Why the store has not done what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0:?}")]
    Store(fjall::Error),
    #[error("{0}")]
    Read(#[from] crate::ReadError),
    #[error("that it is not open")]
    Gone,
}

impl From<fjall::Error> for Failure {
    fn from(error: fjall::Error) -> Self {
        match error {
            fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => Self::Io(error),
            error => Self::Store(error),
        }
    }
}

impl Failure {
    fn answer(&self) -> AppendError {
        let Self::Io(error) = self else { return AppendError::Unavailable(self.to_string()) };
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => AppendError::Full(format!(
                "{error}; free at least {} MiB on its disk, or reduce the retention",
                PROBE >> 20
            )),
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                AppendError::Unavailable(format!("{error}; allow this process to write to its folder"))
            }
            _ => AppendError::Unavailable(error.to_string()),
        }
    }

    fn into_answer(self) -> AppendError {
        self.answer()
    }
}

impl Durability {
    /// How each group is written.
    fn mode(self) -> Option<PersistMode> {
        match self {
            Self::Memory(_) => None,
            Self::Periodic(_) => Some(PersistMode::Buffer),
            Self::Sync => Some(PersistMode::SyncData),
        }
    }

    /// How what is written is made surer, later.
    fn later(self) -> PersistMode {
        match self {
            Self::Memory(_) => PersistMode::Buffer,
            Self::Periodic(_) | Self::Sync => PersistMode::SyncData,
        }
    }

    fn interval(self) -> Duration {
        match self {
            Self::Memory(interval) | Self::Periodic(interval) => interval,
            Self::Sync => Duration::ZERO,
        }
    }
}

/// Records and bytes after which a group is full.
const GROUP: usize = 4096;
const GROUP_SIZE: usize = 4 * 1024 * 1024;

/// The clock is looked at at least so often, if records become too old: it may jump.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between attempts to write again.
const RETRY: Duration = Duration::from_millis(500);
