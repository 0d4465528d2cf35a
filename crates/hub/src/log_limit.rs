//! Rate limits for log lines whose cause a peer controls.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Decides which occurrences of an event are logged, because peers control the rate of occurrences.
///
/// ```ignore
/// if let Some(count) = self.log_limit.due("the line's name", LogLimit::OFTEN, Instant::now()) {
///     tracing::error!(count, %error, "…");
/// }
/// ```
#[derive(Debug, Default)]
pub(crate) struct LogLimit(Mutex<HashMap<&'static str, Line>>);

#[derive(Debug)]
struct Line {
    logged: Instant,
    /// Occurrences since that line.
    count: u64,
}

impl LogLimit {
    /// Pause between lines about a mistake of a peer.
    pub(crate) const SELDOM: Duration = Duration::from_secs(10);
    /// Pause between lines about a fault that an operator should fix.
    pub(crate) const OFTEN: Duration = Duration::from_secs(1);

    /// Counts an occurrence.
    ///
    /// If a line is due, returns the number of occurrences since the last line, including this one.
    pub(crate) fn due(&self, line: &'static str, pause: Duration, now: Instant) -> Option<u64> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(line) = lines.get_mut(line) else {
            lines.insert(line, Line { logged: now, count: 0 });
            return Some(1);
        };
        line.count += 1;
        (now.saturating_duration_since(line.logged) >= pause).then(|| {
            line.logged = now;
            std::mem::take(&mut line.count)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_at_once_and_then_once_in_a_pause_with_the_number_of_occurrences() {
        let (limit, start) = (LogLimit::default(), Instant::now());
        let due = |line, millis| limit.due(line, LogLimit::OFTEN, start + Duration::from_millis(millis));
        let times = [0, 1, 2, 999, 1000, 1001, 5000, 5999, 6000];
        assert_eq!(
            times.map(|millis| due("a", millis)),
            [Some(1), None, None, None, Some(4), None, Some(2), None, Some(2)]
        );
        assert_eq!(due("b", 6000), Some(1), "each line has a limit of its own");
    }
}
