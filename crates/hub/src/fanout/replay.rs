//! Replay: pages of the log for subscribers that are behind the window.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use ssekit_log::{Limit, Log, Position, ReadError};
use ssekit_mercure::Ids;

use super::background::Background;
use super::budget::{Budget, Charge};
use super::framing::Framing;
use super::turns::{Lane, Turn, Turns};
use super::{Frame, Interest};
use crate::log_limit::LogLimit;

/// Reads the log for subscribers that are behind the window.
///
/// Each gets a page at a time, within one memory budget.
#[derive(Clone, Debug)]
pub(super) struct Replay {
    pub(super) log: Arc<dyn Log>,
    pub(super) ids: Ids,
    pub(super) budget: Arc<Budget>,
    turns: Arc<Turns>,
    pub(super) log_limit: Arc<LogLimit>,
    /// The threads that read pages.
    pub(super) background: Arc<Background>,
}

/// Page that a subscriber needs next.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) interest: Interest,
    pub(super) framing: Framing,
    /// Position after which the page begins.
    pub(super) after: Position,
    /// Position up to which it reads.
    pub(super) upto: Position,
    /// The subscriber knows of lost records up to this position; see [`Start::told`](super::Start::told).
    pub(super) told: Option<Position>,
    /// Approximate size in bytes; less while memory is short.
    pub(super) size: usize,
    /// Address that the subscriber shares turns with.
    pub(super) address: u32,
}

/// Page of events that were read for a subscriber.
#[derive(Debug)]
pub(super) struct Page {
    /// The encoded events; the budget counts them until the subscriber has them.
    pub(super) bytes: Bytes,
    /// Position up to which records were read.
    pub(super) through: Position,
    /// Whether records after the start of the page may be lost, of which the subscriber does not know.
    pub(super) lost: bool,
    /// With this page, the subscriber knows of lost records up to this position.
    pub(super) told: Option<Position>,
    /// Number of events.
    pub(super) events: u64,
}

/// Page that is being read.
struct Draft {
    bytes: Vec<u8>,
    after: Position,
    lost: bool,
    told: Option<Position>,
    events: u64,
}

/// A turn to read, with all that it uses: a scan that goes on after its subscriber has left keeps its turn.
struct Scan {
    turn: Turn,
    charge: Charge,
    draft: Draft,
    wanted: Wanted,
}

fn panicked() -> ReadError {
    ReadError::Unavailable("it panicked".to_owned())
}

impl Replay {
    /// Starts the threads that read pages.
    ///
    /// # Errors
    /// When the system provides no thread.
    pub(super) fn start(log: Arc<dyn Log>, budget: Arc<Budget>) -> io::Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        // With a single turn at once, a resume would wait for a scan before each of its pages.
        let at_once = (processors / 2).max(2);
        Ok(Self {
            ids: Ids::new(log.epoch()),
            log,
            budget,
            turns: Turns::new(at_once),
            log_limit: Arc::default(),
            background: Arc::new(Background::start(at_once)?),
        })
    }

    /// Size of the next page for a subscriber that was sent this number of bytes.
    ///
    /// It is small at first, so that subscribers that do not read hold little, and then larger; it is small
    /// for all while memory is short.
    pub(super) fn page_size(&self, sent: u64) -> usize {
        let earned = usize::try_from(sent / 8).unwrap_or(usize::MAX);
        earned.min(self.budget.free() / 32).clamp(SMALL_PAGE, PAGE)
    }

    /// Reads the next page for a subscriber.
    ///
    /// It is empty only at the end. A log that panics counts as unreadable.
    pub(super) async fn page(&self, wanted: &Wanted) -> Result<Page, ReadError> {
        let page = AssertUnwindSafe(self.find_page(wanted)).catch_unwind().await;
        page.unwrap_or_else(|_| Err(panicked()))
    }

    async fn find_page(&self, wanted: &Wanted) -> Result<Page, ReadError> {
        let Wanted { after, told, .. } = *wanted;
        let mut draft = Draft { bytes: Vec::new(), after, lost: false, told, events: 0 };
        let mut lane = Lane::Finding;
        loop {
            // The subscriber holds no memory while it waits, so that a scan that finds nothing keeps none
            // from others.
            let turn = self.turns.take(lane, wanted.address).await;
            let charge = self.budget.reserve(wanted.size, SMALL_PAGE).await;
            let scan = Scan { turn, charge, draft, wanted: wanted.clone() };
            let (done, charge, read) = match lane {
                Lane::Finding => self.scan(scan).await?,
                Lane::Searching => {
                    let replay = self.clone();
                    let scanned = self.background.search(async move { replay.scan(scan).await }).await;
                    scanned.map_err(|_| panicked())??
                }
            };
            draft = read;
            if done || !draft.bytes.is_empty() {
                let Draft { bytes, after, lost, told, events } = draft;
                let through = if done { wanted.upto } else { after };
                return Ok(Page { bytes: charge.own(bytes), through, lost, told, events });
            }
            lane = Lane::Searching;
            drop(charge);
            tokio::task::yield_now().await;
        }
    }

    /// Reads a limited number of further records into the draft; true at the end of the log.
    async fn scan(&self, scan: Scan) -> Result<(bool, Charge, Draft), ReadError> {
        let Scan { turn, charge, mut draft, wanted } = scan;
        let done = self.read(&wanted, charge.bytes(), &mut draft).await?;
        drop(turn);
        Ok((done, charge, draft))
    }

    async fn read(&self, wanted: &Wanted, room: usize, draft: &mut Draft) -> Result<bool, ReadError> {
        let (mut looked_at, mut size) = (0, room);
        loop {
            let page = self.log.read(draft.after, Limit { records: RECORDS, bytes: size }).await?;
            // The horizon at the time of this read: retention may have moved it since.
            let horizon = page.horizons.of(wanted.interest.rules);
            if draft.told.is_some_and(|told| horizon > draft.after.max(told)) {
                if !draft.bytes.is_empty() {
                    // The next page begins with the notice, so that it follows the events before the loss.
                    return Ok(false);
                }
                draft.lost = true;
            }
            let mut through = page.through.min(wanted.upto);
            for entry in page.entries {
                if entry.position > wanted.upto {
                    break;
                }
                if draft.bytes.len() >= room {
                    // The next page reads the others again.
                    through = Position(entry.position.0 - 1);
                    break;
                }
                if wanted.interest.includes(&entry.record.topics, entry.record.private, &mut 0) {
                    let frame = Frame::new(entry, &self.ids);
                    draft.events += 1;
                    draft.bytes.extend_from_slice(frame.piece.framed(wanted.framing));
                }
            }
            draft.after = through;
            let done = through >= wanted.upto || page.end && through >= page.through;
            if draft.told.is_some() || draft.events > 0 || done {
                // Retention may still drop records after this position without a change of the horizon.
                draft.told = Some(horizon.min(through));
            }
            if done {
                return Ok(true);
            }
            looked_at += size;
            if looked_at >= SCAN || draft.bytes.len() * 2 >= room {
                return Ok(false);
            }
            size = match draft.bytes.len() {
                // Nothing found so far: most of the log may not be for this subscriber.
                0 => (size * 2).min(PAGE),
                found => room - found,
            };
        }
    }
}

/// Minimum and maximum size of a page in bytes; one record may exceed it.
const SMALL_PAGE: usize = 16 << 10;
pub(super) const PAGE: usize = 256 << 10;
/// Bytes of the log that are read in a turn, and records of one read.
const SCAN: usize = 256 << 10;
const RECORDS: usize = 4096;
