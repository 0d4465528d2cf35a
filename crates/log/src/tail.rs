//! Tails: streams that read the newest records from memory and older ones from storage, without a gap.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;

use crate::{Entry, Horizons, Limit, Page, Position, ReadError, Record};

/// The last position of a log, and whether the log is closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watermark {
    pub(crate) last: Position,
    pub(crate) closed: bool,
}

/// The records that a tail reads, from memory or storage.
pub(crate) trait Source: Debug + Send + Sync + 'static {
    /// Reads the records after a position, from memory if they are all there.
    fn page(&self, after: Position, limit: Limit) -> impl Future<Output = Result<Page, ReadError>> + Send;
}

/// Streams all records after a position, and then each new one, until the log is closed and fully read.
///
/// `horizon` is the present horizon of the log: a tail from [`Position::START`] asks for the records that are
/// held now, and all later ones.
pub(crate) fn tail<S: Source>(
    source: Arc<S>,
    after: Position,
    horizon: Position,
    watermark: watch::Receiver<Watermark>,
) -> BoxStream<'static, Result<Vec<Entry>, ReadError>> {
    let ignored_upto = if after == Position::START { horizon } else { Position::START };
    let start = Cursor { source, after, ignored_upto, watermark, failed: false };
    stream::unfold(start, |mut cursor| async move { cursor.next().await.map(|item| (item, cursor)) }).boxed()
}

/// A position in the log, and the source of the records after it.
struct Cursor<S> {
    source: Arc<S>,
    after: Position,
    /// Dropped records up to this position are not reported: the tail did not ask for them.
    ignored_upto: Position,
    watermark: watch::Receiver<Watermark>,
    failed: bool,
}

impl<S: Source> Cursor<S> {
    async fn next(&mut self) -> Option<Result<Vec<Entry>, ReadError>> {
        if std::mem::take(&mut self.failed) {
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        loop {
            // The watermark is read before the page, so that every later append ends the wait below.
            let watermark = *self.watermark.borrow_and_update();
            let page = match self.source.page(self.after, PAGE_LIMIT).await {
                Ok(page) => page,
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            };
            let horizon = page.horizons.of_all();
            if horizon > self.after.max(self.ignored_upto) {
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
            if watermark.closed && self.after >= watermark.last {
                return None;
            }
            if self.watermark.changed().await.is_err() {
                return None;
            }
        }
    }
}

/// The most that a tail reads at once.
const PAGE_LIMIT: Limit = Limit { records: 512, bytes: 1024 * 1024 };

/// The pause after an error.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// The newest records, in memory, even if retention has dropped them.
///
/// They weigh at most [`Record::BATCH_WEIGHT`], so that a tail which was up to date before an append gets all
/// records of that append, however large it is.
#[derive(Debug)]
pub(crate) struct RecentRecords {
    entries: VecDeque<Entry>,
    weight: usize,
    /// Every record after this position is in `entries`.
    floor: Position,
}

impl RecentRecords {
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

    /// The records after a position; `None` if some of them are no longer in memory.
    pub(crate) fn page(&self, after: Position, limit: Limit) -> Option<Page> {
        if after < self.floor {
            return None;
        }
        let first = self.entries.partition_point(|entry| entry.position <= after);
        let mut page = PageBuilder::new(limit);
        let end = self.entries.range(first..).all(|entry| page.push_copy(entry));
        Some(page.finish(after, end, Horizons::default()))
    }
}

/// A page to which records are added up to its limit.
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

    /// Returns true if a record of this size fits within the limit. The first record always fits.
    pub(crate) fn has_room(&self, size: usize) -> bool {
        self.entries.is_empty()
            || self.entries.len() < self.limit.records && self.bytes + size <= self.limit.bytes
    }

    /// Adds a record.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.bytes += entry.record.size();
        self.entries.push(entry);
    }

    /// Adds a copy of a record and returns true, if the limit allows it.
    pub(crate) fn push_copy(&mut self, entry: &Entry) -> bool {
        let has_room = self.has_room(entry.record.size());
        if has_room {
            self.push(entry.clone());
        }
        has_room
    }

    /// The page of the added records, which follow `after`; `end` states that no further record follows.
    pub(crate) fn finish(self, after: Position, end: bool, horizons: Horizons) -> Page {
        let through = self.entries.last().map_or(after, |entry| entry.position);
        Page { entries: self.entries, through, end, horizons }
    }
}
