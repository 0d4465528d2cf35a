use std::time::SystemTime;

/// The state of a [`Run`](super::Run).
///
/// The last event of a run has it as JSON, such as `{"status":"finished"}` or
/// `{"status":"failed","reason":"…"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunState {
    /// The producer has not ended.
    Running,
    /// The producer has returned `Ok`: the answer is complete.
    Finished,
    /// The producer has returned an error, has panicked, or was idle for too long.
    Failed {
        /// The text of the error.
        reason: String,
    },
    /// [`cancel`](super::Run::cancel) has stopped the producer, or nobody watched it for too long.
    Cancelled,
    /// The program was shut down before the producer had ended.
    Interrupted,
}

impl RunState {
    /// The data of the last event.
    pub(super) fn json(&self) -> String {
        let status = match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed { .. } => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        };
        match self {
            Self::Failed { reason } => {
                format!(
                    "{{\"status\":\"{status}\",\"reason\":{}}}",
                    crate::channel::reader::json_text(reason)
                )
            }
            _ => format!("{{\"status\":\"{status}\"}}"),
        }
    }
}

/// The numbers of a [`Run`](super::Run) at one time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RunStatus {
    /// The state.
    pub state: RunState,
    /// The time of the start.
    pub started: SystemTime,
    /// The time of the end; `None` while the producer runs.
    pub ended: Option<SystemTime>,
    /// Streams that read the run.
    pub viewers: usize,
    /// Events that were emitted, without the last one.
    pub events: u64,
    /// Bytes of their names and data.
    pub bytes: usize,
}
