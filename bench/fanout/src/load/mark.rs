use std::time::{Duration, Instant};

/// The monotonic clock, from when the load started.
#[derive(Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn now(self) -> Duration {
        self.0.elapsed()
    }
}

/// An event's data: `@`, its number, its time in nanoseconds, and filling.
pub fn data(number: usize, published: Duration) -> String {
    let data = format!("@{number:010}{:016}", published.as_nanos());
    format!("{data:x<SIZE$}")
}

/// The number and the time of a mark; `mark` has `MARK` bytes.
pub fn read(mark: &[u8]) -> Option<(usize, Duration)> {
    let digits = |digits: &[u8]| {
        digits.iter().try_fold(0_u64, |value, digit| {
            digit.is_ascii_digit().then(|| value * 10 + u64::from(digit - b'0'))
        })
    };
    Some((digits(&mark[1..11])? as usize, Duration::from_nanos(digits(&mark[11..MARK])?)))
}

/// The size of an event's data.
pub const SIZE: usize = 100;

/// The size of the part of it that says something.
pub const MARK: usize = 27;
