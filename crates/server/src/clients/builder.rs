//! Limits and policies of [`Clients`].

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Clients;
use super::audience::{Losses, WhenFull};
use super::registry::{ClientsShared, Registry};
use crate::presence::Watchers;
use crate::refusal::DEFAULT_RETRY;

/// The options of [`Clients`].
#[must_use = "options do nothing until `build`"]
pub struct ClientsBuilder<K> {
    max_per_key: Option<usize>,
    replace_oldest: bool,
    when_full: WhenFull,
    retry: Duration,
    name: Option<Box<str>>,
    key: PhantomData<fn() -> K>,
}

impl<K: Eq + Hash + Clone + Send + Sync + 'static> ClientsBuilder<K> {
    pub(super) fn new() -> Self {
        Self {
            max_per_key: None,
            replace_oldest: false,
            when_full: WhenFull::LeaveOut,
            retry: DEFAULT_RETRY,
            name: None,
            key: PhantomData,
        }
    }

    /// At most this many streams for each key; any number unless set.
    ///
    /// One more is refused as [`Streams`](crate::Streams) refuses: so that a browser comes back.
    pub fn max_per_key(mut self, streams: usize) -> Self {
        self.max_per_key = Some(streams);
        self
    }

    /// Ends the oldest stream of a key that is at its limit, instead of refusing the newest: after its
    /// emitted events, with the reconnection time, and with [`Replaced`](crate::StopReason::Replaced).
    ///
    /// The client of the oldest comes back all the same, and then ends another: tabs take turns. To make one
    /// give up, send it an event that says so.
    pub fn replace_oldest(mut self) -> Self {
        self.replace_oldest = true;
        self
    }

    /// Ends a stream whose buffer has no room for an event, so that its client returns and resumes. The
    /// reason is [`Overtaken`](crate::StopReason::Overtaken). Unless set, the event is left out for this
    /// stream, and [counted](crate::Delivery).
    pub fn end_when_full(mut self) -> Self {
        self.when_full = WhenFull::End;
        self
    }

    /// Sets the time after which the client of a refused or replaced stream returns, on average: as
    /// [`StreamsBuilder::retry`](crate::StreamsBuilder::retry). 3 s unless set.
    pub fn retry(mut self, time: Duration) -> Self {
        self.retry = time;
        self
    }

    /// A name, for metrics: it distinguishes several `Clients` of one program.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into().into());
        self
    }

    /// A registry with these options.
    #[must_use]
    pub fn build(self) -> Clients<K> {
        let registry = Registry { keys: HashMap::new(), streams: 0, next: 0, refused: 0 };
        Clients {
            shared: Arc::new(ClientsShared {
                max_per_key: self.max_per_key,
                replace_oldest: self.replace_oldest,
                retry: self.retry,
                losses: Arc::new(Losses::new(self.when_full)),
                registry: Mutex::new(registry),
                watchers: Watchers::new(),
                name: self.name,
                #[cfg(feature = "metrics")]
                recorded: crate::recorded::Recorded::default(),
            }),
        }
    }
}

impl<K> fmt::Debug for ClientsBuilder<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientsBuilder")
            .field("max_per_key", &self.max_per_key)
            .field("replace_oldest", &self.replace_oldest)
            .field("when_full", &self.when_full)
            .field("retry", &self.retry)
            .finish()
    }
}
