use std::ops::Range;

use tokio::time::Instant;

/// A run of encoded events that lie in memory one after the other, and where each of them ends.
#[derive(Debug)]
pub(crate) struct Segment<B> {
    /// The sequence of the first event.
    pub(crate) first: u64,
    pub(crate) bytes: B,
    pub(crate) frames: Vec<Frame>,
}

/// Where an encoded event lies among the bytes, and its id and name within it.
///
/// ```text
/// retry: 3000⏎  id: x-7⏎  event: news⏎  data: …⏎⏎
///              ▲ id_at   ▲ id_end ▲──▲ name          ▲ end
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) id_at: u32,
    pub(crate) id_end: u32,
    /// Bytes of the name, which begins after `event: ` at `id_end`; none for an event without data.
    pub(crate) name: u32,
    pub(crate) end: u32,
    /// The id was given by the publisher.
    pub(crate) custom: bool,
    pub(crate) at: Instant,
}

impl<B> Segment<B> {
    pub(crate) fn new(first: u64, bytes: B) -> Self {
        Self { first, bytes, frames: Vec::new() }
    }

    /// The sequence after the last event.
    pub(crate) fn next(&self) -> u64 {
        self.first + self.frames.len() as u64
    }

    /// Where the event with this index begins.
    pub(crate) fn begin(&self, index: usize) -> usize {
        match index.checked_sub(1) {
            Some(before) => self.frames[before].end as usize,
            None => 0,
        }
    }

    /// The range of whole events from one sequence up to another, and the sequence after them. At most this
    /// many bytes, but one event at least. Their frames, relative to those bytes, are added to `frames`.
    pub(crate) fn range(
        &self,
        from: u64,
        end: u64,
        max: usize,
        frames: Option<&mut Vec<Frame>>,
    ) -> (Range<usize>, u64) {
        let index = (from - self.first) as usize;
        let begin = self.begin(index);
        let fitting = self.frames[index..].partition_point(|frame| frame.end as usize - begin <= max).max(1);
        let count = fitting.min((end - from) as usize);
        if let Some(frames) = frames {
            frames.extend(self.frames[index..index + count].iter().map(|frame| frame.from(begin)));
        }
        (begin..self.begin(index + count), from + count as u64)
    }
}

impl<B: AsRef<[u8]>> Segment<B> {
    /// The id of the event with this index.
    pub(crate) fn id(&self, index: usize) -> &str {
        let frame = &self.frames[index];
        let id = &self.bytes.as_ref()[frame.id_at as usize + ID.len()..frame.id_end as usize - 1];
        std::str::from_utf8(id).unwrap_or_default()
    }
}

impl Frame {
    /// The same, in bytes that begin elsewhere.
    pub(crate) fn from(self, begin: usize) -> Self {
        let begin = begin as u32;
        Self {
            id_at: self.id_at - begin,
            id_end: self.id_end - begin,
            name: self.name,
            end: self.end - begin,
            ..self
        }
    }

    /// The event's name among these bytes.
    pub(crate) fn name<'a>(&self, bytes: &'a [u8]) -> &'a str {
        let begin = self.id_end as usize + EVENT.len();
        let name = bytes.get(begin..begin + self.name as usize);
        name.and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default()
    }
}

pub(crate) const ID: &[u8] = b"id: ";
const EVENT: &[u8] = b"event: ";
