//! Threads that read the log for subscribers that are behind, below the priority of those that deliver new updates.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::AbortHandle;

/// A runtime for replays.
///
/// A replay looks at many records, also at those that are not for its subscriber, and any peer can ask for one. The system lets
/// the threads of this runtime run when the others leave processor time, and gives them a small part otherwise.
#[derive(Debug)]
pub(super) struct Background {
    handle: Handle,
    /// None while it is dropped.
    runtime: Option<Runtime>,
}

impl Background {
    /// Starts so many threads.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(threads: usize) -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        // The threads that read files are started by these, and are lowered too.
        builder.worker_threads(threads).thread_name("replay").enable_all().on_thread_start(lower_priority);
        let runtime = builder.build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Starts a task.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.handle.spawn(task).abort_handle()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Waiting for its threads is not allowed inside of another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Lowers the priority of the calling thread. Linux alone counts a priority for each thread (setpriority(2)); elsewhere the whole
/// process would be lowered.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::warn!(%error, "replays run at the same priority as the delivery of new updates");
    }
}

/// The "nice value" of a replay: beside one thread of usual priority, it gets a quarter of a processor. The system may count the threads of
/// other programs, too, so that a larger value would let replays starve beside them.
#[cfg(target_os = "linux")]
const NICE: i32 = 5;
