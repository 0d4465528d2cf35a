//! The end of an attempt or a stream, and the next step.

use core::fmt::Debug;
use core::mem;
use core::time::Duration;

use super::{Session, State};
use crate::repeat::{repeat, resumes};
use crate::{CloseReason, Failure, NotRepeated, Output, Progress};

/// After a good connection retries and delays are counted anew; see [`Reconnect`](crate::Reconnect).
const GOOD_AFTER: Duration = Duration::from_secs(5);

impl<E: Clone + Debug> Session<E> {
    /// Ends a refusal whose body has been read as far as it is kept.
    pub(super) fn finish_refusal(&mut self, now: Duration) {
        if let State::Refused { failure, .. } = mem::replace(&mut self.state, State::Idle) {
            self.interrupt(failure, now);
        }
    }

    /// Sets the number of failures to zero after a good connection.
    pub(super) fn reset_failures(&mut self, now: Duration) {
        if let State::Open { since, received_events, .. } = self.state
            && (received_events || now.saturating_sub(since) >= GOOD_AFTER)
        {
            self.failures = 0;
        }
    }

    /// How far the request has come, if it is given up now, whatever the server may still send.
    pub(super) fn progress(&self) -> Progress {
        let resumes = resumes(self.decoder.last_event_id());
        match &self.state {
            State::Connecting { .. } if self.is_sent => Progress::NoHead { resumes },
            State::Open { .. } => Progress::Broken { resumes },
            State::Refused { .. } => Progress::NoHead { resumes },
            State::Connecting { .. }
            | State::Idle
            | State::Waiting { .. }
            | State::Paused { .. }
            | State::Closed => Progress::NothingSent,
        }
    }

    fn refusal(failure: &Failure<E>, resumes: bool) -> Progress {
        let status = if let Failure::Status { status, .. } = failure { *status } else { 200 };
        Progress::Refused { status, resumes }
    }

    pub(super) fn repeats(&self, progress: Progress) -> bool {
        repeat(self.config.method, progress, self.config.reconnect.choice()).is_ok()
    }

    /// The attempt or the stream is over: another one follows, or none.
    pub(super) fn interrupt(&mut self, failure: Failure<E>, now: Duration) {
        self.reset_failures(now);
        let retries = self.failures;
        let is_exhausted = self.config.reconnect.is_exhausted(retries);
        let progress = match &failure {
            Failure::Ended => Progress::Ended { asked_to_return: self.decoder.reconnection_time().is_some() },
            Failure::Status { .. } | Failure::ContentType { .. } | Failure::ContentEncoding => {
                Self::refusal(&failure, resumes(self.decoder.last_event_id()))
            }
            _ => self.progress(),
        };
        match repeat(self.config.method, progress, self.config.reconnect.choice()) {
            Ok(()) => {}
            Err(NotRepeated::Answered) => return self.finish(CloseReason::Ended),
            Err(NotRepeated::Refused) => return self.finish(CloseReason::Failed(failure)),
            Err(NotRepeated::MayHaveHadEffect) if is_exhausted => {}
            Err(NotRepeated::MayHaveHadEffect) => return self.finish(CloseReason::NotRepeated(failure)),
        }
        if is_exhausted {
            return self.finish(match failure {
                Failure::Ended if retries == 0 => CloseReason::Ended,
                failure if retries == 0 => CloseReason::Failed(failure),
                failure => CloseReason::GaveUp { retries, failure },
            });
        }
        self.outputs.push_back(Output::Disconnect);
        let retry_after = failure.retry_after();
        self.wait(Some(failure), retry_after, now);
    }

    pub(super) fn wait(&mut self, failure: Option<Failure<E>>, retry_after: Option<Duration>, now: Duration) {
        if self.is_suspended() {
            return self.pause(failure, now);
        }
        let reconnection_time = self.decoder.reconnection_time();
        let policy = &self.config.reconnect;
        let mut delay = policy.next_delay(self.failures, reconnection_time, retry_after, &mut self.random);
        if self.offline {
            delay = delay.max(policy.offline_delay());
        }
        self.failures += 1;
        let until = now.saturating_add(delay);
        self.state = State::Waiting { until };
        self.outputs.push_back(Output::Waiting { until, failure });
    }

    pub(super) fn finish(&mut self, reason: CloseReason<E>) {
        self.state = State::Closed;
        self.outputs.push_back(Output::Disconnect);
        self.outputs.push_back(Output::Closed(reason));
    }
}
