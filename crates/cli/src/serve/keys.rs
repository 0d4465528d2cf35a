//! Rotation of the configured key sets.

use ssekit_client::Http;
use ssekit_hub::jwks::{KeyRenewals, Rotation, Schedule};
use ssekit_mercure::Access;
use tokio::task::JoinSet;

use crate::config::KeySet;

/// Keeps key sets equal to their sources, until the returned tasks are dropped.
pub(super) fn keep_current(sets: Vec<KeySet>, access: &Access) -> (JoinSet<()>, KeyRenewals) {
    let (mut tasks, mut renewals) = (JoinSet::new(), KeyRenewals::default());
    for KeySet { source, algorithms, keys } in sets {
        let allowed = (!algorithms.is_empty()).then_some(algorithms);
        let (rotation, renewal) = Rotation::new(&source, keys.clone(), allowed, Schedule::default());
        for (shared, own) in
            [(&access.publishers, &mut renewals.publishers), (&access.subscribers, &mut renewals.subscribers)]
        {
            if shared.is_same(&keys) {
                *own = Some(renewal.clone());
            }
        }
        let http = Http::new();
        tasks.spawn(async move { rotation.run(|| source.fetch(&http)).await });
    }
    (tasks, renewals)
}
