//! ```text
//!            start                opened (200 text/event-stream)
//!   Idle ───────────▶ Connecting ─────────────────────────▶ Open
//!                      │  ▲                                  │
//!       refused, failed│  │ tick, online                     │ ended, failed, tick
//!                      ▼  │                                  │
//!                     Waiting ◀──────────────────────────────┘
//!                      │                           hidden, frozen: Paused, from these, and back
//!                      │ final failure, not to be repeated, too many retries, close
//!                      ▼
//!                     Closed
//! ```

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt::Debug;
use core::time::Duration;

use fastrand::Rng;
use ssekit_wire::{DecodeError, Decoder, FieldError, Item};

use crate::answer::Verdict;
use crate::{Answer, CloseReason, Config, Failure, Output};

mod outcome;
mod page;

/// The state machine of one connection.
///
/// Every input comes with `now`, the time since any moment that stays the same. After each one, and after
/// [`new`](Self::new), the shell carries out every [`next_output`](Self::next_output), and sets its timer to
/// [`deadline`](Self::deadline). An input that does not fit the state, because it was under way when the
/// state changed, has no effect.
#[derive(Debug)]
pub struct Session<E> {
    config: Config,
    decoder: Decoder,
    random: Rng,
    state: State<E>,
    /// Attempts in a row without a good connection, the first one of all not counted.
    failures: u32,
    /// The server may have the request of the last attempt.
    is_sent: bool,
    /// The server may have a request of an attempt before the last one.
    was_sent: bool,
    hidden: bool,
    offline: bool,
    frozen: bool,
    outputs: VecDeque<Output<E>>,
}

#[derive(Debug)]
enum State<E> {
    Idle,
    Connecting {
        deadline: Duration,
    },
    Open {
        since: Duration,
        last_byte: Duration,
        received_events: bool,
    },
    /// The answer is no event stream; the beginning of its body says why.
    Refused {
        failure: Failure<E>,
        deadline: Duration,
    },
    Waiting {
        until: Duration,
    },
    /// Until the page is shown or moves again.
    Paused {
        /// When to check whether that has happened unreported.
        check_at: Duration,
    },
    Closed,
}

/// How much of a refusal's body is kept, and how long is waited for it.
const MAX_REFUSAL_BYTES: usize = 16 << 10;
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);

impl<E: Clone + Debug> Session<E> {
    /// A session that has not been started. The seed makes its random delays, and should differ for each.
    pub fn new(config: Config, seed: u64) -> Self {
        let mut decoder = Decoder::new().with_max_event_bytes(config.max_event_bytes);
        if config.comments {
            decoder = decoder.with_comments();
        }
        Self {
            config,
            decoder,
            random: Rng::with_seed(seed),
            state: State::Idle,
            failures: 0,
            is_sent: false,
            was_sent: false,
            hidden: false,
            offline: false,
            frozen: false,
            outputs: VecDeque::new(),
        }
    }

    /// Resumes after this event at first.
    ///
    /// # Errors
    /// The id holds CR, LF or NUL, which no event's id can.
    pub fn with_last_event_id(mut self, id: &str) -> Result<Self, FieldError> {
        self.decoder = self.decoder.with_last_event_id(id)?;
        Ok(self)
    }

    /// Returns the next action of the shell.
    pub fn next_output(&mut self) -> Option<Output<E>> {
        self.outputs.pop_front()
    }

    /// When [`tick`](Self::tick) is due, if nothing else happens.
    pub fn deadline(&self) -> Option<Duration> {
        match &self.state {
            State::Connecting { deadline } | State::Refused { deadline, .. } => Some(*deadline),
            State::Open { last_byte, .. } => {
                self.config.read_timeout.map(|timeout| last_byte.saturating_add(timeout))
            }
            State::Waiting { until } => Some(*until),
            State::Paused { check_at } => Some(*check_at),
            State::Idle | State::Closed => None,
        }
    }

    /// The last event ID that the stream has set, which the next attempt sends; empty for none.
    pub fn last_event_id(&self) -> &str {
        self.decoder.last_event_id()
    }

    /// The reconnection time that the stream has set by `retry:`.
    pub fn reconnection_time(&self) -> Option<Duration> {
        self.decoder.reconnection_time()
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether it is closed, for good unless it is started again.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Opens the connection, closed or not; ends a delay or pause at once.
    pub fn start(&mut self, now: Duration) {
        if self.is_closed() {
            self.failures = 0;
        }
        if let State::Idle | State::Closed | State::Waiting { .. } | State::Paused { .. } = self.state {
            self.begin(now);
        }
    }

    /// Opens a closed connection after the policy's delay for another retry. Not before the server's
    /// `Retry-After`.
    pub fn start_later(&mut self, retry_after: Option<Duration>, now: Duration) {
        if self.is_closed() {
            self.wait(None, retry_after, now);
        }
    }

    /// Drops the connection and makes a new one at once. Not when it is closed.
    pub fn restart(&mut self, now: Duration) {
        if !matches!(self.state, State::Idle | State::Closed) {
            self.reset_failures(now);
            self.outputs.push_back(Output::Disconnect);
            self.begin(now);
        }
    }

    /// Closes the connection for good. Pending outputs are dropped.
    pub fn close(&mut self, reason: CloseReason<E>) {
        if !self.is_closed() {
            self.outputs.clear();
            self.finish(reason);
        }
    }

    /// The shell and the connection are gone: the session is as if it had never been opened, or closed if the
    /// request may not be repeated. Returns whether it may be opened again.
    pub fn abandon(&mut self) -> bool {
        let may_reopen = self.repeats(self.progress());
        self.outputs.clear();
        self.state = if may_reopen { State::Idle } else { State::Closed };
        may_reopen
    }

    /// No byte of the attempt's request has left so far. (Otherwise the server may have it: nothing is known
    /// of the transport, and a request that the server may have is not always repeated.)
    pub fn nothing_sent(&mut self) {
        if let State::Connecting { .. } = self.state {
            self.is_sent = false;
        }
    }

    /// From now on the server may have the attempt's request.
    pub fn sent(&mut self) {
        if let State::Connecting { .. } = self.state {
            self.is_sent = true;
        }
    }

    /// The head of the answer has come.
    pub fn answered(&mut self, answer: &Answer<'_>, now: Duration) {
        let State::Connecting { .. } = self.state else { return };
        self.is_sent = true;
        let failure = match answer.verdict() {
            Verdict::EventStream => {
                self.decoder.reconnect();
                self.state = State::Open { since: now, last_byte: now, received_events: false };
                self.outputs.push_back(Output::Opened);
                return;
            }
            Verdict::NoContent => return self.finish(CloseReason::NoContent),
            Verdict::Status => {
                Failure::Status { status: answer.status, body: Vec::new(), retry_after: answer.retry_after }
            }
            Verdict::ContentType => Failure::ContentType { body: Vec::new() },
            Verdict::ContentEncoding => return self.interrupt(Failure::ContentEncoding, now),
        };
        self.state = State::Refused { failure, deadline: now.saturating_add(REFUSAL_TIMEOUT) };
    }

    /// Bytes of the answer's body. The sink gets the items that they complete: messages, comments if they are
    /// asked for, and errors for events that were left out.
    pub fn bytes(
        &mut self,
        bytes: &[u8],
        now: Duration,
        mut sink: impl FnMut(Result<Item<'_>, DecodeError>),
    ) {
        match &mut self.state {
            State::Open { last_byte, received_events, .. } => {
                *last_byte = now;
                let mut items = self.decoder.feed(bytes);
                while let Some(item) = items.next() {
                    *received_events |= matches!(item, Ok(Item::Message(_)));
                    sink(item);
                }
            }
            State::Refused {
                failure: Failure::Status { body, .. } | Failure::ContentType { body }, ..
            } => {
                body.extend_from_slice(&bytes[..bytes.len().min(MAX_REFUSAL_BYTES - body.len())]);
                if body.len() == MAX_REFUSAL_BYTES {
                    self.finish_refusal(now);
                }
            }
            _ => {}
        }
    }

    /// All that was received has been delivered, which may have taken a while: reading goes on now.
    pub fn reading(&mut self, now: Duration) {
        if let State::Open { last_byte, .. } = &mut self.state {
            *last_byte = now;
        }
    }

    /// The answer's body has ended. The sink is given an event whose blank line is missing, or an error in
    /// its place: see [`Config::accepts_incomplete_event`].
    pub fn ended(&mut self, now: Duration, mut sink: impl FnMut(Result<Item<'_>, DecodeError>)) {
        match &mut self.state {
            State::Open { received_events, .. } => {
                if self.config.accepts_incomplete_event {
                    let mut items = self.decoder.finish();
                    while let Some(item) = items.next() {
                        *received_events |= matches!(item, Ok(Item::Message(_)));
                        sink(item);
                    }
                } else if self.decoder.is_inside_event() {
                    sink(Err(DecodeError::IncompleteEvent));
                }
                self.interrupt(Failure::Ended, now);
            }
            State::Refused { .. } => self.finish_refusal(now),
            _ => {}
        }
    }

    /// There is no answer, or its body broke off.
    pub fn failed(&mut self, error: E, now: Duration) {
        match self.state {
            State::Connecting { .. } => self.interrupt(Failure::Connect(error), now),
            State::Open { .. } => self.interrupt(Failure::Read(error), now),
            State::Refused { .. } => self.finish_refusal(now),
            _ => {}
        }
    }

    /// The request that was to be made can never be.
    pub fn unsendable(&mut self, error: E) {
        if let State::Connecting { .. } = self.state {
            self.finish(CloseReason::Failed(Failure::Request(error)));
        }
    }

    /// Time has passed. Before it, the shell reports changes of the page: see
    /// [`hidden`](Self::hidden) and [`offline`](Self::offline).
    pub fn tick(&mut self, now: Duration) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.state {
            State::Connecting { .. } => self.interrupt(Failure::ConnectTimeout, now),
            State::Open { .. } => self.interrupt(Failure::ReadTimeout, now),
            State::Refused { .. } => self.finish_refusal(now),
            State::Waiting { .. } => self.begin(now),
            State::Paused { .. } => self.check_pause(now),
            State::Idle | State::Closed => {}
        }
    }

    fn begin(&mut self, now: Duration) {
        if self.is_suspended() {
            return self.pause(None, now);
        }
        self.state = State::Connecting { deadline: now.saturating_add(self.config.connect_timeout) };
        self.was_sent |= self.is_sent;
        self.is_sent = true;
        self.outputs.push_back(Output::Connect { first: !self.was_sent });
    }
}
