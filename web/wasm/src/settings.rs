//! The conversion of numbers to a configuration.

use core::time::Duration;

use ssekit_session::{AfterEnd, Config, Reconnect};

/// The options of a connection as numbers: times in milliseconds; unset if negative or no number.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// 0 resilient, 1 standard, 2 never.
    pub preset: u32,
    /// Of the policy: its `delay`.
    pub delay: f64,
    /// Its `min_delay`.
    pub min_delay: f64,
    /// Its `max_delay`.
    pub max_delay: f64,
    /// Its `max_server_delay`.
    pub max_server_delay: f64,
    /// Its `max_retries`.
    pub max_retries: f64,
    /// 0 for none.
    pub jitter: f64,
    /// 0 always, 1 when the server has asked for it, 2 never, 3 or not set: by the method.
    pub after_end: f64,
    /// How long an attempt may take.
    pub connect_timeout: f64,
    /// How long a stream may be silent.
    pub read_timeout: f64,
    /// How large an event may be.
    pub max_event_bytes: f64,
    /// Not 0: a hidden page has no connection.
    pub pauses_hidden: u32,
    /// Not 0: requests of every method are repeated like safe ones.
    pub repeats_like_safe: u32,
    /// Not 0: an event whose blank line is missing at the end of the stream is given.
    pub accepts_incomplete_event: u32,
}

impl Settings {
    /// The configuration of the session.
    pub fn config(&self) -> Config {
        let unset = Config::default();
        Config {
            reconnect: self.reconnect(),
            connect_timeout: duration(self.connect_timeout).unwrap_or(unset.connect_timeout),
            read_timeout: duration(self.read_timeout),
            max_event_bytes: number(self.max_event_bytes)
                .map_or(unset.max_event_bytes, |bytes| (bytes as usize).min(MAX_EVENT_BYTES)),
            comments: false,
            pauses_hidden: self.pauses_hidden != 0,
            accepts_incomplete_event: self.accepts_incomplete_event != 0,
            ..unset
        }
    }

    fn reconnect(&self) -> Reconnect {
        let mut policy = match self.preset {
            0 => Reconnect::resilient(),
            1 => Reconnect::standard(),
            _ => Reconnect::never(),
        };
        // In this order: each keeps within the one before it.
        if let Some(delay) = duration(self.delay) {
            policy = policy.delay(delay);
        }
        if let Some(delay) = duration(self.max_delay) {
            policy = policy.max_delay(delay);
        }
        if let Some(delay) = duration(self.min_delay) {
            policy = policy.min_delay(delay);
        }
        if let Some(delay) = duration(self.max_server_delay) {
            policy = policy.max_server_delay(delay);
        }
        if let Some(retries) = number(self.max_retries) {
            policy = policy.max_retries(retries as u32);
        }
        if self.jitter == 0.0 {
            policy = policy.without_jitter();
        }
        if self.repeats_like_safe != 0 {
            policy = policy.repeat_like_safe();
        }
        match number(self.after_end) {
            Some(0.0) => policy.after_end(AfterEnd::Always),
            Some(1.0) => policy.after_end(AfterEnd::Asked),
            Some(3.0) => policy.after_end(AfterEnd::ByMethod),
            Some(_) => policy.after_end(AfterEnd::Never),
            None => policy,
        }
    }
}

/// The whole memory of a module is 4 GiB: an event crosses as text and as data.
const MAX_EVENT_BYTES: usize = 512 << 20;

/// A moment or a time, at most a hundred years.
#[inline(never)]
pub(crate) fn duration(millis: f64) -> Option<Duration> {
    const LONGEST: f64 = 100.0 * 365.0 * 24.0 * 60.0 * 60.0 * 1000.0;
    number(millis).map(|millis| Duration::from_micros((millis.min(LONGEST) * 1000.0) as u64))
}

fn number(number: f64) -> Option<f64> {
    (number >= 0.0).then_some(number)
}

#[cfg(test)]
impl Settings {
    /// Nothing is set.
    pub(crate) const UNSET: Self = Self {
        preset: 0,
        delay: -1.0,
        min_delay: -1.0,
        max_delay: -1.0,
        max_server_delay: -1.0,
        max_retries: -1.0,
        jitter: -1.0,
        after_end: -1.0,
        connect_timeout: -1.0,
        read_timeout: -1.0,
        max_event_bytes: -1.0,
        pauses_hidden: 0,
        repeats_like_safe: 0,
        accepts_incomplete_event: 0,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unset_options_have_the_defaults_of_the_session() {
        assert_eq!(Settings::UNSET.config(), Config::default());
        assert_eq!(Settings { delay: f64::NAN, ..Settings::UNSET }.config(), Config::default());
    }

    #[test]
    fn every_option_is_set() {
        let settings = Settings {
            preset: 1,
            delay: 10.0,
            min_delay: 5.0,
            max_delay: 100.0,
            max_server_delay: 1e9,
            max_retries: 3.0,
            jitter: 0.0,
            after_end: 1.0,
            connect_timeout: 0.5,
            read_timeout: f64::INFINITY,
            max_event_bytes: 1000.0,
            pauses_hidden: 1,
            repeats_like_safe: 1,
            accepts_incomplete_event: 1,
        };
        let config = settings.config();
        let millis = Duration::from_millis;
        let policy = Reconnect::standard()
            .delay(millis(10))
            .max_delay(millis(100))
            .min_delay(millis(5))
            .max_server_delay(millis(1_000_000_000))
            .max_retries(3)
            .without_jitter()
            .repeat_like_safe()
            .after_end(AfterEnd::Asked);
        assert_eq!(config.reconnect, policy);
        assert_eq!(config.connect_timeout, Duration::from_micros(500));
        assert!(config.read_timeout > Some(millis(1_000_000_000_000)));
        assert_eq!(config.max_event_bytes, 1000);
        assert!(config.pauses_hidden && config.accepts_incomplete_event);
    }
}
