//! Appends through the log, by many tasks that wait for their answers.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use ssekit_log::{DurableLog, Keep, Log, Retention};

use crate::measure::status;
use crate::stores::{Level, options, record};

#[derive(Serialize, Deserialize)]
pub struct Through {
    pub per_second: f64,
    /// Of an answer, in seconds: median, 99th percentile.
    pub answer: [f64; 2],
    pub peak: u64,
}

pub fn run(
    level: Level,
    callers: usize,
    batch: usize,
    ids: bool,
    keep: Option<u64>,
    folder: &Path,
) -> Result<Through> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let retention = Retention::of_everything(Keep { records: keep, ..Keep::ALL })?;
        let log = Arc::new(
            DurableLog::open(folder, ssekit_log::DurableOptions { retention, ..options(level) }).await?,
        );
        let next = Arc::new(AtomicU64::new(1));
        let start = Instant::now();
        let tasks: Vec<_> = (0..callers)
            .map(|_| {
                let (log, next) = (Arc::clone(&log), Arc::clone(&next));
                tokio::spawn(async move {
                    let mut times = Vec::new();
                    while start.elapsed() < LENGTH {
                        let first = next.fetch_add(batch as u64, Ordering::Relaxed);
                        let records = (first..first + batch as u64).map(|place| record(place, ids)).collect();
                        let asked = Instant::now();
                        Log::append(&*log, records).await?;
                        times.push(asked.elapsed().as_secs_f64());
                    }
                    anyhow::Ok(times)
                })
            })
            .collect();
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await??);
        }
        let per_second = (times.len() * batch) as f64 / start.elapsed().as_secs_f64();
        log.close().await?;
        times.sort_by(f64::total_cmp);
        let answer = [times[times.len() / 2], times[times.len() * 99 / 100]];
        Ok(Through { per_second, answer, peak: status("VmHWM:")? })
    })
}

const LENGTH: Duration = Duration::from_secs(5);
