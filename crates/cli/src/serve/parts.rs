//! Parts of a hub from a configuration: log, options, pages.

use std::sync::Arc;

use anyhow::Result;
use ssekit_hub::fanout::{self, Overtaken, Pace};
use ssekit_hub::hub::Announced;
use ssekit_hub::jwks::KeyRenewals;
use ssekit_hub::{http, hub};
use ssekit_log::{Durability, DurableLog, DurableOptions, Log, MemoryLog, Retention};
use ssekit_mercure::Access;

use crate::config::{self, Config, Slow, Store};

/// Opens the configured log.
pub(super) async fn log(config: &Config, retention: Retention) -> Result<Arc<dyn Log>> {
    let Store::Folder(folder) = &config.store else { return Ok(Arc::new(MemoryLog::new(retention)?)) };
    if config.retention.is_empty() {
        tracing::info!(
            store = %folder.display(),
            "no retention rule is set, so the store keeps every update and grows without limit; set one with \
             --retention, as in --retention 'topic=* age=7d bytes=1GiB'"
        );
    }
    let durability = match config.durability {
        config::Durability::Memory => Durability::Memory(config.sync_every),
        config::Durability::Periodic => Durability::Periodic(config.sync_every),
        config::Durability::Sync => Durability::Sync,
    };
    let options = DurableOptions { durability, retention, ..DurableOptions::default() };
    Ok(Arc::new(DurableLog::open(folder, options).await?))
}

pub(super) fn hub(config: &Config, access: Access, key_renewals: KeyRenewals) -> hub::Options {
    hub::Options {
        limits: access.limits,
        access,
        key_renewals,
        path: config.hub_path.clone(),
        subscriptions: match (config.subscriptions, config.subscriptions_anonymous) {
            (false, _) => Announced::Nobody,
            (true, false) => Announced::WithToken,
            (true, true) => Announced::Everyone,
        },
        fanout: fanout::Options {
            threads: config.threads.unwrap_or_else(|| fanout::Options::default().threads),
            window: config.limits.recent,
            pending_memory: config.limits.pending_memory,
            pending: config.limits.pending,
            pace: Pace {
                heartbeat: config.heartbeat,
                stall: config.stall,
                retry: (config.retry.least, config.retry.most),
                overtaken: match config.slow {
                    Slow::Close => Overtaken::Close,
                    Slow::Skip => Overtaken::Skip,
                },
            },
        },
        max_lifetime: config.max_lifetime,
    }
}

pub(super) fn server(config: &Config, pages: Option<http::Pages>) -> http::Options {
    let limits = &config.limits;
    http::Options {
        connections: limits.connections.min(connection_descriptors()),
        connections_per_address: limits.connections_per_address,
        connects_per_second: limits.connects_per_second,
        head_size: limits.head_size,
        head_time: limits.head_time,
        body_time: limits.body_time,
        body_memory: limits.body_memory,
        metrics: config.metrics,
        pages,
    }
}

/// Number of connections for which the process may have descriptors; it asks the system for the maximum.
fn connection_descriptors() -> usize {
    #[cfg(unix)]
    {
        let allowed = rlimit::increase_nofile_limit(u64::MAX).unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot read the limit of open files");
            u64::MAX
        });
        // The store, the listeners and the threads need some, too.
        let reserved = (allowed / 4).min(RESERVED);
        usize::try_from(allowed - reserved).unwrap_or(usize::MAX)
    }
    #[cfg(not(unix))]
    usize::MAX
}

/// Descriptors that are not connections.
#[cfg(unix)]
const RESERVED: u64 = 256;
