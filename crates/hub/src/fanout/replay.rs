use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ssekit_log::{Limit, Log, Position, ReadError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::framing::Framing;
use super::{Frame, Interest};
use crate::log_limit::LogLimit;
use crate::mercure::Ids;

/// Reads for subscribers who are further behind than the window: a page each at a time, all within one budget of memory.
#[derive(Clone, Debug)]
pub(super) struct Replay {
    pub(super) log: Arc<dyn Log>,
    pub(super) ids: Ids,
    /// KiB.
    budget: Arc<Semaphore>,
    /// All of it.
    most: u32,
    pub(super) log_limit: Arc<LogLimit>,
}

/// What was read for a subscriber.
#[derive(Debug)]
pub(super) struct Page {
    /// What it may have of it, encoded.
    pub(super) bytes: Bytes,
    /// Everything up to here has been looked at.
    pub(super) through: Position,
    /// Records after the place where it stood may be gone, of which it has not been told.
    pub(super) lost: bool,
    /// It knows of records that are gone up to here, once it has been told of this page.
    pub(super) told: Option<Position>,
    /// How many events it has.
    pub(super) events: u64,
    /// Its part of the budget, until it has been written.
    pub(super) permit: OwnedSemaphorePermit,
}

impl Replay {
    pub(super) fn new(log: Arc<dyn Log>, budget: usize) -> Self {
        let ids = Ids::new(log.epoch());
        let most = u32::try_from((budget >> 10).max(PAGE >> 10)).unwrap_or(u32::MAX >> 3);
        Self { log, ids, budget: Arc::new(Semaphore::new(most as usize)), most, log_limit: Arc::default() }
    }

    /// Whether others may wait for what somebody has of the budget.
    pub(super) fn is_short(&self) -> bool {
        self.budget.available_permits() < PAGE >> 10
    }

    /// The next of what is for a subscriber, after one place and up to another. Empty only when there is nothing more.
    pub(super) async fn page(
        &self,
        interest: &Interest,
        framing: Framing,
        after: Position,
        told: Option<Position>,
        upto: Position,
    ) -> Result<Page, ReadError> {
        let mut room = (PAGE >> 10) as u32;
        loop {
            let permit = Arc::clone(&self.budget).acquire_many_owned(room).await;
            let permit = permit.map_err(|_| ReadError::Unavailable("the hub is ending".to_owned()))?;
            let page = self.read(interest, framing, after, told, upto, permit).await?;
            let needed = u32::try_from(page.bytes.len().div_ceil(1024)).unwrap_or(u32::MAX).min(self.most);
            if needed <= room {
                return Ok(page);
            }
            // One record is larger than what there was room for: it is let go, and waits for as much as it takes.
            room = needed;
        }
    }

    async fn read(
        &self,
        interest: &Interest,
        framing: Framing,
        after: Position,
        told: Option<Position>,
        upto: Position,
        permit: OwnedSemaphorePermit,
    ) -> Result<Page, ReadError> {
        let (mut after, mut told, mut lost, mut events) = (after, told, false, 0);
        let mut bytes = BytesMut::new();
        loop {
            let page = self.log.read(after, Limit { records: PAGE_RECORDS, bytes: PAGE }).await?;
            lost |= told.is_some_and(|told| page.horizon > after.max(told));
            after = page.through.min(upto);
            for entry in page.entries.into_iter().take_while(|entry| entry.position <= upto) {
                let frame = Frame::new(entry, &self.ids);
                if frame.is_for(interest) {
                    events += 1;
                    bytes.extend_from_slice(frame.piece.framed(framing));
                }
            }
            let done = page.end || after >= upto;
            if told.is_some() || !bytes.is_empty() || done {
                // It is told before the events of this page. Of records that are gone behind them, it will be told later.
                let all = lost && bytes.is_empty();
                told = Some(if all { page.horizon } else { page.horizon.min(after) });
            }
            if !bytes.is_empty() || done {
                let through = if done { upto } else { after };
                return Ok(Page { bytes: bytes.freeze(), through, lost, told, events, permit });
            }
            // A scan over what is not for this subscriber must not keep others from theirs.
            tokio::task::yield_now().await;
        }
    }
}

/// How much of the log is read at once, in bytes; one record may be more.
const PAGE: usize = 256 << 10;
/// How many records are read at once.
const PAGE_RECORDS: usize = 4096;
