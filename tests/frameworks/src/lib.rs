//! Every supported web framework, behind one trait. A promise holds in all of them, or [`Known`] names the
//! difference and the suite in `tests/` shows it.
//!
//! To add a framework: a file beside this one, a line in [`on_each_framework`].

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use ssekit::{LastEventId, Produce, Streams};

mod client;
mod server;

mod actix;
mod axum;
mod hyper;
mod poem;
mod rocket;
mod salvo;
mod warp;

pub use actix::ActixWeb;
pub use axum::Axum;
pub use client::{Client, End};
pub use hyper::Hyper;
pub use poem::Poem;
pub use rocket::Rocket;
pub use salvo::Salvo;
pub use server::{Bound, Server, Stop, Stream, within};
pub use warp::Warp;

/// Makes a test of each framework out of a case, which is an `async fn` with a framework as its type.
#[macro_export]
macro_rules! on_each_framework {
    ($($case:ident)*) => { $(
        mod $case {
            $crate::test_of!($case, actix_web, ActixWeb);
            $crate::test_of!($case, axum, Axum);
            $crate::test_of!($case, hyper, Hyper);
            $crate::test_of!($case, poem, Poem);
            $crate::test_of!($case, rocket, Rocket);
            $crate::test_of!($case, salvo, Salvo);
            $crate::test_of!($case, warp, Warp);
        }
    )* };
}

/// One test.
#[macro_export]
macro_rules! test_of {
    ($case:ident, $name:ident, $framework:ident) => {
        #[tokio::test]
        async fn $name() {
            super::$case::<$crate::$framework>().await;
        }
    };
}

/// A framework, as its users run it.
pub trait Framework: 'static {
    /// Where it differs from the others.
    const KNOWN: Known;

    /// Answers `/{route}` as the application says, and `/compressed/{route}` with the same behind the
    /// framework's own compression if it has one. Returns after a request to stop, when every connection has
    /// ended.
    fn serve(app: App, bound: Bound, stop: Stop) -> impl Future<Output = ()>;
}

/// The known differences of a framework.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// How the end of a client that is not being written to is noticed.
    pub departure: Departure,
    /// How a client that does not read is found.
    pub stall: Stall,
    /// The end of a response whose body fails. A response that looks complete ends in the middle of an event.
    pub failure: End,
    /// The effect of the framework's own compression on a stream.
    pub compression: Compression,
}

impl Known {
    /// How a stream ends that has failed after these bytes.
    #[must_use]
    pub fn failed(self, bytes: &str) -> (String, End) {
        let half = if self.failure == End::Complete { "event: incomplete\ndata:" } else { "" };
        (format!("{bytes}{half}"), self.failure)
    }
}

/// How the end of a client is noticed while there is nothing to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// At once.
    AtOnce,
    /// By a reset at once; an orderly end is taken for half of one, until a ping is written.
    ResetAtOnce,
    /// By the next ping.
    AtNextWrite,
}

/// How a client that does not read is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// By the stream's stall time.
    StallTimeout,
    /// By `watch_peer`, which the server has called for the connection with this many seconds.
    WatchPeer(u64),
    /// Not at all: it costs bounded memory until it goes.
    Never,
}

/// The effect of a framework's own compression on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// It leaves streams alone.
    LeftAlone,
    /// It compresses them, and every event leaves at once.
    Flushed,
    /// There is none.
    None,
}

/// The answers of a server, a stream for each route and last event ID, and the `Streams` that all of them
/// join.
#[derive(Clone)]
pub struct App {
    answer: Arc<Answer>,
    /// Set once for the whole server, in the way of its framework.
    pub streams: Streams,
}

type Answer = dyn Fn(&str, LastEventId) -> Produce + Send + Sync;

impl App {
    /// An application that answers like this.
    pub fn new(answer: impl Fn(&str, LastEventId) -> Produce + Send + Sync + 'static) -> Self {
        Self { answer: Arc::new(answer), streams: Streams::new() }
    }

    /// The same, within these streams.
    #[must_use]
    pub fn within(self, streams: &Streams) -> Self {
        Self { streams: streams.clone(), ..self }
    }

    /// The answer to a request.
    pub fn answer(&self, route: &str, last: LastEventId) -> Produce {
        (self.answer)(route, last)
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("App")
    }
}
