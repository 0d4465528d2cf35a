//! Damage that was found while records were read.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tracing::error;

use crate::{Position, ReadError};

/// Positions whose records cannot be read: of each stretch its end, and the store's words.
#[derive(Debug, Default)]
pub(super) struct Damage(Mutex<BTreeMap<Position, String>>);

impl Damage {
    /// Notes a stretch, and logs it once.
    pub(super) fn note(&self, after: Position, upto: Position, problem: &str) {
        let mut stretches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if stretches.len() < STRETCHES && stretches.insert(upto, problem.to_owned()).is_none() {
            drop(stretches);
            error!(
                after = after.0,
                upto = upto.0,
                "the log is damaged: the records between these positions are skipped and reported to readers as missing; restore the folder from a backup: {problem}"
            );
        }
    }

    /// An error, as long as a stretch is not behind the horizon.
    pub(super) fn check(&self, horizon: Position) -> Result<(), ReadError> {
        let mut stretches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stretches.retain(|upto, _| *upto > horizon);
        stretches.iter().next().map_or(Ok(()), |(upto, problem)| {
            Err(ReadError::Damaged(format!("records up to {upto} cannot be read: {problem}")))
        })
    }
}

/// So many are remembered.
const STRETCHES: usize = 64;
