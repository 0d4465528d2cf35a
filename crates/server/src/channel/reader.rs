use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::cursor::{Cursor, Notice, Reset, StartPosition};
use super::segment::{Frame, ID};
use super::shared::{ChannelShared, End, Reading};
use crate::compress::{Encoding, Piece};
use crate::error::{ChannelFailed, Error};
use crate::stop::{StopReason, catch_panic};

/// The subscriptions of a stream, one to each of its channels.
///
/// With one channel and no filter the bytes are the log's own. Otherwise the events are copied: those that
/// match, each with an id that names the stream's position in all its channels.
#[derive(Debug)]
pub(crate) struct Reader {
    /// Nearly always one.
    subscriptions: SmallVec<[Subscription; 1]>,
    /// Something was sent.
    has_begun: bool,
    /// The client may send an id back.
    resumes: bool,
    /// The client's last id does not say how far it has read: it has none, or a filter left out the events
    /// since.
    position_unsent: bool,
    /// The subscription that reads next, modulo their number.
    turn: u32,
    /// The task that polled last.
    task: Option<Waker>,
    /// The encoding of shared events.
    encoding: Option<Encoding>,
}

/// A stream's cursor in a channel, and its filter.
pub(crate) struct Subscription {
    channel: Arc<ChannelShared>,
    cursor: Cursor,
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

    pub(crate) fn new(subscriptions: impl Iterator<Item = Subscription>, resumes: bool) -> Self {
        let subscriptions: SmallVec<[Subscription; 1]> = subscriptions.collect();
        let position_unsent = subscriptions.iter().any(|subscription| {
            matches!(subscription.cursor.start(), StartPosition::New(_) | StartPosition::All)
        });
        Self {
            subscriptions,
            has_begun: false,
            resumes,
            position_unsent,
            turn: 0,
            task: None,
            encoding: None,
        }
    }

    /// Reads other channels too; one that is read already is not read twice.
    pub(crate) fn extend(&mut self, other: Self) {
        for subscription in other.subscriptions {
            if !self.subscriptions.iter().any(|known| Arc::ptr_eq(&known.channel, &subscription.channel)) {
                self.subscriptions.push(subscription);
            }
        }
        self.position_unsent |= other.position_unsent;
        self.resumes &= other.resumes;
    }

    /// Whether all channels have ended and there is nothing left to read or to report, before it has begun:
    /// then, whether they were closed.
    pub(crate) fn nothing_left(&self) -> Option<bool> {
        let mut closed = true;
        for Subscription { channel, cursor, .. } in &self.subscriptions {
            closed &= matches!(channel.finished_for(cursor)?, End::Closed);
        }
        Some(closed)
    }

    /// Channels that it reads.
    pub(crate) fn len(&self) -> usize {
        self.subscriptions.len()
    }

    /// Why it cannot go on where its client was, before it has begun.
    pub(crate) fn reset(&self) -> Option<Reset> {
        self.subscriptions.iter().find_map(Subscription::reset)
    }

    /// Returns whether other streams read the same bytes: it has one channel and no filter.
    pub(crate) fn shares(&self) -> bool {
        matches!(self.subscriptions[..], [Subscription { filter: None, .. }])
    }

    /// Compresses shared events with this encoding, once for all readers.
    pub(crate) fn compress(&mut self, encoding: Encoding) {
        self.encoding = Some(encoding);
    }

    /// Releases gathered events that are due, when it cannot read on.
    pub(crate) fn flush_if_due(&mut self, now: Instant) {
        for Subscription { channel, cursor, .. } in &mut self.subscriptions {
            channel.flush_if_due(cursor, now);
        }
    }

    /// When it is to be polled again even if nobody wakes it.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.subscriptions.iter().filter_map(|subscription| subscription.cursor.wake_at()).min()
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<Read> {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            self.task = Some(cx.waker().clone());
            // Waiting subscriptions have registered the waker of another task.
            self.subscriptions.iter_mut().for_each(|subscription| subscription.cursor.waits = false);
        }
        for _ in 0..MAX_ROUNDS {
            let (mut closed, mut waiting) = (0, 0);
            for _ in 0..self.subscriptions.len() {
                let index = self.turn as usize % self.subscriptions.len();
                self.turn = self.turn.wrapping_add(1);
                let mut frames = Vec::new();
                match self.read(index, &mut frames, cx, now) {
                    Poll::Pending => waiting += 1,
                    Poll::Ready(Reading::Ended(End::Closed)) => closed += 1,
                    Poll::Ready(Reading::Ended(End::Failed(error))) => {
                        let name = self.subscriptions[index].channel.name.clone();
                        return Poll::Ready(Read::failed(ChannelFailed { name, error }));
                    }
                    Poll::Ready(Reading::Overtaken(missed)) => {
                        return Poll::Ready(Read::Ended(StopReason::Overtaken { missed }));
                    }
                    Poll::Ready(Reading::Events { notice, from, bytes, next }) => {
                        let batch = Batch { index, notice, from, next, bytes, frames };
                        match self.encode_batch(&batch) {
                            Ok(None) => {}
                            Ok(Some(read)) => {
                                self.has_begun = true;
                                return Poll::Ready(read);
                            }
                            Err(error) => return Poll::Ready(Read::failed(error)),
                        }
                    }
                }
            }
            let all_closed = closed == self.subscriptions.len();
            if !all_closed && closed + waiting < self.subscriptions.len() {
                continue;
            }
            // Before it waits for the first event, and before the end, the client gets an id to come back
            // with.
            if self.resumes && self.position_unsent && (all_closed || !self.has_begun) {
                (self.has_begun, self.position_unsent) = (true, false);
                return Poll::Ready(Read::Bytes(self.position_id()));
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
    fn encode_batch(&mut self, batch: &Batch) -> Result<Option<Read>, Error> {
        let &Batch { index, notice, from, next, .. } = batch;
        let events = self.select_events(batch)?;
        let Some(notice) = notice else {
            return events.map(|bytes| self.encode_events(index, bytes, from, next)).transpose();
        };
        self.position_unsent &= next > from;
        let mut out = Vec::new();
        self.encode_notice(notice, index, from, &mut out);
        out.extend_from_slice(&events.unwrap_or_default());
        Ok(Some(Read::Bytes(out.into())))
    }

    /// These events, compressed if that was asked for and others read them too.
    fn encode_events(&self, index: usize, bytes: Bytes, from: u64, next: u64) -> Result<Read, Error> {
        let Some(encoding) = self.encoding else { return Ok(Read::Bytes(bytes)) };
        let piece = self.subscriptions[index].channel.compressed.get(encoding, (from, next), &bytes)?;
        Ok(Read::Compressed(piece))
    }

    fn read(
        &mut self,
        index: usize,
        frames: &mut Vec<Frame>,
        cx: &Context<'_>,
        now: Instant,
    ) -> Poll<Reading> {
        let alone = self.subscriptions.len() == 1;
        let Subscription { channel, cursor, filter } = &mut self.subscriptions[index];
        if channel.is_caught_up(cursor) {
            return Poll::Pending;
        }
        let frames = (!alone || filter.is_some()).then_some(frames);
        channel.read(cursor, MAX_READ, frames, cx.waker(), now)
    }

    /// Returns the events that pass the filter, with the ids of this stream.
    fn select_events(&mut self, batch: &Batch) -> Result<Option<Bytes>, Error> {
        let Batch { index, next, bytes, frames, .. } = batch;
        if bytes.is_empty() {
            return Ok(None);
        }
        let (filter, alone) = (&self.subscriptions[*index].filter, self.subscriptions.len() == 1);
        if alone && filter.is_none() {
            self.position_unsent = false;
            return Ok(Some(bytes.clone()));
        }
        let matches = |frame: &Frame| filter.as_ref().is_none_or(|filter| filter(frame.name(bytes)));
        let matching = catch_panic(|| frames.iter().map(matches).collect::<Vec<_>>())?;
        self.position_unsent = matching.last().is_none_or(|last| !last);
        if alone && matching.iter().all(|&matches| matches) {
            return Ok(Some(bytes.clone()));
        }
        let [before, after] =
            [&self.subscriptions[..*index], &self.subscriptions[index + 1..]].map(encode_positions);
        let mut out = Vec::new();
        let (mut begin, mut sequence) = (0, next - frames.len() as u64);
        for (frame, matches) in frames.iter().zip(matching) {
            let [id_at, id_end, end] = [frame.id_at, frame.id_end, frame.end].map(|at| at as usize);
            if matches && alone {
                out.extend_from_slice(&bytes[begin..end]);
            } else if matches {
                out.extend_from_slice(&bytes[begin..id_at]);
                push_id(&mut out, &before, &self.subscriptions[*index], sequence, &after);
                out.extend_from_slice(&bytes[id_end..end]);
            }
            (begin, sequence) = (end, sequence + 1);
        }
        Ok((!out.is_empty()).then(|| out.into()))
    }

    /// An event of our own, whose id is the position from which the stream goes on: before `from` in its
    /// channel.
    fn encode_notice(&self, notice: Notice, index: usize, from: u64, out: &mut Vec<u8>) {
        let [before, after] =
            [&self.subscriptions[..index], &self.subscriptions[index + 1..]].map(encode_positions);
        push_id(out, &before, &self.subscriptions[index], from - 1, &after);
        let (event, fields) = match notice {
            Notice::Gap(missed) => ("gap", format!(r#""missed":{missed}"#)),
            Notice::Reset(Reset::Expired { missed, .. }) => {
                ("reset", format!(r#""reason":"expired","missed":{missed}"#))
            }
            Notice::Reset(Reset::Unknown) => ("reset", r#""reason":"unknown""#.to_owned()),
        };
        let channel = match &self.subscriptions[index].channel.name {
            Some(name) => format!(r#""channel":{},"#, json_text(name)),
            None => String::new(),
        };
        out.extend_from_slice(format!("event: {event}\ndata: {{{channel}{fields}}}\n\n").as_bytes());
    }

    /// The id of the stream's position alone: no receiver takes it for an event, and each comes back with it.
    fn position_id(&self) -> Bytes {
        let mut out = ID.to_vec();
        out.extend_from_slice(&encode_positions(&self.subscriptions));
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

/// The positions of these subscriptions, each followed by a comma.
///
/// The position of one that has a notice for its client lies before the notice, so that the client gets
/// it again if the connection breaks here.
fn encode_positions(subscriptions: &[Subscription]) -> Vec<u8> {
    let mut out = Vec::new();
    for Subscription { channel, cursor, .. } in subscriptions {
        match cursor.start() {
            StartPosition::Reset(Reset::Expired { seen, .. }) => channel.id(seen).write(&mut out),
            StartPosition::Reset(Reset::Unknown) => out.push(b'?'),
            StartPosition::All if cursor.next > 1 => out.push(b'?'),
            StartPosition::Resumed | StartPosition::New(_) | StartPosition::All => {
                channel.id(cursor.next - 1).write(&mut out)
            }
        }
        out.push(b',');
    }
    out
}

/// Writes the id line with the stream's position in all its channels.
fn push_id(out: &mut Vec<u8>, before: &[u8], subscription: &Subscription, sequence: u64, after: &[u8]) {
    out.extend_from_slice(ID);
    out.extend_from_slice(before);
    subscription.channel.id(sequence).write(out);
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

impl Subscription {
    pub(crate) fn new(channel: Arc<ChannelShared>, cursor: Cursor, filter: Option<Filter>) -> Self {
        Self { channel, cursor, filter }
    }

    fn reset(&self) -> Option<Reset> {
        match self.cursor.start() {
            StartPosition::Resumed | StartPosition::New(_) | StartPosition::All => None,
            StartPosition::Reset(reset) => Some(reset),
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.channel.leave(self.cursor.key());
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}
