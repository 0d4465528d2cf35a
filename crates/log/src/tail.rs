//! From what is written to who reads it live: the newest records in memory, and the storage behind them.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;

use crate::{Entry, Limit, Page, Position, ReadError, Record};

/// How far a log is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watermark {
    pub(crate) last: Position,
    pub(crate) closed: bool,
}

/// What a tail reads from.
pub(crate) trait Source: Debug + Send + Sync + 'static {
    /// What follows a place, from memory if it is there.
    fn page(&self, after: Position, limit: Limit) -> impl Future<Output = Result<Page, ReadError>> + Send;
}

/// Streams all records after a position, those that the log holds and those that come, until the log is closed and all of it has been read.
///
/// `horizon` is that of the log now: a tail from [`Position::START`] asks for the records held now, and all later ones.
pub(crate) fn tail<S: Source>(
    source: Arc<S>,
    after: Position,
    horizon: Position,
    marks: watch::Receiver<Watermark>,
) -> BoxStream<'static, Result<Vec<Entry>, ReadError>> {
    let not_missed = if after == Position::START { horizon } else { Position::START };
    let start = Cursor { source, after, not_missed, marks, failed: false };
    stream::unfold(start, |mut cursor| async move { cursor.next().await.map(|item| (item, cursor)) }).boxed()
}

struct Cursor<S> {
    source: Arc<S>,
    after: Position,
    /// The records up to here that retention has dropped were not asked for.
    not_missed: Position,
    marks: watch::Receiver<Watermark>,
    failed: bool,
}

impl<S: Source> Cursor<S> {
    async fn next(&mut self) -> Option<Result<Vec<Entry>, ReadError>> {
        if std::mem::take(&mut self.failed) {
            tokio::time::sleep(RETRY).await;
        }
        loop {
            // Looked at before reading: what is kept from here on changes it, and ends the wait.
            let mark = *self.marks.borrow_and_update();
            let page = match self.source.page(self.after, PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            };
            let horizon = page.horizon_of_all();
            if horizon > self.after.max(self.not_missed) {
                let missed = ReadError::Missed { after: self.after, horizon };
                self.after = horizon;
                return Some(Err(missed));
            }
            self.after = page.through.max(self.after);
            if !page.entries.is_empty() {
                return Some(Ok(page.entries));
            }
            if !page.end {
                continue;
            }
            if mark.closed && self.after >= mark.last {
                return None;
            }
            if self.marks.changed().await.is_err() {
                return None;
            }
        }
    }
}

/// What a tail reads at once.
const PAGE: Limit = Limit { records: 512, bytes: 1024 * 1024 };

/// The pause after an error.
const RETRY: Duration = Duration::from_millis(100);

/// The newest records in memory, whether retention keeps them or not. They weigh at most [`Record::BATCH_WEIGHT`], so
/// that a tail which was up to date before an append gets all of that append, however large it is.
#[derive(Debug)]
pub(crate) struct Recent {
    entries: VecDeque<Entry>,
    weight: usize,
    /// Every record after this one is here.
    floor: Position,
}

impl Recent {
    pub(crate) fn new(floor: Position) -> Self {
        Self { entries: VecDeque::new(), weight: 0, floor }
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.weight += entry.record.weight();
        self.entries.push_back(entry);
        while self.weight > Record::BATCH_WEIGHT {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.weight -= oldest.record.weight();
            self.floor = oldest.position;
        }
    }

    /// What follows a place, unless some of that is here no more.
    pub(crate) fn page(&self, after: Position, limit: Limit) -> Option<Page> {
        if after < self.floor {
            return None;
        }
        let first = self.entries.partition_point(|entry| entry.position <= after);
        let mut taken = PageBuilder::new(limit);
        let end = self.entries.range(first..).all(|entry| taken.copy(entry));
        Some(taken.page(after, end, [Position::START; 2]))
    }
}

/// A page that fills.
#[derive(Debug)]
pub(crate) struct PageBuilder {
    limit: Limit,
    entries: Vec<Entry>,
    bytes: usize,
}

impl PageBuilder {
    pub(crate) fn new(limit: Limit) -> Self {
        Self { limit, entries: Vec::new(), bytes: 0 }
    }

    /// Whether a record of this size is within the limit. The first record always is.
    pub(crate) fn has_room(&self, size: usize) -> bool {
        self.entries.is_empty()
            || self.entries.len() < self.limit.records && self.bytes + size <= self.limit.bytes
    }

    /// Adds a record.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.bytes += entry.record.size();
        self.entries.push(entry);
    }

    /// Adds a copy of a record if there is room for it; whether it was added.
    pub(crate) fn copy(&mut self, entry: &Entry) -> bool {
        let has_room = self.has_room(entry.record.size());
        if has_room {
            self.push(entry.clone());
        }
        has_room
    }

    /// What was taken of what follows `after`: all of it, if this is the `end`.
    pub(crate) fn page(self, after: Position, end: bool, horizons: [Position; 2]) -> Page {
        let [horizon, separate_horizon] = horizons;
        let through = self.entries.last().map_or(after, |entry| entry.position);
        Page { entries: self.entries, through, end, horizon, separate_horizon }
    }
}
