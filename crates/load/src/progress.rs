//! Progress line on the terminal.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// Progress line; nothing is drawn if standard error is not a terminal.
#[derive(Debug)]
pub(super) struct Progress {
    drawn: Option<Instant>,
    enabled: bool,
    began: Instant,
}

impl Progress {
    pub(super) fn start(quiet: bool) -> Self {
        Self { drawn: None, enabled: !quiet && stderr().is_terminal(), began: Instant::now() }
    }

    /// Begins the progress of another phase.
    pub(super) fn restart(&mut self) {
        self.began = Instant::now();
    }

    /// Shows the number of finished items of all.
    pub(super) fn show(&mut self, label: &str, done: u64, of: u64) {
        self.draw(|passed| counted(label, done, of, passed));
    }

    /// Shows the time that has passed of all.
    pub(super) fn show_time(&mut self, label: &str, of: Duration) {
        self.draw(|passed| {
            let share = passed.as_secs_f64() / of.as_secs_f64();
            format!("{label} {}  {:.1} of {:.1} s", bar(share), passed.as_secs_f64(), of.as_secs_f64())
        });
    }

    /// Draws the line, at most ten times per second.
    fn draw(&mut self, line: impl FnOnce(Duration) -> String) {
        let now = Instant::now();
        if self.enabled && self.drawn.is_none_or(|drawn| now - drawn >= EVERY) {
            self.drawn = Some(now);
            // If standard error is closed, nobody reads the line.
            let _ = write!(stderr(), "\r\x1b[K{}", line(now - self.began));
            let _ = stderr().flush();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

fn counted(label: &str, done: u64, of: u64, passed: Duration) -> String {
    let bar = bar(if of == 0 { 1.0 } else { done as f64 / of as f64 });
    let rate = done as f64 / passed.as_secs_f64().max(1e-3);
    format!("{label} {bar}  {} of {}, {}/s", number(done), number(of), number(rate as u64))
}

fn bar(share: f64) -> String {
    let share = share.clamp(0.0, 1.0);
    let full = (share * WIDTH as f64) as usize;
    format!("{}{} {:3.0} %", "█".repeat(full), "░".repeat(WIDTH - full), share * 100.0)
}

/// Formats a number with thousands separators: 1,234,567.
pub(super) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

const EVERY: Duration = Duration::from_millis(100);

/// Width of the bar in columns.
const WIDTH: usize = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_the_share_the_count_and_the_rate() {
        let half = counted("connecting", 1500, 3000, Duration::from_secs(3));
        assert!(half.contains(" 50 %  1,500 of 3,000, 500/s"), "{half}");
        assert_eq!((half.matches('█').count(), half.matches('░').count()), (15, 15), "{half}");
        assert!(counted("nothing", 0, 0, Duration::ZERO).contains("100 %"));
    }

    #[test]
    fn thousands_have_separators() {
        for (value, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(number(value), text);
        }
    }
}
