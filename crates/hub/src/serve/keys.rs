use ssekit_client::Http;
use tokio::task::JoinSet;

use crate::config::KeySet;
use crate::mercure::Access;
use crate::mercure::jwks::{Rotation, Schedule};

/// Keeps sets of keys as their sources have them, until what this gives is dropped.
pub(super) fn keep_current(sets: Vec<KeySet>, access: &mut Access) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for KeySet { source, algorithms, keys } in sets {
        let allowed = (!algorithms.is_empty()).then_some(algorithms);
        let (rotation, renewal) = Rotation::new(keys.clone(), allowed, Schedule::default());
        // A key for both is fetched twice: once for each of whom it lets in.
        let shares = |other: &crate::mercure::Keys| other.is_same(&keys);
        if shares(&access.publishers) {
            access.publishers_renewal = Some(renewal);
        } else if shares(&access.subscribers) {
            access.subscribers_renewal = Some(renewal);
        }
        let http = Http::new();
        tasks.spawn(async move { rotation.run(|| source.fetch(&http)).await });
    }
    tasks
}
