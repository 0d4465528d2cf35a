use std::ffi::OsStr;
use std::fmt::{Debug, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::measure::{Appended, Filled, Read};
use crate::through::Through;

/// Measures everything; the store of the restarts gets so many records.
pub fn all(count: u64) -> Result<String> {
    let mut out = String::from(HEAD);
    out.push_str(
        "\n| store | an answer says | batches of 1 | 10 | 100 | 1,000 |\n|---|---|---|---|---|---|\n",
    );
    for (store, level, says) in [
        ("fjall", "memory", "it is in the process"),
        ("fjall", "written", "the system has it: `kill -9` loses nothing"),
        ("fjall", "synced", "the disk has it"),
        ("redb", "memory", "it is in the process"),
        ("redb", "synced", "the disk has it"),
    ] {
        write!(out, "| {store} | {says} |")?;
        for batch in [1, 10, 100, 1000] {
            let appended: Appended = child(&["append", store, level, &batch.to_string()], None)?;
            write!(out, " {} |", rate(appended.per_second))?;
        }
        out.push('\n');
    }
    write!(out, "\n## {} records\n\n{READING}\n", grouped(count))?;
    out.push_str(
        "\n| store | records | filled in | most memory | on disk | start after `kill -9`, least to most \
         (processor) | after it was closed | memory then | page of 1,000 | p99 | find an id | p99 | memory \
         then |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (store, name, plain, batch) in [
        ("log", "the log, on fjall", false, 1000),
        ("log", "the log, without ids", true, 1000),
        ("log", "the log, without ids, then one by one", true, 1),
        ("fjall", "fjall", false, 1000),
        ("redb", "redb", false, 1000),
    ] {
        for count in [count / 10, count] {
            restarts(&mut out, store, name, count, plain, batch)?;
            eprintln!("{}", out.lines().last().unwrap_or_default());
        }
    }
    write!(
        out,
        "\n{THROUGH}\n\n| an answer says | callers | records each | ids | kept | records/s | answered in | \
         p99 | most memory |\n|---|---|---|---|---|---|---|---|---|\n"
    )?;
    for (level, callers, batch, ids, keep) in [
        ("memory", 64, 1, false, None),
        ("written", 1, 1, false, None),
        ("written", 64, 1, false, None),
        ("written", 256, 1, false, None),
        ("written", 256, 1, true, None),
        ("written", 256, 1, false, Some(100_000)),
        ("written", 8, 100, false, None),
        ("written", 8, 100, true, None),
        ("written", 8, 100, false, Some(100_000)),
        ("written", 8, 1000, false, None),
        ("synced", 1, 1, false, None),
        ("synced", 64, 1, false, None),
        ("synced", 1024, 1, false, None),
        ("synced", 8, 1000, false, None),
    ] {
        let (callers_text, batch_text, keep_text) =
            (callers.to_string(), batch.to_string(), keep.unwrap_or(0).to_string());
        let mut arguments = vec!["through", level, &*callers_text, &*batch_text];
        if ids {
            arguments.push("--ids");
        }
        if keep.is_some() {
            arguments.extend(["--keep", &*keep_text]);
        }
        let through: Through = child(&arguments, None)?;
        writeln!(
            out,
            "| {} | {callers} | {batch} | {} | {} | {} | {} | {} | {} |",
            match level {
                "memory" => "it is in the process",
                "written" => "the system has it",
                _ => "the disk has it",
            },
            if ids { "their own" } else { "–" },
            keep.map_or("all".to_owned(), grouped),
            rate(through.per_second),
            time(through.answer[0]),
            time(through.answer[1]),
            mib(through.peak),
        )?;
    }
    Ok(out)
}

/// Fills a store, kills it at some moments, and writes the line that says how it started.
fn restarts(out: &mut String, store: &str, name: &str, count: u64, plain: bool, batch: u64) -> Result<()> {
    let folder = TempDir::new()?;
    let run = |command: &[&str]| -> Vec<String> {
        let plain = plain.then_some("--plain");
        command.iter().copied().chain(plain).map(str::to_owned).collect()
    };
    let fill = |count: u64, batch: u64| -> Result<Filled> {
        let fill = run(&["fill", store, &count.to_string(), "--batch", &batch.to_string()]);
        child(&fill, Some(folder.path()))
    };
    let read = || -> Result<Read> { child(&run(&["read", store, &count.to_string()]), Some(folder.path())) };
    let filled = fill(count, 1000)?;
    let size = size(folder.path())?;
    // Each start is after a kill, at another moment between two tables and two journals.
    let mut random = fastrand::Rng::with_seed(count);
    let mut starts: Vec<[f64; 2]> =
        (0..KILLS).map(|_| Ok(fill(random.u64(1..400_000), batch)?.open)).collect::<Result<_>>()?;
    starts.push(read()?.open);
    starts.sort_by(|a, b| a[0].total_cmp(&b[0]));
    let closed = read()?;
    let find = |index: usize| closed.find.map_or_else(|| "–".to_owned(), |find| time(find[index]));
    writeln!(
        out,
        "| {name} | {} | {} | {} | {} | {} to {} ({} to {}) | {} ({}) | {} | {} | {} | {} | {} | {} |",
        grouped(count),
        time(filled.seconds),
        mib(filled.peak),
        mib(size),
        time(starts[0][0]),
        time(starts[KILLS][0]),
        time(starts.iter().map(|start| start[1]).fold(f64::INFINITY, f64::min)),
        time(starts.iter().map(|start| start[1]).fold(0.0, f64::max)),
        time(closed.open[0]),
        time(closed.open[1]),
        mib(closed.memory[0]),
        time(closed.page[0]),
        time(closed.page[1]),
        find(0),
        find(1),
        mib(closed.memory[1]),
    )?;
    Ok(())
}

/// Runs this program again, for one measurement.
fn child<T: DeserializeOwned>(arguments: &[impl AsRef<OsStr> + Debug], folder: Option<&Path>) -> Result<T> {
    eprintln!("{arguments:?}");
    let fresh = TempDir::new()?;
    let folder = folder.unwrap_or(fresh.path());
    let output = Command::new(std::env::current_exe()?)
        .args(arguments)
        .arg(folder)
        .stderr(Stdio::inherit())
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    serde_json::from_str(&text).with_context(|| format!("{arguments:?}: {}, {text:?}", output.status))
}

/// The blocks that a folder's files take.
fn size(folder: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut size = 0;
    for file in std::fs::read_dir(folder)? {
        let file = file?;
        let data = file.metadata()?;
        size += if data.is_dir() { self::size(&file.path())? } else { data.blocks() * 512 };
    }
    Ok(size)
}

fn rate(per_second: f64) -> String {
    grouped(if per_second < 10_000.0 {
        per_second.round() as u64
    } else {
        (per_second / 1000.0).round() as u64 * 1000
    })
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits")).collect();
    groups.join(",")
}

fn time(seconds: f64) -> String {
    match seconds {
        ..0.001 => format!("{:.0} µs", seconds * 1e6),
        ..1.0 => format!("{:.1} ms", seconds * 1e3),
        _ => format!("{seconds:.2} s"),
    }
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

const HEAD: &str = "# The log's store

Records of 100 bytes, on this machine's disk, two cores; each measurement in its own process and folder.
`fjall` 3.1 is an LSM tree with a journal, `redb` 4.6 a copy-on-write B-tree.

## Appends

Records a second, each with an id, by one thread that waits for every answer. `redb` has no level between a
commit that the process alone has and one that is synced.
";

const READING: &str = "\
Filled in batches of 1,000, each record with an id unless the row says otherwise, at the level at which
`kill -9` loses nothing (`redb`: synced every 100,000 records, and `kill -9` loses the records between). Then
killed ten times: right after that, and each time after up to 400,000 more records, so that the kill happens
at any moment between two tables and two journals. The table has the shortest and the longest of the ten
starts that followed, in parentheses the processor's time, to 10 ms. In the rows “one by one”, those 400,000
records are appended one at a time, so that the journals are full of small writes. Then the store is closed,
and started once more. Pages and ids are read at random places, from files that the system has in memory.";

/// How often a store is killed once it is filled, besides the first time.
const KILLS: usize = 9;

const THROUGH: &str = "## The log

Records a second through `DurableLog`, from tasks that each wait for their answer before they append again, on
the same two cores as the log.";
