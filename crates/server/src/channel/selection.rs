use std::fmt;
use std::sync::Arc;

use http::HeaderValue;
use tokio::time::Instant;

use super::cursor::Reset;
use super::id::positions;
use super::policy::First;
use super::reader::{Filter, Reader, Subscription};
use super::shared::ChannelShared;
use crate::last_event_id::LastEventId;
use crate::produce::Produce;

/// The channels that one subscriber reads: one or several, with all of their events or those whose names
/// pass.
///
/// A stream of several channels has each channel's events in their order. Its ids name its position in all of
/// them, as in `5h0b2j7c1k-7,9d4m8n3p0q-12`, so that a client that comes back with one goes on in every
/// channel; ids that publishers gave are not seen there, but still understood. One stream can read 100
/// channels; with more, the [response](Produce::try_response) is an error.
///
/// ```
/// use ssekit::{Channel, First, LastEventId, Produce};
///
/// fn page(stats: &Channel, chat: &Channel, last: LastEventId) -> Produce {
///     stats.first(First::Last(1)).and(chat.filter(|name| name != "typing")).subscribe(last)
/// }
/// # let _ = page;
/// ```
#[derive(Clone)]
#[must_use = "a selection does nothing until it is subscribed to"]
pub struct Selection {
    sources: Vec<Source>,
}

#[derive(Clone)]
struct Source {
    channel: Arc<ChannelShared>,
    filter: Option<Filter>,
    first: Option<First>,
}

/// The header of a response that cannot go on where its client was.
const RESET: &str = "ssekit-reset";

impl Selection {
    pub(super) fn of(channel: Arc<ChannelShared>) -> Self {
        Self { sources: vec![Source { channel, filter: None, first: None }] }
    }

    /// Reads the others too. A channel that is here already is not read twice.
    pub fn and(mut self, other: impl Into<Self>) -> Self {
        for source in other.into().sources {
            if !self.sources.iter().any(|known| Arc::ptr_eq(&known.channel, &source.channel)) {
                self.sources.push(source);
            }
        }
        self
    }

    /// Leaves out events whose name does not pass, of all the channels that are here already. Filters add up.
    pub fn filter(mut self, matches: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        let matches: Filter = Arc::new(matches);
        for source in &mut self.sources {
            let (matches, before) = (matches.clone(), source.filter.take());
            source.filter = Some(match before {
                None => matches,
                Some(before) => Arc::new(move |name| before(name) && matches(name)),
            });
        }
        self
    }

    /// Sets the first events without a last event ID, instead of the channels' own setting. Events are
    /// counted before they are filtered.
    pub fn first(mut self, first: First) -> Self {
        for source in &mut self.sources {
            source.first = Some(first);
        }
        self
    }

    /// Answers with these events: those after this last event ID, or the first ones.
    pub fn subscribe(self, last: LastEventId) -> Produce {
        Produce::silent().follow(self, last)
    }

    /// Returns a reader of these channels from now on, and the header for a reset in one of them.
    fn read(self, last: &LastEventId) -> (Reader, Option<HeaderValue>) {
        let now = Instant::now();
        let id = last.as_str();
        let cursors: Vec<_> = self.sources.iter().map(|source| source.channel.resume(id?, now)).collect();
        // A channel that the id does not speak of is new to the client, if every part of the id is of
        // another.
        let known = cursors.iter().flatten().count();
        let is_unknown = id.is_some_and(|id| known < positions(id).count());
        let subscriptions =
            self.sources.into_iter().zip(cursors).map(|(Source { channel, filter, first }, cursor)| {
                let cursor = cursor.unwrap_or_else(|| match is_unknown {
                    true => channel.join_after_unknown_id(now),
                    false => channel.join(first.unwrap_or(channel.first), now),
                });
                Subscription::new(channel, cursor, filter)
            });
        let reader = Reader::new(subscriptions, last.resumes());
        let reset = reader.reset();
        let reset = reset.map(|reset| match reset {
            Reset::Expired { .. } => HeaderValue::from_static("expired"),
            Reset::Unknown => HeaderValue::from_static("unknown"),
        });
        (reader, reset)
    }
}

impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channels = self.sources.iter().map(|source| (&source.channel.name, source.filter.is_some()));
        f.debug_map().entries(channels).finish()
    }
}

impl Produce {
    /// Sends these channels' events too, after this last event ID: a stream of shared events and events for
    /// this client alone. Emit events without ids: the last event ID is the position in the channels.
    ///
    /// It stays open while one of them is open, also without emitters.
    ///
    /// ```
    /// use ssekit::{Channel, LastEventId, Produce, produce};
    ///
    /// fn page(news: &Channel, name: String, last: LastEventId) -> Produce {
    ///     produce(move |stream| async move { Ok(stream.emit("welcome", name)?) }).follow(news, last)
    /// }
    /// # let _ = page;
    /// ```
    #[expect(clippy::needless_pass_by_value, reason = "the id is used up, as by `subscribe`")]
    pub fn follow(mut self, selection: impl Into<Selection>, last: LastEventId) -> Self {
        let (reader, reset) = selection.into().read(&last);
        self.read(reader);
        match reset {
            Some(reset) => self.header(RESET, reset),
            None => self,
        }
    }
}
