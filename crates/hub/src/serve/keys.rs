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
        let (rotation, renewal) = Rotation::new(&source, keys.clone(), allowed, Schedule::default());
        for (shared, own) in [
            (&access.publishers, &mut access.publishers_renewal),
            (&access.subscribers, &mut access.subscribers_renewal),
        ] {
            if shared.is_same(&keys) {
                *own = Some(renewal.clone());
            }
        }
        let http = Http::new();
        tasks.spawn(async move { rotation.run(|| source.fetch(&http)).await });
    }
    tasks
}
