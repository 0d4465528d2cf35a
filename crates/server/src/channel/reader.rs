use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::Overtaken;
use super::seat::{Begins, Reset, Seat};
use super::segment::{Frame, ID};
use super::shared::{Reading, Shared};
use crate::compress::{Encoding, Piece};
use crate::stop::{StopReason, catch_panic};

/// What a stream reads from its channels: a cursor in each of them.
///
/// With one channel and no filter the bytes are the log's own. Otherwise the events are copied: those that match, each
/// with an id that names the stream's place in all its channels.
#[derive(Debug)]
pub(crate) struct Reader {
    /// Nearly always one.
    cursors: SmallVec<[Cursor; 1]>,
    begun: bool,
    /// Whose turn it is.
    turn: u32,
    /// Who polled last.
    task: Option<Waker>,
    /// How what others read too is compressed.
    encoding: Option<Encoding>,
}

/// A subscriber's place in a channel.
pub(crate) struct Cursor {
    channel: Arc<Shared>,
    seat: Seat,
    filter: Option<Filter>,
}

pub(crate) type Filter = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What reading has given.
pub(crate) enum Read {
    Bytes(Bytes),
    /// The same, compressed.
    Compressed(Piece),
    /// All channels are closed and read.
    Closed,
    /// The stream is to end.
    Ended(StopReason),
}

/// Bytes that are read at once: one piece of the transport.
const MAX_READ: usize = 64 << 10;
/// As often a poll reads on when a filter lets nothing pass, before it lets others have their turn.
const MAX_ROUNDS: usize = 16;

impl Reader {
    /// With more, the ids of a stream would be longer than a [`LastEventId`](crate::LastEventId) may be.
    pub(crate) const MAX_CHANNELS: usize = 100;

    pub(crate) fn new(cursors: impl Iterator<Item = Cursor>) -> Self {
        Self { cursors: cursors.collect(), begun: false, turn: 0, task: None, encoding: None }
    }

    /// Reads other channels too.
    pub(crate) fn extend(&mut self, other: Self) {
        self.cursors.extend(other.cursors);
    }

    /// Channels that it reads.
    pub(crate) fn len(&self) -> usize {
        self.cursors.len()
    }

    /// Why it cannot go on where its client was, before it has begun.
    pub(crate) fn reset(&self) -> Option<Reset> {
        self.cursors.iter().find_map(Cursor::reset)
    }

    /// Whether it reads what others read too: one channel as it is.
    pub(crate) fn shares(&self) -> bool {
        matches!(self.cursors[..], [Cursor { filter: None, .. }])
    }

    /// What others read too is to be compressed so, once for all.
    pub(crate) fn compress(&mut self, encoding: Encoding) {
        self.encoding = Some(encoding);
    }

    /// Does what its time has come for, when it cannot read on.
    pub(crate) fn keep_time(&mut self, now: Instant) {
        for Cursor { channel, seat, .. } in &mut self.cursors {
            channel.keep_time(seat, now);
        }
    }

    /// When it is to be polled again even if nobody wakes it.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.cursors.iter().filter_map(|cursor| cursor.seat.until()).min()
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<Read> {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            self.task = Some(cx.waker().clone());
            // Those who wait do so with another's waker.
            self.cursors.iter_mut().for_each(|cursor| cursor.seat.waits = false);
        }
        if !std::mem::replace(&mut self.begun, true)
            && let Some(bytes) = self.begin()
        {
            return Poll::Ready(Read::Bytes(bytes));
        }
        for _ in 0..MAX_ROUNDS {
            let (mut closed, mut waiting) = (0, 0);
            for _ in 0..self.cursors.len() {
                let index = self.turn as usize % self.cursors.len();
                self.turn = self.turn.wrapping_add(1);
                let from = self.cursors[index].seat.next;
                let mut frames = Vec::new();
                match self.read(index, &mut frames, cx, now) {
                    Poll::Pending => waiting += 1,
                    Poll::Ready(Reading::Closed) => closed += 1,
                    Poll::Ready(Reading::Missed(missed)) => return Poll::Ready(self.missed(index, missed)),
                    Poll::Ready(Reading::Events(bytes, next)) => {
                        match self.select(index, &frames, bytes, next) {
                            Ok(None) => {}
                            Ok(Some(bytes)) => return Poll::Ready(self.events(index, bytes, from, next)),
                            Err(reason) => return Poll::Ready(Read::Ended(reason)),
                        }
                    }
                }
            }
            if closed == self.cursors.len() {
                return Poll::Ready(Read::Closed);
            }
            if closed + waiting == self.cursors.len() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// These events, compressed if that was asked for and others read them too.
    fn events(&self, index: usize, bytes: Bytes, from: u64, next: u64) -> Read {
        let Some(encoding) = self.encoding else { return Read::Bytes(bytes) };
        let events = (from, next);
        match self.cursors[index].channel.compressed.get(encoding, events, &bytes) {
            Ok(piece) => Read::Compressed(piece),
            Err(error) => Read::Ended(StopReason::Failed(error.into())),
        }
    }

    fn read(
        &mut self,
        index: usize,
        frames: &mut Vec<Frame>,
        cx: &Context<'_>,
        now: Instant,
    ) -> Poll<Reading> {
        let alone = self.cursors.len() == 1;
        let Cursor { channel, seat, filter } = &mut self.cursors[index];
        if channel.has_nothing_for(seat) {
            return Poll::Pending;
        }
        let frames = (!alone || filter.is_some()).then_some(frames);
        channel.read(seat, MAX_READ, frames, cx.waker(), now)
    }

    /// What of these events is to be sent, and how.
    fn select(
        &self,
        index: usize,
        frames: &[Frame],
        bytes: Bytes,
        next: u64,
    ) -> Result<Option<Bytes>, StopReason> {
        let (filter, alone) = (&self.cursors[index].filter, self.cursors.len() == 1);
        if alone && filter.is_none() {
            return Ok(Some(bytes));
        }
        let matches = |frame: &Frame| filter.as_ref().is_none_or(|filter| filter(frame.name(&bytes)));
        let matching = catch_panic(|| frames.iter().map(matches).collect::<Vec<_>>());
        let matching = matching.map_err(StopReason::Failed)?;
        if alone && matching.iter().all(|&matches| matches) {
            return Ok(Some(bytes));
        }
        let [before, after] = [&self.cursors[..index], &self.cursors[index + 1..]].map(places);
        let mut out = Vec::new();
        let (mut begin, mut sequence) = (0, next - frames.len() as u64);
        for (frame, matches) in frames.iter().zip(matching) {
            let [id_at, id_end, end] = [frame.id_at, frame.id_end, frame.end].map(|at| at as usize);
            if matches && alone {
                out.extend_from_slice(&bytes[begin..end]);
            } else if matches {
                out.extend_from_slice(&bytes[begin..id_at]);
                push_id(&mut out, &before, &self.cursors[index], sequence, &after);
                out.extend_from_slice(&bytes[id_end..end]);
            }
            (begin, sequence) = (end, sequence + 1);
        }
        Ok((!out.is_empty()).then(|| out.into()))
    }

    /// Begins to read, and tells of the channels that could not go on where the client was.
    fn begin(&mut self) -> Option<Bytes> {
        for Cursor { channel, seat, .. } in &mut self.cursors {
            channel.begin(seat);
        }
        let mut out = Vec::new();
        for index in 0..self.cursors.len() {
            let (begins, _) = self.cursors[index].seat.begins();
            self.cursors[index].seat.set_begins(Begins::There);
            let fields = match begins {
                Begins::There | Begins::New => continue,
                Begins::Reset(Reset::Expired { missed, .. }) => {
                    format!(r#""reason":"expired","missed":{missed}"#)
                }
                Begins::Reset(Reset::Unknown) => r#""reason":"unknown""#.to_owned(),
            };
            self.notice("reset", index, &fields, &mut out);
        }
        (!out.is_empty()).then(|| out.into())
    }

    /// The log has overtaken this cursor.
    fn missed(&self, index: usize, missed: u64) -> Read {
        if self.cursors[index].channel.overtaken == Overtaken::Close {
            return Read::Ended(StopReason::Overtaken { missed });
        }
        let mut out = Vec::new();
        self.notice("gap", index, &format!(r#""missed":{missed}"#), &mut out);
        Read::Bytes(out.into())
    }

    /// An event of our own, whose id is the place that the stream goes on from.
    fn notice(&self, event: &str, index: usize, fields: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(ID);
        out.extend_from_slice(&places(&self.cursors));
        // The comma that separates it from what comes after.
        if out.last() == Some(&b',') {
            out.pop();
        }
        let channel = match &self.cursors[index].channel.name {
            Some(name) => format!(r#""channel":{},"#, json_text(name)),
            None => String::new(),
        };
        out.extend_from_slice(format!("\nevent: {event}\ndata: {{{channel}{fields}}}\n\n").as_bytes());
    }
}

/// The places of these cursors, each followed by a comma.
///
/// Of a reset that was not told yet it is the place before it, so that it will be told if the connection breaks here.
fn places(cursors: &[Cursor]) -> Vec<u8> {
    let mut out = Vec::new();
    for Cursor { channel, seat, .. } in cursors {
        match seat.begins().0 {
            Begins::There | Begins::New => channel.id(seat.next - 1).write(&mut out),
            Begins::Reset(Reset::Expired { seen, .. }) => channel.id(seen).write(&mut out),
            Begins::Reset(Reset::Unknown) => out.push(b'?'),
        }
        out.push(b',');
    }
    out
}

/// The line that says where the stream is in all its channels.
fn push_id(out: &mut Vec<u8>, before: &[u8], cursor: &Cursor, sequence: u64, after: &[u8]) {
    out.extend_from_slice(ID);
    out.extend_from_slice(before);
    cursor.channel.id(sequence).write(out);
    if let Some((_, after)) = after.split_last() {
        out.push(b',');
        out.extend_from_slice(after);
    }
    out.push(b'\n');
}

/// A text as JSON writes it.
fn json_text(text: &str) -> String {
    let mut json = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            '\0'..='\x1f' => json.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => json.push(character),
        }
    }
    json.push('"');
    json
}

impl Cursor {
    pub(crate) fn new(channel: Arc<Shared>, seat: Seat, filter: Option<Filter>) -> Self {
        Self { channel, seat, filter }
    }

    fn reset(&self) -> Option<Reset> {
        match self.seat.begins().0 {
            Begins::There | Begins::New => None,
            Begins::Reset(reset) => Some(reset),
        }
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.channel.leave(self.seat.key());
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor").field("seat", &self.seat).finish_non_exhaustive()
    }
}
