use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::ChannelFailed;
use super::seat::{Begins, Notice, Reset, Seat};
use super::segment::{Frame, ID};
use super::shared::{End, Reading, Shared};
use crate::compress::{Encoding, Piece};
use crate::error::Error;
use crate::stop::{StopReason, catch_panic};

/// The cursors of a stream, one in each of its channels.
///
/// With one channel and no filter the bytes are the log's own. Otherwise the events are copied: those that
/// match, each with an id that names the stream's position in all its channels.
#[derive(Debug)]
pub(crate) struct Reader {
    /// Nearly always one.
    cursors: SmallVec<[Cursor; 1]>,
    /// Something was sent.
    begun: bool,
    /// The client may send an id back.
    resumes: bool,
    /// The client's last id does not say how far it is: it has none, or a filter left out the events since.
    unsaid: bool,
    /// Whose turn it is.
    turn: u32,
    /// The task that polled last.
    task: Option<Waker>,
    /// The encoding of shared events.
    encoding: Option<Encoding>,
}

/// A subscriber's place in a channel.
pub(crate) struct Cursor {
    channel: Arc<Shared>,
    seat: Seat,
    filter: Option<Filter>,
}

pub(crate) type Filter = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// The result of reading.
pub(crate) enum Read {
    Bytes(Bytes),
    /// The same, compressed.
    Compressed(Piece),
    /// All channels are closed and read.
    Closed,
    /// The stream is to end.
    Ended(StopReason),
}

/// Some events, as they were read from one channel.
struct Batch {
    index: usize,
    notice: Option<Notice>,
    from: u64,
    next: u64,
    bytes: Bytes,
    frames: Vec<Frame>,
}

/// Bytes that are read at once: one piece of the transport.
const MAX_READ: usize = 64 << 10;
/// As often a poll reads on when a filter lets nothing pass, before it lets others have their turn.
const MAX_ROUNDS: usize = 16;

impl Reader {
    /// With more, the ids of a stream would be longer than a [`LastEventId`](crate::LastEventId) may be.
    pub(crate) const MAX_CHANNELS: usize = 100;

    pub(crate) fn new(cursors: impl Iterator<Item = Cursor>, resumes: bool) -> Self {
        let cursors: SmallVec<[Cursor; 1]> = cursors.collect();
        let unsaid =
            cursors.iter().any(|cursor| matches!(cursor.seat.begins(), Begins::New(_) | Begins::All));
        Self { cursors, begun: false, resumes, unsaid, turn: 0, task: None, encoding: None }
    }

    /// Reads other channels too; one that is read already is not read twice.
    pub(crate) fn extend(&mut self, other: Self) {
        for cursor in other.cursors {
            if !self.cursors.iter().any(|known| Arc::ptr_eq(&known.channel, &cursor.channel)) {
                self.cursors.push(cursor);
            }
        }
        self.unsaid |= other.unsaid;
        self.resumes &= other.resumes;
    }

    /// Whether all channels have ended and there is nothing to read or to be told, before it has begun: then,
    /// whether they were closed.
    pub(crate) fn nothing_left(&self) -> Option<bool> {
        let mut closed = true;
        for Cursor { channel, seat, .. } in &self.cursors {
            closed &= matches!(channel.nothing_for(seat)?, End::Closed);
        }
        Some(closed)
    }

    /// Channels that it reads.
    pub(crate) fn len(&self) -> usize {
        self.cursors.len()
    }

    /// Why it cannot go on where its client was, before it has begun.
    pub(crate) fn reset(&self) -> Option<Reset> {
        self.cursors.iter().find_map(Cursor::reset)
    }

    /// Returns whether other streams read the same bytes: it has one channel and no filter.
    pub(crate) fn shares(&self) -> bool {
        matches!(self.cursors[..], [Cursor { filter: None, .. }])
    }

    /// Compresses shared events with this encoding, once for all readers.
    pub(crate) fn compress(&mut self, encoding: Encoding) {
        self.encoding = Some(encoding);
    }

    /// Releases gathered events that are due, when it cannot read on.
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
            // Waiting cursors have registered the waker of another task.
            self.cursors.iter_mut().for_each(|cursor| cursor.seat.waits = false);
        }
        for _ in 0..MAX_ROUNDS {
            let (mut closed, mut waiting) = (0, 0);
            for _ in 0..self.cursors.len() {
                let index = self.turn as usize % self.cursors.len();
                self.turn = self.turn.wrapping_add(1);
                let mut frames = Vec::new();
                match self.read(index, &mut frames, cx, now) {
                    Poll::Pending => waiting += 1,
                    Poll::Ready(Reading::Ended(End::Closed)) => closed += 1,
                    Poll::Ready(Reading::Ended(End::Failed(error))) => {
                        let name = self.cursors[index].channel.name.clone();
                        return Poll::Ready(Read::failed(ChannelFailed { name, error }));
                    }
                    Poll::Ready(Reading::Overtaken(missed)) => {
                        return Poll::Ready(Read::Ended(StopReason::Overtaken { missed }));
                    }
                    Poll::Ready(Reading::Events { notice, from, bytes, next }) => {
                        let batch = Batch { index, notice, from, next, bytes, frames };
                        match self.pass_on(&batch) {
                            Ok(None) => {}
                            Ok(Some(read)) => {
                                self.begun = true;
                                return Poll::Ready(read);
                            }
                            Err(error) => return Poll::Ready(Read::failed(error)),
                        }
                    }
                }
            }
            let all_closed = closed == self.cursors.len();
            if !all_closed && closed + waiting < self.cursors.len() {
                continue;
            }
            // Before it waits for the first event, and before the end, the client gets an id to come back
            // with.
            if self.resumes && self.unsaid && (all_closed || !self.begun) {
                (self.begun, self.unsaid) = (true, false);
                return Poll::Ready(Read::Bytes(self.place()));
            }
            return match all_closed {
                true => Poll::Ready(Read::Closed),
                false => Poll::Pending,
            };
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Returns the bytes to send of these events, with a notice before them.
    fn pass_on(&mut self, batch: &Batch) -> Result<Option<Read>, Error> {
        let &Batch { index, notice, from, next, .. } = batch;
        let events = self.select(batch)?;
        let Some(notice) = notice else {
            return events.map(|bytes| self.events(index, bytes, from, next)).transpose();
        };
        self.unsaid &= next > from;
        let mut out = Vec::new();
        self.notice(notice, index, from, &mut out);
        out.extend_from_slice(&events.unwrap_or_default());
        Ok(Some(Read::Bytes(out.into())))
    }

    /// These events, compressed if that was asked for and others read them too.
    fn events(&self, index: usize, bytes: Bytes, from: u64, next: u64) -> Result<Read, Error> {
        let Some(encoding) = self.encoding else { return Ok(Read::Bytes(bytes)) };
        let piece = self.cursors[index].channel.compressed.get(encoding, (from, next), &bytes)?;
        Ok(Read::Compressed(piece))
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

    /// Returns the events that pass the filter, with the ids of this stream.
    fn select(&mut self, batch: &Batch) -> Result<Option<Bytes>, Error> {
        let Batch { index, next, bytes, frames, .. } = batch;
        if bytes.is_empty() {
            return Ok(None);
        }
        let (filter, alone) = (&self.cursors[*index].filter, self.cursors.len() == 1);
        if alone && filter.is_none() {
            self.unsaid = false;
            return Ok(Some(bytes.clone()));
        }
        let matches = |frame: &Frame| filter.as_ref().is_none_or(|filter| filter(frame.name(bytes)));
        let matching = catch_panic(|| frames.iter().map(matches).collect::<Vec<_>>())?;
        self.unsaid = matching.last().is_none_or(|last| !last);
        if alone && matching.iter().all(|&matches| matches) {
            return Ok(Some(bytes.clone()));
        }
        let [before, after] = [&self.cursors[..*index], &self.cursors[index + 1..]].map(places);
        let mut out = Vec::new();
        let (mut begin, mut sequence) = (0, next - frames.len() as u64);
        for (frame, matches) in frames.iter().zip(matching) {
            let [id_at, id_end, end] = [frame.id_at, frame.id_end, frame.end].map(|at| at as usize);
            if matches && alone {
                out.extend_from_slice(&bytes[begin..end]);
            } else if matches {
                out.extend_from_slice(&bytes[begin..id_at]);
                push_id(&mut out, &before, &self.cursors[*index], sequence, &after);
                out.extend_from_slice(&bytes[id_end..end]);
            }
            (begin, sequence) = (end, sequence + 1);
        }
        Ok((!out.is_empty()).then(|| out.into()))
    }

    /// An event of our own, whose id is the place that the stream goes on from: before `from` in its channel.
    fn notice(&self, notice: Notice, index: usize, from: u64, out: &mut Vec<u8>) {
        let [before, after] = [&self.cursors[..index], &self.cursors[index + 1..]].map(places);
        push_id(out, &before, &self.cursors[index], from - 1, &after);
        let (event, fields) = match notice {
            Notice::Gap(missed) => ("gap", format!(r#""missed":{missed}"#)),
            Notice::Reset(Reset::Expired { missed, .. }) => {
                ("reset", format!(r#""reason":"expired","missed":{missed}"#))
            }
            Notice::Reset(Reset::Unknown) => ("reset", r#""reason":"unknown""#.to_owned()),
        };
        let channel = match &self.cursors[index].channel.name {
            Some(name) => format!(r#""channel":{},"#, json_text(name)),
            None => String::new(),
        };
        out.extend_from_slice(format!("event: {event}\ndata: {{{channel}{fields}}}\n\n").as_bytes());
    }

    /// The id of the stream's place alone: no receiver takes it for an event, and each comes back with it.
    fn place(&self) -> Bytes {
        let mut out = ID.to_vec();
        out.extend_from_slice(&places(&self.cursors));
        // The comma after the last.
        out.pop();
        out.extend_from_slice(b"\n\n");
        out.into()
    }
}

impl Read {
    fn failed(error: impl Into<Error>) -> Self {
        Self::Ended(StopReason::Failed(error.into()))
    }
}

/// The positions of these cursors, each followed by a comma.
///
/// The position of a cursor that has a notice for its client lies before the notice, so that the client gets
/// it again if the connection breaks here.
fn places(cursors: &[Cursor]) -> Vec<u8> {
    let mut out = Vec::new();
    for Cursor { channel, seat, .. } in cursors {
        match seat.begins() {
            Begins::Reset(Reset::Expired { seen, .. }) => channel.id(seen).write(&mut out),
            Begins::Reset(Reset::Unknown) => out.push(b'?'),
            Begins::All if seat.next > 1 => out.push(b'?'),
            Begins::There | Begins::New(_) | Begins::All => channel.id(seat.next - 1).write(&mut out),
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
        match self.seat.begins() {
            Begins::There | Begins::New(_) | Begins::All => None,
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
