use core::time::Duration;

use fastrand::Rng;

use crate::{AfterEnd, RepeatChoice};

/// Whether and when a connection is made again after it failed or ended.
///
/// | preset | retried | delay |
/// |---|---|---|
/// | [`resilient`](Self::resilient), the default | no connection, broken and ended streams, 408, 425, 429, 5xx | grows from 1 s to 30 s, random |
/// | [`standard`](Self::standard) | no connection, broken and ended streams | 3 s, always the same |
/// | [`never`](Self::never) | nothing | |
///
/// A request is repeated only where the [table of all clients](crate::repeat) allows it: a POST that was
/// answered, or that may have had an effect and cannot resume after an event, is sent once.
///
/// The requests of the server take precedence over this policy: a `retry:` field replaces the first delay and
/// is never undercut, and a `Retry-After` header is waited for; both up to
/// [`max_server_delay`](Self::max_server_delay). A small random part comes on top, so that clients do not all
/// return at once.
///
/// A connection that brought an event, or stood for five seconds, is a good one: after it, delays and retries
/// are counted anew.
///
/// ```
/// use core::time::Duration;
/// use ssekit_session::Reconnect;
///
/// let policy = Reconnect::resilient().delay(Duration::from_millis(500)).max_retries(10);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reconnect {
    delay: Duration,
    min_delay: Duration,
    max_delay: Duration,
    max_server_delay: Duration,
    max_retries: Option<u32>,
    grows: bool,
    jitter: bool,
    choice: RepeatChoice,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self::resilient()
    }
}

impl Reconnect {
    /// Comes back from everything that may pass: exponential delays with full jitter, without an end.
    pub fn resilient() -> Self {
        Self {
            delay: Duration::from_secs(1),
            min_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(30),
            max_server_delay: Duration::from_secs(60 * 60),
            max_retries: None,
            grows: true,
            jitter: true,
            choice: RepeatChoice::default(),
        }
    }

    /// Reconnects like a browser's `EventSource` (HTML standard 9.2.3): any answer but an event stream is
    /// final, and every delay is the reconnection time, 3 s until the server sets another.
    pub fn standard() -> Self {
        Self {
            delay: Duration::from_secs(3),
            max_delay: Duration::from_secs(3),
            grows: false,
            jitter: false,
            choice: RepeatChoice { after_refusal: false, ..RepeatChoice::default() },
            ..Self::resilient()
        }
    }

    /// Makes one attempt: whatever ends it closes the connection.
    pub fn never() -> Self {
        Self::resilient().max_retries(0)
    }

    /// The delay before the first retry, which later ones grow from. By default 1 s, for
    /// [`standard`](Self::standard) 3 s.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self.max_delay = self.max_delay.max(delay);
        self
    }

    /// No delay is shorter than this, whatever the server says. 100 ms by default.
    #[must_use]
    pub fn min_delay(mut self, min_delay: Duration) -> Self {
        self.min_delay = min_delay;
        self
    }

    /// No delay grows longer than this. 30 s by default.
    #[must_use]
    pub fn max_delay(mut self, max_delay: Duration) -> Self {
        self.max_delay = max_delay;
        self.delay = self.delay.min(max_delay);
        self
    }

    /// A server that asks for a longer delay than this is asked again after this. One hour by default.
    #[must_use]
    pub fn max_server_delay(mut self, max_server_delay: Duration) -> Self {
        self.max_server_delay = max_server_delay;
        self
    }

    /// Gives up when this many retries in a row have failed. Without an end by default.
    #[must_use]
    pub fn max_retries(mut self, max_retries: u32) -> Self {
        self.max_retries = Some(max_retries);
        self
    }

    /// Makes every delay exact, without a random part. Only for a client that is alone: many clients that
    /// were cut off together would return together.
    #[must_use]
    pub fn without_jitter(mut self) -> Self {
        self.jitter = false;
        self
    }

    /// Whether to ask again after the server has ended the stream. By default that depends on the method: see
    /// [`AfterEnd::ByMethod`].
    #[must_use]
    pub fn after_end(mut self, after_end: AfterEnd) -> Self {
        self.choice.after_end = after_end;
        self
    }

    /// Repeats requests of every method like safe ones. For a POST that only asks for a stream, or whose
    /// repetition does no harm. Not so by default.
    #[must_use]
    pub fn repeat_like_safe(mut self) -> Self {
        self.choice.like_safe = true;
        self
    }

    /// The part of the policy that decides whether a request may be repeated.
    pub fn choice(&self) -> RepeatChoice {
        self.choice
    }

    /// The delay of a client whose device reports that it is offline. The report may be wrong, so the client
    /// keeps trying, but at its slowest pace.
    pub(crate) fn offline_delay(&self) -> Duration {
        self.max_delay.max(self.min_delay)
    }

    /// Whether this many retries are all that is allowed.
    pub(crate) fn is_exhausted(&self, retries: u32) -> bool {
        self.max_retries.is_some_and(|most| retries >= most)
    }

    /// The delay before the retry that follows `failures` others; `reconnection_time` is the stream's
    /// `retry:`.
    pub(crate) fn next_delay(
        &self,
        failures: u32,
        reconnection_time: Option<Duration>,
        retry_after: Option<Duration>,
        random: &mut Rng,
    ) -> Duration {
        let asked = |delay: Duration| delay.min(self.max_server_delay).max(self.min_delay);
        let reconnection_time = reconnection_time.map(asked);
        let first = reconnection_time.unwrap_or(self.delay);
        let most =
            if self.grows { first.saturating_mul(1 << failures.min(20)).min(self.max_delay) } else { first };

        // A delay of the server is never undercut; a delay of this policy may be, by any part of it.
        let least = match (reconnection_time, retry_after.map(asked)) {
            (None, None) if self.jitter => self.min_delay,
            (None, None) => most,
            (asked_in_stream, asked_in_head) => asked_in_stream.max(asked_in_head).unwrap_or_default(),
        };
        if !self.jitter {
            return least.max(most).max(self.min_delay);
        }
        // A tenth on top of the server's delay spreads clients with equal delays.
        let most = most.max(if reconnection_time.is_some() || retry_after.is_some() {
            least + least / 10
        } else {
            least
        });
        least + most.saturating_sub(least).mul_f64(random.f64())
    }
}
