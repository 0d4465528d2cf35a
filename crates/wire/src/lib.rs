//! The `text/event-stream` format of [the HTML standard, section 9.2][spec]: no I/O, no clock, no async, `no_std` + `alloc`.
//!
//! [spec]: https://html.spec.whatwg.org/multipage/server-sent-events.html
#![no_std]
extern crate alloc;

mod block;
mod decoder;
mod event;
mod scan;

pub use decoder::{DEFAULT_MAX_EVENT_BYTES, DecodeError, Decoder, Item, Items, Message};
pub use event::{Event, Field, FieldError, encode_comment};
