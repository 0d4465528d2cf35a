//! Events of the page, or the machine, around a connection.

use core::fmt::Debug;
use core::time::Duration;

use super::{REFUSAL_TIMEOUT, Session, State};
use crate::{CloseReason, Failure, Output};

/// A pause ends with an event of the page, which may get lost: so the page is checked after this time, too.
const PAUSE_CHECK: Duration = Duration::from_secs(60);

/// A stream in which no byte came for this long may have died while the machine slept.
const SUSPECT_AFTER: Duration = Duration::from_secs(60);

impl<E: Clone + Debug> Session<E> {
    /// The page was hidden, or shown.
    pub fn hidden(&mut self, hidden: bool, now: Duration) {
        self.hidden = hidden;
        match self.state {
            State::Idle | State::Closed => {}
            State::Paused { .. } if hidden => {}
            State::Paused { .. } => self.begin(now),
            State::Refused { .. } if hidden && self.config.pauses_hidden => self.finish_refusal(now),
            _ if hidden && self.config.pauses_hidden => {
                self.reset_failures(now);
                self.outputs.push_back(Output::Disconnect);
                self.pause(None, now);
            }
            _ => {}
        }
    }

    /// The device reports that it has no network any more, or one again. Such reports may be wrong, so they
    /// only lengthen delays, to the policy's longest, and with a network the next attempt is made at once.
    pub fn offline(&mut self, offline: bool, now: Duration) {
        self.offline = offline;
        let State::Waiting { until } = &mut self.state else { return };
        if !offline {
            return self.begin(now);
        }
        let longer = now.saturating_add(self.config.reconnect.offline_delay());
        if longer > *until {
            *until = longer;
            self.outputs.push_back(Output::Waiting { until: longer, failure: None });
        }
    }

    /// The page will stand still, frozen or kept for the way back. It has no connection meanwhile: browsers
    /// do not keep it well.
    pub fn frozen(&mut self, now: Duration) {
        self.frozen = true;
        match self.state {
            State::Idle | State::Paused { .. } | State::Closed => {}
            State::Refused { .. } => self.finish_refusal(now),
            _ if !self.repeats(self.progress()) => self.finish(CloseReason::NotRepeated(Failure::Frozen)),
            _ => {
                self.reset_failures(now);
                self.outputs.push_back(Output::Disconnect);
                self.pause(None, now);
            }
        }
    }

    /// Everything here has stood still until now: a dropped connection connects again, and timeouts begin
    /// again.
    pub fn thawed(&mut self, now: Duration) {
        self.frozen = false;
        match &mut self.state {
            State::Connecting { deadline } => *deadline = now.saturating_add(self.config.connect_timeout),
            State::Refused { deadline, .. } => *deadline = now.saturating_add(REFUSAL_TIMEOUT),
            State::Open { last_byte, .. } => *last_byte = now,
            State::Paused { .. } => self.begin(now),
            State::Idle | State::Waiting { .. } | State::Closed => {}
        }
    }

    /// The page has become visible, or the machine may have slept; `slept` is the part of that time that
    /// `now` does not count.
    ///
    /// A stream in which no byte came for a minute is opened again, if its request may be repeated: its
    /// connection may be dead. A delay that has passed in the meantime is over.
    pub fn woken(&mut self, slept: Duration, now: Duration) {
        let asleep_until = now.saturating_add(slept);
        match self.state {
            State::Open { last_byte, .. }
                if asleep_until.saturating_sub(last_byte) >= SUSPECT_AFTER
                    && self.repeats(self.progress()) =>
            {
                self.restart(now);
            }
            State::Waiting { until } if until <= asleep_until => self.begin(now),
            _ => {}
        }
    }

    /// Ends a pause whose end was not reported.
    pub(super) fn check_pause(&mut self, now: Duration) {
        // The timers of a frozen page do not run.
        self.frozen = false;
        if self.is_suspended() {
            self.state = State::Paused { check_at: now.saturating_add(PAUSE_CHECK) };
        } else {
            self.begin(now);
        }
    }

    /// Whether the page must have no connection now.
    pub(super) fn is_suspended(&self) -> bool {
        self.frozen || (self.hidden && self.config.pauses_hidden)
    }

    pub(super) fn pause(&mut self, failure: Option<Failure<E>>, now: Duration) {
        self.state = State::Paused { check_at: now.saturating_add(PAUSE_CHECK) };
        self.outputs.push_back(Output::Paused { failure });
    }
}
