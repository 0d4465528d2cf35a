//! The open streams of a server by key.

mod audience;
mod builder;
mod registry;

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

pub use self::audience::{Audience, AudienceError, Delivery};
pub use self::builder::ClientsBuilder;
use self::registry::{ClientsMembership, ClientsShared, NoMembership};
use crate::emitter::Emitter;
use crate::presence::{Presence, PresenceChange};
use crate::produce::{Produce, produce};
use crate::start::Started;
use crate::stop::StopReason;
use crate::streams::{Join, JoinFn};

/// The open streams of a server by key: a session, a user, a room. A key has as many streams as its tabs.
///
/// Cheap to clone, all clones are the same.
///
/// ```
/// use axum::extract::{Path, State};
/// use axum::{Router, routing::get};
/// use ssekit::{AudienceError, Clients, Produce, Streams};
///
/// // GET /events/{session}
/// async fn events(Path(session): Path<String>, State(clients): State<Clients<String>>) -> Produce {
///     clients.connect(session)
/// }
///
/// // From a database listener, a webhook, another route:
/// fn greet(clients: &Clients<String>) -> Result<(), AudienceError> {
///     clients.get("some-session-id").emit("message", "hello")?; // to every tab of one session
///     clients.all().emit("news", "somebody was greeted")?; // to everyone
///     Ok(())
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// # async fn ctrl_c() {} // tokio::signal::ctrl_c
/// # let _ = greet;
/// let (clients, streams) = (Clients::new(), Streams::new());
/// let app = Router::new().route("/events/{session}", get(events));
/// let app = app.with_state(clients).layer(streams.clone());
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// axum::serve(listener, app).with_graceful_shutdown(streams.shutdown_on(ctrl_c())).await?;
/// # Ok(()) }
/// ```
///
/// A stream is there from the building of its response until it has ended or its response was dropped, and
/// only that one leaves then: other tabs stay. Events that are emitted before the response is read wait in
/// the stream's [buffer](Produce::buffer). When `on_stop` runs, the stream has left.
///
/// To come and to go costs the same whatever the number of keys. The lock of the registry is held for that
/// alone: an emission takes a snapshot of the emitters, since emitting wakes tasks, and with many streams
/// takes a while. The key's `Eq` and `Hash` run under that lock, so they must not use this registry.
pub struct Clients<K> {
    shared: Arc<ClientsShared<K>>,
}

impl<K: Eq + Hash + Clone + Send + Sync + 'static> Clients<K> {
    /// Any number of streams for each key.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Limits and policies to be set.
    pub fn builder() -> ClientsBuilder<K> {
        ClientsBuilder::new()
    }

    /// A stream of this key, open until its client leaves, or it is [closed](Self::close).
    ///
    /// # Logging out
    /// A user may log out after a handler has checked the session and before the stream is there:
    /// [`close`](Self::close) then does not reach it. So build the response first, check after that, and drop
    /// the response of a session that is over: nothing was sent.
    ///
    /// ```
    /// use axum::{http::StatusCode, response::{IntoResponse, Response}};
    ///
    /// type Clients = ssekit::Clients<String>;
    ///
    /// async fn events(clients: Clients, user: String, session: &str) -> Result<Response, StatusCode> {
    ///     let response = clients.connect(user).into_response(); // from here on, `close` reaches it
    ///     match is_logged_in(session).await {
    ///         true => Ok(response),
    ///         false => Err(StatusCode::UNAUTHORIZED),
    ///     }
    /// }
    ///
    /// async fn log_out(clients: Clients, user: String, session: &str) {
    ///     end_session(session).await; // first, so that whoever connects from here on is refused
    ///     clients.close(&user);
    /// }
    /// # async fn is_logged_in(_: &str) -> bool { true }
    /// # async fn end_session(_: &str) {}
    /// # let _ = (events, log_out);
    /// ```
    ///
    /// Where a handler does not build the response itself, [`connect_with`](Self::connect_with) checks in
    /// `start`.
    #[doc(alias("room", "topic"))]
    pub fn connect(&self, key: K) -> Produce {
        self.connect_with(key, |_: Emitter| ())
    }

    /// The same, with a `start` as for [`produce`]: for the first events, or events of its own.
    ///
    /// The stream is there before `start` runs, so that nothing is missed between the data that `start` reads
    /// and events for the key; an event for the key may come first.
    ///
    /// ```
    /// # use ssekit::{Clients, Produce};
    /// # async fn unread(_: &str) -> Result<String, std::io::Error> { Ok(String::new()) }
    /// fn events(clients: &Clients<String>, user: String) -> Produce {
    ///     clients.connect_with(user.clone(), |stream| async move {
    ///         stream.emit("unread", unread(&user).await?)?;
    ///         Ok(())
    ///     })
    /// }
    /// # let _ = events;
    /// ```
    ///
    /// A session that must still be valid is checked here once more, beside the check of the handler, which
    /// answers with 401: a log-out between the two is found. Events for the key before `start` finds out are
    /// sent, which [checking before the response is returned](Self::connect) avoids.
    ///
    /// ```
    /// # use ssekit::server::Error;
    /// # use ssekit::{Clients, Produce};
    /// # fn is_logged_in(_: &str) -> bool { true }
    /// fn events(clients: &Clients<String>, user: String, session: String) -> Produce {
    ///     clients.connect_with(user, move |stream| match is_logged_in(&session) {
    ///         true => Ok(()),
    ///         // Its client comes back, and gets 401.
    ///         false => Err(Error::new("the session has been logged out")),
    ///     })
    /// }
    /// # let _ = events;
    /// ```
    pub fn connect_with<F, R, Kind>(&self, key: K, start: F) -> Produce
    where
        F: FnOnce(Emitter) -> R + Send + 'static,
        R: Started<Kind>,
    {
        produce(start).join(self.join(key))
    }

    /// The streams that this key has now.
    pub fn get<Q>(&self, key: &Q) -> Audience
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let registry = self.shared.registry();
        let streams = registry.keys.get(key).map(|group| group.streams.as_slice()).unwrap_or_default();
        let emitters = streams.iter().map(|stream| stream.emitter.clone()).collect();
        drop(registry);
        Audience::of_one_key(emitters, &self.shared.losses)
    }

    /// Returns the streams that are open now.
    ///
    /// An event is copied for each of them, one after the other, before `emit` returns. Where thousands get
    /// the same event, a [`Channel`](crate::Channel) costs less, because its subscribers share the bytes, and
    /// it keeps events for clients that return. A stream may be both:
    /// `clients.connect(key).follow(&channel, last)`.
    #[doc(alias("broadcast"))]
    pub fn all(&self) -> Audience {
        let registry = self.shared.registry();
        let mut emitters = Vec::with_capacity(registry.streams);
        for group in registry.keys.values() {
            emitters.extend(group.streams.iter().map(|stream| stream.emitter.clone()));
        }
        drop(registry);
        Audience::of_many(emitters, &self.shared.losses)
    }

    /// The streams that there are now of the keys that match.
    ///
    /// ```
    /// # let clients = ssekit::Clients::<(String, u64)>::new();
    /// let moderators = clients.matching(|(role, _)| role == "moderator");
    /// moderators.emit("report", "…")?;
    /// # Ok::<(), ssekit::AudienceError>(())
    /// ```
    pub fn matching(&self, mut matches: impl FnMut(&K) -> bool) -> Audience {
        let registry = self.shared.registry();
        let mut keys = Vec::with_capacity(registry.keys.len());
        let mut emitters = Vec::with_capacity(registry.streams);
        for group in registry.keys.values() {
            keys.push((group.key.clone(), group.streams.len()));
            emitters.extend(group.streams.iter().map(|stream| stream.emitter.clone()));
        }
        drop(registry);
        let mut rest = emitters.into_iter();
        let mut matching = Vec::new();
        for (key, streams) in keys {
            let of_key = rest.by_ref().take(streams);
            match matches(&key) {
                true => matching.extend(of_key),
                false => of_key.for_each(drop),
            }
        }
        Audience::of_many(matching, &self.shared.losses)
    }

    /// Ends all streams of this key after their emitted events, as after a log-out; returns their number.
    ///
    /// They have left when this returns: no later event reaches them. End the session first, and see [logging
    /// out](Self::connect) for a stream that is just being opened. The reason is
    /// [`Ended`](StopReason::Ended). Clients return: answer 204 or 401 to clients that must stay away.
    #[doc(alias("disconnect"))]
    pub fn close<Q>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let mut registry = self.shared.registry();
        let Some((key, group)) = registry.keys.remove_entry(key) else { return 0 };
        registry.streams -= group.streams.len();
        let pending = self.shared.watchers.record(PresenceChange::Left { key: group.key, streams: 0 });
        drop(registry);
        drop(key);
        pending.wake();
        for stream in &group.streams {
            stream.emitter.outbox().end(StopReason::Ended);
        }
        group.streams.len()
    }

    /// Returns a stream of joins and leaves from now on.
    ///
    /// To know the present keys at any time, call this first and then [`keys`](Self::keys): each change has
    /// the number of streams of its key, so that a change that `keys` already contains does no harm.
    ///
    /// ```
    /// use ssekit::{Clients, PresenceChange};
    ///
    /// async fn tell(clients: Clients<String>) {
    ///     let mut presence = clients.presence();
    ///     while let Some(change) = presence.next().await {
    ///         match change {
    ///             PresenceChange::Joined { key, streams: 1 } => println!("{key} is online"),
    ///             PresenceChange::Left { key, streams: 0 } => println!("{key} is offline"),
    ///             PresenceChange::Missed(_) => println!("online: {:?}", clients.keys()),
    ///             _ => {} // another tab
    ///         }
    ///     }
    /// }
    /// # let _ = tell;
    /// ```
    pub fn presence(&self) -> Presence<K> {
        // Under the registry's lock, so that a change is either recorded or has happened.
        let _registry = self.shared.registry();
        self.shared.watchers.watch()
    }

    /// The keys that have a stream, in no order.
    #[must_use]
    pub fn keys(&self) -> Vec<K> {
        let keys: Vec<_> = self.shared.registry().keys.values().map(|group| group.key.clone()).collect();
        keys.iter().map(|key| K::clone(key)).collect()
    }

    /// Whether this key has a stream.
    #[must_use]
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.shared.registry().keys.contains_key(key)
    }

    fn join(&self, key: K) -> Join {
        let shared = self.shared.clone();
        let join: JoinFn = Box::new(move |emitter| {
            let shared_key = Arc::new(key.clone());
            match shared.join(shared_key, key, emitter.clone()) {
                Ok((key, number)) => (Box::new(ClientsMembership { shared, key, number }), None),
                Err(refusal) => (Box::new(NoMembership), Some(refusal)),
            }
        });
        Join { streams: None, join }
    }
}

impl<K> Clients<K> {
    /// Keys that have a stream.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.registry().keys.len()
    }

    /// Whether no stream is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Open streams, of all keys.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.shared.registry().streams
    }

    /// Streams that were beyond their key's limit, since the beginning.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.shared.registry().refused
    }

    /// How often an event was not taken by a stream because its buffer was full, since the beginning.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.shared.losses.count()
    }

    /// The name that they were built with.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.shared.name.as_deref()
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn recorded(&self) -> &crate::recorded::Recorded {
        &self.shared.recorded
    }
}

impl Produce {
    /// Makes the stream one of this key of these clients, too: one registry has the users, another their
    /// rooms, documents or roles.
    ///
    /// Events for either key come in the order of their emission; a stream in both audiences gets an event of
    /// each. Limits and presence are those of each registry.
    ///
    /// ```
    /// use ssekit::{AudienceError, Clients, Produce};
    ///
    /// struct App {
    ///     users: Clients<String>,
    ///     rooms: Clients<u64>,
    /// }
    ///
    /// fn chat(app: &App, user: String, room: u64) -> Produce {
    ///     app.users.connect(user).also_in(&app.rooms, room)
    /// }
    ///
    /// fn say(app: &App, room: u64, text: &str) -> Result<(), AudienceError> {
    ///     app.rooms.get(&room).emit("said", text)?;
    ///     Ok(())
    /// }
    /// # let _ = (chat, say);
    /// ```
    #[doc(alias("tag", "room", "topic", "group"))]
    pub fn also_in<K>(self, clients: &Clients<K>, key: K) -> Self
    where
        K: Eq + Hash + Clone + Send + Sync + 'static,
    {
        self.with_emitter().join(clients.join(key))
    }
}

impl<K> Clone for Clients<K> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<K: Eq + Hash + Clone + Send + Sync + 'static> Default for Clients<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> fmt::Debug for Clients<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients")
            .field("keys", &self.len())
            .field("streams", &self.streams())
            .finish_non_exhaustive()
    }
}
