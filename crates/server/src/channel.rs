//! Channels: logs of events that any number of streams read.

mod builder;
mod close_on_drop;
mod cursor;
mod id;
mod log;
mod policy;
pub(crate) mod reader;
mod segment;
mod selection;
mod shared;
mod stats;
mod subscribers;
mod sync;

use std::fmt;
use std::sync::Arc;

use ssekit_wire::Event;
use tokio::time::Instant;

pub use self::builder::ChannelBuilder;
pub use self::close_on_drop::CloseOnDrop;
pub use self::id::EventId;
pub use self::policy::{First, Overtaken};
pub use self::selection::Selection;
use self::shared::{ChannelShared, End};
pub use self::stats::ChannelStats;
use crate::emit_error::EmitError;
use crate::error::Error;
use crate::last_event_id::LastEventId;
use crate::presence::Presence;
use crate::produce::Produce;

/// One source of events for any number of subscribers: each of them receives every emitted event.
///
/// A channel is a log. An event is encoded once and appended; a subscriber is a cursor in the log and reads
/// on from there, at its own pace. Events that a client missed and new events are the same log read by the
/// same reader, so that nothing is left out and nothing comes twice. A slow subscriber costs a cursor and
/// delays nobody.
///
/// Each event has an [id](EventId) of the channel, unless it has one of its own. A client that comes back
/// with it ([`LastEventId`]) reads on after it.
///
/// ```
/// use axum::{Router, extract::State, routing::get};
/// use ssekit::{Channel, LastEventId, Produce, Streams};
///
/// async fn events(State(news): State<Channel>, last: LastEventId) -> Produce {
///     news.subscribe(last)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # async fn ctrl_c() {} // tokio::signal::ctrl_c
/// let news = Channel::builder().keep_last(10_000).build();
/// let streams = Streams::new(); // end every stream when the server shuts down
/// let app = Router::new().route("/events", get(events)).with_state(news.clone()).layer(streams.clone());
///
/// news.emit("headline", "…")?; // from any thread or task
///
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// axum::serve(listener, app).with_graceful_shutdown(streams.shutdown_on(ctrl_c())).await?;
/// # Ok(()) }
/// ```
///
/// # When it cannot go on where the client was
///
/// An id from before a restart, or of an event that is no longer held, is never passed over silently. The
/// response has the header `ssekit-reset: expired` or `unknown`, and its first event is named `reset`. Its
/// data is JSON:
///
/// | Data | Means |
/// |---|---|
/// | `{"reason":"expired","missed":42}` | the 42 events after that id are gone |
/// | `{"reason":"unknown"}` | this channel knows no event with that id; perhaps the server was restarted |
///
/// A channel that has a [name](ChannelBuilder::name) adds `"channel":"…"`. Then come the events that
/// [`after_reset`](ChannelBuilder::after_reset) names: by default, all that are held.
///
/// # When it ends
///
/// Clones are handles of the same channel. It ends when it is [closed](Self::close) or [fails](Self::fail),
/// not when they are dropped: subscribers that nobody can send to any more stay connected. A job that owns
/// its channel therefore holds a [guard](Self::close_on_drop), which ends the channel whatever happens to the
/// job.
///
/// Streams of a closed channel end when they have given their clients the remaining events. `EventSource`
/// then comes back, as after every end; a client that has read everything is answered with 204, which keeps
/// it away for good. See [ending for good](crate#ending-for-good).
#[doc(alias("broadcast", "topic", "room"))]
#[derive(Clone)]
pub struct Channel {
    shared: Arc<ChannelShared>,
}

impl Channel {
    /// A channel with the [builder](ChannelBuilder)'s defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder with the limits of a channel and the options of its subscribers.
    pub fn builder() -> ChannelBuilder {
        ChannelBuilder::new()
    }

    /// Sends an event of this name to every subscriber. The data may hold anything; an empty name is read as
    /// `message`.
    ///
    /// It never blocks, and costs as much as there are subscribers that wait for it, however many events are
    /// held.
    ///
    /// # Errors
    /// [`Closed`](EmitError::Closed) when the channel is, [`Field`](EmitError::Field) when the name holds CR
    /// or LF, [`TooLarge`](EmitError::TooLarge) above 16 MiB, and [`Behind`](EmitError::Behind) when
    /// publishers are to [wait](Overtaken::Wait) for subscribers.
    pub fn emit(&self, name: &str, data: impl AsRef<str>) -> Result<EventId, EmitError> {
        self.try_send(Event::new(data.as_ref()).with_event(name)?)
    }

    /// Sends an event whose data is this value as JSON, on one line.
    ///
    /// # Errors
    /// [`Json`](EmitError::Json) when the value has no JSON form, and those of [`emit`](Self::emit).
    #[cfg(feature = "json")]
    pub fn emit_json(
        &self,
        name: &str,
        data: &(impl serde::Serialize + ?Sized),
    ) -> Result<EventId, EmitError> {
        self.emit(name, serde_json::to_string(data)?)
    }

    /// Sends a variant of an enum, as [`Emitter::emit_event`](crate::Emitter::emit_event) does to one stream.
    ///
    /// # Errors
    /// [`Json`](EmitError::Json) when the value is no such enum or has no JSON form, and those of
    /// [`emit`](Self::emit).
    #[cfg(feature = "json")]
    #[doc(alias = "typed")]
    pub fn emit_event(&self, event: &(impl serde::Serialize + ?Sized)) -> Result<EventId, EmitError> {
        self.try_send(Event::typed(event)?)
    }

    /// Sends an event that was built elsewhere. An id of its own is kept: subscribers see it, and may come
    /// back with it.
    ///
    /// When several events have the same id, it is the position of the latest.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub fn try_send(&self, event: Event<'_>) -> Result<EventId, EmitError> {
        self.shared.publish(&[event], Instant::now())
    }

    /// Sends several events as one: all of them or none, nothing between them, and subscribers are woken
    /// once.
    ///
    /// Gives the id of the last. Without any event that is the id of the last event before, which has the
    /// sequence 0 when there was none.
    ///
    /// ```
    /// # use ssekit::{Channel, EmitError, Event};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let board = Channel::new();
    /// let moves = ["e4", "e5", "Nf3"];
    /// let last = board.emit_batch(moves.map(Event::new))?;
    /// assert_eq!(last.sequence(), 3);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`emit`](Self::emit); then none was sent.
    pub fn emit_batch<'a>(&self, events: impl IntoIterator<Item = Event<'a>>) -> Result<EventId, EmitError> {
        let events: Vec<_> = events.into_iter().collect();
        self.shared.publish(&events, Instant::now())
    }

    /// Sends an event as soon as no subscriber would miss another by it: a publisher that is faster than its
    /// subscribers waits here, if the channel is to [wait](Overtaken::Wait) for them. Other channels never
    /// wait.
    ///
    /// Waiting publishers get their turn in order. Cancel-safe: dropped before it is ready, it has sent
    /// nothing.
    ///
    /// # Errors
    /// As [`emit`](Self::emit), but never [`Behind`](EmitError::Behind).
    #[doc(alias("backpressure"))]
    pub async fn send(&self, event: Event<'_>) -> Result<EventId, EmitError> {
        self.shared.send(&[event]).await
    }

    /// Answers with the channel's events: those after this last event ID, or, without one, those that
    /// [`first`](ChannelBuilder::first) names.
    ///
    /// The subscriber has its cursor from now on, before the response begins. Its options are those of every
    /// stream.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use ssekit::{Channel, LastEventId, Produce};
    /// fn events(news: &Channel, last: LastEventId) -> Produce {
    ///     news.subscribe(last).ping(Duration::from_secs(10)).retry(Duration::from_secs(2))
    /// }
    /// # let _ = events;
    /// ```
    pub fn subscribe(&self, last: LastEventId) -> Produce {
        Selection::from(self).subscribe(last)
    }

    /// The events whose name passes, for one subscriber. Their data is not looked at.
    ///
    /// ```
    /// # use ssekit::{Channel, LastEventId};
    /// # let news = Channel::new();
    /// let sport = news.filter(|name| name.starts_with("sport/")).subscribe(LastEventId::default());
    /// # drop(sport);
    /// ```
    pub fn filter(&self, matches: impl Fn(&str) -> bool + Send + Sync + 'static) -> Selection {
        Selection::from(self).filter(matches)
    }

    /// The events of this channel and of others, for one subscriber. See [`Selection`].
    pub fn and(&self, other: impl Into<Selection>) -> Selection {
        Selection::from(self).and(other)
    }

    /// Another beginning than the channel's own, for one subscriber without a last event ID.
    pub fn first(&self, first: First) -> Selection {
        Selection::from(self).first(first)
    }

    /// Ends the channel: it takes no more events, and streams that read it alone end when they have read the
    /// rest.
    ///
    /// A client that comes back later gets the rest first. A client that has read everything is answered with
    /// 204, which tells browsers and our clients to stay away: [ending for good](crate#ending-for-good). So
    /// keep a closed channel for as long as its clients may come back.
    #[doc(alias("end", "finish"))]
    pub fn close(&self) {
        self.shared.end(End::Closed);
    }

    /// Ends the channel as failed: as [`close`](Self::close), but streams that have read the rest are cut, so
    /// that no client takes them for complete, and clients that come back after that are answered with 410.
    ///
    /// The error is logged, and each stream's [`on_stop`](Produce::on_stop) gets it as
    /// [`Failed`](crate::StopReason::Failed). A channel that has ended is left as it is.
    pub fn fail(&self, error: impl Into<Error>) {
        let error: Error = error.into();
        if !self.is_closed() {
            tracing::error!(%error, channel = self.name(), "channel failed");
        }
        self.shared.end(End::Failed(Arc::new(error)));
    }

    /// A handle that ends the channel as failed when it is dropped, unless the channel was closed before: for
    /// a job that must not leave its subscribers waiting when it returns early or panics.
    ///
    /// ```
    /// # use ssekit::server::Error;
    /// # use ssekit::Channel;
    /// async fn import(progress: Channel) -> Result<(), Error> {
    ///     let progress = progress.close_on_drop();
    ///     for percent in 0..=100 {
    ///         step().await?; // an error or a panic here fails the channel
    ///         progress.emit("progress", percent.to_string())?;
    ///     }
    ///     progress.close(); // complete
    ///     Ok(())
    /// }
    /// # async fn step() -> Result<(), std::io::Error> { Ok(()) }
    /// # let _ = import;
    /// ```
    pub fn close_on_drop(&self) -> CloseOnDrop {
        CloseOnDrop::new(self.clone())
    }

    /// Whether it takes no more events.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Drops events that are too old now, if events are [kept for a time](ChannelBuilder::keep_for).
    ///
    /// That also happens with each publication and subscription, so no subscriber gets events that are too
    /// old. Call it from a timer when a channel may stay silent and its memory matters.
    pub fn sweep(&self) {
        self.shared.sweep(Instant::now());
    }

    /// Returns a stream of joins and leaves from now on, with the number of subscribers after each. The key
    /// is `()`.
    ///
    /// ```
    /// use ssekit::{Channel, PresenceChange};
    ///
    /// /// Does the work only while somebody listens.
    /// async fn measure(figures: Channel) {
    ///     let mut presence = figures.presence();
    ///     while let Some(change) = presence.next().await {
    ///         match change {
    ///             PresenceChange::Joined { streams: 1, .. } => println!("begin"),
    ///             PresenceChange::Left { streams: 0, .. } => println!("stop"),
    ///             PresenceChange::Missed(_) => println!("{} listen", figures.stats().subscribers),
    ///             _ => {}
    ///         }
    ///     }
    /// }
    /// # let _ = measure;
    /// ```
    pub fn presence(&self) -> Presence<()> {
        self.shared.presence()
    }

    /// The channel's numbers now, for any metrics library. It looks at every subscriber once.
    #[must_use]
    pub fn stats(&self) -> ChannelStats {
        self.shared.stats()
    }

    /// The name that it was built with.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.shared.name.as_deref()
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn recorded(&self) -> &crate::recorded::Recorded {
        &self.shared.recorded
    }
}

impl From<Channel> for Selection {
    fn from(channel: Channel) -> Self {
        Self::of(channel.shared)
    }
}

impl From<&Channel> for Selection {
    fn from(channel: &Channel) -> Self {
        channel.clone().into()
    }
}

impl Default for Channel {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("name", &self.shared.name).finish_non_exhaustive()
    }
}
