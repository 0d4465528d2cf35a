//! Detection of a machine that has slept, from its two clocks.

use std::fmt::Debug;
use std::time::{Duration, Instant, SystemTime};

use ssekit_session::Session;
use url::Url;

/// Detects that the machine has slept. The server may have ended the connection meanwhile, without a sign to
/// this client.
///
/// On Linux and macOS the monotonic clock stands still while the machine sleeps, so that no timeout notices;
/// the wall clock goes on.
#[derive(Debug)]
pub(crate) struct HostMonitor {
    /// The clocks at the last check, or at the last byte since: that byte came over a connection that is
    /// alive.
    seen: Clocks,
    /// The time for which the machine slept, as the last check found.
    slept: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Clocks {
    wall: SystemTime,
    monotonic: Instant,
}

impl HostMonitor {
    /// Watches the clocks. The request and its driver are for the twin in a browser.
    pub(crate) fn watch(_: Option<&Url>, _: impl Fn() + Clone + 'static) -> Self {
        Self::new(Clocks::now())
    }

    fn new(seen: Clocks) -> Self {
        Self { seen, slept: None }
    }

    /// When the next check is due.
    pub(crate) fn next_check(&self) -> Option<Instant> {
        Some(self.seen.monotonic + CHECK_INTERVAL)
    }

    /// Compares the clocks; [`report`](Self::report) follows.
    pub(crate) fn check(&mut self) {
        self.check_clocks(Clocks::now());
    }

    fn check_clocks(&mut self, clocks: Clocks) {
        let slept = clocks.slept_since(self.seen);
        if slept > SLEEP_THRESHOLD {
            self.slept = Some(slept);
        }
        self.seen = clocks;
    }

    /// Bytes came: the machine may have slept before, and the connection is alive all the same.
    pub(crate) fn on_bytes(&mut self) {
        self.seen = Clocks::now();
    }

    /// Reports to the session that the machine has slept.
    pub(crate) fn report<E: Clone + Debug>(&mut self, session: &mut Session<E>, now: Duration) {
        if let Some(slept) = self.slept.take() {
            session.woken(slept, now);
        }
    }
}

impl Clocks {
    fn now() -> Self {
        Self { wall: SystemTime::now(), monotonic: super::now() }
    }

    /// How far the wall clock has gone ahead of the monotonic clock.
    fn slept_since(self, before: Self) -> Duration {
        let passed = self.wall.duration_since(before.wall).unwrap_or_default();
        passed.saturating_sub(self.monotonic.saturating_duration_since(before.monotonic))
    }
}

/// Between two checks.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// A wall clock that is set goes ahead by less, as a rule. If it does not, the stream is opened again after
/// its last event, without need.
const SLEEP_THRESHOLD: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use ssekit_session::{Answer, Config, Output};

    use super::*;

    /// A stream that is open, on a machine with these clocks.
    struct Machine {
        session: Session<&'static str>,
        monitor: HostMonitor,
        clocks: Clocks,
        start: Instant,
    }

    impl Machine {
        fn with_open_stream() -> Self {
            let clocks = Clocks::now();
            let mut session = Session::new(Config::default(), 0);
            session.start(Duration::ZERO);
            let answer = Answer { status: 200, content_type: Some("text/event-stream"), ..Answer::default() };
            session.answered(&answer, Duration::ZERO);
            session.bytes(b"id: 7\ndata: x\n\n", Duration::ZERO, |_| {});
            while session.next_output().is_some() {}
            Self { session, monitor: HostMonitor::new(clocks), clocks, start: clocks.monotonic }
        }

        /// So many seconds pass on the wall clock, and so many on the monotonic clock.
        fn pass(&mut self, wall: i64, monotonic: u64) {
            let change = Duration::from_secs(wall.unsigned_abs());
            self.clocks.wall = if wall < 0 { self.clocks.wall - change } else { self.clocks.wall + change };
            self.clocks.monotonic += Duration::from_secs(monotonic);
        }

        /// Checks the clocks, and returns true if the stream is opened again.
        fn check_reopens(&mut self) -> bool {
            self.monitor.check_clocks(self.clocks);
            let now = self.clocks.monotonic - self.start;
            self.monitor.report(&mut self.session, now);
            let outputs: Vec<_> = std::iter::from_fn(|| self.session.next_output()).collect();
            let reopens = outputs.iter().any(|output| matches!(output, Output::Connect { .. }));
            assert_eq!(outputs.contains(&Output::Disconnect), reopens, "{outputs:?}");
            reopens
        }
    }

    /// It stayed "open" for ever on a machine that woke with a dead connection.
    #[test]
    fn a_stream_is_opened_again_after_its_last_event_when_the_wall_clock_jumped_ahead() {
        for (wall, monotonic, reopens) in [
            (30, 30, false),
            (3_600, 3_600, false),
            (90, 30, false),
            (91, 30, true),
            (3_600, 30, true),
            (3_600, 0, true),
            (400 * 24 * 3_600, 1, true),
            // A clock that is set back, or slowly.
            (0, 30, false),
            (-3_600, 30, false),
            (32, 30, false),
        ] {
            let mut machine = Machine::with_open_stream();
            machine.pass(wall, monotonic);
            assert_eq!(machine.check_reopens(), reopens, "{wall} {monotonic}");
            assert_eq!(machine.session.last_event_id(), "7");
            // Once for each sleep.
            machine.pass(30, 30);
            assert!(!machine.check_reopens(), "{wall} {monotonic}");
        }
    }

    #[test]
    fn a_stream_in_which_bytes_came_after_the_sleep_stays_open() {
        let mut machine = Machine::with_open_stream();
        machine.pass(3_600, 10);
        machine.monitor.seen = machine.clocks;
        machine.pass(20, 20);
        assert!(!machine.check_reopens());
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_is_due_twice_a_minute_after_the_last_byte() {
        let mut monitor = HostMonitor::new(Clocks::now());
        for _ in 0..3 {
            let due = monitor.next_check().expect("always");
            assert_eq!(due - super::super::now(), CHECK_INTERVAL);
            super::super::sleep_until(due).await;
            monitor.check();
        }
        tokio::time::advance(CHECK_INTERVAL / 2).await;
        monitor.on_bytes();
        assert_eq!(monitor.next_check().expect("always") - super::super::now(), CHECK_INTERVAL);
    }
}
