//! Carries out the outputs of a session, and reports events to it.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::HeaderMap;
use http::response::Parts;
use ssekit_session::{Output, Session, Trouble};

use self::errors::asked_url;
use self::received::{Incoming, Received};
use self::wire::{Happened, Wire, ask};
use crate::connection::{Connect, Connection};
use crate::request::Attempt;
use crate::runtime::{Instant, Page, now, sleep_until, take_turns, wall_clock, yield_now};
use crate::subscribers::{Delivery, Offer};
use crate::transport::{Arrived, Progress};
use crate::{CloseReason, Error, Response, Status};

mod errors;
mod received;
mod wire;

/// At most this many bytes are decoded before their items are delivered, which bounds the waiting items.
const PIECE: usize = 16 << 10;

/// Opens the connection and runs it until it is closed for good.
pub(crate) async fn drive(connection: Arc<Connection>, mut session: Box<Session<Error>>) {
    let clock = Clock { start: now() };
    let mut page = Page::watch(&connection);
    page.tell(&mut session, clock.now());
    session.start(clock.now());
    let mut driver = Driver {
        connection,
        session: Some(session),
        clock,
        page,
        wire: Wire::Nothing,
        attempt: None,
        progress: Progress::default(),
        first: false,
        error: Error::Ended,
        received: Received::default(),
        has_waited: false,
    };
    driver.run().await;
}

struct Driver {
    connection: Arc<Connection>,
    /// Given back when the connection is closed.
    session: Option<Box<Session<Error>>>,
    clock: Clock,
    page: Page,
    wire: Wire,
    /// The last request of this attempt; `None` until its headers are there.
    attempt: Option<Attempt>,
    /// How far the transport has come with it.
    progress: Progress,
    /// It is the first attempt of all.
    first: bool,
    /// The last error.
    error: Error,
    received: Received,
    /// Delivering has taken a while.
    has_waited: bool,
}

impl Driver {
    async fn run(&mut self) {
        loop {
            self.take_orders();
            if let Some(incoming) = self.received.items.pop_front() {
                self.hand_out(incoming).await;
                continue;
            }
            let Some(session) = &mut self.session else { return };
            self.page.tell(session, self.clock.now());
            if let Some(output) = session.next_output() {
                self.obey(output);
                continue;
            }
            self.connection.wake_readers();
            take_turns().await;
            if let Wire::Reading { rest, .. } = &mut self.wire
                && !rest.is_empty()
            {
                let piece = rest.split_to(rest.len().min(PIECE));
                session.bytes(&piece, self.clock.now(), |item| self.received.take(item));
                self.connection.note(session);
                continue;
            }
            if std::mem::take(&mut self.has_waited) {
                session.reading(self.clock.now());
            }
            let deadline = session.deadline().and_then(|deadline| self.clock.at(deadline));
            let next = [deadline, self.page.next_look()].into_iter().flatten().min();
            let happened = {
                let mut woken = pin!(self.connection.woken());
                let mut wire = pin!(self.wire.next());
                let mut time = pin!(at(next));
                poll_fn(|context| {
                    if woken.as_mut().poll(context).is_ready() {
                        return Poll::Ready(Happened::Woken);
                    }
                    if let Poll::Ready(happened) = wire.as_mut().poll(context) {
                        return Poll::Ready(happened);
                    }
                    time.as_mut().poll(context).map(|()| Happened::Tick)
                })
                .await
            };
            self.happened(happened);
        }
    }

    fn take_orders(&mut self) {
        // Orders that come while it closes are for the end of it.
        let Some(session) = self.session.as_mut().filter(|session| !session.is_closed()) else { return };
        let orders = self.connection.take_orders();
        if let Some(reason) = orders.close {
            session.close(match reason {
                CloseReason::Unsubscribed => ssekit_session::CloseReason::Unsubscribed,
                _ => ssekit_session::CloseReason::Local,
            });
            self.received.items.clear();
        }
        match orders.connect {
            Some(Connect::Now) => session.start(self.clock.now()),
            Some(Connect::Later) => session.start_later(self.error.retry_after(), self.clock.now()),
            None => {}
        }
        if orders.restart {
            session.restart(self.clock.now());
        }
    }

    fn happened(&mut self, happened: Happened) {
        let now = self.clock.now();
        if let Happened::Failed(error) = &happened
            && error.is_nothing_sent()
        {
            self.progress.set_unsent();
        }
        self.note_progress();
        let Some(session) = &mut self.session else { return };
        match happened {
            Happened::Headers(Ok(headers)) => self.request(&headers),
            Happened::Headers(Err(error)) => session.failed(Error::HeadersFrom(Arc::from(error)), now),
            Happened::Answered(head) => self.answered(head),
            Happened::Read => self.page.received(),
            Happened::Woken => {}
            Happened::Ended => session.ended(now, |item| self.received.take(item)),
            Happened::Failed(error) => {
                let url = || asked_url(&self.connection, &self.attempt);
                match std::mem::replace(&mut self.wire, Wire::Nothing) {
                    Wire::Sending(_) if error.is_certificate() => {
                        session.unsendable(Error::Certificate { url: url(), source: error });
                    }
                    Wire::Sending(_) => session.failed(Error::Connect { url: url(), source: error }, now),
                    _ => session.failed(Error::Read(error), now),
                }
            }
            Happened::Tick => {
                self.page.look();
                self.page.tell(session, now);
                session.tick(now);
            }
        }
    }

    /// Tells the session whether the server may have the request, as far as that is known now.
    fn note_progress(&mut self) {
        let Some(session) = &mut self.session else { return };
        match (&self.wire, &self.attempt) {
            (_, None) => session.nothing_sent(),
            (Wire::Sending(_), Some(attempt)) if !attempt.is_redirected() && self.progress.is_unsent() => {
                session.nothing_sent();
            }
            _ => session.sent(),
        }
    }

    fn answered(&mut self, mut head: Parts) {
        let (Some(session), Some(attempt)) = (&mut self.session, &self.attempt) else { return };
        let url = head.extensions.remove::<Arrived>().map_or_else(|| attempt.url(), |Arrived(url)| url);
        let response = Response::new(head.status, head.headers, url);
        if response.is_redirect() {
            return match attempt.redirect(&response) {
                Ok(attempt) => self.send(attempt),
                Err(error) => session.unsendable(error),
            };
        }
        session.answered(&response.answer(wall_clock()), self.clock.now());
        self.connection.set_response(response);
    }

    /// Makes the attempt's request; `fresh` are headers that were asked for.
    fn request(&mut self, fresh: &HeaderMap) {
        let Some(session) = &mut self.session else { return };
        match &self.connection.request {
            Ok(request) => {
                let (attempt, error) = request.attempt(fresh, session.last_event_id(), self.first);
                self.report(error);
                self.send(attempt);
            }
            Err(error) => session.unsendable(error.clone()),
        }
    }

    fn send(&mut self, attempt: Attempt) {
        match attempt.to_http() {
            Ok(mut request) => {
                self.progress = Progress::default();
                request.extensions_mut().insert(self.progress.clone());
                self.wire = Wire::Sending(self.connection.transport.send(request));
            }
            Err(error) => {
                if let Some(session) = &mut self.session {
                    session.unsendable(error);
                }
            }
        }
        self.attempt = Some(attempt);
    }

    fn obey(&mut self, output: Output<Error>) {
        match output {
            Output::Connect { first } => {
                self.wire = Wire::Nothing;
                self.attempt = None;
                self.first = first;
                self.connection.set_status(Status::Connecting);
                match &self.connection.headers_from {
                    Some(headers_from) if self.connection.request.is_ok() => {
                        self.wire = Wire::Asking(ask(headers_from));
                    }
                    _ => self.request(&HeaderMap::new()),
                }
            }
            Output::Disconnect => self.wire = Wire::Nothing,
            Output::Opened => {
                self.connection.set_status(Status::Open);
                self.connection.tell_opened();
            }
            Output::Waiting { until, trouble } => {
                let told = self.note(trouble);
                let until = self.clock.at(until).unwrap_or(self.clock.start);
                self.connection.set_status(Status::Waiting { until, error: self.error.clone() });
                self.report(told);
            }
            Output::Paused { trouble } => {
                let told = self.note(trouble);
                self.connection.set_status(Status::Paused);
                self.report(told);
            }
            Output::Closed(reason) => self.closed(reason),
            _ => {}
        }
    }

    /// The error of a trouble, which is then the last one.
    fn note(&mut self, trouble: Option<Trouble<Error>>) -> Option<Error> {
        let error = self.error_of(trouble?);
        self.error = error.clone();
        Some(error)
    }

    fn report(&self, error: Option<Error>) {
        if let Some(error) = error {
            self.connection.report(error);
        }
    }

    async fn hand_out(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Message(message) => self.deliver(&Delivery::Message(message)).await,
            Incoming::Comment(text) => self.connection.tell_comment(&text),
            Incoming::Incomplete => self.connection.report(Error::IncompleteEvent),
            Incoming::TooLarge { limit } => {
                self.connection.report(Error::EventTooLarge { limit });
                self.deliver(&Delivery::TooLarge { limit }).await;
            }
        }
    }

    async fn deliver(&mut self, delivery: &Delivery) {
        let connection = &self.connection;
        connection.call(delivery);
        let mut forces = false;
        while !connection.is_told_to_close() {
            match connection.offer(delivery) {
                Offer::Taken => return,
                Offer::Full => {
                    connection.wake_readers();
                    connection.woken().await;
                    self.has_waited = true;
                }
                Offer::Losing if forces => return connection.force(delivery),
                Offer::Losing => {
                    connection.wake_readers();
                    yield_now().await;
                    forces = true;
                }
            }
        }
    }

    fn closed(&mut self, reason: ssekit_session::CloseReason<Error>) {
        let reason = match reason {
            ssekit_session::CloseReason::Local => CloseReason::Local,
            ssekit_session::CloseReason::Unsubscribed => CloseReason::Unsubscribed,
            ssekit_session::CloseReason::NoContent => CloseReason::NoContent,
            ssekit_session::CloseReason::Failed(trouble) => CloseReason::Failed(self.error_of(trouble)),
            ssekit_session::CloseReason::NotRepeated(trouble) => {
                CloseReason::NotRepeated(self.error_of(trouble))
            }
            ssekit_session::CloseReason::GaveUp { retries, trouble } => {
                CloseReason::GaveUp { retries, error: self.error_of(trouble) }
            }
            _ => CloseReason::Ended,
        };
        let told = match &reason {
            CloseReason::NoContent => Some(Error::NoContent),
            reason => reason.error().cloned(),
        };
        self.connection.set_status(Status::Closed { reason: reason.clone() });
        self.error = told.clone().unwrap_or(Error::Ended);
        self.report(told);
        self.connection.begin_to_close();
        self.connection.tell_closed(&reason);
        let Some(session) = self.session.take() else { return };
        if let Some((mut session, connect)) = self.connection.end(session, reason) {
            match connect {
                Connect::Now => session.start(self.clock.now()),
                Connect::Later => session.start_later(self.error.retry_after(), self.clock.now()),
            }
            self.session = Some(session);
        }
    }
}

/// A session's time: since the driver has begun.
#[derive(Clone, Copy)]
struct Clock {
    start: Instant,
}

impl Clock {
    fn now(self) -> Duration {
        now().saturating_duration_since(self.start)
    }

    fn at(self, time: Duration) -> Option<Instant> {
        self.start.checked_add(time.min(FAR))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.note_progress();
        let Some(session) = self.session.take() else { return };
        if std::thread::panicking() {
            // A transport's doing, or a mistake here. It would happen again, so nothing is opened again.
            let text = "its task has died".to_owned();
            self.connection.fail(session, Error::Panicked { what: "the connection", text });
        } else {
            self.connection.abandon(session);
        }
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

/// Nobody waits for longer.
const FAR: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
