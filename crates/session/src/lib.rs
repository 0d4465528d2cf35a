//! The decisions of a client of server-sent events, without sockets, clocks, tasks and requests.
//!
//! [`Session`] is the state machine of one connection. Its inputs are events and their times, its outputs are
//! actions. The *shell* makes requests, sets timers and hands events to their readers: the client crate
//! natively and in WebAssembly, and the npm package.
//!
//! ```
//! use core::time::Duration;
//! use ssekit_session::{Answer, Config, Output, Session};
//!
//! let seconds = Duration::from_secs;
//! let mut session = Session::<()>::new(Config::default(), 0);
//!
//! session.start(seconds(0));
//! assert_eq!(session.next_output(), Some(Output::Connect { first: true }));
//!
//! let answer = Answer { status: 200, content_type: Some("text/event-stream"), ..Answer::default() };
//! session.answered(&answer, seconds(1));
//! assert_eq!(session.next_output(), Some(Output::Opened));
//!
//! session.bytes(b"id: 7\ndata: hello\n\n", seconds(2), |item| println!("{item:?}"));
//! assert_eq!(session.last_event_id(), "7"); // the next attempt sends it as Last-Event-ID
//! ```

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod answer;
mod config;
mod failure;
mod output;
mod reconnect;
mod repeat;
mod session;

pub use answer::Answer;
pub use config::Config;
pub use failure::{CloseReason, Failure};
pub use output::Output;
pub use reconnect::Reconnect;
pub use repeat::{AfterEnd, MethodClass, NotRepeated, Progress, RepeatChoice, repeat};
pub use session::Session;
pub use ssekit_wire::{DecodeError, Item, Message};
