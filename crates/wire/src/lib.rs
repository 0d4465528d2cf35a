//! The `text/event-stream` format of the [HTML standard, section 9.2][spec]: an event that is valid or is not
//! built, an encoder, and a decoder that takes a stream in pieces. No I/O, no clock, no async; `no_std` +
//! `alloc`.
//!
//! ```text
//!  Event::new("72 °F\nsunny")        id: 7\n                 any pieces      Message { event: "weather",
//!    .with_event("weather")?  ─────▶ event: weather\n  ═════▶ Decoder ─────▶           data: "72 °F\nsunny",
//!    .with_id("7")?            encode data: 72 °F\n           feed   Items             last_event_id: "7" }
//!                                    data: sunny\n
//!                                    \n
//! ```
//!
//! ```
//! use ssekit::wire::{Decoder, Event, Item};
//!
//! let mut stream = Vec::new();
//! Event::new("72 °F\nsunny").with_event("weather")?.with_id("7")?.encode(&mut stream);
//!
//! let mut decoder = Decoder::new();
//! for piece in stream.chunks(5) {
//!     let mut items = decoder.feed(piece);
//!     while let Some(item) = items.next() {
//!         match item {
//!             Ok(Item::Message(message)) => assert_eq!(message.data, "72 °F\nsunny"),
//!             Ok(Item::Comment(_)) => {}             // only when asked for
//!             Err(error) => panic!("lost: {error}"), // the next event is read all the same
//!         }
//!     }
//! }
//! # Ok::<(), ssekit::wire::FieldError>(())
//! ```
//!
//! Programs that use the crate `ssekit` have this one as `ssekit::wire`.
//!
//! # Guarantees
//!
//! - The items do not depend on where the stream was cut. Time is linear in its length.
//! - An event that lies in one piece is borrowed; one that was cut is put together in buffers that are used
//!   again.
//! - Nothing in a stream can make the decoder panic or hold more than its limit. Invalid UTF-8 becomes
//!   U+FFFD. A bare CR ends its line at once.
//! - Names and ids that would break a line are refused when the event is built; data may hold anything. So no
//!   text can add a field or an event.
//!
//! # Limits
//!
//! | Limit | Default | Beyond it |
//! |---|---|---|
//! | an event's data, names and ids | 16 MiB: [`Decoder::with_max_event_bytes`] | one [`DecodeError`], then the next event |
//! | a comment that was asked for | the same | one [`DecodeError`], then on |
//! | unknown fields, other comments | – | skipped, never kept |
//! | `retry:` | 64 bits of milliseconds | as large as can be |
//! | memory kept between events | 1 MiB a buffer | given back |
//!
//! # Across connections
//!
//! [`Decoder::reconnect`] begins the next connection: a cut event is dropped, the last event ID and the
//! reconnection time stay. Send [`Decoder::last_event_id`] as `Last-Event-ID`, in UTF-8, unless it is empty.
//!
//! ```
//! use ssekit::wire::Decoder;
//!
//! let mut decoder = Decoder::new();
//! drop(decoder.feed(b"id: 41\ndata: x\n\ndata: cut o"));
//! decoder.reconnect();
//! assert_eq!(decoder.last_event_id(), "41");
//! ```
//!
//! # Features
//!
//! - `std` (default) chooses the processor's widest vectors at run time, to find the ends of long lines and
//!   to check UTF-8.
//! - `json` adds `Event::json`, and `Event::typed` and `Message::typed`, which write and read an enum whose
//!   variants are the names of events.
//!
//! [spec]: https://html.spec.whatwg.org/multipage/server-sent-events.html
#![no_std]
extern crate alloc;

mod event;

mod decoder;

mod items;

pub mod media_type;

mod block;

mod scan;

#[cfg(feature = "json")]
mod json;

pub use decoder::{DEFAULT_MAX_EVENT_BYTES, DecodeError, Decoder, Item, Message};
pub use event::{Event, Field, FieldError, encode_comment};
pub use items::Items;
