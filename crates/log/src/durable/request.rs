//! Requests to the writer, and the decision which of them add records. No I/O.

use std::time::SystemTime;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::idempotency::{KeyedAppend, UsedKeys};
use crate::{AppendError, Appended, IdempotencyKey, Position, Record};

/// A message to the writer.
#[derive(Debug)]
pub(super) enum Message {
    Append(Request),
    Close(oneshot::Sender<Result<(), AppendError>>),
}

/// An append that waits for the writer.
#[derive(Debug)]
pub(super) struct Request {
    /// The records, each with its rule.
    pub(super) records: Vec<(usize, Record)>,
    pub(super) key: Option<IdempotencyKey>,
    pub(super) size: usize,
    pub(super) answer: oneshot::Sender<Result<Appended, AppendError>>,
    /// The permit for the bytes that wait.
    pub(super) _permit: OwnedSemaphorePermit,
}

/// The decision on the appends of a group.
pub(super) struct Decision {
    pub(super) answers: Vec<Result<Appended, AppendError>>,
    /// The position after the added records.
    pub(super) next: Position,
    /// The appends with keys that add records.
    pub(super) keyed: Vec<KeyedAppend>,
    /// Earlier writes whose keys are all forgotten.
    pub(super) forgotten: Vec<Position>,
}

impl Decision {
    /// Decides which appends of a group add records and at which positions, and remembers their keys.
    ///
    /// `first` is the position of the first added record.
    pub(super) fn new(keys: &mut UsedKeys, group: &[Request], first: Position, now: SystemTime) -> Self {
        let has_keys = group.iter().any(|request| request.key.is_some());
        let mut forgotten = if has_keys { keys.forget(now) } else { Vec::new() };
        let mut keyed = Vec::new();
        let mut next = first;
        let answers = group.iter().map(|request| {
            if let Some(answer) = request.key.and_then(|key| keys.find(&key)) {
                return answer;
            }
            let begin = next;
            next = Position(begin.0 + request.records.len() as u64);
            if let Some(key) = request.key {
                let count = u32::try_from(request.records.len()).expect("an append's records are limited");
                let append = KeyedAppend { key, first: begin, count };
                keys.insert(append, first, now);
                keyed.push(append);
            }
            Ok(Appended { positions: (begin.0..next.0).map(Position).collect(), repeated: false })
        });
        let answers = answers.collect();
        if !keyed.is_empty() {
            forgotten.extend(keys.forget(now));
        }
        Self { answers, next, keyed, forgotten }
    }
}

/// Whether the append adds its records: it was accepted, and repeats no earlier one.
pub(super) fn adds_records(answer: &Result<Appended, AppendError>) -> bool {
    matches!(answer, Ok(Appended { repeated: false, .. }))
}
