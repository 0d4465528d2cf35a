use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use ssekit_wire::Event;
use tokio::time::Instant;

use super::id::{Epoch, EventId, positions};
use super::segment::{Frame, ID, Segment};
use crate::queue::{DEFAULT_NAME, encode_retry};

/// The events of a channel: encoded, numbered without gaps, the newest appended and the oldest dropped.
///
/// The newest lie in the tail, which grows; when it is long enough it is sealed, and readers share its bytes
/// from then on. It knows no reader and no clock.
#[derive(Debug)]
pub(crate) struct Log {
    epoch: Epoch,
    retention: Retention,
    sealed: VecDeque<Segment<Bytes>>,
    tail: Segment<Vec<u8>>,
    /// The bytes that were last read from the tail, for other readers of the same range.
    tail_copy: Option<TailCopy>,
    /// The sequence of the oldest event that is held.
    start: u64,
    bytes: usize,
    custom: HashMap<Box<str>, u64>,
}

/// How much is held, at most. The newest event is held whatever its size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    pub(crate) events: u64,
    pub(crate) bytes: usize,
    pub(crate) time: Option<Duration>,
}

#[derive(Debug)]
struct TailCopy {
    from: u64,
    next: u64,
    bytes: Bytes,
}

/// The meaning of a last event ID in this log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resume {
    /// Read on from this sequence.
    From(u64),
    /// Some of the events after this sequence are gone.
    Expired { seen: u64 },
    /// It is of another epoch, or none that was ever given.
    Unknown,
}

/// A tail of as many bytes is sealed.
const SEGMENT_BYTES: usize = 64 << 10;
/// As many bytes of dropped events at the beginning of the tail are worth a move of the rest.
const LEAST_COMPACTION: usize = 4 << 10;

impl Log {
    pub(crate) fn new(epoch: Epoch, retention: Retention) -> Self {
        Self {
            epoch,
            retention,
            sealed: VecDeque::new(),
            tail: Segment::new(1, Vec::new()),
            tail_copy: None,
            start: 1,
            bytes: 0,
            custom: HashMap::new(),
        }
    }

    /// The sequence of the oldest event that is held, or of the next one.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// The sequence that the next event will have.
    pub(crate) fn next(&self) -> u64 {
        self.tail.next()
    }

    pub(crate) fn len(&self) -> u64 {
        self.next() - self.start
    }

    /// Bytes of the events that are held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends an event under the next sequence.
    pub(crate) fn append(&mut self, event: &Event<'_>, now: Instant) {
        let sequence = self.next();
        let bytes = &mut self.tail.bytes;
        let begin = bytes.len();
        if let Some(retry) = event.retry() {
            encode_retry(retry, bytes);
        }
        let id_at = bytes.len();
        bytes.extend_from_slice(ID);
        let own_id = event.id().filter(|id| !id.is_empty());
        match own_id {
            Some(id) => bytes.extend_from_slice(id.as_bytes()),
            None => EventId::new(self.epoch, sequence).write(bytes),
        }
        bytes.push(b'\n');
        let id_end = bytes.len();
        let mut name = "";
        match event.data() {
            Some(data) => {
                name = event.event().filter(|name| !name.is_empty()).unwrap_or(DEFAULT_NAME);
                encode_named(name, data, bytes);
            }
            None => bytes.push(b'\n'),
        }
        let end = bytes.len();
        self.bytes += end - begin;
        let [id_at, id_end, name, end] = [id_at, id_end, name.len(), end].map(|at| at as u32);
        self.tail.frames.push(Frame { id_at, id_end, name, end, custom: own_id.is_some(), at: now });
        if let Some(id) = own_id {
            self.custom.insert(id.into(), sequence);
        }
        if self.tail.bytes.len() >= SEGMENT_BYTES {
            self.seal();
        }
    }

    /// Returns whether this many events are half of the limit, or more.
    pub(crate) fn is_half(&self, events: u64) -> bool {
        events.saturating_mul(2) >= self.retention.events
    }

    /// Returns whether the log would exceed its limits with this much more.
    pub(crate) fn is_above(&self, events: u64, bytes: usize) -> bool {
        self.len() + events > self.retention.events || self.bytes + bytes > self.retention.bytes
    }

    /// Drops the oldest events that are too many, too large or too old, but none from `floor` on.
    pub(crate) fn sweep(&mut self, floor: u64, now: Instant) {
        while self.start < floor && self.len() > 1 && self.is_above(0, 0) {
            self.drop_oldest();
        }
        let Some(time) = self.retention.time else { return };
        while self.start < floor
            && self.oldest_at().is_some_and(|at| now.saturating_duration_since(at) >= time)
        {
            self.drop_oldest();
        }
    }

    /// Makes room for as much more, without dropping anything from `floor` on; whether that could be done.
    pub(crate) fn make_room(&mut self, events: u64, bytes: usize, floor: u64) -> bool {
        while self.is_above(events, bytes) {
            if self.start == self.next() {
                return true;
            }
            if self.start >= floor {
                return false;
            }
            self.drop_oldest();
        }
        true
    }

    /// Reads from a sequence that is held up to another: whole events, and the sequence after them. At most
    /// as many bytes, but one event at least. Where each event lies among them is added to `frames`, if that
    /// is asked for.
    pub(crate) fn read(
        &mut self,
        from: u64,
        end: u64,
        max: usize,
        frames: Option<&mut Vec<Frame>>,
    ) -> Option<(Bytes, u64)> {
        debug_assert!(from >= self.start, "a cursor catches up before it reads");
        let end = end.min(self.next());
        if from >= end {
            return None;
        }
        if from < self.tail.first {
            let segment = &self.sealed[self.sealed.partition_point(|segment| segment.next() <= from)];
            let (bytes, next) = segment.range(from, end, max, frames);
            return Some((segment.bytes.slice(bytes), next));
        }
        let (range, next) = self.tail.range(from, end, max, frames);
        let bytes = match &self.tail_copy {
            Some(copy) if (copy.from, copy.next) == (from, next) => copy.bytes.clone(),
            _ => {
                let bytes = Bytes::copy_from_slice(&self.tail.bytes[range]);
                self.tail_copy = Some(TailCopy { from, next, bytes: bytes.clone() });
                bytes
            }
        };
        Some((bytes, next))
    }

    /// Returns the meaning of a last event ID; `None` if none of its parts is about this log.
    pub(crate) fn resume(&self, id: &str) -> Option<Resume> {
        if let Some(sequence) = self.custom.get(id) {
            return Some(Resume::From(sequence + 1));
        }
        let (_, sequence) = positions(id).flatten().find(|(epoch, _)| self.epoch == **epoch)?;
        Some(match sequence.checked_add(1) {
            Some(next) if next > self.next() => Resume::Unknown,
            Some(next) if next < self.start => Resume::Expired { seen: sequence },
            Some(next) => Resume::From(next),
            None => Resume::Unknown,
        })
    }

    fn oldest_at(&self) -> Option<Instant> {
        match self.sealed.front() {
            Some(segment) => segment.frames.get((self.start - segment.first) as usize),
            None => self.tail.frames.get((self.start - self.tail.first) as usize),
        }
        .map(|frame| frame.at)
    }

    fn drop_oldest(&mut self) {
        let sequence = self.start;
        self.start += 1;
        if let Some(segment) = self.sealed.front() {
            self.bytes -= unindex(segment, sequence, &mut self.custom);
            if segment.next() == self.start {
                self.sealed.pop_front();
            }
            return;
        }
        let tail = &mut self.tail;
        self.bytes -= unindex(tail, sequence, &mut self.custom);
        let dropped = (self.start - tail.first) as usize;
        let begin = tail.begin(dropped);
        if dropped == tail.frames.len() || begin >= LEAST_COMPACTION && 2 * begin >= tail.bytes.len() {
            tail.bytes.drain(..begin);
            tail.frames.drain(..dropped);
            tail.first = self.start;
            for frame in &mut tail.frames {
                *frame = frame.from(begin);
            }
        }
    }

    /// The tail becomes a segment whose bytes are shared, and a new one begins.
    fn seal(&mut self) {
        let room = SEGMENT_BYTES + SEGMENT_BYTES / 16;
        let next = Segment::new(self.next(), Vec::with_capacity(room));
        let Segment { first, mut bytes, frames } = std::mem::replace(&mut self.tail, next);
        if bytes.capacity() > bytes.len() + bytes.len() / 4 {
            bytes.shrink_to_fit();
        }
        self.sealed.push_back(Segment { first, bytes: bytes.into(), frames });
        self.tail_copy = None;
    }
}

/// Takes an event's own id out of the index, unless a newer event has it too; gives the event's bytes.
fn unindex<B: AsRef<[u8]>>(
    segment: &Segment<B>,
    sequence: u64,
    custom: &mut HashMap<Box<str>, u64>,
) -> usize {
    let index = (sequence - segment.first) as usize;
    if segment.frames[index].custom {
        let id = segment.id(index);
        if custom.get(id) == Some(&sequence) {
            custom.remove(id);
        }
    }
    segment.begin(index + 1) - segment.begin(index)
}

fn encode_named(name: &str, data: &str, out: &mut Vec<u8>) {
    match Event::new(data).with_event(name) {
        Ok(event) => event.encode(out),
        // A name of an event that was built is valid.
        Err(_) => Event::new(data).encode(out),
    }
}
