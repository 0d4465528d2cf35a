//! Carries out the outputs of a session, and reports events to it.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::HeaderMap;
use http::response::Parts;
use ssekit_session::{Failure, Output, Session};

use self::decoded::{DecodedItem, DecodedQueue};
use self::errors::asked_url;
use self::in_flight::{InFlight, IoEvent, request_headers};
use crate::connection::{Connect, Connection};
use crate::request::Attempt;
use crate::runtime::{HostMonitor, Instant, consume_budget, now, sleep_until, wall_clock, yield_now};
use crate::subscribers::{Delivery, Offer};
use crate::transport::{FinalUrl, Progress};
use crate::{CloseReason, Error, Response, Status};

mod decoded;
mod errors;
mod in_flight;

/// At most this many bytes are decoded before their items are delivered, which bounds the waiting items.
const PIECE: usize = 16 << 10;

/// Opens the connection and runs it until it is closed for good.
pub(crate) async fn drive(connection: Arc<Connection>, mut session: Box<Session<Error>>) {
    let clock = Clock { start: now() };
    let url = connection.request.as_ref().ok().map(|request| &request.url);
    let woken = Arc::clone(&connection);
    let mut host = HostMonitor::watch(url, move || woken.wake_driver());
    host.report(&mut session, clock.now());
    session.start(clock.now());
    let mut driver = Driver {
        connection,
        session: Some(session),
        clock,
        host,
        in_flight: InFlight::Nothing,
        attempt: None,
        progress: Progress::default(),
        first: false,
        error: Error::Ended,
        decoded: DecodedQueue::default(),
        delivery_waited: false,
    };
    driver.run().await;
}

struct Driver {
    connection: Arc<Connection>,
    /// Given back when the connection is closed.
    session: Option<Box<Session<Error>>>,
    clock: Clock,
    host: HostMonitor,
    in_flight: InFlight,
    /// The last request of this attempt; `None` until its headers are there.
    attempt: Option<Attempt>,
    /// How far the transport has come with it.
    progress: Progress,
    /// It is the first attempt of all.
    first: bool,
    /// The last error.
    error: Error,
    decoded: DecodedQueue,
    /// Delivering has taken a while.
    delivery_waited: bool,
}

impl Driver {
    async fn run(&mut self) {
        loop {
            self.take_commands();
            if let Some(item) = self.decoded.items.pop_front() {
                self.deliver_item(item).await;
                continue;
            }
            let Some(session) = &mut self.session else { return };
            self.host.report(session, self.clock.now());
            if let Some(output) = session.next_output() {
                self.perform(output);
                continue;
            }
            self.connection.wake_readers();
            consume_budget().await;
            if let InFlight::Reading { rest, .. } = &mut self.in_flight
                && !rest.is_empty()
            {
                let piece = rest.split_to(rest.len().min(PIECE));
                session.bytes(&piece, self.clock.now(), |item| self.decoded.take(item));
                self.connection.record_resumption(session);
                continue;
            }
            if std::mem::take(&mut self.delivery_waited) {
                session.reading(self.clock.now());
            }
            let deadline = session.deadline().and_then(|deadline| self.clock.at(deadline));
            let next = [deadline, self.host.next_check()].into_iter().flatten().min();
            let event = {
                let mut woken = pin!(self.connection.woken());
                let mut in_flight = pin!(self.in_flight.next());
                let mut time = pin!(at(next));
                poll_fn(|context| {
                    if woken.as_mut().poll(context).is_ready() {
                        return Poll::Ready(IoEvent::Woken);
                    }
                    if let Poll::Ready(event) = in_flight.as_mut().poll(context) {
                        return Poll::Ready(event);
                    }
                    time.as_mut().poll(context).map(|()| IoEvent::Tick)
                })
                .await
            };
            self.on_io_event(event);
        }
    }

    fn take_commands(&mut self) {
        // Commands that come while it closes are for the end of it.
        let Some(session) = self.session.as_mut().filter(|session| !session.is_closed()) else { return };
        let commands = self.connection.take_commands();
        if let Some(reason) = commands.close {
            session.close(match reason {
                CloseReason::Unsubscribed => ssekit_session::CloseReason::Unsubscribed,
                _ => ssekit_session::CloseReason::Local,
            });
            self.decoded.items.clear();
        }
        match commands.connect {
            Some(Connect::Now) => session.start(self.clock.now()),
            Some(Connect::Later) => session.start_later(self.error.retry_after(), self.clock.now()),
            None => {}
        }
        if commands.restart {
            session.restart(self.clock.now());
        }
    }

    fn on_io_event(&mut self, event: IoEvent) {
        let now = self.clock.now();
        if let IoEvent::Failed(error) = &event
            && error.is_nothing_sent()
        {
            self.progress.set_unsent();
        }
        self.note_progress();
        let Some(session) = &mut self.session else { return };
        match event {
            IoEvent::Headers(Ok(headers)) => self.request(&headers),
            IoEvent::Headers(Err(error)) => session.failed(Error::HeadersFrom(Arc::from(error)), now),
            IoEvent::Answered(head) => self.on_answer(head),
            IoEvent::Read => self.host.on_bytes(),
            IoEvent::Woken => {}
            IoEvent::Ended => session.ended(now, |item| self.decoded.take(item)),
            IoEvent::Failed(error) => {
                let url = || asked_url(&self.connection, &self.attempt);
                match std::mem::replace(&mut self.in_flight, InFlight::Nothing) {
                    InFlight::Sending(_) if error.is_certificate() => {
                        session.unsendable(Error::Certificate { url: url(), source: error });
                    }
                    InFlight::Sending(_) => session.failed(Error::Connect { url: url(), source: error }, now),
                    _ => session.failed(Error::Read(error), now),
                }
            }
            IoEvent::Tick => {
                self.host.check();
                self.host.report(session, now);
                session.tick(now);
            }
        }
    }

    /// Tells the session whether the server may have the request, as far as that is known now.
    fn note_progress(&mut self) {
        let Some(session) = &mut self.session else { return };
        match (&self.in_flight, &self.attempt) {
            (_, None) => session.nothing_sent(),
            (InFlight::Sending(_), Some(attempt))
                if !attempt.is_redirected() && self.progress.is_unsent() =>
            {
                session.nothing_sent();
            }
            _ => session.sent(),
        }
    }

    fn on_answer(&mut self, mut head: Parts) {
        let (Some(session), Some(attempt)) = (&mut self.session, &self.attempt) else { return };
        let url = head.extensions.remove::<FinalUrl>().map_or_else(|| attempt.url(), |FinalUrl(url)| url);
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
                self.in_flight = InFlight::Sending(self.connection.transport.send(request));
            }
            Err(error) => {
                if let Some(session) = &mut self.session {
                    session.unsendable(error);
                }
            }
        }
        self.attempt = Some(attempt);
    }

    fn perform(&mut self, output: Output<Error>) {
        match output {
            Output::Connect { first } => {
                self.in_flight = InFlight::Nothing;
                self.attempt = None;
                self.first = first;
                self.connection.set_status(Status::Connecting);
                match &self.connection.headers_from {
                    Some(headers_from) if self.connection.request.is_ok() => {
                        self.in_flight = InFlight::Headers(request_headers(headers_from));
                    }
                    _ => self.request(&HeaderMap::new()),
                }
            }
            Output::Disconnect => self.in_flight = InFlight::Nothing,
            Output::Opened => {
                self.connection.set_status(Status::Open);
                self.connection.call_on_open();
            }
            Output::Waiting { until, failure } => {
                let error = self.record_error(failure);
                let until = self.clock.at(until).unwrap_or(self.clock.start);
                self.connection.set_status(Status::Waiting { until, error: self.error.clone() });
                self.report(error);
            }
            Output::Paused { failure } => {
                let error = self.record_error(failure);
                self.connection.set_status(Status::Paused);
                self.report(error);
            }
            Output::Closed(reason) => self.on_closed(reason),
            _ => {}
        }
    }

    /// The error of a trouble, which is then the last one.
    fn record_error(&mut self, failure: Option<Failure<Error>>) -> Option<Error> {
        let error = self.error_of(failure?);
        self.error = error.clone();
        Some(error)
    }

    fn report(&self, error: Option<Error>) {
        if let Some(error) = error {
            self.connection.report(error);
        }
    }

    async fn deliver_item(&mut self, item: DecodedItem) {
        match item {
            DecodedItem::Message(message) => self.deliver(&Delivery::Message(message)).await,
            DecodedItem::Comment(text) => self.connection.call_on_comment(&text),
            DecodedItem::Incomplete => self.connection.report(Error::IncompleteEvent),
            DecodedItem::TooLarge { limit } => {
                self.connection.report(Error::EventTooLarge { limit });
                self.deliver(&Delivery::TooLarge { limit }).await;
            }
        }
    }

    async fn deliver(&mut self, delivery: &Delivery) {
        let connection = &self.connection;
        connection.call(delivery);
        let mut forces = false;
        while !connection.is_close_requested() {
            match connection.offer(delivery) {
                Offer::Taken => return,
                Offer::Full => {
                    connection.wake_readers();
                    connection.woken().await;
                    self.delivery_waited = true;
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

    fn on_closed(&mut self, reason: ssekit_session::CloseReason<Error>) {
        let reason = match reason {
            ssekit_session::CloseReason::Local => CloseReason::Local,
            ssekit_session::CloseReason::Unsubscribed => CloseReason::Unsubscribed,
            ssekit_session::CloseReason::NoContent => CloseReason::NoContent,
            ssekit_session::CloseReason::Failed(failure) => CloseReason::Failed(self.error_of(failure)),
            ssekit_session::CloseReason::NotRepeated(failure) => {
                CloseReason::NotRepeated(self.error_of(failure))
            }
            ssekit_session::CloseReason::GaveUp { retries, failure } => {
                CloseReason::GaveUp { retries, error: self.error_of(failure) }
            }
            _ => CloseReason::Ended,
        };
        let error = match &reason {
            CloseReason::NoContent => Some(Error::NoContent),
            reason => reason.error().cloned(),
        };
        self.connection.set_status(Status::Closed { reason: reason.clone() });
        self.error = error.clone().unwrap_or(Error::Ended);
        self.report(error);
        self.connection.begin_close();
        self.connection.call_on_close(&reason);
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
            self.connection.fail(session, Error::Panicked { closure: "the connection", text });
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
