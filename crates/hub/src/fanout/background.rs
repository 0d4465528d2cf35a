//! Threads that read the log for replays, at a lower priority than the threads that deliver new updates.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{AbortHandle, JoinError};

/// Runtimes for replays.
///
/// A replay reads many records, including records that are not for its subscriber, and any peer can ask for a
/// replay. The system gives the threads of these runtimes less processor time than the others while both have
/// work, and those that search for the first event of a page the least.
#[derive(Debug)]
pub(super) struct Background {
    reading: Pool,
    searching: Pool,
}

#[derive(Debug)]
struct Pool {
    handle: Handle,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl Background {
    /// Starts this number of worker threads in each runtime.
    ///
    /// # Errors
    /// When the system provides no thread.
    pub(super) fn start(threads: usize) -> io::Result<Self> {
        Ok(Self {
            reading: Pool::start("replay", threads, READING)?,
            searching: Pool::start("search", threads, SEARCHING)?,
        })
    }

    /// Starts a task that reads pages.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.reading.handle.spawn(task).abort_handle()
    }

    /// Runs a future on the threads that search. It runs to its end even if the caller is dropped.
    ///
    /// # Errors
    /// When the future panics.
    pub(super) async fn search<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        self.searching.handle.spawn(future).await
    }
}

impl Pool {
    fn start(name: &str, threads: usize, nice: i32) -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        // The runtime also starts threads that read files; their priority is lowered as well.
        builder.worker_threads(threads).thread_name(name).enable_all();
        let runtime = builder.on_thread_start(move || lower_priority(nice)).build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Another runtime's thread may not wait for these threads.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Sets the nice value of the calling thread.
///
/// Only Linux has a priority per thread (setpriority(2)). Elsewhere the call would lower the whole process,
/// so nothing happens.
fn lower_priority(nice: i32) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, nice) {
        tracing::warn!(%error, "cannot lower the priority of replays: they run at the same priority as the delivery of new updates");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = nice;
}

/// Nice value of the threads that read pages with events.
///
/// Beside one thread of usual priority, such a thread gets a quarter of a processor. The system may compare
/// it with the threads of other programs, too; with a larger value, resuming subscribers would starve beside
/// them.
const READING: i32 = 5;

/// Nice value of the threads that search, the largest there is: beside one thread of usual priority, such a
/// thread gets a seventieth of a processor. A search that finds nothing costs a peer nothing, so peers can
/// cause any number of them.
const SEARCHING: i32 = 19;
