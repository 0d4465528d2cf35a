use std::future::Future;
use std::time::Duration;

/// Waits for a future, and fails if it takes too long.
#[track_caller]
pub(crate) fn within<F: Future>(what: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(Duration::from_secs(20), what).await {
            Ok(output) => output,
            Err(_) => panic!("what is awaited at {caller} did not happen within 20 s"),
        }
    }
}
