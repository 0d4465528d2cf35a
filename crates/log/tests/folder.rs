//! A folder is one log's, of a version that is known, and is put in order when it was not left so.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use ssekit_log::{
    Durability, DurableLog, DurableOptions, Keep, Limit, Log, OpenError, Position, Record, Retention,
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
async fn a_folder_is_one_logs() {
    let folder = TempDir::new().unwrap();
    let log = open(folder.path()).await.unwrap();
    let error = open(folder.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)));
    assert!(error.to_string().contains(folder.path().to_str().unwrap()), "{error}");
    log.close().await.unwrap();
    open(folder.path()).await.unwrap();
}

#[tokio::test]
async fn a_folder_of_another_version_or_purpose_is_left_alone() {
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
async fn a_log_that_was_closed_goes_on_without_a_gap_or_a_word() {
    let told = Told::default();
    let _told = told.listen();
    let folder = TempDir::new().unwrap();
    let mut last = Position::START;
    for number in 0..3 {
        let log = open(folder.path()).await.unwrap();
        let next = log.append(vec![record(&number.to_string())]).await.unwrap()[0];
        assert_eq!(next.0, last.0 + 1);
        last = next;
        log.close().await.unwrap();
    }
    assert_eq!(told.text(), "");
}

/// What a process leaves that was killed now: what it has written, and nothing else.
fn left_by_a_killed_process(folder: &Path) -> TempDir {
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

/// The newest journal, and where it ends.
fn journal(folder: &Path) -> (PathBuf, u64) {
    let files = fs::read_dir(folder.join("store")).unwrap().map(|file| file.unwrap().path());
    let path =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "jnl")).max().unwrap();
    let end = fs::read(&path).unwrap().iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
    (path, end)
}

/// What was answered before it was written may be lost, but its place is not given to another.
#[tokio::test]
async fn a_place_is_not_used_twice_though_its_record_is_lost() {
    let folder = TempDir::new().unwrap();
    let options = DurableOptions {
        durability: Durability::Memory(Duration::from_secs(3600)),
        ..DurableOptions::default()
    };
    let log = DurableLog::open(folder.path(), options).await.unwrap();
    let first = log.append(vec![record("first")]).await.unwrap()[0];
    let lost = log.append(vec![record("lost")]).await.unwrap()[0];
    let left = left_by_a_killed_process(folder.path());
    let again = open(left.path()).await.unwrap();
    // The first reserves places, and so is on the disk.
    assert_eq!(bodies(&again).await, ["first"]);
    assert_eq!(again.bounds().await.unwrap().last, first);
    assert!(again.append(vec![record("next")]).await.unwrap()[0] > lost);
}

/// Damages the end of a journal of three records, the last of which was being written when the power went, and opens it.
#[test]
fn a_torn_end_is_repaired_and_told() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _runtime = runtime.enter();
    let folder = TempDir::new().unwrap();
    let (_log, whole, last) = runtime.block_on(async {
        let options = DurableOptions { durability: Durability::Sync, ..DurableOptions::default() };
        let log = DurableLog::open(folder.path(), options).await.unwrap();
        for body in ["one", "two"] {
            log.append(vec![record(body)]).await.unwrap();
        }
        let whole = journal(folder.path()).1;
        let last = log.append(vec![record(&"three ".repeat(30))]).await.unwrap()[0];
        (log, whole, last)
    });
    let (path, end) = journal(folder.path());
    let name = path.file_name().unwrap().to_owned();
    let of_write = fs::read(&path).unwrap()[whole as usize..end as usize].to_vec();

    let check = |damage: &dyn Fn(&fs::File), torn: bool, kept: usize| {
        let damaged = left_by_a_killed_process(folder.path());
        let path = damaged.path().join("store").join(&name);
        damage(&OpenOptions::new().write(true).open(&path).unwrap());
        let told = Told::default();
        let _told = told.listen();
        runtime.block_on(async {
            let log = DurableLog::open(damaged.path(), DurableOptions::default()).await.unwrap();
            let found = bodies(&log).await;
            assert_eq!(found.len(), kept, "{found:?}");
            assert_eq!(found[..2], ["one", "two"]);
            let next = log.append(vec![record("next")]).await.unwrap()[0];
            assert!(next > last, "{next} may have been told before");
            log.close().await.unwrap();
            let log = open(damaged.path()).await.unwrap();
            assert_eq!(bodies(&log).await, [found, vec!["next".to_owned()]].concat());
        });
        let told = told.text();
        assert!(told.contains("was not closed") && told.contains(damaged.path().to_str().unwrap()), "{told}");
        assert_eq!(!told.contains(" 0 bytes of an unfinished write"), torn, "{told}");
        assert_eq!(damaged.path().join("torn").exists(), torn);
    };
    check(&|_| (), false, 3);
    let write = |bytes: Vec<u8>, at: u64| move |file: &fs::File| file.write_all_at(&bytes, at).unwrap();
    // A write that looks whole, with another sum; half a one; lengths that promise too much.
    let wrong_sum: Vec<u8> = of_write
        .iter()
        .enumerate()
        .map(|(at, byte)| if at == of_write.len() - 6 { !byte } else { *byte })
        .collect();
    check(&write(wrong_sum, end), true, 3);
    check(&write(of_write[..of_write.len() / 2].to_vec(), end), true, 3);
    check(&write(of_write[..13].to_vec(), end), true, 3);
    check(&write([&of_write[..13], &[2, 0, 0], &[0; 8], &[0xff; 10]].concat(), end), true, 3);
    check(&write(vec![3; 4096], end), true, 3);
    // A page in the midst of the last write that never reached the disk, and the file's end after it.
    check(&write(vec![0; 64], whole + 40), true, 2);
    let mut runner = TestRunner::deterministic();
    let cuts = (whole + 1..end, prop::collection::vec(1u8.., 0..200));
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

/// Ids whose records have been let go are let go, too, though nobody takes each of them away.
#[tokio::test]
async fn ids_of_what_is_gone_do_not_stay() {
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
    // The places of all ids alone would take that.
    let size = size(&folder.path().join("store/keyspaces"));
    assert!(size < IDS * 26, "{size} bytes");

    const IDS: u64 = 300_000;
}

fn size(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let sizes = files.map(|file| {
        let data = file.metadata().unwrap();
        if data.is_dir() { size(&file.path()) } else { data.len() }
    });
    sizes.sum()
}

/// What is told by `tracing` on this thread and by those of the runtime.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<u8>>>);

impl Told {
    fn listen(&self) -> tracing::dispatcher::DefaultGuard {
        let told = self.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || told.clone()).finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Told {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
