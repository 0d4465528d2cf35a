use std::fmt::Write;
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
    write!(out, "\n## {} records, each with an id\n\n{READING}\n", grouped(count))?;
    out.push_str("\n| store | records | filled in | most memory | on disk | start after `kill -9` (processor) | after it was closed | memory then | page of 1,000 | p99 | find an id | p99 | memory then |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
    for (store, name) in [("log", "the log, on fjall"), ("fjall", "fjall"), ("redb", "redb")] {
        for count in [count / 10, count] {
            let folder = TempDir::new()?;
            let count_text = count.to_string();
            let filled: Filled = child(&["fill", store, &count_text, "--killed"], Some(folder.path()))?;
            let killed: Read = child(&["read", store, &count_text], Some(folder.path()))?;
            let closed: Read = child(&["read", store, &count_text], Some(folder.path()))?;
            writeln!(
                out,
                "| {name} | {} | {} | {} | {} | {} ({}) | {} ({}) | {} | {} | {} | {} | {} | {} |",
                grouped(count),
                time(filled.seconds),
                mib(filled.peak),
                mib(size(folder.path())?),
                time(killed.open[0]),
                time(killed.open[1]),
                time(closed.open[0]),
                time(closed.open[1]),
                mib(closed.memory[0]),
                time(closed.page[0]),
                time(closed.page[1]),
                time(closed.find[0]),
                time(closed.find[1]),
                mib(closed.memory[1]),
            )?;
            eprintln!("{}", out.lines().last().unwrap_or_default());
        }
    }
    write!(
        out,
        "\n{THROUGH}\n\n| an answer says | callers | records each | ids | kept | records/s | answered in | p99 | most memory |\n|---|---|---|---|---|---|---|---|---|\n"
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
            keep.map_or("all".to_owned(), |keep| format!("{}", grouped(keep))),
            rate(through.per_second),
            time(through.answer[0]),
            time(through.answer[1]),
            mib(through.peak),
        )?;
    }
    Ok(out)
}

/// Runs this program again, for one measurement.
fn child<T: DeserializeOwned>(arguments: &[&str], folder: Option<&Path>) -> Result<T> {
    eprintln!("{}", arguments.join(" "));
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

Records of 100 bytes, on this machine's disk, two cores; each measurement in a process and a folder of its own. `fjall` 3.1 is an LSM tree with a
journal, `redb` 4.6 a copy-on-write B-tree.

## Appends

Records a second, each with an id, by one thread that waits for every answer. `redb` has nothing between a commit that the
process alone has and one that is synced.
";

const READING: &str = "Filled in batches of 1,000, at the level at which `kill -9` loses nothing (`redb`: synced every 100,000 records, and what lies
between is lost). Started after its process was killed, and once more after it was closed; in parentheses the processor's time. Pages and ids at random places, from files that the
system has in memory.";

const THROUGH: &str = "## The log

Records a second through `DurableLog`, from tasks that each wait for their answer before they append again, on two cores with the log.";
