//! The writers of events, each through its fastest public interface. Values that a peer wants to own are made
//! before the clock starts.

use std::cell::Cell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use bytestring::ByteString;
use ssekit_wire::Event;
use tokio_util::codec::Encoder as _;

use crate::corpus::{Corpus, Fields};

/// A writer of events: encodes all of them, and returns the time and the number of bytes.
#[derive(Clone, Copy, Debug)]
pub struct Writer {
    pub name: &'static str,
    pub write: fn(&'static [Fields], &mut Vec<u8>) -> Wrote,
}

#[derive(Clone, Copy, Debug)]
pub struct Wrote {
    pub time: Duration,
    pub bytes: usize,
}

const VALID: &str = "the corpora are valid";

pub const OURS: Writer = Writer { name: "ssekit-wire", write: ssekit };

pub const PEERS: [Writer; 3] = [
    Writer { name: "axum", write: axum },
    Writer { name: "russe", write: russe },
    Writer { name: "sse-stream", write: sse_stream },
];

/// Code that is written for this corpus, and trusts it.
pub const BY_HAND: Writer = Writer { name: "by hand", write: by_hand };

/// The bytes that a writer must have written; axum's last LF is added by its body alone.
pub fn wanted(writer: &Writer, corpus: &Corpus) -> usize {
    let missing = if writer.name == "axum" { corpus.events.len() } else { 0 };
    corpus.stream.len() - missing
}

fn ssekit(events: &'static [Fields], out: &mut Vec<u8>) -> Wrote {
    out.clear();
    let start = Instant::now();
    for fields in events {
        // One expression for each shape of event, as a program has it: an event that is built in steps is
        // also moved in steps.
        let data = &fields.data;
        match (&fields.id, &fields.event) {
            (Some(id), Some(name)) => {
                Event::new(data).with_event(name).expect(VALID).with_id(id).expect(VALID).encode(out);
            }
            (Some(id), None) => Event::new(data).with_id(id).expect(VALID).encode(out),
            (None, Some(name)) => Event::new(data).with_event(name).expect(VALID).encode(out),
            (None, None) => Event::new(data).encode(out),
        }
    }
    black_box(&*out);
    Wrote { time: start.elapsed(), bytes: out.len() }
}

fn by_hand(events: &'static [Fields], out: &mut Vec<u8>) -> Wrote {
    out.clear();
    let several_lines = events.iter().any(|fields| fields.data.contains('\n'));
    let start = Instant::now();
    for fields in events {
        if let Some(id) = &fields.id {
            out.extend_from_slice(b"id: ");
            out.extend_from_slice(id.as_bytes());
            out.push(b'\n');
        }
        if let Some(name) = &fields.event {
            out.extend_from_slice(b"event: ");
            out.extend_from_slice(name.as_bytes());
            out.push(b'\n');
        }
        if several_lines {
            for line in fields.data.split('\n') {
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(line.as_bytes());
                out.push(b'\n');
            }
            out.push(b'\n');
        } else {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(fields.data.as_bytes());
            out.extend_from_slice(b"\n\n");
        }
    }
    black_box(&*out);
    Wrote { time: start.elapsed(), bytes: out.len() }
}

/// The builder writes the event; only the body of a response can take its bytes out and add the last LF.
fn axum(events: &'static [Fields], _: &mut Vec<u8>) -> Wrote {
    let start = Instant::now();
    for fields in events {
        let mut event = axum::response::sse::Event::default();
        if let Some(id) = &fields.id {
            event = event.id(id);
        }
        if let Some(name) = &fields.event {
            event = event.event(name);
        }
        drop(black_box(event.data(&fields.data)));
    }
    let time = start.elapsed();
    let lines = |fields: &Fields| {
        let line = |name: &str, value: &str| name.len() + ": \n".len() + value.len();
        fields.id.as_deref().map_or(0, |id| line("id", id))
            + fields.event.as_deref().map_or(0, |event| line("event", event))
            + fields.data.split('\n').map(|data| line("data", data)).sum::<usize>()
    };
    Wrote { time, bytes: events.iter().map(lines).sum() }
}

fn russe(events: &'static [Fields], _: &mut Vec<u8>) -> Wrote {
    // Kept between runs, as `out` is, so that its memory is warm.
    thread_local!(static BUFFER: Cell<BytesMut> = Cell::default());
    let mut encoder = russe::Encoder::default();
    let mut buffer = BUFFER.take();
    buffer.clear();
    // Its strings are shared: static ones cost nothing.
    let share = |text: &'static String| ByteString::from_static(text);
    let start = Instant::now();
    for fields in events {
        let message = russe::Message {
            data: share(&fields.data),
            event: fields.event.as_ref().map(share),
            retry: None,
            id: fields.id.as_ref().map(share),
        };
        encoder.encode(russe::Event::Message(message), &mut buffer).expect("the corpora are valid");
    }
    black_box(&buffer);
    let wrote = Wrote { time: start.elapsed(), bytes: buffer.len() };
    BUFFER.set(buffer);
    wrote
}

fn sse_stream(events: &'static [Fields], _: &mut Vec<u8>) -> Wrote {
    let owned: Vec<sse_stream::Sse> = events
        .iter()
        .map(|fields| sse_stream::Sse {
            event: fields.event.clone(),
            data: Some(fields.data.clone()),
            id: fields.id.clone(),
            retry: None,
        })
        .collect();
    let mut bytes = 0;
    let start = Instant::now();
    for event in owned {
        bytes += black_box(event.encode().expect("the corpora are valid")).len();
    }
    Wrote { time: start.elapsed(), bytes }
}
