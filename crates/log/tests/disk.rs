//! A full disk and a folder that cannot be written.
//!
//! Appends fail with the cause, reads continue, and appends succeed again without a restart once the cause is
//! removed. If a damaged journal has lost records meanwhile, readers get a later horizon.
//!
//! Each scene runs in its own process: with a small file system (`unshare` of util-linux), or as a user other
//! than root.

#![expect(clippy::print_stdout, reason = "prints the failures, and the list of tests for `cargo test`")]

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
        Some("--list") => println!("failures_of_the_disk_are_reported_and_survived: test"),
        _ => {
            let folder = TempDir::new().unwrap();
            for scene in ["full", "damaged"] {
                run(Command::new("unshare")
                    .args(["--map-root-user", "--mount"])
                    .arg(&arguments[0])
                    .arg(scene)
                    .arg(folder.path()));
            }
            run(&mut as_another_user(folder.path(), &arguments[0]));
        }
    }
}

fn run(command: &mut Command) {
    let status =
        command.status().unwrap_or_else(|error| panic!("{command:?}: {error}; is util-linux installed?"));
    assert!(status.success(), "{command:?}: {status}");
}

/// The command for the read-only scene.
///
/// Root ignores the mode of a folder, so the scene runs as another user.
fn as_another_user(folder: &Path, program: &str) -> Command {
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

/// A journal that is not the newest is damaged while the disk is full.
///
/// When the log opens its store again, records of that journal are missing. Every page that lacks them has a
/// horizon after them.
async fn damaged(folder: &Path) {
    mount(folder, "256m");
    let log = DurableLog::open(folder.join("log"), DurableOptions::default()).await.unwrap();
    let log = Arc::new(log);
    let mut confirmed = Vec::new();
    for number in 0..928 {
        confirmed.push(log.append(vec![record(number)]).await.unwrap()[0]);
    }
    // The store begins a new journal after 64 MB. It keeps the older one, because the disk has no room for a
    // table of its records.
    let ballast = folder.join("ballast");
    let mut file = File::create(&ballast).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    file.set_len(file.metadata().unwrap().len() - (12 << 20)).unwrap();
    drop(file);
    let mut number = 928;
    while let Ok(positions) = log.append(vec![record(number)]).await {
        confirmed.push(positions[0]);
        number += 1;
        assert!(number < 10_000, "the disk is not full");
    }
    let last = *confirmed.last().unwrap();
    let older = journals(folder);
    assert!(older.len() > 1, "the older journal exists");
    let file = OpenOptions::new().read(true).write(true).open(&older[0]).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 1 << 20).unwrap();
    file.write_all_at(&[!byte[0]], 1 << 20).unwrap();

    let ended = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..4)
        .map(|_| tokio::spawn(read_until(Arc::clone(&log), confirmed.clone(), Arc::clone(&ended))))
        .collect();
    fs::remove_file(&ballast).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Err(error) = log.append(vec![record(number)]).await {
        assert!(Instant::now() < deadline, "still {error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ended.store(true, Ordering::Relaxed);
    let mut missed = 0;
    for reader in readers {
        missed += reader.await.unwrap();
    }
    let horizon = log.bounds().await.unwrap().horizons.of_all();
    assert!(horizon >= last, "the journal of records up to {last} is damaged, the horizon is {horizon}");
    println!("{} records were confirmed, {missed} pages reported missing ones", confirmed.len());
    log.close().await.unwrap();
}

/// Reads all records again and again. Returns the number of pages that reported missing records.
async fn read_until(log: Arc<DurableLog>, confirmed: Vec<Position>, ended: Arc<AtomicBool>) -> u32 {
    let mut missed = 0;
    while !ended.load(Ordering::Relaxed) {
        // A read fails while the store is opened again.
        let Ok(page) = log.read(Position::START, Limit { records: usize::MAX, bytes: usize::MAX }).await
        else {
            tokio::task::yield_now().await;
            continue;
        };
        let found: HashSet<_> = page.entries.iter().map(|entry| entry.position).collect();
        if let Some(missing) = confirmed.iter().rfind(|position| !found.contains(position)) {
            assert!(
                page.horizons.of_all() >= *missing,
                "{missing} is missing, the page's horizon is {}",
                page.horizons.of_all()
            );
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
        |error| {
            let AppendError::Full(reason) = error else { return false };
            reason.contains("No space left") && reason.contains("free at least 16 MiB")
        },
        || fs::remove_file(&ballast).unwrap(),
    )
    .await;
}

async fn read_only(folder: &Path) {
    let log = folder.join("log");
    let store = log.join("store");
    let set = |mode| {
        // All folders of the store.
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
        |error| {
            let AppendError::Unavailable(reason) = error else { return false };
            reason.contains("Permission denied") && reason.contains("allow this process to write")
        },
        || set(0o755),
    )
    .await;
    // A log that cannot be written at a start is not opened, and the error has the cause.
    set(0o555);
    fs::set_permissions(log.join("lock"), Permissions::from_mode(0o444)).unwrap();
    let error = DurableLog::open(&log, DurableOptions::default()).await.unwrap_err();
    let OpenError::Io { source, .. } = &error else { panic!("{error:?}") };
    assert_eq!(source.kind(), std::io::ErrorKind::PermissionDenied, "{error:?}");
    set(0o755);
}

/// Appends until the appends fail, and again after the cause is removed.
async fn scene(
    folder: &Path,
    start_failure: impl Fn(),
    has_cause: impl Fn(&AppendError) -> bool,
    end_failure: impl Fn(),
) {
    let options = || DurableOptions { write_buffer: 1 << 20, ..DurableOptions::default() };
    let log = DurableLog::open(folder.join("log"), options()).await.unwrap();
    let mut confirmed = Vec::new();
    for number in 0..20 {
        confirmed.push((log.append(vec![record(number)]).await.unwrap()[0], number));
    }
    start_failure();
    let (mut number, mut refused) = (20, 0);
    while refused < 3 {
        match log.append(vec![record(number)]).await {
            Ok(positions) => confirmed.push((positions[0], number)),
            Err(error) => {
                assert!(has_cause(&error), "{error:?}");
                refused += 1;
            }
        }
        number += 1;
        assert!(number < 10_000, "appends do not fail");
    }
    println!(
        "{} records of 64 KiB were confirmed, then {}",
        confirmed.len(),
        log.append(vec![record(number)]).await.unwrap_err()
    );
    number += 1;
    // Reads continue.
    check(&log, &confirmed).await;
    let mut tail = log.tail(Position::START);
    let mut read = Vec::new();
    while read.len() < confirmed.len() {
        read.extend(tail.next().await.unwrap().unwrap().into_iter().map(|entry| entry.position));
    }
    assert!(read.iter().eq(confirmed.iter().map(|(position, _)| position)));
    assert_eq!(log.find(&format!("urn:{}", confirmed[7].1)).await.unwrap(), Some(confirmed[7].0));

    end_failure();
    let deadline = Instant::now() + Duration::from_secs(30);
    let position = loop {
        match log.append(vec![record(number)]).await {
            Ok(positions) => break positions[0],
            Err(error) => assert!(Instant::now() < deadline, "still {error}"),
        }
        number += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    confirmed.push((position, number));
    check(&log, &confirmed).await;
    assert_eq!(tail.next().await.unwrap().unwrap()[0].position, position);
    drop(tail);
    log.close().await.unwrap();
    drop(log);
    let log = DurableLog::open(folder.join("log"), options()).await.unwrap();
    check(&log, &confirmed).await;
    log.close().await.unwrap();
}

/// Checks that the log holds the confirmed records, and no refused ones.
async fn check(log: &DurableLog, confirmed: &[(Position, u32)]) {
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
    assert_eq!(found, confirmed);
    assert_eq!(log.bounds().await.unwrap().records, confirmed.len() as u64);
}

/// A record that compression does not make smaller.
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
