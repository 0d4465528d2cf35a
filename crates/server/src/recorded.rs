//! The numbers that were recorded last, so that a record adds the change since then.

use std::sync::{Mutex, PoisonError};

use metrics::{Label, counter, describe_counter, describe_gauge, gauge};

/// The recorded numbers of one channel, and their labels.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    last: Mutex<Vec<(Number, Vec<Label>)>>,
}

impl Recorded {
    pub(crate) fn record(
        &self,
        (label, name): (&'static str, Option<&str>),
        numbers: impl IntoIterator<Item = Number>,
    ) {
        let mut changes = Vec::new();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        for number in numbers {
            match last.iter_mut().find(|(known, _)| known.is_same(&number)) {
                Some((known, labels)) => {
                    let before = std::mem::replace(&mut known.value, number.value);
                    changes.push((Some(before), number, labels.clone()));
                }
                None => {
                    let mut labels = vec![Label::new(label, name.unwrap_or_default().to_owned())];
                    labels.extend(number.reason.map(|reason| Label::new("reason", reason)));
                    last.push((number, labels.clone()));
                    changes.push((None, number, labels));
                }
            }
        }
        // The recorder is foreign code.
        drop(last);
        for (before, number, labels) in changes {
            if before.is_none() {
                number.describe();
            }
            number.change(before.unwrap_or_default(), labels);
        }
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        let last = std::mem::take(self.last.get_mut().unwrap_or_else(PoisonError::into_inner));
        for (number, labels) in last.into_iter().filter(|(number, _)| number.kind == Kind::Gauge) {
            Number { value: 0, ..number }.change(number.value, labels);
        }
    }
}

/// One number of a channel, of clients or of streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    reason: Option<&'static str>,
    value: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Gauge,
    Counter,
}

pub(crate) fn gauge_of(name: &'static str, help: &'static str, value: u64) -> Number {
    Number { name, help, kind: Kind::Gauge, reason: None, value }
}

pub(crate) fn counter_of(name: &'static str, help: &'static str, value: u64) -> Number {
    Number { kind: Kind::Counter, ..gauge_of(name, help, value) }
}

impl Number {
    pub(crate) fn with_reason(self, reason: &'static str) -> Self {
        Self { reason: Some(reason), ..self }
    }

    fn is_same(&self, other: &Self) -> bool {
        (self.name, self.reason) == (other.name, other.reason)
    }

    fn describe(self) {
        match self.kind {
            Kind::Gauge => describe_gauge!(self.name, self.help),
            Kind::Counter => describe_counter!(self.name, self.help),
        }
    }

    fn change(self, before: u64, labels: Vec<Label>) {
        match self.kind {
            Kind::Gauge => gauge!(self.name, labels).increment(self.value as f64 - before as f64),
            Kind::Counter => counter!(self.name, labels).increment(self.value.saturating_sub(before)),
        }
    }
}
