//! Threads that read the log for replays, at a lower priority than the threads that deliver new updates.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::AbortHandle;

/// Runtime for replays.
///
/// A replay reads many records, including records that are not for its subscriber, and any peer can ask for a
/// replay. The system gives the threads of this runtime less processor time than the others while both have
/// work.
#[derive(Debug)]
pub(super) struct Background {
    handle: Handle,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl Background {
    /// Starts this number of worker threads.
    ///
    /// # Errors
    /// When the system provides no thread.
    pub(super) fn start(threads: usize) -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        // The runtime also starts threads that read files; their priority is lowered as well.
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
        // Another runtime's thread may not wait for these threads.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Lowers the priority of the calling thread.
///
/// Only Linux has a priority per thread (setpriority(2)). Elsewhere the call would lower the whole process,
/// so nothing happens.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::warn!(%error, "cannot lower the priority of replays: they run at the same priority as the delivery of new updates");
    }
}

/// Nice value of the threads.
///
/// Beside one thread of usual priority, such a thread gets a quarter of a processor. The system may compare
/// it with the threads of other programs, too; with a larger value, replays would starve beside them.
#[cfg(target_os = "linux")]
const NICE: i32 = 5;
