//! Token bucket: a rate limit of new subscribers.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Token bucket: this number per second in the long run, and the same number at once.
#[derive(Debug)]
pub(super) struct TokenBucket {
    per_second: u32,
    /// Available tokens, and the time at which that was computed.
    left: Mutex<(f64, Instant)>,
}

impl TokenBucket {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second, left: Mutex::new((f64::from(per_second), now)) }
    }

    pub(super) fn per_second(&self) -> u32 {
        self.per_second
    }

    /// Takes a token; false if none is available.
    pub(super) fn take(&self, now: Instant) -> bool {
        let most = f64::from(self.per_second);
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now.saturating_duration_since(left.1).as_secs_f64();
        *left = ((left.0 + since * most).min(most), now.max(left.1));
        if left.0 < 1.0 {
            return false;
        }
        left.0 -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::TokenBucket;

    #[test]
    fn so_many_come_at_once_and_then_as_time_passes() {
        let start = Instant::now();
        let rate = TokenBucket::new(10, start);
        let come = |after: u64| {
            let now = start + Duration::from_millis(after);
            (0..100).take_while(|_| rate.take(now)).count()
        };
        assert_eq!([0, 0, 150, 200, 10_000, 5_000].map(come), [10, 0, 1, 1, 10, 0]);
    }
}
