//! The part of a connection that its driver uses.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use ssekit_session::Session;

use super::{Commands, Connect, Connection};
use crate::callbacks::{Callback, Callbacks};
use crate::panics::lock;
use crate::subscribers::{self, Delivery, Offer};
use crate::{CloseReason, Error, Message, Notice, Response, Status};

impl Connection {
    /// Wakes the driver.
    pub(crate) fn wake_driver(&self) {
        self.wakeup.notify();
    }

    /// Resolves when there may be commands or room.
    pub(crate) async fn woken(&self) {
        self.wakeup.notified().await;
    }

    pub(crate) fn take_commands(&self) -> Commands {
        if !self.has_commands.swap(false, Ordering::Acquire) {
            return Commands::default();
        }
        let mut state = lock(&self.state);
        match state.commands.close.take() {
            // A subscriber was added in the meantime.
            Some(CloseReason::Unsubscribed) if !state.subscribers.is_empty() => {}
            // Later commands are obsolete once it is closed.
            Some(reason) => return Commands { close: Some(reason), ..Commands::default() },
            None => {}
        }
        std::mem::take(&mut state.commands)
    }

    pub(crate) fn is_close_requested(&self) -> bool {
        self.has_commands.load(Ordering::Acquire) && lock(&self.state).commands.close.is_some()
    }

    /// Sets the status, unless the connection was closed here in the meantime.
    pub(crate) fn set_status(&self, status: Status) {
        let mut state = lock(&self.state);
        if state.end.is_some() {
            return;
        }
        match status {
            Status::Connecting => (state.response, state.opened) = (None, None),
            Status::Open => state.opened = state.response.clone(),
            _ => {}
        }
        self.status.put(status);
        drop(state);
        self.status.notify();
    }

    pub(crate) fn set_response(&self, response: Response) {
        lock(&self.state).response = Some(Arc::new(response));
    }

    /// Notes the last event ID and reconnection time of the session.
    pub(crate) fn record_resumption(&self, session: &Session<Error>) {
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

    /// Returns the callees of a delivery: callbacks, if it is a message, and subscribers.
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
        let offer = if state.holds_events { Offer::Full } else { state.subscribers.offer(delivery) };
        state.waits_for_room = offer == Offer::Full;
        offer
    }

    pub(crate) fn force(&self, delivery: &Delivery) {
        lock(&self.state).subscribers.force(delivery);
    }

    /// The driver is about to call the callbacks of a close.
    pub(crate) fn begin_close(&self) {
        lock(&self.state).is_closing = true;
    }

    /// Wakes the readers that have something to read.
    pub(crate) fn wake_readers(&self) {
        let woken = lock(&self.state).subscribers.take_woken();
        woken.into_iter().for_each(Waker::wake);
    }

    /// The driver has closed the session and called all callbacks. Either it goes on, or this is the end.
    pub(crate) fn end(
        self: &Arc<Self>,
        session: Box<Session<Error>>,
        reason: CloseReason,
    ) -> Option<(Box<Session<Error>>, Connect)> {
        let mut state = lock(&self.state);
        state.is_closing = false;
        let commands = std::mem::take(&mut state.commands);
        if let Some(connect) = commands.connect {
            return Some((session, connect));
        }
        let unsubscribed = matches!(reason, CloseReason::Unsubscribed) && state.end.is_none();
        if unsubscribed && !state.subscribers.is_empty() {
            return Some((session, Connect::Now));
        }
        state.session = Some(session);
        // The next subscriber opens it again.
        if !unsubscribed {
            state.end.get_or_insert(reason);
        }
        state.subscribers.wake_all();
        let woken = state.subscribers.take_woken();
        drop(state);
        self.ended.notify_all();
        woken.into_iter().for_each(Waker::wake);
        None
    }

    /// There is no driver, or it has panicked: the end, whatever the commands.
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
        self.call_on_close(&reason);
        lock(&self.state).commands = Commands::default();
        let _ = self.end(session, reason);
    }

    /// The driver was dropped with its runtime: a subscriber that still reads, on another one, opens the
    /// connection again, unless its request must not be repeated.
    pub(crate) fn abandon(self: &Arc<Self>, mut session: Box<Session<Error>>) {
        if !session.abandon() {
            return self.finish(session, CloseReason::NotRepeated(Error::RuntimeGone));
        }
        let mut state = lock(&self.state);
        state.session = Some(session);
        state.commands = Commands::default();
        if state.end.is_none() {
            self.status.put(Status::Idle);
        }
        state.subscribers.wake_all();
        let woken = state.subscribers.take_woken();
        drop(state);
        self.status.notify();
        woken.into_iter().for_each(Waker::wake);
    }
}
