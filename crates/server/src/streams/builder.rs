use std::collections::hash_map::RandomState;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use super::{Streams, StreamsShared};
use crate::refusal::{DEFAULT_RETRY, jittered_retry};

/// The limits of [`Streams`].
#[derive(Clone, Debug)]
#[must_use = "limits do nothing until `build`"]
pub struct StreamsBuilder {
    pub(super) max: Option<usize>,
    pub(super) max_per_key: Option<usize>,
    pub(super) max_lifetime: Option<Duration>,
    retry: Duration,
    pub(super) name: Option<Box<str>>,
}

impl Default for StreamsBuilder {
    fn default() -> Self {
        Self { max: None, max_per_key: None, max_lifetime: None, retry: DEFAULT_RETRY, name: None }
    }
}

impl StreamsBuilder {
    /// At most this many streams. Any number unless set.
    pub fn max(mut self, streams: usize) -> Self {
        self.max = Some(streams);
        self
    }

    /// At most this many streams that were counted [as](crate::Produce::within_as) the same key. Any number
    /// unless set.
    pub fn max_per_key(mut self, streams: usize) -> Self {
        self.max_per_key = Some(streams);
        self
    }

    /// Ends a stream after this long, less up to a fifth at random, so that streams that began together do
    /// not end together. Unlimited by default.
    ///
    /// It sends its emitted events, then a time to return, and ends, with
    /// [`Expired`](crate::StopReason::Expired). The client resumes: connections move to servers that have joined
    /// since, and credentials are asked for again.
    pub fn max_lifetime(mut self, time: Duration) -> Self {
        self.max_lifetime = Some(time);
        self
    }

    /// Sets the time after which the client of a stream that the server ends or refuses returns: this time on
    /// average, spread evenly from half of it to one and a half. 3 s by default.
    ///
    /// It replaces the time of [`Produce::retry`](crate::Produce::retry). When the streams of n clients end
    /// at once, one n-th of this time lies between two of them on average.
    pub fn retry(mut self, time: Duration) -> Self {
        self.retry = time;
        self
    }

    /// A name, for metrics: it distinguishes several `Streams` of one program.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into().into());
        self
    }

    /// Streams with these limits.
    #[must_use]
    pub fn build(self) -> Streams {
        Streams {
            shared: Arc::new(StreamsShared {
                limits: self,
                keys: RandomState::new(),
                state: Mutex::default(),
                ended: Notify::new(),
                #[cfg(feature = "metrics")]
                recorded: crate::recorded::Recorded::default(),
            }),
        }
    }

    pub(super) fn jittered_retry(&self) -> Duration {
        jittered_retry(self.retry)
    }
}
