//! ```text
//!            start                opened (200 text/event-stream)
//!   Idle ───────────▶ Connecting ─────────────────────────▶ Open
//!                      │  ▲                                  │
//!       refused, failed│  │ tick, online                     │ ended, failed, tick
//!                      ▼  │                                  │
//!                     Waiting ◀──────────────────────────────┘
//!                      │                           hidden, frozen, offline: Paused, from these, and back
//!                      │ final trouble, too many retries, close
//!                      ▼
//!                     Closed
//! ```

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt::Debug;
use core::mem;
use core::time::Duration;

use fastrand::Rng;
use ssekit_wire::{DEFAULT_MAX_EVENT_BYTES, DecodeError, Decoder, FieldError, Item};

use crate::answer::Verdict;
use crate::{Answer, CloseReason, Reconnect, Trouble};

/// How a connection behaves, apart from what it asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Behaviour {
    /// Whether and when it is made again.
    pub reconnect: Reconnect,
    /// How long an attempt may take until the head of the answer has come. 60 s by default.
    pub connect_timeout: Duration,
    /// A stream in which not a byte has come for this long is taken for dead. None by default.
    pub read_timeout: Option<Duration>,
    /// Events with more bytes than this in their fields are left out and told of. 16 MiB by default.
    pub max_event_bytes: usize,
    /// Comments are items too. They are not by default.
    pub comments: bool,
    /// A hidden page has no connection. It has one by default.
    pub pauses_hidden: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            reconnect: Reconnect::default(),
            connect_timeout: Duration::from_secs(60),
            read_timeout: None,
            max_event_bytes: DEFAULT_MAX_EVENT_BYTES,
            comments: false,
            pauses_hidden: false,
        }
    }
}

/// The state machine of one connection.
///
/// Every input comes with `now`, the time since any moment that stays the same. After each one, and after
/// [`new`](Self::new), the shell does what [`next_output`](Self::next_output) says until there is no more, and sets its
/// timer to [`deadline`](Self::deadline). An input that does not fit the state, because it was under way when the state
/// changed, has no effect.
#[derive(Debug)]
pub struct Session<E> {
    behaviour: Behaviour,
    decoder: Decoder,
    random: Rng,
    state: State<E>,
    /// Attempts in a row without a good connection, the first one of all not counted.
    failures: u32,
    /// No attempt has been made yet.
    first: bool,
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
        brought_events: bool,
    },
    /// The answer is no event stream; the beginning of its body says why.
    Refused {
        trouble: Trouble<E>,
        deadline: Duration,
    },
    Waiting {
        until: Duration,
    },
    /// Until the page is shown or moves again, or there is a network.
    Paused,
    Closed,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output<E> {
    /// Drop what stands, and make a request that resumes after [`Session::last_event_id`].
    Connect {
        /// It is the first of all attempts.
        first: bool,
    },
    /// Drop the request or the stream that stands.
    Disconnect,
    /// The answer is an event stream.
    Opened,
    /// Another attempt follows.
    Waiting {
        /// When.
        until: Duration,
        /// What went wrong; `None` after [`Session::start_later`].
        trouble: Option<Trouble<E>>,
    },
    /// Another attempt follows when the page is shown, or when there is a network.
    Paused {
        /// What went wrong, if something did.
        trouble: Option<Trouble<E>>,
    },
    /// For good: no output follows until the session is started again.
    Closed(CloseReason<E>),
}

/// After a good connection retries and delays are counted anew; see [`Reconnect`].
const GOOD_AFTER: Duration = Duration::from_secs(5);

/// How much of a refusal's body is kept, and how long is waited for it.
const MAX_REFUSAL_BYTES: usize = 16 << 10;
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);

impl<E: Clone + Debug> Session<E> {
    /// A session that has not been started. The seed makes its random delays, and should be another one for each.
    pub fn new(behaviour: Behaviour, seed: u64) -> Self {
        let mut decoder = Decoder::new().with_max_event_bytes(behaviour.max_event_bytes);
        if behaviour.comments {
            decoder = decoder.with_comments();
        }
        Self {
            behaviour,
            decoder,
            random: Rng::with_seed(seed),
            state: State::Idle,
            failures: 0,
            first: true,
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

    /// What is to be done next.
    pub fn next_output(&mut self) -> Option<Output<E>> {
        self.outputs.pop_front()
    }

    /// When [`tick`](Self::tick) is due, if nothing else happens.
    pub fn deadline(&self) -> Option<Duration> {
        match &self.state {
            State::Connecting { deadline } | State::Refused { deadline, .. } => Some(*deadline),
            State::Open { last_byte, .. } => {
                self.behaviour.read_timeout.map(|timeout| last_byte.saturating_add(timeout))
            }
            State::Waiting { until } => Some(*until),
            State::Idle | State::Paused | State::Closed => None,
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

    /// How it behaves.
    pub fn behaviour(&self) -> &Behaviour {
        &self.behaviour
    }

    /// Whether it is closed, for good unless it is started again.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Opens the connection, or does at once what it waits for.
    pub fn start(&mut self, now: Duration) {
        if self.is_closed() {
            self.failures = 0;
        }
        if let State::Idle | State::Closed | State::Waiting { .. } | State::Paused = self.state {
            self.begin(now);
        }
    }

    /// Opens a closed connection after the delay that the policy has for another retry, and not before the server's
    /// `Retry-After`.
    pub fn start_later(&mut self, retry_after: Option<Duration>, now: Duration) {
        if self.is_closed() {
            self.wait(None, retry_after, now);
        }
    }

    /// Drops the connection and makes a new one at once. Not when it is closed.
    pub fn restart(&mut self, now: Duration) {
        if !matches!(self.state, State::Idle | State::Closed) {
            self.settle(now);
            self.outputs.push_back(Output::Disconnect);
            self.begin(now);
        }
    }

    /// Closes the connection for good. What was to be done is not done any more.
    pub fn close(&mut self, reason: CloseReason<E>) {
        if !self.is_closed() {
            self.outputs.clear();
            self.finish(reason);
        }
    }

    /// What ran the connection is gone, and the connection with it: as if it had never been opened.
    pub fn abandon(&mut self) {
        self.outputs.clear();
        self.state = State::Idle;
    }

    /// The head of the answer has come.
    pub fn answered(&mut self, answer: &Answer<'_>, now: Duration) {
        let State::Connecting { .. } = self.state else { return };
        let trouble = match answer.verdict() {
            Verdict::EventStream => {
                self.decoder.reconnect();
                self.state = State::Open { since: now, last_byte: now, brought_events: false };
                self.outputs.push_back(Output::Opened);
                return;
            }
            Verdict::NoContent => return self.finish(CloseReason::NoContent),
            Verdict::Status => {
                Trouble::Status { status: answer.status, body: Vec::new(), retry_after: answer.retry_after }
            }
            Verdict::ContentType => Trouble::ContentType { body: Vec::new() },
            Verdict::ContentEncoding => return self.interrupt(Trouble::ContentEncoding, now),
        };
        self.state = State::Refused { trouble, deadline: now.saturating_add(REFUSAL_TIMEOUT) };
    }

    /// Bytes of the answer's body. The sink is given what they complete: messages, comments if they are asked for, and
    /// an error for what was left out.
    pub fn bytes(
        &mut self,
        bytes: &[u8],
        now: Duration,
        mut sink: impl FnMut(Result<Item<'_>, DecodeError>),
    ) {
        match &mut self.state {
            State::Open { last_byte, brought_events, .. } => {
                *last_byte = now;
                let mut items = self.decoder.feed(bytes);
                while let Some(item) = items.next() {
                    *brought_events |= matches!(item, Ok(Item::Message(_)));
                    sink(item);
                }
            }
            State::Refused {
                trouble: Trouble::Status { body, .. } | Trouble::ContentType { body }, ..
            } => {
                body.extend_from_slice(&bytes[..bytes.len().min(MAX_REFUSAL_BYTES - body.len())]);
                if body.len() == MAX_REFUSAL_BYTES {
                    self.refuse(now);
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

    /// The answer's body has ended.
    pub fn ended(&mut self, now: Duration) {
        match self.state {
            State::Open { .. } => self.interrupt(Trouble::Ended, now),
            State::Refused { .. } => self.refuse(now),
            _ => {}
        }
    }

    /// There is no answer, or its body broke off.
    pub fn failed(&mut self, error: E, now: Duration) {
        match self.state {
            State::Connecting { .. } => self.interrupt(Trouble::Connect(error), now),
            State::Open { .. } => self.interrupt(Trouble::Read(error), now),
            State::Refused { .. } => self.refuse(now),
            _ => {}
        }
    }

    /// The request that was to be made can never be.
    pub fn unsendable(&mut self, error: E) {
        if let State::Connecting { .. } = self.state {
            self.finish(CloseReason::Failed(Trouble::Request(error)));
        }
    }

    /// The page was hidden, or shown.
    pub fn hidden(&mut self, hidden: bool, now: Duration) {
        self.hidden = hidden;
        match self.state {
            State::Idle | State::Closed => {}
            State::Paused if hidden => {}
            State::Paused => self.begin(now),
            _ if hidden && self.behaviour.pauses_hidden => {
                self.settle(now);
                self.outputs.push_back(Output::Disconnect);
                self.pause(None);
            }
            _ => {}
        }
    }

    /// There is no network any more, or there is one again. Without one no attempt is made but the first, and with one
    /// it is made at once.
    pub fn offline(&mut self, offline: bool, now: Duration) {
        self.offline = offline;
        match self.state {
            State::Waiting { .. } if offline => self.pause(None),
            State::Waiting { .. } | State::Paused if !offline => self.begin(now),
            _ => {}
        }
    }

    /// The page will stand still, frozen or kept for the way back. It has no connection meanwhile: browsers do not keep it
    /// well.
    pub fn frozen(&mut self, now: Duration) {
        self.frozen = true;
        match self.state {
            State::Idle | State::Paused | State::Closed => {}
            _ => {
                self.settle(now);
                self.outputs.push_back(Output::Disconnect);
                self.pause(None);
            }
        }
    }

    /// Everything here has stood still until now: what was connected connects again, and what was waited for gets its
    /// time again.
    pub fn thawed(&mut self, now: Duration) {
        self.frozen = false;
        match &mut self.state {
            State::Connecting { deadline } => *deadline = now.saturating_add(self.behaviour.connect_timeout),
            State::Refused { deadline, .. } => *deadline = now.saturating_add(REFUSAL_TIMEOUT),
            State::Open { last_byte, .. } => *last_byte = now,
            State::Paused => self.begin(now),
            State::Idle | State::Waiting { .. } | State::Closed => {}
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Duration) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.state {
            State::Connecting { .. } => self.interrupt(Trouble::ConnectTimeout, now),
            State::Open { .. } => self.interrupt(Trouble::ReadTimeout, now),
            State::Refused { .. } => self.refuse(now),
            State::Waiting { .. } => self.begin(now),
            State::Idle | State::Paused | State::Closed => {}
        }
    }

    fn begin(&mut self, now: Duration) {
        if self.is_still() {
            return self.pause(None);
        }
        self.state = State::Connecting { deadline: now.saturating_add(self.behaviour.connect_timeout) };
        let first = mem::take(&mut self.first);
        self.outputs.push_back(Output::Connect { first });
    }

    /// The page is to have no connection now.
    fn is_still(&self) -> bool {
        self.frozen || (self.hidden && self.behaviour.pauses_hidden)
    }

    fn pause(&mut self, trouble: Option<Trouble<E>>) {
        self.state = State::Paused;
        self.outputs.push_back(Output::Paused { trouble });
    }

    /// The refusal's body is read as far as it counts.
    fn refuse(&mut self, now: Duration) {
        if let State::Refused { trouble, .. } = mem::replace(&mut self.state, State::Idle) {
            self.interrupt(trouble, now);
        }
    }

    /// Counts anew after a good connection.
    fn settle(&mut self, now: Duration) {
        if let State::Open { since, brought_events, .. } = self.state
            && (brought_events || now.saturating_sub(since) >= GOOD_AFTER)
        {
            self.failures = 0;
        }
    }

    /// The attempt or the stream is over: another one follows, or none.
    fn interrupt(&mut self, trouble: Trouble<E>, now: Duration) {
        self.settle(now);
        let retries = self.failures;
        let asked_to_return = self.decoder.reconnection_time().is_some();
        if !self.behaviour.reconnect.retries(&trouble, asked_to_return) {
            return self.finish(match trouble {
                Trouble::Ended => CloseReason::Ended,
                trouble => CloseReason::Failed(trouble),
            });
        }
        if self.behaviour.reconnect.is_exhausted(retries) {
            return self.finish(match trouble {
                Trouble::Ended if retries == 0 => CloseReason::Ended,
                trouble if retries == 0 => CloseReason::Failed(trouble),
                trouble => CloseReason::GaveUp { retries, trouble },
            });
        }
        self.outputs.push_back(Output::Disconnect);
        let retry_after = trouble.retry_after();
        self.wait(Some(trouble), retry_after, now);
    }

    fn wait(&mut self, trouble: Option<Trouble<E>>, retry_after: Option<Duration>, now: Duration) {
        if self.offline || self.is_still() {
            return self.pause(trouble);
        }
        let reconnection_time = self.decoder.reconnection_time();
        let delay = self.behaviour.reconnect.next_delay(
            self.failures,
            reconnection_time,
            retry_after,
            &mut self.random,
        );
        self.failures += 1;
        let until = now.saturating_add(delay);
        self.state = State::Waiting { until };
        self.outputs.push_back(Output::Waiting { until, trouble });
    }

    fn finish(&mut self, reason: CloseReason<E>) {
        self.state = State::Closed;
        self.outputs.push_back(Output::Disconnect);
        self.outputs.push_back(Output::Closed(reason));
    }
}
