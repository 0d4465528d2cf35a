//! The writer: one thread, which writes all waiting appends at once and then confirms them.
//!
//! No other thread writes to the store. If a write fails, the writer reopens the store, and retries.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use fjall::PersistMode;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::{error, info, warn};

use super::codec::encode_keys;
use super::failure::Failure;
use super::last_position::LastPositionFile;
use super::ledger::Ledger;
use super::options::{Durability, DurableOptions};
use super::plan::Plan;
use super::shared::Shared;
use super::snapshot::Snapshot;
use super::store::Store;
use super::write_batch::WriteBatch;
use crate::idempotency::{KeyedAppend, UsedKeys};
use crate::{AppendError, Appended, IdempotencyKey, Position, Record};

/// A message to the writer.
#[derive(Debug)]
pub(super) enum Message {
    Append(Request),
    Close(oneshot::Sender<Result<(), AppendError>>),
}

/// An append that waits for the writer.
#[derive(Debug)]
pub(super) struct Request {
    /// The records, each with its rule.
    pub(super) records: Vec<(usize, Record)>,
    pub(super) key: Option<IdempotencyKey>,
    pub(super) size: usize,
    pub(super) answer: oneshot::Sender<Result<Appended, AppendError>>,
    /// The permit for the bytes that wait.
    pub(super) _permit: OwnedSemaphorePermit,
}

/// The state of the writer's thread.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    options: DurableOptions,
    ledger: Ledger,
    keys: UsedKeys,
    /// The position of the next record.
    next: Position,
    /// The time of the oldest write that is not synced yet or, with [`Durability::Memory`], only in memory.
    dirty: Option<Instant>,
    outage: Option<Outage>,
    last_position_file: LastPositionFile,
}

/// A failure of the store, which lasts until a reopen succeeds.
#[derive(Debug)]
struct Outage {
    error: AppendError,
    /// The time of the next attempt.
    retry: Instant,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        options: DurableOptions,
        ledger: Ledger,
        keys: UsedKeys,
        next: Position,
        last_position_file: LastPositionFile,
    ) -> Self {
        Self { shared, options, ledger, keys, next, dirty: None, outage: None, last_position_file }
    }

    /// Writes until the log is closed or dropped.
    pub(super) fn run(mut self, messages: &Receiver<Message>, unclean: bool) {
        // The tails end even if this thread panics.
        let _guard = EndGuard(Arc::clone(&self.shared));
        if unclean {
            self.start_flush();
        }
        loop {
            let message = match self.timeout() {
                Some(timeout) => messages.recv_timeout(timeout),
                None => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let ended = match message {
                Ok(message) => self.handle_message(message, messages),
                Err(RecvTimeoutError::Timeout) => ControlFlow::Continue(()),
                Err(RecvTimeoutError::Disconnected) => ControlFlow::Break(None),
            };
            if let ControlFlow::Break(answer) = ended {
                let finished = self.finish();
                self.shared.end();
                if let (Err(error), None) = (&finished, &answer) {
                    let folder = self.shared.path.display();
                    error!(%folder, "cannot complete the log before closing it: {error}");
                }
                answer.map(|answer| answer.send(finished));
                return;
            }
            self.run_maintenance();
        }
    }

    /// Starts to write the data of the journals into tables, so that the next start does not read it again.
    fn start_flush(&self) {
        if let Some(Err(error)) = self.shared.store().map(|store| store.start_flush()) {
            warn!(
                folder = %self.shared.path.display(),
                "cannot write the journals into tables, so the next start takes longer: {error:?}"
            );
        }
    }

    /// The time until the next maintenance if no message arrives; `None` if there is nothing to do.
    fn timeout(&self) -> Option<Duration> {
        if let Some(outage) = &self.outage {
            return Some(outage.retry.saturating_duration_since(Instant::now()));
        }
        let sync = self.dirty.map(|since| {
            (since + self.options.durability.interval()).saturating_duration_since(Instant::now())
        });
        let now = self.options.clock.now();
        let due = if self.ledger.is_due(now) {
            Some(Duration::ZERO)
        } else {
            self.ledger.time_until_due(now).map(|time| time.min(MAX_WAIT))
        };
        sync.into_iter().chain(due).min()
    }

    /// Handles a message and the waiting ones behind it, up to the size of one group.
    ///
    /// Breaks at the end of the log.
    fn handle_message(
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
            next =
                if records < GROUP_RECORDS && bytes < GROUP_BYTES { messages.try_recv().ok() } else { None };
        };
        if !group.is_empty() {
            self.write_group(group);
        }
        ended
    }

    /// Writes a group and answers its appends. If the store fails, reopens it and retries once.
    fn write_group(&mut self, group: Vec<Request>) {
        let written = match self.end_outage() {
            Ok(()) => self.write(&group).or_else(|failure| {
                self.start_outage(&failure);
                self.end_outage().and_then(|()| {
                    self.write(&group).map_err(|failure| {
                        self.start_outage(&failure);
                        failure.into_append_error()
                    })
                })
            }),
            Err(error) => Err(error),
        };
        match written {
            Ok(answers) => {
                for (request, answer) in group.into_iter().zip(answers) {
                    // The send fails if the caller has dropped its future, which is no error.
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

    /// Writes the records of a group, except those of repeated appends. Returns the result of each append.
    fn write(&mut self, group: &[Request]) -> Result<Vec<Result<Appended, AppendError>>, Failure> {
        let first = self.next;
        let Decision { answers, next, keyed, forgotten, time } = self.decide(group);
        // A failed write uses up its positions, too.
        self.next = next;
        if next == first && forgotten.is_empty() {
            return Ok(answers);
        }
        let added = group.iter().zip(&answers).filter(|(_, answer)| adds_records(answer));
        let records = added.flat_map(|(request, _)| request.records.iter().cloned());
        self.commit(|store, ledger, now| {
            let mut plan = Plan::new(store, ledger, first, records, now)?;
            if !keyed.is_empty() {
                plan.batch.insert_keys(first, &encode_keys(&keyed, time));
            }
            forgotten.into_iter().for_each(|write| plan.batch.remove_keys(write));
            Ok(plan)
        })?;
        Ok(answers)
    }

    /// Decides which appends of a group add records and at which positions, and remembers their keys.
    ///
    /// If the write fails later, [`reopen`](Self::reopen) reads the keys again before the next write.
    fn decide(&mut self, group: &[Request]) -> Decision {
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
        Decision { answers, next, keyed, forgotten, time }
    }

    /// Makes a plan, writes it, and shows its records to readers.
    fn commit<P>(&mut self, plan: P) -> Result<(), Failure>
    where
        P: for<'a> FnOnce(&'a Store, &Ledger, SystemTime) -> Result<Plan<'a>, crate::ReadError>,
    {
        self.shared.mark_running()?;
        let store = self.shared.store().ok_or(Failure::Closed)?;
        store.wait_for_room()?;
        if self.ledger.unindexed > self.options.write_buffer {
            store.ids.write_tables()?;
            self.ledger.set_indexed();
        }
        let plan = plan(&store, &self.ledger, self.options.clock.now())?;
        let mode = if plan.reserves { Some(PersistMode::SyncAll) } else { self.options.durability.mode() };
        plan.batch.commit(mode)?;
        if matches!(mode, None | Some(PersistMode::Buffer)) && self.dirty.is_none() {
            self.dirty = Some(Instant::now());
        }
        if !plan.entries.is_empty() {
            self.last_position_file.write(plan.ledger.last)?;
        }
        self.ledger = plan.ledger;
        self.shared.show(plan.entries, &self.ledger);
        Ok(())
    }

    /// Reopens a failed store, syncs, and drops records that are too old, if one of these is due.
    fn run_maintenance(&mut self) {
        if self.outage.is_some() {
            _ = self.end_outage();
            return;
        }
        if self.dirty.is_some_and(|since| since.elapsed() >= self.options.durability.interval())
            && let Err(failure) = self.sync()
        {
            return self.start_outage(&failure);
        }
        if self.ledger.is_due(self.options.clock.now()) {
            let next = self.next;
            if let Err(failure) = self.commit(|store, ledger, now| Plan::new(store, ledger, next, [], now)) {
                self.start_outage(&failure);
            }
        }
    }

    fn sync(&mut self) -> Result<(), Failure> {
        let store = self.shared.store().ok_or(Failure::Closed)?;
        store.persist(self.options.durability.deferred_mode())?;
        self.dirty = None;
        Ok(())
    }

    fn start_outage(&mut self, failure: &Failure) {
        let error = failure.append_error();
        warn!(folder = %self.shared.path.display(), "{error}; the store reports {failure}");
        self.outage = Some(Outage { error, retry: Instant::now() });
    }

    /// Reopens the store during an outage, if the next attempt is due.
    fn end_outage(&mut self) -> Result<(), AppendError> {
        let Some(outage) = &self.outage else { return Ok(()) };
        if outage.retry > Instant::now() {
            return Err(outage.error.clone());
        }
        match self.reopen() {
            Ok(()) => {
                self.outage = None;
                let folder = self.shared.path.display();
                info!(%folder, last = %self.ledger.last, "the log can be written to again");
                Ok(())
            }
            Err(failure) => {
                let error = failure.append_error();
                self.outage = Some(Outage { error: error.clone(), retry: Instant::now() + RETRY_INTERVAL });
                Err(error)
            }
        }
    }

    /// Opens the store again, because after a failed write it refuses all later ones.
    ///
    /// Until the disk has room for that, readers read from the failed store.
    fn reopen(&mut self) -> Result<(), Failure> {
        self.shared.probe()?;
        let (last, retention) = (self.ledger.last, &self.options.retention);
        let folder = self.shared.path.display();
        let (ledger, keys) = self.shared.reopen(&self.options, |store, damaged| {
            let Ok((mut ledger, rules)) = Ledger::load(store, retention)? else {
                return Err(io::Error::other("it has too many retention rules").into());
            };
            rules.commit(Some(PersistMode::Buffer))?;
            if ledger.last > last {
                // Readers must not get the records of refused appends.
                let plan = Plan::remove_after(store, &ledger, last)?;
                plan.batch.commit(Some(PersistMode::SyncAll))?;
                ledger = plan.ledger;
            }
            if ledger.last < last || damaged {
                // Confirmed records were not written yet, or their journal is damaged.
                error!(
                    %folder,
                    upto = last.0,
                    "confirmed records are lost: subscribers that resume receive a `reset` event"
                );
                let mut batch = WriteBatch::new(store);
                ledger.skip_to(last, &mut batch);
                batch.commit(Some(PersistMode::SyncAll))?;
            }
            Ok((ledger, Snapshot::new(store).used_keys()?))
        })?;
        self.shared.show(Vec::new(), &ledger);
        (self.ledger, self.keys) = (ledger, keys);
        self.dirty = None;
        Ok(())
    }

    /// Writes the ledger, and all data into tables, before the log closes.
    fn finish(&mut self) -> Result<(), AppendError> {
        if let Some(outage) = &mut self.outage {
            outage.retry = Instant::now();
        }
        self.end_outage()?;
        let flushed = (|| {
            let Some(store) = self.shared.store() else { return Err(Failure::Closed) };
            if !self.shared.is_running() {
                return Ok(false);
            }
            // No higher position is used, so the next start continues without a gap.
            store.ids.write_tables()?;
            self.ledger.set_indexed();
            let mut batch = WriteBatch::new(&store);
            self.ledger.write(&mut batch);
            batch.set_reserved(Position(self.next.0 - 1));
            batch.commit(Some(PersistMode::SyncAll))?;
            Ok(store.flush()?)
        })();
        let flushed = flushed.map_err(Failure::into_append_error)?;
        self.shared.set_complete(flushed);
        Ok(())
    }
}

/// The decision on the appends of a group.
struct Decision {
    answers: Vec<Result<Appended, AppendError>>,
    /// The position after the added records.
    next: Position,
    /// The appends with keys that add records.
    keyed: Vec<KeyedAppend>,
    /// Earlier writes whose keys are all forgotten.
    forgotten: Vec<Position>,
    time: SystemTime,
}

fn adds_records(answer: &Result<Appended, AppendError>) -> bool {
    matches!(answer, Ok(Appended { repeated: false, .. }))
}

/// A guard that ends the log when it is dropped.
struct EndGuard(Arc<Shared>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Durability {
    /// The mode of each write; `None` leaves it in memory.
    fn mode(self) -> Option<PersistMode> {
        match self {
            Self::Memory(_) => None,
            Self::Periodic(_) => Some(PersistMode::Buffer),
            Self::Sync => Some(PersistMode::SyncData),
        }
    }

    /// The mode of the later step that makes writes durable.
    fn deferred_mode(self) -> PersistMode {
        match self {
            Self::Memory(_) => PersistMode::Buffer,
            Self::Periodic(_) | Self::Sync => PersistMode::SyncData,
        }
    }

    /// The longest time until that step.
    fn interval(self) -> Duration {
        match self {
            Self::Memory(interval) | Self::Periodic(interval) => interval,
            Self::Sync => Duration::ZERO,
        }
    }
}

/// The records and bytes at which a group is complete.
const GROUP_RECORDS: usize = 4096;
const GROUP_BYTES: usize = 4 * 1024 * 1024;

/// The longest time between reads of the clock while records can expire, since the clock may jump.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The time between attempts to reopen the store.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
