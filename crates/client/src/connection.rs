use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::HeaderMap;
use ssekit_session::{Behaviour, Session};

use crate::callbacks::{Callback, Callbacks};
use crate::driver;
use crate::latest::{Store, lock};
use crate::request::Request;
use crate::runtime::{self, BoxFuture};
use crate::subscribers::{self, Buffer, Delivery, Offer, Received, Subscribers};
use crate::wake::{Bell, Changes};
use crate::{BoxError, CloseReason, Error, Message, Notice, Response, Status, Transport};

/// One connection and all who listen to it: what its driver, its subscribers and its handles share.
///
/// No lock is held while something of the caller runs: a callback, a waker, a drop.
pub(crate) struct Connection {
    /// For messages.
    pub(crate) url: String,
    /// Or what is wrong with it.
    pub(crate) request: Result<Request, Error>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) headers_from: Option<HeadersFrom>,
    state: Mutex<State>,
    status: Arc<Store<Status>>,
    /// Spares the driver a look at the orders before each event.
    has_orders: AtomicBool,
    /// Wakes the driver: there are orders, or room in a buffer that it waits for.
    wake: Bell,
    /// Wakes those who wait for the end.
    ended: Changes,
}

/// Asks the caller for headers.
pub(crate) type HeadersFrom = Arc<dyn Fn() -> Asking + Send + Sync>;
pub(crate) type Asking = BoxFuture<'static, Result<HeaderMap, BoxError>>;

struct State {
    /// The callbacks of each source that shares the connection. The last one's stay, to be told of the close.
    sources: Vec<Arc<Callbacks>>,
    /// The last source has left, and none can join any more.
    left: bool,
    subscribers: Subscribers,
    /// Here while no driver has it.
    session: Option<Box<Session<Error>>>,
    orders: Orders,
    /// The driver waits for room in a buffer.
    waits_for_room: bool,
    /// Closed for good: streams end once they are read empty.
    end: Option<CloseReason>,
    response: Option<Arc<Response>>,
    resumption: Resumption,
}

/// What the driver is to do next, given by handles and subscribers.
#[derive(Debug, Default)]
pub(crate) struct Orders {
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

/// What the stream has set for the next attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resumption {
    pub(crate) last_event_id: String,
    pub(crate) reconnection_time: Option<Duration>,
}

/// What a subscriber finds when it looks.
pub(crate) enum Found {
    Received(Received),
    Closed(CloseReason),
}

impl Connection {
    pub(crate) fn new(
        url: String,
        request: Result<Request, Error>,
        mut behaviour: Behaviour,
        buffer: Buffer,
        transport: Arc<dyn Transport>,
        headers_from: Option<HeadersFrom>,
    ) -> Self {
        let last_event_id = request.as_ref().map(|request| request.last_event_id.clone()).unwrap_or_default();
        behaviour.method = request.as_ref().map(Request::method_class).unwrap_or_default();
        let session = Session::new(behaviour, runtime::seed())
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
            state: Mutex::new(State {
                sources: Vec::new(),
                left: false,
                subscribers: Subscribers::new(buffer),
                session: Some(Box::new(session)),
                orders: Orders::default(),
                waits_for_room: false,
                end: None,
                response: None,
                resumption,
            }),
            status: Arc::new(status),
            has_orders: AtomicBool::new(false),
            wake: Bell::default(),
            ended: Changes::default(),
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
            None if state.orders.close.is_some() => state.orders.close = None,
            None => {}
        }
    }

    /// Opens the connection, closed or not, and whether anyone listens or not.
    pub(crate) fn connect(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        state.end = None;
        match state.session.take() {
            Some(session) => {
                drop(state);
                self.run(session);
            }
            None => {
                state.orders.connect = Some(Connect::Now);
                self.wake_for_orders();
            }
        }
    }

    /// Opens the connection that is being closed after a while.
    pub(crate) fn connect_later(&self) {
        let mut state = lock(&self.state);
        if state.end.is_none() && state.session.is_none() {
            state.orders.connect = Some(Connect::Later);
        }
    }

    pub(crate) fn restart(&self) {
        let mut state = lock(&self.state);
        if state.session.is_none() {
            state.orders.restart = true;
            self.wake_for_orders();
        }
    }

    /// Closes the connection; its driver tells the callbacks. What was not read yet is dropped.
    pub(crate) fn close(&self, reason: CloseReason) {
        let mut state = lock(&self.state);
        if state.end.is_some() {
            return;
        }
        state.end = Some(reason.clone());
        state.orders = Orders::default();
        if state.session.is_none() {
            state.orders.close = Some(reason.clone());
            self.wake_for_orders();
        }
        state.subscribers.clear();
        state.subscribers.wake_all();
        let woken = state.subscribers.take_woken();
        self.status.put(Status::Closed { reason });
        drop(state);
        self.status.tell();
        self.ended.tell();
        woken.into_iter().for_each(Waker::wake);
    }

    /// Resolves once the connection is closed for good.
    pub(crate) async fn closed(&self) {
        loop {
            let ended = self.ended.next();
            if self.is_ended() {
                return;
            }
            ended.await;
        }
    }

    // For subscribers.

    pub(crate) fn subscribe(&self, event: Option<Arc<str>>) -> u64 {
        lock(&self.state).subscribers.add(event)
    }

    pub(crate) fn unsubscribe(&self, id: u64) {
        let mut state = lock(&self.state);
        let left = state.subscribers.remove(id);
        if state.subscribers.is_empty() && state.session.is_none() && state.end.is_none() {
            state.orders.close = Some(CloseReason::Unsubscribed);
            self.wake_for_orders();
        }
        self.wake_for_room(&mut state);
        drop(state);
        drop(left);
    }

    /// The next thing for a subscriber. Opens the connection when that was not done yet.
    pub(crate) fn poll(self: &Arc<Self>, id: u64, context: &mut Context<'_>) -> Poll<Found> {
        let mut state = lock(&self.state);
        let polled = state.subscribers.poll(id, context);
        self.wake_for_room(&mut state);
        match polled {
            Poll::Ready(received) => Poll::Ready(Found::Received(received)),
            Poll::Pending => match &state.end {
                Some(reason) => Poll::Ready(Found::Closed(reason.clone())),
                None => {
                    let idle = state.session.is_some();
                    drop(state);
                    if idle {
                        self.open();
                    }
                    Poll::Pending
                }
            },
        }
    }

    /// From now on the subscriber is called; what it has not read yet comes first.
    pub(crate) fn call_with(&self, id: u64, callback: &subscribers::Callback) {
        // The driver waits with what comes next until what was left has been given.
        let mut called = lock(callback);
        let mut state = lock(&self.state);
        let left = state.subscribers.call(id, Arc::clone(callback));
        self.wake_for_room(&mut state);
        drop(state);
        for delivery in left {
            called(&delivery);
        }
    }

    fn wake_for_room(&self, state: &mut State) {
        if state.waits_for_room {
            state.waits_for_room = false;
            self.wake.ring();
        }
    }

    fn wake_for_orders(&self) {
        self.has_orders.store(true, Ordering::Release);
        self.wake.ring();
    }

    fn run(self: &Arc<Self>, session: Box<Session<Error>>) {
        match runtime::current() {
            Some(runtime) => {
                runtime.spawn(driver::drive(Arc::clone(self), session));
            }
            None => self.fail(session, Error::NoRuntime),
        }
    }

    // For the driver.

    /// Wakes the driver.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn wake(&self) {
        self.wake.ring();
    }

    /// Resolves when there may be orders or room.
    pub(crate) async fn woken(&self) {
        self.wake.rung().await;
    }

    pub(crate) fn take_orders(&self) -> Orders {
        if !self.has_orders.swap(false, Ordering::Acquire) {
            return Orders::default();
        }
        let mut state = lock(&self.state);
        match state.orders.close.take() {
            // Somebody has come in the meantime.
            Some(CloseReason::Unsubscribed) if !state.subscribers.is_empty() => {}
            // What was ordered after it is for the end.
            Some(reason) => return Orders { close: Some(reason), ..Orders::default() },
            None => {}
        }
        std::mem::take(&mut state.orders)
    }

    pub(crate) fn is_told_to_close(&self) -> bool {
        self.has_orders.load(Ordering::Acquire) && lock(&self.state).orders.close.is_some()
    }

    /// Sets the status, unless the connection was closed here in the meantime.
    pub(crate) fn set_status(&self, status: Status) {
        let mut state = lock(&self.state);
        if state.end.is_some() {
            return;
        }
        if let Status::Connecting = status {
            state.response = None;
        }
        self.status.put(status);
        drop(state);
        self.status.tell();
    }

    pub(crate) fn set_response(&self, response: Response) {
        lock(&self.state).response = Some(Arc::new(response));
    }

    /// Notes what the session would resume with.
    pub(crate) fn note(&self, session: &Session<Error>) {
        let mut state = lock(&self.state);
        if state.resumption.last_event_id != session.last_event_id() {
            session.last_event_id().clone_into(&mut state.resumption.last_event_id);
        }
        state.resumption.reconnection_time = session.reconnection_time();
    }

    /// The callbacks of all sources.
    pub(crate) fn callbacks<T: ?Sized>(
        &self,
        which: impl Fn(&Callbacks) -> &Vec<Callback<T>>,
    ) -> Vec<Callback<T>> {
        lock(&self.state).sources.iter().flat_map(|callbacks| which(callbacks).iter().cloned()).collect()
    }

    /// Who is called for the delivery: callbacks, if it is a message, and subscribers.
    #[allow(clippy::type_complexity, reason = "two lists from under one lock")]
    pub(crate) fn called(
        &self,
        delivery: &Delivery,
    ) -> (Vec<Callback<Notice<Message>>>, Vec<subscribers::Callback>) {
        let state = lock(&self.state);
        let callbacks = match delivery {
            Delivery::Message(_) => state.sources.iter().flat_map(|it| it.message.iter().cloned()).collect(),
            Delivery::TooLarge { .. } => Vec::new(),
        };
        (callbacks, state.subscribers.callbacks(delivery))
    }

    /// Offers the delivery to the subscribers; [`wake_readers`](Self::wake_readers) follows.
    pub(crate) fn offer(&self, delivery: &Delivery) -> Offer {
        let mut state = lock(&self.state);
        let offer = state.subscribers.offer(delivery);
        state.waits_for_room = offer == Offer::Full;
        offer
    }

    pub(crate) fn force(&self, delivery: &Delivery) {
        lock(&self.state).subscribers.force(delivery);
    }

    /// Wakes those who were given something to read.
    pub(crate) fn wake_readers(&self) {
        let woken = lock(&self.state).subscribers.take_woken();
        woken.into_iter().for_each(Waker::wake);
    }

    /// The driver has closed the session and told everyone. Either it goes on, or this is the end.
    pub(crate) fn end(
        self: &Arc<Self>,
        session: Box<Session<Error>>,
        reason: CloseReason,
    ) -> Option<(Box<Session<Error>>, Connect)> {
        let mut state = lock(&self.state);
        let orders = std::mem::take(&mut state.orders);
        if let Some(connect) = orders.connect {
            return Some((session, connect));
        }
        let unsubscribed = matches!(reason, CloseReason::Unsubscribed) && state.end.is_none();
        if unsubscribed && !state.subscribers.is_empty() {
            return Some((session, Connect::Now));
        }
        state.session = Some(session);
        // Whoever comes next opens it again.
        if !unsubscribed {
            state.end.get_or_insert(reason);
        }
        state.subscribers.wake_all();
        let woken = state.subscribers.take_woken();
        drop(state);
        self.ended.tell();
        woken.into_iter().for_each(Waker::wake);
        None
    }

    /// There is no driver, or it has panicked: the end, whatever was ordered.
    pub(crate) fn fail(self: &Arc<Self>, mut session: Box<Session<Error>>, error: Error) {
        session.abandon();
        self.finish(session, CloseReason::Failed(error));
    }

    /// Without a driver.
    fn finish(self: &Arc<Self>, session: Box<Session<Error>>, reason: CloseReason) {
        self.set_status(Status::Closed { reason: reason.clone() });
        if let Some(error) = reason.error() {
            self.report(error.clone());
        }
        self.tell_closed(&reason);
        lock(&self.state).orders = Orders::default();
        let _ = self.end(session, reason);
    }

    /// The driver was dropped with its runtime: whoever still reads, on another one, opens the connection again, unless
    /// its request must not be repeated.
    pub(crate) fn abandon(self: &Arc<Self>, mut session: Box<Session<Error>>) {
        if !session.abandon() {
            return self.finish(session, CloseReason::NotRepeated(Error::RuntimeGone));
        }
        let mut state = lock(&self.state);
        state.session = Some(session);
        state.orders = Orders::default();
        if state.end.is_none() {
            self.status.put(Status::Idle);
        }
        state.subscribers.wake_all();
        let woken = state.subscribers.take_woken();
        drop(state);
        self.status.tell();
        woken.into_iter().for_each(Waker::wake);
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
