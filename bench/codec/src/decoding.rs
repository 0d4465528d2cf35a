//! The readers of event streams, each through its fastest public interface and without a copy that it does
//! not need.

use std::convert::Infallible;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use eventsource_stream::Eventsource as _;
use futures_util::{Stream, stream};
use ssekit_wire::{Decoder, Item};
use tokio_util::codec::Decoder as _;
use wide::u8x16;

use crate::corpus::Delivered;

/// A reader of a stream that comes in pieces.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    pub name: &'static str,
    pub read: fn(&[&'static [u8]]) -> Delivered,
}

pub const OURS: Reader = Reader { name: "ssekit-wire", read: ssekit };

pub const PEERS: [Reader; 5] = [
    Reader { name: "sse-core", read: sse_core },
    Reader { name: "sse-stream", read: sse_stream },
    Reader { name: "sseer", read: sseer },
    Reader { name: "russe", read: russe },
    Reader { name: "eventsource-stream", read: eventsource_stream },
];

/// The least that any decoder must do: find the line ends, by a call for each or by a mask for each 64 bytes.
pub const FLOORS: [Reader; 2] = [
    Reader { name: "line ends by memchr2", read: line_ends_by_call },
    Reader { name: "line ends by masks", read: line_ends_by_mask },
];

impl Delivered {
    fn add(&mut self, event: &str, data: &str, id: &str) {
        black_box((event, data, id));
        self.events += 1;
        self.data_bytes += data.len();
    }
}

fn ssekit(pieces: &[&'static [u8]]) -> Delivered {
    let mut delivered = Delivered::default();
    let mut decoder = Decoder::new();
    for piece in pieces {
        let mut items = decoder.feed(piece);
        while let Some(item) = items.next() {
            if let Item::Message(message) = item.expect("no event is too large") {
                delivered.add(message.event, message.data, message.last_event_id);
            }
        }
    }
    delivered
}

fn sse_core(pieces: &[&'static [u8]]) -> Delivered {
    let mut delivered = Delivered::default();
    let mut decoder = sse_core::SseDecoder::with_limit(NonZeroUsize::new(16 << 20).expect("not zero"));
    for piece in pieces {
        let mut rest: &[u8] = piece;
        while let Some(event) = decoder.next(&mut rest) {
            if let sse_core::SseEvent::Message(event) = event.expect("no event is too large") {
                delivered.add(&event.event, &event.data, event.last_event_id.as_deref().unwrap_or_default());
            }
        }
    }
    delivered
}

fn sse_stream(pieces: &[&'static [u8]]) -> Delivered {
    let mut delivered = Delivered::default();
    each(sse_stream::SseByteStream::new(buffers(pieces)), |event| {
        let event = event.expect("the corpora are valid");
        // It gives blocks without data too, which are no events.
        if let Some(data) = &event.data {
            let name = event.event.as_deref().unwrap_or("message");
            delivered.add(name, data, event.id.as_deref().unwrap_or_default());
        }
    });
    delivered
}

fn sseer(pieces: &[&'static [u8]]) -> Delivered {
    let mut delivered = Delivered::default();
    // Static bytes are the cheapest that it takes: a clone counts no reference.
    let buffers = stream::iter(pieces.iter().map(|piece| Ok::<_, Infallible>(Bytes::from_static(piece))));
    each(sseer::EventStream::new(buffers), |event| {
        let event = event.expect("the corpora are valid");
        delivered.add(&event.event, &event.data, &event.id);
    });
    delivered
}

fn russe(pieces: &[&'static [u8]]) -> Delivered {
    let mut delivered = Delivered::default();
    let mut decoder = russe::Decoder::default();
    let mut buffer = BytesMut::with_capacity(pieces.first().map_or(0, |piece| 2 * piece.len()));
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some(event) = decoder.decode(&mut buffer).expect("the corpora are valid") {
            if let russe::Event::Message(message) = event {
                let name = message.event.as_deref().unwrap_or("message");
                delivered.add(name, &message.data, message.id.as_deref().unwrap_or_default());
            }
        }
    }
    delivered
}

fn eventsource_stream(pieces: &[&'static [u8]]) -> Delivered {
    let mut delivered = Delivered::default();
    each(buffers(pieces).eventsource(), |event| {
        let event = event.expect("the corpora are valid");
        delivered.add(&event.event, &event.data, &event.id);
    });
    delivered
}

fn line_ends_by_call(pieces: &[&'static [u8]]) -> Delivered {
    for piece in pieces {
        black_box(memchr::memchr2_iter(b'\n', b'\r', piece).fold(0, |sum, at| sum ^ at));
    }
    Delivered::default()
}

fn line_ends_by_mask(pieces: &[&'static [u8]]) -> Delivered {
    let mut sum = 0;
    for piece in pieces {
        let (blocks, rest) = piece.as_chunks::<64>();
        for (at, block) in blocks.iter().enumerate() {
            let mut ends = 0;
            for (quarter, bytes) in block.as_chunks::<16>().0.iter().enumerate() {
                let bytes = u8x16::new(*bytes);
                let found = bytes.simd_eq(u8x16::splat(b'\n')) | bytes.simd_eq(u8x16::splat(b'\r'));
                ends |= u64::from(found.to_bitmask()) << (16 * quarter);
            }
            while ends != 0 {
                sum ^= 64 * at + ends.trailing_zeros() as usize;
                ends &= ends - 1;
            }
        }
        let is_end = |byte: &u8| *byte == b'\n' || *byte == b'\r';
        sum ^= rest.iter().enumerate().filter(|(_, byte)| is_end(byte)).fold(0, |sum, (at, _)| sum ^ at);
    }
    black_box(sum);
    Delivered::default()
}

fn buffers(pieces: &[&'static [u8]]) -> impl Stream<Item = Result<&'static [u8], Infallible>> {
    stream::iter(pieces.iter().map(|piece| Ok(*piece)))
}

/// Polls a stream that is always ready, without a runtime.
fn each<S: Stream>(stream: S, mut take: impl FnMut(S::Item)) {
    let mut stream = pin!(stream);
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(item)) = stream.as_mut().poll_next(&mut context) {
        take(item);
    }
}
