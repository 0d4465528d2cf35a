use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use futures_util::future::select;
use ssekit_session::{Config, Session};

use crate::callbacks::Callbacks;
use crate::driver;
use crate::notify::{Notify, Watch};
use crate::panics::lock;
use crate::request::{HeadersFrom, Request};
use crate::runtime;
use crate::store::Store;
use crate::subscribers::{Buffer, InboxItem, Subscribers};
use crate::{CloseReason, Error, Response, Status, Transport};

mod calling;
mod driving;
mod listening;

/// One connection and its listeners: the state that its driver, subscribers and handles share.
///
/// The lock of its state is not held while code of a caller runs, except for `clone` of wakers.
pub(crate) struct Connection {
    /// For messages.
    pub(crate) url: String,
    /// The request, or the reason why it is invalid.
    pub(crate) request: Result<Request, Error>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) headers_from: Option<HeadersFrom>,
    state: Mutex<ConnectionState>,
    status: Arc<Store<Status>>,
    /// Spares the driver a look at the commands before each event.
    has_commands: AtomicBool,
    /// Wakes the driver: there are commands, or room in a buffer that it waits for.
    wakeup: Notify,
    /// Wakes tasks that wait for the end.
    ended: Watch,
}

struct ConnectionState {
    /// The callbacks of each source that shares the connection. Those of the last one stay, for the close.
    sources: Vec<Arc<Callbacks>>,
    /// The last source has left, and none can join any more.
    left: bool,
    subscribers: Subscribers,
    /// Here while no driver has it.
    session: Option<Box<Session<Error>>>,
    commands: Commands,
    /// The driver waits for room in a buffer.
    waits_for_room: bool,
    /// Closed for good: streams end once they are read empty.
    end: Option<CloseReason>,
    /// The head of the last response in this attempt.
    response: Option<Arc<Response>>,
    /// The same, once it has turned out to begin an event stream.
    opened: Option<Arc<Response>>,
    /// The callbacks of the close are being called.
    is_closing: bool,
    /// It was opened without listeners: events wait for the first one.
    holds_events: bool,
    resumption: Resumption,
}

/// Commands of handles and subscribers to the driver.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    /// Local or unsubscribed.
    pub(crate) close: Option<CloseReason>,
    pub(crate) connect: Option<Connect>,
    pub(crate) restart: bool,
}

#[derive(Debug)]
pub(crate) enum Connect {
    Now,
    /// After the delay of another retry.
    Later,
}

/// The values that the stream has set for the next attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resumption {
    pub(crate) last_event_id: String,
    pub(crate) reconnection_time: Option<Duration>,
}

/// The next item of a subscriber.
pub(crate) enum NextItem {
    Inbox(InboxItem),
    Closed(CloseReason),
}

impl Connection {
    pub(crate) fn new(
        url: String,
        request: Result<Request, Error>,
        mut config: Config,
        buffer: Buffer,
        transport: Arc<dyn Transport>,
        headers_from: Option<HeadersFrom>,
    ) -> Self {
        let last_event_id = request.as_ref().map(|request| request.last_event_id.clone()).unwrap_or_default();
        config.method = request.as_ref().map(Request::method_class).unwrap_or_default();
        let session = Session::new(config, runtime::seed())
            .with_last_event_id(&last_event_id)
            .expect("a request with an invalid last event ID is not built");
        let resumption = Resumption { last_event_id, reconnection_time: None };
        let status = Store::empty();
        status.put(Status::Idle);
        Self {
            url,
            request,
            transport,
            headers_from,
            state: Mutex::new(ConnectionState {
                sources: Vec::new(),
                left: false,
                subscribers: Subscribers::new(buffer),
                session: Some(Box::new(session)),
                commands: Commands::default(),
                waits_for_room: false,
                end: None,
                response: None,
                opened: None,
                is_closing: false,
                holds_events: false,
                resumption,
            }),
            status: Arc::new(status),
            has_commands: AtomicBool::new(false),
            wakeup: Notify::default(),
            ended: Watch::default(),
        }
    }

    // For handles.

    pub(crate) fn status(&self) -> Status {
        self.status.value().map_or(Status::Idle, |status| (*status).clone())
    }

    pub(crate) fn statuses(&self) -> Arc<Store<Status>> {
        Arc::clone(&self.status)
    }

    pub(crate) fn response(&self) -> Option<Arc<Response>> {
        lock(&self.state).response.clone()
    }

    pub(crate) fn resumption(&self) -> Resumption {
        lock(&self.state).resumption.clone()
    }

    pub(crate) fn is_ended(&self) -> bool {
        lock(&self.state).end.is_some()
    }

    /// A source joins those that share the connection; not if it is closed for good.
    pub(crate) fn join(&self, callbacks: &Arc<Callbacks>) -> bool {
        let mut state = lock(&self.state);
        let joins = !state.left && state.end.is_none();
        if joins {
            state.sources.push(Arc::clone(callbacks));
        }
        joins
    }

    /// A source and all its subscribers are gone.
    pub(crate) fn leave(&self, callbacks: &Arc<Callbacks>) {
        let mut state = lock(&self.state);
        let left = if let [_] = *state.sources {
            state.left = true;
            None
        } else {
            let at = state.sources.iter().position(|it| Arc::ptr_eq(it, callbacks));
            at.map(|at| state.sources.swap_remove(at))
        };
        let closes = state.left;
        drop(state);
        drop(left);
        if closes {
            self.close(CloseReason::Unsubscribed);
        }
    }

    /// Opens the connection for a subscriber, unless it is closed for good.
    pub(crate) fn open(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        if state.end.is_some() {
            return;
        }
        match state.session.take() {
            Some(session) => {
                drop(state);
                self.run(session);
            }
            // It is being closed because nobody listened any more; now somebody does.
            None if state.commands.close.is_some() => state.commands.close = None,
            None => {}
        }
    }

    /// Opens the connection, closed or not, if somebody listens: a subscriber, or a callback for messages.
    pub(crate) fn connect(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        if !state.has_listeners() {
            return;
        }
        state.end = None;
        match state.session.take() {
            Some(session) => {
                drop(state);
                self.run(session);
            }
            None => {
                state.commands.connect = Some(Connect::Now);
                self.wake_for_commands();
            }
        }
    }

    /// Opens the connection that has been closed for this reason: after a while if it is being closed just
    /// now, so that a callback that always does this makes no storm of requests.
    pub(crate) fn connect_after(self: &Arc<Self>, reason: &CloseReason) {
        let mut state = lock(&self.state);
        let left = matches!(reason, CloseReason::Unsubscribed) && state.subscribers.is_empty();
        if left || !state.has_listeners() {
            return;
        }
        if state.session.is_some() {
            drop(state);
            return self.connect();
        }
        if state.is_closing {
            state.end = None;
            state.commands.connect.get_or_insert(Connect::Later);
        }
    }

    /// Opens the connection for the source itself, unless it is closed for good. Events wait for the first
    /// subscriber.
    pub(crate) fn open_without_subscriber(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        if state.session.is_some() && state.end.is_none() {
            state.opened = None;
            state.holds_events = !state.has_listeners();
        }
        drop(state);
        self.open();
    }

    /// Waits for the head of an event stream, or returns that of the last one. The error is the reason of a
    /// close.
    pub(crate) async fn head(&self) -> Result<Response, CloseReason> {
        loop {
            let (ended, changed) = (self.ended.changed(), self.status.changed());
            if let Some(head) = self.opened() {
                return head;
            }
            select(ended, changed).await;
        }
    }

    fn opened(&self) -> Option<Result<Response, CloseReason>> {
        let state = lock(&self.state);
        match (&state.opened, &state.end) {
            (Some(response), _) => Some(Ok((**response).clone())),
            (None, Some(reason)) => Some(Err(reason.clone())),
            // Nothing runs: the last subscriber has left meanwhile.
            (None, None) if state.session.is_some() => Some(Err(CloseReason::Unsubscribed)),
            (None, None) => None,
        }
    }

    pub(crate) fn restart(&self) {
        let mut state = lock(&self.state);
        if state.session.is_none() {
            state.commands.restart = true;
            self.wake_for_commands();
        }
    }

    /// Closes the connection; its driver calls the callbacks. Unread events are dropped.
    pub(crate) fn close(&self, reason: CloseReason) {
        let mut state = lock(&self.state);
        if state.end.is_some() {
            return;
        }
        state.end = Some(reason.clone());
        state.commands = Commands::default();
        if state.session.is_none() {
            state.commands.close = Some(reason.clone());
            self.wake_for_commands();
        }
        state.subscribers.clear();
        state.subscribers.wake_all();
        let woken = state.subscribers.take_woken();
        self.status.put(Status::Closed { reason });
        drop(state);
        self.status.notify();
        self.ended.notify_all();
        woken.into_iter().for_each(Waker::wake);
    }

    /// Resolves once the connection is closed for good.
    pub(crate) async fn closed(&self) {
        loop {
            let ended = self.ended.changed();
            if self.is_ended() {
                return;
            }
            ended.await;
        }
    }

    fn wake_for_room(&self, state: &mut ConnectionState) {
        if state.waits_for_room {
            state.waits_for_room = false;
            self.wakeup.notify();
        }
    }

    fn wake_for_commands(&self) {
        self.has_commands.store(true, Ordering::Release);
        self.wakeup.notify();
    }

    fn run(self: &Arc<Self>, session: Box<Session<Error>>) {
        match runtime::current() {
            Some(runtime) => {
                runtime.spawn(driver::drive(Arc::clone(self), session));
            }
            None => self.fail(session, Error::NoRuntime),
        }
    }
}

impl ConnectionState {
    /// Somebody listens: a subscriber, or a callback for messages.
    fn has_listeners(&self) -> bool {
        !self.subscribers.is_empty() || self.sources.iter().any(|callbacks| !callbacks.message.is_empty())
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("url", &self.url)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
