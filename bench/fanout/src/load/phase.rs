use std::fmt;
use std::str::FromStr;

use anyhow::Context;

/// Events to publish, and how.
#[derive(Clone, Copy, Debug)]
pub struct Phase {
    pub events: usize,
    pub pace: Pace,
}

#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// As fast as the server answers.
    Unwaiting,
    /// So many a second.
    Rate(f64),
    /// As fast as the server answers, but not more than so many ahead of the slowest subscriber that reads.
    Window(usize),
}

impl FromStr for Phase {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (events, pace) = if let Some((events, rate)) = text.split_once('@') {
            (events, Pace::Rate(rate.parse().context("the rate")?))
        } else if let Some((events, window)) = text.split_once('/') {
            (events, Pace::Window(window.parse().context("the window")?))
        } else {
            (text, Pace::Unwaiting)
        };
        Ok(Self { events: events.parse().context("the number of events")?, pace })
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pace {
            Pace::Unwaiting => write!(f, "{}", self.events),
            Pace::Rate(rate) => write!(f, "{}@{rate}", self.events),
            Pace::Window(window) => write!(f, "{}/{window}", self.events),
        }
    }
}
