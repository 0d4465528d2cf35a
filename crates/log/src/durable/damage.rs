//! Damaged ranges that reads have found. Their number is limited.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tracing::error;

use crate::{Position, ReadError};

/// Ranges of positions whose records cannot be read: the end of each range, and the store's error.
#[derive(Debug, Default)]
pub(super) struct Damage(Mutex<BTreeMap<Position, String>>);

impl Damage {
    /// Remembers a range, and logs it once.
    pub(super) fn report(&self, after: Position, upto: Position, problem: &str) {
        let mut ranges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ranges.len() < MAX_RANGES && ranges.insert(upto, problem.to_owned()).is_none() {
            drop(ranges);
            error!(
                after = after.0,
                upto = upto.0,
                "the log is damaged: the records between these positions are skipped and reported to readers \
                 as missing; restore the folder from a backup: {problem}"
            );
        }
    }

    /// Returns an error while a range lies after this position, up to which no rule holds a record.
    pub(super) fn check(&self, empty_upto: Position) -> Result<(), ReadError> {
        let mut ranges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ranges.retain(|upto, _| *upto > empty_upto);
        ranges.iter().next().map_or(Ok(()), |(upto, problem)| {
            Err(ReadError::Damaged(format!("records up to {upto} cannot be read: {problem}")))
        })
    }
}

/// The most ranges that are remembered.
const MAX_RANGES: usize = 64;
