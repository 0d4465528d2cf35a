//! What decides: a state machine without I/O, clock or task.
//!
//! ```text
//!            start                 headers        opened (200 text/event-stream)
//!   Idle ───────────▶ Asking ───────────▶ Connecting ───────────▶ Open
//!                        ▲  (headers_from)  │  ▲ │                 │
//!                        │                  │  └─┘ redirect        │ ended, failed, tick
//!                        │ tick             │ refused, failed      │
//!                        └────────────── Waiting ◀─────────────────┘
//!                                           │ final error, too many retries, close
//!                                           ▼
//!                                         Closed
//! ```
//!
//! Every input comes with `now`; what is to be done is read from [`Session::next_output`] until there is no more.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use fastrand::Rng;
use http::{HeaderMap, StatusCode};
use ssekit_wire::{DecodeError, Decoder, Item};

use crate::request::{Attempt, Request};
use crate::response::Verdict;
use crate::{BoxError, CloseReason, Error, Message, Reconnect, Response, Status, TransportError};

/// How a connection behaves, apart from what it asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Behaviour {
    pub(crate) reconnect: Reconnect,
    pub(crate) connect_timeout: Duration,
    pub(crate) read_timeout: Option<Duration>,
    pub(crate) max_event_bytes: usize,
    pub(crate) comments: bool,
    /// Headers are asked for anew before each attempt.
    pub(crate) asks_headers: bool,
}

#[derive(Debug)]
pub(crate) struct Session {
    /// Or what is wrong with it.
    request: Result<Request, Error>,
    behaviour: Behaviour,
    decoder: Decoder,
    random: Rng,
    state: State,
    /// Attempts in a row without a good connection, the first one of all not counted.
    failures: u32,
    /// No attempt has been made yet.
    first: bool,
    outputs: VecDeque<Output>,
    /// The last name and id, shared by the messages that repeat them.
    event: Arc<str>,
    last_event_id: Arc<str>,
}

#[derive(Debug)]
enum State {
    Idle,
    Asking {
        deadline: Instant,
    },
    Connecting {
        attempt: Attempt,
        deadline: Instant,
    },
    Open {
        since: Instant,
        last_byte: Instant,
        brought_events: bool,
    },
    /// The answer is no event stream; the beginning of its body says why.
    Refused {
        error: Error,
        body: Vec<u8>,
        deadline: Instant,
    },
    Waiting {
        until: Instant,
    },
    Closed,
}

/// What is to be done, in this order.
#[derive(Debug)]
pub(crate) enum Output {
    /// Ask for headers and give them to [`Session::headers`].
    AskHeaders,
    /// Drop what stands and send this request.
    Connect(http::Request<Bytes>),
    /// Drop the request or the stream that stands.
    Disconnect,
    Status(Status),
    /// An answer that is not a redirect has come.
    Response(Response),
    /// It is an event stream.
    Opened,
    Message(Message),
    Comment(Arc<str>),
    /// An event was larger than this many bytes.
    TooLarge {
        limit: usize,
    },
    Error(Error),
    /// For good: the last output.
    Closed(CloseReason),
}

/// After a good connection retries and delays are counted anew; see [`Reconnect`].
const GOOD_AFTER: Duration = Duration::from_secs(5);

/// How much of a refusal's body is kept for its error, and how long is waited for it.
const MAX_REFUSAL_BYTES: usize = 16 << 10;
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);

impl Session {
    pub(crate) fn new(request: Result<Request, Error>, behaviour: Behaviour, random: Rng) -> Self {
        let mut decoder = Decoder::new().with_max_event_bytes(behaviour.max_event_bytes);
        if behaviour.comments {
            decoder = decoder.with_comments();
        }
        if let Ok(request) = &request {
            decoder = decoder
                .with_last_event_id(&request.last_event_id)
                .expect("a request with an invalid last event ID is not built");
        }
        let last_event_id = Arc::from(decoder.last_event_id());
        Self {
            request,
            behaviour,
            decoder,
            random,
            state: State::Idle,
            failures: 0,
            first: true,
            outputs: VecDeque::new(),
            event: Arc::from("message"),
            last_event_id,
        }
    }

    pub(crate) fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`tick`](Self::tick) is due, if nothing else happens.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Asking { deadline }
            | State::Connecting { deadline, .. }
            | State::Refused { deadline, .. } => Some(*deadline),
            State::Open { last_byte, .. } => {
                self.behaviour.read_timeout.map(|timeout| after(*last_byte, timeout))
            }
            State::Waiting { until } => Some(*until),
            State::Idle | State::Closed => None,
        }
    }

    pub(crate) fn last_event_id(&self) -> &str {
        self.decoder.last_event_id()
    }

    pub(crate) fn reconnection_time(&self) -> Option<Duration> {
        self.decoder.reconnection_time()
    }

    /// Opens the connection, or does at once what it waits for.
    pub(crate) fn start(&mut self, now: Instant) {
        if let State::Closed = self.state {
            self.failures = 0;
        }
        if let State::Idle | State::Closed | State::Waiting { .. } = self.state {
            self.begin(now);
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Opens a closed connection after the delay that the policy has for another retry.
    pub(crate) fn start_later(&mut self, error: Error, now: Instant) {
        self.wait(error, now);
    }

    /// Drops the connection and makes a new one at once. No error.
    pub(crate) fn restart(&mut self, now: Instant) {
        if !matches!(self.state, State::Idle | State::Closed) {
            self.settle(now);
            self.outputs.push_back(Output::Disconnect);
            self.begin(now);
        }
    }

    /// Closes the connection for good. What was received and not delivered yet is dropped.
    pub(crate) fn close(&mut self, reason: CloseReason) {
        if !self.is_closed() {
            self.outputs.clear();
            self.finish(reason);
        }
    }

    /// What ran the connection is gone, and the connection with it: as if it had never been opened.
    pub(crate) fn abandon(&mut self) {
        self.outputs.clear();
        self.state = State::Idle;
    }

    /// The headers that [`Output::AskHeaders`] asked for.
    pub(crate) fn headers(&mut self, headers: Result<HeaderMap, BoxError>, now: Instant) {
        let State::Asking { deadline } = self.state else { return };
        match headers {
            Ok(headers) => self.connect(&headers, deadline),
            Err(error) => self.interrupt(Error::HeadersFrom(Arc::from(error)), now),
        }
    }

    /// The head of the answer has come.
    pub(crate) fn opened(&mut self, status: StatusCode, headers: HeaderMap, now: Instant, wall: SystemTime) {
        let State::Connecting { attempt, deadline } = &mut self.state else { return };
        let deadline = *deadline;
        let response = Response::new(status, headers, attempt.display_url());
        let verdict = response.verdict(wall);
        if let Verdict::Redirect = verdict {
            return match attempt.redirect(&response) {
                Ok(attempt) => self.send(attempt, deadline),
                Err(error) => self.fail(error),
            };
        }
        self.outputs.push_back(Output::Response(response));
        match verdict {
            Verdict::EventStream => {
                self.decoder.reconnect();
                self.state = State::Open { since: now, last_byte: now, brought_events: false };
                self.outputs.push_back(Output::Status(Status::Open));
                self.outputs.push_back(Output::Opened);
            }
            Verdict::Redirect | Verdict::NoContent => {
                self.report_and_finish(Error::NoContent, CloseReason::NoContent)
            }
            Verdict::Refusal(error) => {
                self.state = State::Refused { error, body: Vec::new(), deadline: now + REFUSAL_TIMEOUT };
            }
        }
    }

    /// Bytes of the answer's body.
    pub(crate) fn bytes(&mut self, bytes: &[u8], now: Instant) {
        match &mut self.state {
            State::Open { last_byte, .. } => {
                *last_byte = now;
                self.decode(bytes);
            }
            State::Refused { body, .. } => {
                body.extend_from_slice(&bytes[..bytes.len().min(MAX_REFUSAL_BYTES - body.len())]);
                if body.len() == MAX_REFUSAL_BYTES {
                    self.refuse(now);
                }
            }
            _ => {}
        }
    }

    /// All that was received has been delivered, which may have taken a while: reading goes on now.
    pub(crate) fn reading(&mut self, now: Instant) {
        if let State::Open { last_byte, .. } = &mut self.state {
            *last_byte = now;
        }
    }

    /// The answer's body has ended.
    pub(crate) fn ended(&mut self, now: Instant) {
        match self.state {
            State::Open { .. } => self.interrupt(Error::Ended, now),
            State::Refused { .. } => self.refuse(now),
            _ => {}
        }
    }

    /// There is no answer, or its body broke off.
    pub(crate) fn failed(&mut self, error: TransportError, now: Instant) {
        match &self.state {
            State::Connecting { attempt, .. } => {
                let error = Error::Connect { url: attempt.display_url(), source: error };
                self.interrupt(error, now);
            }
            State::Open { .. } => self.interrupt(Error::Read(error), now),
            State::Refused { .. } => self.refuse(now),
            _ => {}
        }
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Instant) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match &self.state {
            State::Asking { .. } => {
                let error =
                    Error::HeadersFrom(Arc::from(BoxError::from("it took longer than the connect timeout")));
                self.interrupt(error, now);
            }
            State::Connecting { attempt, .. } => {
                let error = Error::ConnectTimeout {
                    url: attempt.display_url(),
                    after: self.behaviour.connect_timeout,
                };
                self.interrupt(error, now);
            }
            State::Open { .. } => {
                let after = self.behaviour.read_timeout.unwrap_or_default();
                self.interrupt(Error::ReadTimeout { after }, now);
            }
            State::Refused { .. } => self.refuse(now),
            State::Waiting { .. } => self.begin(now),
            State::Idle | State::Closed => {}
        }
    }

    fn begin(&mut self, now: Instant) {
        if let Err(error) = &self.request {
            return self.fail(error.clone());
        }
        let deadline = after(now, self.behaviour.connect_timeout);
        self.outputs.push_back(Output::Status(Status::Connecting));
        if self.behaviour.asks_headers {
            self.state = State::Asking { deadline };
            self.outputs.push_back(Output::AskHeaders);
        } else {
            self.connect(&HeaderMap::new(), deadline);
        }
    }

    fn connect(&mut self, fresh: &HeaderMap, deadline: Instant) {
        let Ok(request) = &self.request else { return };
        let first = mem::take(&mut self.first);
        let (attempt, error) = request.attempt(fresh, self.decoder.last_event_id(), first);
        self.outputs.extend(error.map(Output::Error));
        self.send(attempt, deadline);
    }

    fn send(&mut self, attempt: Attempt, deadline: Instant) {
        match attempt.to_http() {
            Ok(request) => {
                self.state = State::Connecting { attempt, deadline };
                self.outputs.push_back(Output::Connect(request));
            }
            Err(error) => self.fail(error),
        }
    }

    fn decode(&mut self, bytes: &[u8]) {
        let State::Open { brought_events, .. } = &mut self.state else { return };
        let mut items = self.decoder.feed(bytes);
        while let Some(item) = items.next() {
            let output = match item {
                Ok(Item::Message(message)) => {
                    *brought_events = true;
                    if *self.event != *message.event {
                        self.event = Arc::from(message.event);
                    }
                    if *self.last_event_id != *message.last_event_id {
                        self.last_event_id = Arc::from(message.last_event_id);
                    }
                    Output::Message(Message::new(
                        Arc::clone(&self.event),
                        Arc::from(message.data),
                        Arc::clone(&self.last_event_id),
                    ))
                }
                Ok(Item::Comment(text)) => Output::Comment(Arc::from(text)),
                Err(DecodeError::EventTooLarge { limit } | DecodeError::CommentTooLarge { limit }) => {
                    Output::TooLarge { limit }
                }
                Err(_) => continue,
            };
            self.outputs.push_back(output);
        }
    }

    /// The refusal's body is read as far as it counts.
    fn refuse(&mut self, now: Instant) {
        let State::Refused { mut error, body, .. } = mem::replace(&mut self.state, State::Idle) else {
            return;
        };
        if let Error::Status { body: text, .. } | Error::ContentType { body: text, .. } = &mut error {
            *text = String::from_utf8_lossy(&body).into_owned();
        }
        self.interrupt(error, now);
    }

    /// Counts anew after a good connection.
    fn settle(&mut self, now: Instant) {
        if let State::Open { since, brought_events, .. } = self.state
            && (brought_events || now.duration_since(since) >= GOOD_AFTER)
        {
            self.failures = 0;
        }
    }

    /// The attempt or the stream is over: another one follows, or none.
    fn interrupt(&mut self, error: Error, now: Instant) {
        self.settle(now);
        if !self.behaviour.reconnect.retries(&error) {
            return self.fail(error);
        }
        if self.behaviour.reconnect.is_exhausted(self.failures) {
            return match error {
                Error::Ended if self.failures == 0 => self.finish(CloseReason::Ended),
                error if self.failures == 0 => self.fail(error),
                error => {
                    let reason = CloseReason::GaveUp { retries: self.failures, error: error.clone() };
                    self.report_and_finish(error, reason);
                }
            };
        }
        self.outputs.push_back(Output::Disconnect);
        self.wait(error.clone(), now);
        self.outputs.push_back(Output::Error(error));
    }

    fn wait(&mut self, error: Error, now: Instant) {
        let retry_after = match &error {
            Error::Status { retry_after, .. } => *retry_after,
            _ => None,
        };
        let reconnection_time = self.decoder.reconnection_time();
        let delay = self.behaviour.reconnect.next_delay(
            self.failures,
            reconnection_time,
            retry_after,
            &mut self.random,
        );
        self.failures += 1;
        let until = after(now, delay);
        self.state = State::Waiting { until };
        self.outputs.push_back(Output::Status(Status::Waiting { until, error }));
    }

    fn fail(&mut self, error: Error) {
        self.report_and_finish(error.clone(), CloseReason::Failed(error));
    }

    fn report_and_finish(&mut self, error: Error, reason: CloseReason) {
        self.outputs.push_back(Output::Disconnect);
        self.outputs.push_back(Output::Status(Status::Closed { reason: reason.clone() }));
        self.outputs.push_back(Output::Error(error));
        self.state = State::Closed;
        self.outputs.push_back(Output::Closed(reason));
    }

    fn finish(&mut self, reason: CloseReason) {
        self.state = State::Closed;
        self.outputs.push_back(Output::Disconnect);
        self.outputs.push_back(Output::Status(Status::Closed { reason: reason.clone() }));
        self.outputs.push_back(Output::Closed(reason));
    }
}

/// A time that is as far away as asked, or as can be told.
fn after(now: Instant, delay: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
    now + delay.min(FAR)
}

#[cfg(test)]
mod tests;
