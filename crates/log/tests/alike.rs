//! Equivalence of the logs: after random appends, restarts and kills, disk and memory hold the same records.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use proptest::prelude::*;
use ssekit_log::{
    AppendError, Bounds, Clock, DurableLog, DurableOptions, Entry, Horizons, IdempotencyKey, Keep, Limit,
    Log, MemoryLog, Position, Record, Retention, Rule,
};
use tempfile::TempDir;

/// An operation on both logs.
#[derive(Clone, Debug)]
enum Step {
    /// The topic, size and id of each record.
    Append(Vec<(u8, usize, Option<u8>)>),
    /// An append with an idempotency key and one of two contents.
    AppendOnce((u8, u8), Vec<(u8, usize, Option<u8>)>),
    /// The clock advances by this number of seconds.
    Pass(u64),
    /// The log on disk is closed and opened again.
    Close,
    /// The log on disk is opened again from the files that a killed process leaves.
    Kill,
}

fn step(largest: usize) -> impl Strategy<Value = Step> {
    let record = (0u8..6, 0..largest, prop::option::weighted(0.4, 0u8..30));
    prop_oneof![
        12 => prop::collection::vec(record.clone(), 1..60).prop_map(Step::Append),
        6 => ((0u8..6, 0u8..2), prop::collection::vec(record, 1..60))
            .prop_map(|(key, batch)| Step::AppendOnce(key, batch)),
        2 => (1u64..5).prop_map(Step::Pass),
        1 => Just(Step::Close),
        1 => Just(Step::Kill),
    ]
}

fn keep() -> impl Strategy<Value = Keep> {
    let of_all = (
        prop::option::of(1u64..150),
        prop::option::of(1u64..100_000),
        prop::option::of((1u64..10).prop_map(Duration::from_secs)),
    )
        .prop_map(|(records, bytes, age)| Keep { records, bytes, age, last_per_topic: None });
    let of_topics = (prop::option::of(1u64..6), 1usize..4).prop_map(|(records, last)| Keep {
        records,
        last_per_topic: Some(last),
        ..Keep::ALL
    });
    prop_oneof![3 => of_all, 1 => of_topics, 1 => Just(Keep::ALL)]
}

fn retention(keeps: &[Keep]) -> Retention {
    let of = |number: &'static str| move |topic: &str| topic.ends_with(number);
    let rules = vec![Rule::new("zero", of("0"), keeps[0]), Rule::new("one", of("1"), keeps[1])];
    Retention::new(rules, keeps[2]).unwrap()
}

fn records(batch: &[(u8, usize, Option<u8>)]) -> Vec<Record> {
    let record = |(topic, size, id): &(u8, usize, Option<u8>)| Record {
        topics: [format!("topic {topic}").into()].into(),
        private: size % 2 == 0,
        id: id.map(|id| format!("urn:{id}").into()),
        body: Bytes::from(vec![*topic; *size]),
    };
    batch.iter().map(record).collect()
}

/// Both logs.
struct Logs {
    memory: MemoryLog,
    disk: DurableLog,
    folder: TempDir,
    options: DurableOptions,
    /// Positions on disk and in memory. They differ because the log on disk skips positions after a kill.
    positions: HashMap<Position, Position>,
}

impl Logs {
    async fn new(keeps: &[Keep], clock: Clock, write_buffer: u64) -> Self {
        let retention = retention(keeps);
        let folder = TempDir::new().unwrap();
        let options = DurableOptions {
            retention: retention.clone(),
            clock: clock.clone(),
            write_buffer,
            ..DurableOptions::default()
        };
        Self {
            memory: MemoryLog::with_clock(retention, clock).unwrap(),
            disk: DurableLog::open(folder.path(), options.clone()).await.unwrap(),
            folder,
            options,
            positions: HashMap::from([(Position::START, Position::START)]),
        }
    }

    async fn append(&mut self, records: Vec<Record>) {
        let disk = self.disk.append(records.clone()).await.unwrap();
        let memory = self.memory.append(records).await.unwrap();
        self.positions.extend(disk.into_iter().zip(memory));
    }

    async fn append_once(&mut self, (key, content): (u8, u8), records: Vec<Record>) {
        let key = IdempotencyKey { hash: [key; 16], publisher: [0; 8], content: [content; 16] };
        let disk = self.disk.append_with_key(Some(key), records.clone()).await;
        let memory = self.memory.append_with_key(Some(key), records).await;
        match (disk, memory) {
            (Ok(disk), Ok(memory)) => {
                assert_eq!(disk.repeated, memory.repeated);
                if !disk.repeated {
                    self.positions
                        .extend(disk.positions.iter().copied().zip(memory.positions.iter().copied()));
                }
                assert!(disk.positions.iter().map(|position| self.positions[position]).eq(memory.positions));
            }
            (Err(AppendError::KeyReused), Err(AppendError::KeyReused)) => {}
            (disk, memory) => panic!("{disk:?} on disk, {memory:?} in memory"),
        }
    }

    async fn close(&mut self) {
        self.disk.close().await.unwrap();
        self.disk = DurableLog::open(self.folder.path(), self.options.clone()).await.unwrap();
    }

    async fn kill(&mut self) {
        let copy = copy_of_killed_log(self.folder.path());
        self.disk = DurableLog::open(copy.path(), self.options.clone()).await.unwrap();
        self.folder = copy;
    }

    fn in_memory(&self, entry: Entry) -> Entry {
        Entry { position: self.positions[&entry.position], ..entry }
    }

    /// Compares the results of all reads.
    async fn check(&self, limit: Limit) {
        let all = Limit { records: usize::MAX, bytes: usize::MAX };
        let expected = self.memory.read(Position::START, all).await.unwrap();
        let mut read = Vec::new();
        let mut after = Position::START;
        loop {
            let page = self.disk.read(after, limit).await.unwrap();
            self.check_horizons(&page.horizons, &expected.horizons);
            read.extend(page.entries.into_iter().map(|entry| self.in_memory(entry)));
            after = page.through;
            if page.end {
                break;
            }
        }
        assert_eq!(read, expected.entries);
        for id in 0..30 {
            let id = format!("urn:{id}");
            let found = self.disk.find(&id).await.unwrap().map(|position| self.positions[&position]);
            assert_eq!(found, self.memory.find(&id).await.unwrap(), "{id}");
        }
        let Bounds { horizons, last, records, bytes } = self.disk.bounds().await.unwrap();
        let expected = self.memory.bounds().await.unwrap();
        self.check_horizons(&horizons, &expected.horizons);
        let last = self.positions[&last];
        assert_eq!((last, records, bytes), (expected.last, expected.records, expected.bytes));
    }

    fn check_horizons(&self, disk: &Horizons, memory: &Horizons) {
        for topic in 0..6 {
            let rules = self.memory.retention().rules_of(&format!("topic {topic}"));
            assert_eq!(self.positions[&disk.of(rules)], memory.of(rules), "of topic {topic}");
        }
    }
}

/// A copy of the files that a killed process leaves, taken while the store writes no tables.
fn copy_of_killed_log(folder: &Path) -> TempDir {
    fn files(folder: &Path) -> Vec<(std::path::PathBuf, u64)> {
        let mut found = Vec::new();
        for file in fs::read_dir(folder).into_iter().flatten().flatten() {
            if file.file_type().is_ok_and(|kind| kind.is_dir()) {
                found.extend(files(&file.path()));
            } else {
                found.push((file.path(), file.metadata().map_or(0, |data| data.len())));
            }
        }
        found.sort();
        found
    }
    for _ in 0..1000 {
        let copy = TempDir::new().unwrap();
        let before = files(folder);
        let copied = before.iter().all(|(path, size)| {
            let to = copy.path().join(path.strip_prefix(folder).unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(path, to).is_ok_and(|copied| copied == *size)
        });
        if copied && files(folder) == before {
            return copy;
        }
    }
    panic!("the files of {} do not stop changing", folder.display());
}

fn run(keeps: &[Keep], steps: &[Step], write_buffer: u64, limit: Limit) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let now = Arc::new(AtomicU64::new(1_800_000_000));
    let clock = {
        let now = Arc::clone(&now);
        Clock::new(move || SystemTime::UNIX_EPOCH + Duration::from_secs(now.load(Ordering::SeqCst)))
    };
    runtime.block_on(async {
        let mut logs = Logs::new(keeps, clock, write_buffer).await;
        for step in steps {
            match step {
                Step::Append(batch) => logs.append(records(batch)).await,
                Step::AppendOnce(key, batch) => logs.append_once(*key, records(batch)).await,
                Step::Pass(seconds) => {
                    now.fetch_add(*seconds, Ordering::SeqCst);
                    // Each log drops expired records at its next append at the latest.
                    logs.append(records(&[(0, 1, None), (1, 1, None), (2, 1, None)])).await;
                }
                Step::Close => logs.close().await,
                Step::Kill => logs.kill().await,
            }
            logs.check(limit).await;
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn both_logs_hold_the_same_small_records(
        keeps in prop::collection::vec(keep(), 3),
        steps in prop::collection::vec(step(300), 1..12),
        limit in 1usize..100,
    ) {
        run(&keeps, &steps, 16 << 20, Limit { records: limit, bytes: usize::MAX });
    }

    /// The records fill groups, ids and records go into tables, and tables are merged.
    #[test]
    fn both_logs_hold_the_same_large_records(
        keeps in prop::collection::vec(keep(), 3),
        steps in prop::collection::vec(step(20_000), 8..20),
        limit in 1usize..2_000_000,
    ) {
        run(&keeps, &steps, 1, Limit { records: usize::MAX, bytes: limit });
    }
}
