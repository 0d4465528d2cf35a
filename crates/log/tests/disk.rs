//! A full disk and a folder that cannot be written: appends fail with the reason, reads continue, and appends
//! succeed again once the cause is gone.
//!
//! Records that are lost meanwhile, because a journal is damaged, are reported to readers when the log goes on.
//!
//! Each scene runs in a process of its own: one with a small file system (`unshare` of util-linux), and one
//! whose user is not root.

#![expect(clippy::print_stdout, reason = "says how it broke, and what `cargo test` asks for")]

use std::collections::HashSet;
use std::env;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use ssekit_log::{AppendError, DurableLog, DurableOptions, Limit, Log, OpenError, Position, Record};
use tempfile::TempDir;

fn main() {
    let arguments: Vec<_> = env::args().collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match arguments.get(1).map(String::as_str) {
        Some("full") => runtime.block_on(full(Path::new(&arguments[2]))),
        Some("read-only") => runtime.block_on(read_only(Path::new(&arguments[2]))),
        Some("damaged") => runtime.block_on(damaged(Path::new(&arguments[2]))),
        Some("--list") => println!("a_disk_that_fails_is_told_and_outlived: test"),
        _ => {
            let folder = TempDir::new().unwrap();
            for scene in ["full", "damaged"] {
                run(Command::new("unshare")
                    .args(["--map-root-user", "--mount"])
                    .arg(&arguments[0])
                    .arg(scene)
                    .arg(folder.path()));
            }
            run(&mut as_somebody(folder.path(), &arguments[0]));
        }
    }
}

fn run(command: &mut Command) {
    let status =
        command.status().unwrap_or_else(|error| panic!("{command:?}: {error}; is util-linux there?"));
    assert!(status.success(), "{command:?}: {status}");
}

/// A folder's mode says nothing to root: then another user has to play.
fn as_somebody(folder: &Path, program: &str) -> Command {
    let theirs = folder.join("theirs");
    fs::create_dir(&theirs).unwrap();
    if fs::metadata(folder).unwrap().uid() != 0 {
        let mut command = Command::new(program);
        command.arg("read-only").arg(theirs);
        return command;
    }
    const NOBODY: u32 = 65534;
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    chown(&theirs, Some(NOBODY), Some(NOBODY)).unwrap();
    let copy = folder.join("program");
    fs::copy(program, &copy).unwrap();
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups"]);
    command.arg(copy).arg("read-only").arg(theirs);
    command
}

/// While the disk is full, a journal that is not the newest gets damaged. When the log opens its store again, records of that journal are
/// missing: whoever reads after a position before them is told, at every moment.
async fn damaged(folder: &Path) {
    mount(folder, "256m");
    let log = DurableLog::open(folder.join("log"), DurableOptions::default()).await.unwrap();
    let log = Arc::new(log);
    let mut kept = Vec::new();
    for number in 0..928 {
        kept.push(log.append(vec![record(number)]).await.unwrap()[0]);
    }
    // The store begins a new journal after 64 MB, and keeps the older one, since there is no room for a table of its records.
    let ballast = folder.join("ballast");
    let mut file = File::create(&ballast).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    file.set_len(file.metadata().unwrap().len() - (12 << 20)).unwrap();
    drop(file);
    let mut number = 928;
    while let Ok(positions) = log.append(vec![record(number)]).await {
        kept.push(positions[0]);
        number += 1;
        assert!(number < 10_000, "the disk is not full");
    }
    let last = *kept.last().unwrap();
    let older = journals(folder);
    assert!(older.len() > 1, "the older journal is there");
    let file = OpenOptions::new().read(true).write(true).open(&older[0]).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 1 << 20).unwrap();
    file.write_all_at(&[!byte[0]], 1 << 20).unwrap();

    let ended = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..4)
        .map(|_| tokio::spawn(read_until(Arc::clone(&log), kept.clone(), Arc::clone(&ended))))
        .collect();
    fs::remove_file(&ballast).unwrap();
    let patience = Instant::now() + Duration::from_secs(30);
    while let Err(error) = log.append(vec![record(number)]).await {
        assert!(Instant::now() < patience, "still {error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ended.store(true, Ordering::Relaxed);
    let mut missed = 0;
    for reader in readers {
        missed += reader.await.unwrap();
    }
    let horizon = log.bounds().await.unwrap().horizon;
    assert!(horizon >= last, "the journal of records up to {last} is damaged, the horizon is {horizon}");
    println!("{} records were kept, {missed} pages told that some are missing", kept.len());
    log.close().await.unwrap();
}

/// Reads all records again and again; returns how many times some were missing. Each of these pages must say so.
async fn read_until(log: Arc<DurableLog>, kept: Vec<Position>, ended: Arc<AtomicBool>) -> u32 {
    let mut missed = 0;
    while !ended.load(Ordering::Relaxed) {
        // The store is closed while it is opened again.
        let Ok(page) = log.read(Position::START, Limit { records: usize::MAX, bytes: usize::MAX }).await
        else {
            tokio::task::yield_now().await;
            continue;
        };
        let found: HashSet<_> = page.entries.iter().map(|entry| entry.position).collect();
        if let Some(missing) = kept.iter().rfind(|position| !found.contains(position)) {
            assert!(page.horizon >= *missing, "{missing} is missing, the page's horizon is {}", page.horizon);
            missed += 1;
        }
    }
    missed
}

/// The store's journals, oldest first.
fn journals(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder.join("log/store")).unwrap().map(|file| file.unwrap().path());
    let mut journals: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "jnl")).collect();
    journals.sort_by_key(|path| path.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap());
    journals
}

fn mount(folder: &Path, size: &str) {
    run(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(folder));
}

async fn full(folder: &Path) {
    mount(folder, "96m");
    let ballast = folder.join("ballast");
    File::create(&ballast).unwrap().write_all(&vec![1; 48 << 20]).unwrap();
    scene(
        folder,
        || (),
        |error| matches!(error, AppendError::Full(reason) if reason.contains("No space left") && reason.contains("free at least 16 MiB")),
        || fs::remove_file(&ballast).unwrap(),
    )
    .await;
}

async fn read_only(folder: &Path) {
    let log = folder.join("log");
    let store = log.join("store");
    let set = |mode| {
        // The store's folders, however deep.
        let mut folders = vec![log.clone(), store.clone()];
        while let Some(folder) = folders.pop() {
            fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
            if folder != log {
                folders.extend(
                    fs::read_dir(&folder)
                        .unwrap()
                        .map(|file| file.unwrap().path())
                        .filter(|path| path.is_dir()),
                );
            }
            fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
        }
    };
    scene(
        folder,
        || set(0o555),
        |error| matches!(error, AppendError::Unavailable(reason) if reason.contains("Permission denied") && reason.contains("allow this process to write")),
        || set(0o755),
    )
    .await;
    // One that cannot be written at a start is not opened, and it is said why.
    set(0o555);
    fs::set_permissions(log.join("lock"), Permissions::from_mode(0o444)).unwrap();
    let error = DurableLog::open(&log, DurableOptions::default()).await.unwrap_err();
    assert!(
        matches!(&error, OpenError::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied),
        "{error:?}"
    );
    set(0o755);
}

/// Appends until it breaks, and again once it is mended.
async fn scene(folder: &Path, break_it: impl Fn(), is_told: impl Fn(&AppendError) -> bool, mend: impl Fn()) {
    let options = || DurableOptions { write_buffer: 1 << 20, ..DurableOptions::default() };
    let log = DurableLog::open(folder.join("log"), options()).await.unwrap();
    let mut kept = Vec::new();
    for number in 0..20 {
        kept.push((log.append(vec![record(number)]).await.unwrap()[0], number));
    }
    break_it();
    let (mut number, mut refused) = (20, 0);
    while refused < 3 {
        match log.append(vec![record(number)]).await {
            Ok(positions) => kept.push((positions[0], number)),
            Err(error) => {
                assert!(is_told(&error), "{error:?}");
                refused += 1;
            }
        }
        number += 1;
        assert!(number < 10_000, "it does not break");
    }
    println!(
        "{} records of 64 KiB were kept, then {}",
        kept.len(),
        log.append(vec![record(number)]).await.unwrap_err()
    );
    number += 1;
    // Reads continue.
    check(&log, &kept).await;
    let mut tail = log.tail(Position::START);
    let mut told = Vec::new();
    while told.len() < kept.len() {
        told.extend(tail.next().await.unwrap().unwrap().into_iter().map(|entry| entry.position));
    }
    assert!(told.iter().eq(kept.iter().map(|(position, _)| position)));
    assert_eq!(log.find(&format!("urn:{}", kept[7].1)).await.unwrap(), Some(kept[7].0));

    mend();
    let patience = Instant::now() + Duration::from_secs(30);
    let mended = loop {
        match log.append(vec![record(number)]).await {
            Ok(positions) => break positions[0],
            Err(error) => assert!(Instant::now() < patience, "still {error}"),
        }
        number += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    kept.push((mended, number));
    check(&log, &kept).await;
    assert_eq!(tail.next().await.unwrap().unwrap()[0].position, mended);
    drop(tail);
    log.close().await.unwrap();
    drop(log);
    let log = DurableLog::open(folder.join("log"), options()).await.unwrap();
    check(&log, &kept).await;
    log.close().await.unwrap();
}

/// Answered records are there, and no refused ones.
async fn check(log: &DurableLog, kept: &[(Position, u32)]) {
    let mut found = Vec::new();
    let mut after = Position::START;
    loop {
        let page = log.read(after, Limit { records: 64, bytes: usize::MAX }).await.unwrap();
        found.extend(page.entries.into_iter().map(|entry| {
            let number = entry.record.id.as_ref().unwrap().strip_prefix("urn:").unwrap().parse().unwrap();
            assert_eq!(entry.record, record(number));
            (entry.position, number)
        }));
        after = page.through;
        if page.end {
            break;
        }
    }
    assert_eq!(found, kept);
    assert_eq!(log.bounds().await.unwrap().records, kept.len() as u64);
}

/// One that does not get smaller when it is compressed.
fn record(number: u32) -> Record {
    let mut random = fastrand::Rng::with_seed(number.into());
    let body: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(64 << 10).collect();
    Record {
        topics: ["topic".into()].into(),
        private: false,
        id: Some(format!("urn:{number}").into()),
        body: Bytes::from(body),
    }
}
