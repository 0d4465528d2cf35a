use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::stores::{self, Kind, Level, Store};

#[derive(Serialize, Deserialize)]
pub struct Appended {
    pub per_second: f64,
}

/// Appends for two seconds.
pub fn append(kind: Kind, level: Level, batch: usize, folder: &Path) -> Result<Appended> {
    let mut store = stores::open(kind, folder, false)?;
    let start = Instant::now();
    let mut next = 1;
    while start.elapsed() < Duration::from_secs(2) {
        store.append(next..next + batch as u64, level)?;
        next += batch as u64;
    }
    let per_second = (next - 1) as f64 / start.elapsed().as_secs_f64();
    store.close()?;
    Ok(Appended { per_second })
}

#[derive(Serialize, Deserialize)]
pub struct Filled {
    /// How long it took to open it, in seconds, and of the processor.
    pub open: [f64; 2],
    pub seconds: f64,
    /// Most memory that it has had.
    pub peak: u64,
}

/// Appends so many records. The store is not closed: the calling process is killed.
pub fn fill(kind: Kind, count: u64, folder: &Path, batch: u64, plain: bool) -> Result<Filled> {
    let (mut store, open) = open(kind, folder, plain)?;
    let start = Instant::now();
    for first in (1..=count).step_by(usize::try_from(batch)?) {
        // A store without a level between syncs now and then, as the log would have it do, and at the end.
        let synced = first % 100_000 == 1 || first + batch > count;
        let level = if matches!(kind, Kind::Redb) && !synced { Level::Memory } else { Level::Written };
        store.append(first..(first + batch).min(count + 1), level)?;
    }
    let filled = Filled { open, seconds: start.elapsed().as_secs_f64(), peak: status("VmHWM:")? };
    std::mem::forget(store);
    Ok(filled)
}

/// Opens a store, and says how long it took, in seconds and of the processor.
fn open(kind: Kind, folder: &Path, plain: bool) -> Result<(Box<dyn Store>, [f64; 2])> {
    let (start, used) = (Instant::now(), processor()?);
    let store = stores::open(kind, folder, plain)?;
    Ok((store, [start.elapsed().as_secs_f64(), processor()? - used]))
}

#[derive(Serialize, Deserialize)]
pub struct Read {
    /// As of [`Filled`].
    pub open: [f64; 2],
    /// Of a page of 1,000, in seconds: median, 99th percentile.
    pub page: [f64; 2],
    /// Of an id, in seconds: median, 99th percentile.
    pub find: Option<[f64; 2]>,
    /// Memory once it is open, and at the end.
    pub memory: [u64; 2],
}

pub fn read(kind: Kind, count: u64, folder: &Path, plain: bool) -> Result<Read> {
    let before = status("RssAnon:")?;
    let (store, open) = open(kind, folder, plain)?;
    let opened = status("RssAnon:")?.saturating_sub(before);
    let mut random = fastrand::Rng::with_seed(1);
    let page = times(1000, || {
        let size = store.page(random.u64(0..count - 1000), 1000)?;
        ensure!(size == 100_000, "a page of {size} bytes");
        Ok(())
    })?;
    let mut random = fastrand::Rng::with_seed(2);
    let mut find = || {
        times(20_000, || {
            let place = random.u64(1..=count);
            ensure!(store.find(place)? == place);
            Ok(())
        })
    };
    let find = if plain { None } else { Some(find()?) };
    let memory = [opened, status("RssAnon:")?.saturating_sub(before)];
    store.close()?;
    Ok(Read { open, page, find, memory })
}

fn times(count: usize, mut what: impl FnMut() -> Result<()>) -> Result<[f64; 2]> {
    let mut times = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        what()?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok([times[count / 2], times[count * 99 / 100]])
}

/// A line of this process's status, in bytes.
pub fn status(name: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
    let kib: u64 = line.trim().strip_suffix(" kB").context("no kB")?.parse()?;
    Ok(kib * 1024)
}

/// Seconds that this process has had of the processor.
fn processor() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<_> = stat.rsplit(')').next().context("its name")?.split_whitespace().collect();
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / 100.0)
}
