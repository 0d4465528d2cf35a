//! The folder of a log on disk: its lock, its format, and the repair of damaged or unclosed logs.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use ssekit_log::{
    Durability, DurableLog, DurableOptions, IdempotencyKey, Keep, Limit, Log, OpenError, Position, Record,
    Retention,
};
use tempfile::TempDir;

async fn open(folder: &Path) -> Result<DurableLog, OpenError> {
    DurableLog::open(folder, DurableOptions::default()).await
}

fn record(body: &str) -> Record {
    Record { topics: ["topic".into()].into(), private: false, id: None, body: Bytes::from(body.to_owned()) }
}

async fn bodies(log: &DurableLog) -> Vec<String> {
    let page = log.read(Position::START, Limit { records: usize::MAX, bytes: usize::MAX }).await.unwrap();
    page.entries.iter().map(|entry| String::from_utf8(entry.record.body.to_vec()).unwrap()).collect()
}

#[tokio::test]
async fn a_second_log_in_a_folder_is_refused() {
    let folder = TempDir::new().unwrap();
    let log = open(folder.path()).await.unwrap();
    let error = open(folder.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)));
    assert!(error.to_string().contains(folder.path().to_str().unwrap()), "{error}");
    log.close().await.unwrap();
    open(folder.path()).await.unwrap();
}

#[tokio::test]
async fn a_folder_with_other_content_is_refused_and_unchanged() {
    let folder = TempDir::new().unwrap();
    open(folder.path()).await.unwrap().close().await.unwrap();
    fs::write(folder.path().join("version"), "ssekit-log 2\n").unwrap();
    let error = open(folder.path()).await.unwrap_err();
    assert!(matches!(&error, OpenError::Newer { found, known: 1, .. } if found == "2"), "{error}");

    let foreign = TempDir::new().unwrap();
    fs::write(foreign.path().join("letter"), "dear").unwrap();
    let error = open(foreign.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::Foreign(_)), "{error}");
    assert_eq!(fs::read_dir(foreign.path()).unwrap().count(), 1);

    let file = foreign.path().join("letter");
    assert!(matches!(open(&file).await.unwrap_err(), OpenError::Io { .. }));
}

#[tokio::test]
async fn a_closed_log_reopens_without_a_gap_or_a_warning() {
    let lines = LogLines::default();
    let _guard = lines.capture();
    // The log creates the folder, because it warns about one that other users can open.
    let outer = TempDir::new().unwrap();
    let folder = outer.path().join("log");
    let mut last = Position::START;
    for number in 0..3 {
        let log = open(&folder).await.unwrap();
        let next = log.append(vec![record(&number.to_string())]).await.unwrap()[0];
        assert_eq!(next.0, last.0 + 1);
        last = next;
        log.close().await.unwrap();
    }
    assert_eq!(lines.text(), "");
}

/// A copy of the files that the process would leave if it were killed now.
fn copy_of_killed_log(folder: &Path) -> TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let to = to.join(file.file_name());
            if file.file_type().unwrap().is_dir() {
                copy(&file.path(), &to)
            } else {
                _ = fs::copy(file.path(), to).unwrap()
            }
        }
    }
    let copied = TempDir::new().unwrap();
    copy(folder, copied.path());
    copied
}

/// The newest journal, and the end of its data.
fn journal(folder: &Path) -> (PathBuf, u64) {
    let files = fs::read_dir(folder.join("store")).unwrap().map(|file| file.unwrap().path());
    let path =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "jnl")).max().unwrap();
    let end = fs::read(&path).unwrap().iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
    (path, end)
}

/// A record that was confirmed before its write may be lost, but no other record gets its position.
#[tokio::test]
async fn the_position_of_a_lost_record_is_not_reused() {
    let folder = TempDir::new().unwrap();
    let options = DurableOptions {
        durability: Durability::Memory(Duration::from_secs(3600)),
        ..DurableOptions::default()
    };
    let log = DurableLog::open(folder.path(), options).await.unwrap();
    let first = log.append(vec![record("first")]).await.unwrap()[0];
    let lost = log.append(vec![record("lost")]).await.unwrap()[0];
    let copy = copy_of_killed_log(folder.path());
    let reopened = open(copy.path()).await.unwrap();
    // The first append reserves positions, so it was synced.
    assert_eq!(bodies(&reopened).await, ["first"]);
    let bounds = reopened.bounds().await.unwrap();
    assert!(
        bounds.horizons.of_all() >= lost,
        "the horizon reports the loss to readers of the first and the lost record: {bounds:?}, {first}"
    );
    assert!(reopened.append(vec![record("next")]).await.unwrap()[0] > lost);
}

/// A journal is damaged in its middle, or truncated between two writes.
///
/// It looks like the journal of a killed process, but the file `used` has a higher position.
#[tokio::test(flavor = "multi_thread")]
async fn lost_records_of_a_journal_are_reported_and_no_position_is_reused() {
    let folder = TempDir::new().unwrap();
    let options = DurableOptions { durability: Durability::Sync, ..DurableOptions::default() };
    let log = DurableLog::open(folder.path(), options).await.unwrap();
    let mut ends = vec![0];
    let mut last = Position::START;
    for number in 0..10 {
        last = log.append(vec![record(&format!("record {number}"))]).await.unwrap()[0];
        ends.push(journal(folder.path()).1);
    }
    let name = journal(folder.path()).0.file_name().unwrap().to_owned();
    type Damage = fn(&fs::File, u64, u64);
    let damages: [(&str, Damage); 4] = [
        ("flipped", |file, from, to| {
            let mut byte = [0];
            let at = from + (to - from) / 2;
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ 1], at).unwrap();
        }),
        ("zeroed", |file, from, to| file.write_all_at(&vec![0; (to - from) as usize], from).unwrap()),
        ("truncated between two writes", |file, from, _| file.set_len(from).unwrap()),
        ("truncated in a write", |file, from, to| file.set_len(from + (to - from) / 2).unwrap()),
    ];
    for (name_of_damage, damage) in damages {
        for intact in [1, 5, 9] {
            let damaged = copy_of_killed_log(folder.path());
            let path = damaged.path().join("store").join(&name);
            damage(
                &OpenOptions::new().read(true).write(true).open(path).unwrap(),
                ends[intact],
                ends[intact + 1],
            );
            let lines = LogLines::default();
            let _guard = lines.capture();
            let log = open(damaged.path()).await.unwrap();
            assert!(lines.text().contains("ERROR"), "{name_of_damage} {intact}: {}", lines.text());
            let expected: Vec<_> = (0..intact).map(|number| format!("record {number}")).collect();
            assert_eq!(bodies(&log).await, expected, "{name_of_damage}");
            let horizon = log.bounds().await.unwrap().horizons.of_all();
            assert!(horizon >= last, "{name_of_damage} {intact}: older ids lie before the horizon");
            assert!(log.append(vec![record("next")]).await.unwrap()[0] > horizon, "{name_of_damage}");
            log.close().await.unwrap();
            // The next start reports nothing.
            let lines = LogLines::default();
            let _guard = lines.capture();
            open(damaged.path()).await.unwrap();
            assert_eq!(lines.text(), "", "{name_of_damage}");
        }
    }
}

/// A start was killed after it had truncated a damaged journal, and before the store recorded the loss.
#[tokio::test]
async fn damage_is_reported_even_if_the_start_that_found_it_was_killed() {
    let folder = TempDir::new().unwrap();
    let log = open(folder.path()).await.unwrap();
    let last = log.append(vec![record("one")]).await.unwrap()[0];
    log.close().await.unwrap();
    drop(log);
    fs::write(folder.path().join("damaged"), "").unwrap();
    let log = open(folder.path()).await.unwrap();
    let horizon = log.bounds().await.unwrap().horizons.of_all();
    assert!(horizon >= last, "{horizon}");
    assert_eq!(bodies(&log).await, ["one"]);
    log.close().await.unwrap();
    drop(log);
    // The next start does not report it again.
    assert!(!folder.path().join("damaged").exists());
    let log = open(folder.path()).await.unwrap();
    assert_eq!(log.bounds().await.unwrap().horizons.of_all(), horizon);
}

#[tokio::test]
async fn no_position_is_reused_without_the_file_of_the_last_position() {
    let folder = TempDir::new().unwrap();
    let log = open(folder.path()).await.unwrap();
    let last = log.append(vec![record("one")]).await.unwrap()[0];
    log.close().await.unwrap();
    drop(log);
    for damage in [&[][..], &[1; 32], &[0; 8192]] {
        fs::write(folder.path().join("used"), damage).unwrap();
        let log = open(folder.path()).await.unwrap();
        assert_eq!(bodies(&log).await, ["one"]);
        assert!(log.bounds().await.unwrap().horizons.of_all() > last);
        log.close().await.unwrap();
    }
    // One valid copy in the file is sufficient.
    let log = open(folder.path()).await.unwrap();
    let last = log.append(vec![record("two")]).await.unwrap()[0];
    log.close().await.unwrap();
    drop(log);
    let used = folder.path().join("used");
    let intact = fs::read(&used).unwrap();
    let mut horizons = Vec::new();
    for at in [0, 4096] {
        let mut damaged = intact.clone();
        damaged[at] ^= 1;
        fs::write(&used, damaged).unwrap();
        let log = open(folder.path()).await.unwrap();
        let bounds = log.bounds().await.unwrap();
        assert!(bounds.last >= last);
        horizons.push(bounds.horizons.of_all());
        log.close().await.unwrap();
    }
    assert!(horizons.iter().all(|horizon| *horizon < last), "{horizons:?}");
}

/// A table is damaged: reads return the readable records, and report the others as missing.
#[tokio::test(flavor = "multi_thread")]
async fn damaged_records_are_skipped_and_reported() {
    let folder = TempDir::new().unwrap();
    let log = open(folder.path()).await.unwrap();
    let positions = log
        .append((0..3000).map(|number| record(&format!("{number} {}", "x".repeat(500)))).collect())
        .await
        .unwrap();
    log.close().await.unwrap();
    drop(log);
    let table = largest(&folder.path().join("store/keyspaces"));
    let file = OpenOptions::new().read(true).write(true).open(&table).unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[byte[0] ^ 1], middle).unwrap();

    let log = open(folder.path()).await.unwrap();
    for _ in 0..2 {
        let (mut after, mut found, mut missed) = (Position::START, 0, 0);
        loop {
            let page = log.read(after, Limit { records: 100, bytes: 1 << 20 }).await.unwrap();
            found += page.entries.len();
            missed += usize::from(page.horizons.of_all() > after);
            after = page.through;
            if page.end {
                break;
            }
        }
        assert!(
            (1500..3000).contains(&found) && missed == 1,
            "{found} records found, {missed} losses reported"
        );
        assert_eq!(after, positions[2999]);
    }
    assert!(log.health().await.unwrap_err().to_string().contains("damaged"));
    let next = log.append(vec![record("next")]).await.unwrap()[0];
    assert_eq!(
        log.read(positions[2999], Limit { records: 1, bytes: 1 }).await.unwrap().entries[0].position,
        next
    );
}

/// The log opens in spite of a damaged row of idempotency keys: it forgets only these keys, and warns.
#[tokio::test]
async fn a_damaged_row_of_idempotency_keys_is_skipped() {
    let folder = TempDir::new().unwrap();
    let log = open(folder.path()).await.unwrap();
    let key = |number| IdempotencyKey { hash: [number; 16], publisher: [0; 8], content: [0; 16] };
    let mut positions = Vec::new();
    for number in 0..3 {
        let appended = log.append_with_key(Some(key(number)), vec![record("keyed")]).await.unwrap();
        positions.push(appended.positions[0]);
    }
    log.close().await.unwrap();
    drop(log);
    let row = [b"keys".as_slice(), &positions[1].0.to_be_bytes()].concat();
    change_rows(&folder.path().join("store"), &[(&row, b"damaged"), (b"keys", b"no position")]);

    let lines = LogLines::default();
    let _guard = lines.capture();
    let log = open(folder.path()).await.unwrap();
    let text = lines.text();
    assert_eq!(text.matches("WARN").count(), 2, "{text}");
    let store = folder.path().join("store").canonicalize().unwrap();
    assert!(text.contains(store.to_str().unwrap()) && text.contains("keys\\x00\\x00"), "{text}");
    for number in 0..3 {
        let repeated = log.append_with_key(Some(key(number)), vec![record("keyed")]).await.unwrap();
        assert_eq!(repeated.repeated, number != 1, "key {number}");
    }
}

/// Writes rows into the store's keyspace `meta`.
fn change_rows(store: &Path, rows: &[(&[u8], &[u8])]) {
    let database = fjall::Database::builder(store).open().unwrap();
    let meta = database.keyspace("meta", fjall::KeyspaceCreateOptions::default).unwrap();
    rows.iter().for_each(|(key, value)| meta.insert(*key, *value).unwrap());
    database.persist(fjall::PersistMode::SyncAll).unwrap();
}

/// The largest file in a folder.
fn largest(folder: &Path) -> PathBuf {
    fn files(folder: &Path, found: &mut Vec<(u64, PathBuf)>) {
        for file in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if file.file_type().unwrap().is_dir() {
                files(&file.path(), found);
            } else {
                found.push((file.metadata().unwrap().len(), file.path()));
            }
        }
    }
    let mut found = Vec::new();
    files(folder, &mut found);
    found.into_iter().max().unwrap().1
}

#[tokio::test]
async fn only_its_owner_can_open_the_folder() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("new");
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    open(&path).await.unwrap().close().await.unwrap();
    assert_eq!(mode(), 0o700);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    open(&path).await.unwrap().close().await.unwrap();
    assert_eq!(mode(), 0o700);
}

/// Damages the end of a journal with three records, as a loss of power during the last write does.
#[test]
fn a_torn_tail_is_truncated_and_reported() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _runtime = runtime.enter();
    let folder = TempDir::new().unwrap();
    let (_log, second, last) = runtime.block_on(async {
        let options = DurableOptions { durability: Durability::Sync, ..DurableOptions::default() };
        let log = DurableLog::open(folder.path(), options).await.unwrap();
        for body in ["one", "two"] {
            log.append(vec![record(body)]).await.unwrap();
        }
        let second = journal(folder.path()).1;
        let last = log.append(vec![record(&"three ".repeat(30))]).await.unwrap()[0];
        (log, second, last)
    });
    let (path, end) = journal(folder.path());
    let name = path.file_name().unwrap().to_owned();
    let last_write = fs::read(&path).unwrap()[second as usize..end as usize].to_vec();

    let check = |damage: &dyn Fn(&fs::File), torn: bool, count: usize| {
        let damaged = copy_of_killed_log(folder.path());
        let path = damaged.path().join("store").join(&name);
        damage(&OpenOptions::new().write(true).open(&path).unwrap());
        let lines = LogLines::default();
        let _guard = lines.capture();
        runtime.block_on(async {
            let log = DurableLog::open(damaged.path(), DurableOptions::default()).await.unwrap();
            let found = bodies(&log).await;
            assert_eq!(found.len(), count, "{found:?}");
            assert_eq!(found[..2], ["one", "two"]);
            let next = log.append(vec![record("next")]).await.unwrap()[0];
            assert!(next > last, "position {next} may have been confirmed before");
            log.close().await.unwrap();
            let log = open(damaged.path()).await.unwrap();
            assert_eq!(bodies(&log).await, [found, vec!["next".to_owned()]].concat());
        });
        let text = lines.text();
        assert!(
            (text.contains("was not closed") || text.contains("confirmed updates are lost"))
                && text.contains(damaged.path().to_str().unwrap()),
            "{text}"
        );
        assert_eq!(!text.contains(" 0 bytes of an unfinished write"), torn, "{text}");
        assert_eq!(damaged.path().join("torn").exists(), torn);
    };
    check(&|_| (), false, 3);
    let write = |bytes: Vec<u8>, at: u64| move |file: &fs::File| file.write_all_at(&bytes, at).unwrap();
    // A write with a wrong checksum; half a write; lengths beyond the end of the file.
    let wrong_sum: Vec<u8> = last_write
        .iter()
        .enumerate()
        .map(|(at, byte)| if at == last_write.len() - 6 { !byte } else { *byte })
        .collect();
    check(&write(wrong_sum, end), true, 3);
    check(&write(last_write[..last_write.len() / 2].to_vec(), end), true, 3);
    check(&write(last_write[..13].to_vec(), end), true, 3);
    check(&write([&last_write[..13], &[2, 0, 0], &[0; 8], &[0xff; 10]].concat(), end), true, 3);
    check(&write(vec![3; 4096], end), true, 3);
    // A page in the middle of the last write did not reach the disk, but the end of the write did.
    check(&write(vec![0; 64], second + 40), true, 2);
    let mut runner = TestRunner::deterministic();
    let cuts = (second + 1..end, prop::collection::vec(1u8.., 0..200));
    for _ in 0..16 {
        use proptest::strategy::ValueTree;
        let (at, garbage) = cuts.new_tree(&mut runner).unwrap().current();
        check(
            &|file| {
                file.set_len(at).unwrap();
                file.write_all_at(&garbage, at).unwrap()
            },
            true,
            2,
        );
    }
}

/// Merges of tables remove the ids of dropped records, so that the store does not grow.
#[tokio::test]
async fn ids_of_dropped_records_are_removed() {
    let folder = TempDir::new().unwrap();
    let retention = Retention::of_everything(Keep { records: Some(20_000), ..Keep::ALL }).unwrap();
    let options = DurableOptions { write_buffer: 1 << 20, retention, ..DurableOptions::default() };
    let log = DurableLog::open(folder.path(), options).await.unwrap();
    for batch in 0..IDS / 1000 {
        let id = |number| Some(format!("urn:{}", 1000 * batch + number).into());
        let records = (0..1000).map(|number| Record { id: id(number), ..record("") }).collect();
        log.append(records).await.unwrap();
    }
    log.close().await.unwrap();
    drop(log);
    // The keys and values of all ids alone would take this size.
    let size = size(&folder.path().join("store/keyspaces"));
    assert!(size < IDS * 26, "{size} bytes");

    const IDS: u64 = 300_000;
}

/// The size of all files in a folder.
fn size(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let sizes = files.map(|file| {
        let data = file.metadata().unwrap();
        if data.is_dir() { size(&file.path()) } else { data.len() }
    });
    sizes.sum()
}

/// The lines that `tracing` logs on the test's thread while the log is opened.
#[derive(Clone, Default)]
struct LogLines(Arc<Mutex<Vec<u8>>>);

impl LogLines {
    fn capture(&self) -> tracing::dispatcher::DefaultGuard {
        // Without a subscriber for all threads, a thread of another test may be the first to reach a log
        // statement, and `tracing` then caches that no subscriber wants it.
        static ALL_THREADS: Once = Once::new();
        ALL_THREADS.call_once(|| {
            let discard = tracing_subscriber::fmt().with_writer(std::io::sink).finish();
            tracing::subscriber::set_global_default(discard).expect("no other global subscriber is set");
        });
        let lines = self.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || lines.clone()).finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for LogLines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
