//! A process that appends is killed, again and again: what it was answered is there, once and in order, and nothing of what it was not
//! answered is there in part.
//!
//! `SSEKIT_KILL_CYCLES` says how often, 10 times unless set.

#![expect(clippy::print_stdout, reason = "says how often it was killed, and what was looked for")]

use std::collections::{HashMap, HashSet};
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ssekit_log::{
    Durability, DurableLog, DurableOptions, Keep, Limit, Log, Position, Record, Retention, Rule,
};
use tempfile::TempDir;

fn main() {
    let arguments: Vec<_> = env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match arguments.get(1).map(String::as_str) {
        Some("append") => runtime.block_on(append(&arguments[2], arguments[3].parse().unwrap())),
        // What `cargo test` itself asks of every test.
        Some("--list") => println!("an_answered_record_survives: test"),
        _ => runtime.block_on(cycles()),
    }
}

async fn cycles() {
    let cycles: u32 = env::var("SSEKIT_KILL_CYCLES")
        .map_or(10, |cycles| cycles.parse().expect("SSEKIT_KILL_CYCLES is a number"));
    let folder = TempDir::new().unwrap();
    let mut witness = Witness::default();
    for cycle in 0..cycles {
        kill(folder.path(), cycle, &mut witness);
        // Now and then twice in a row, without anybody between who closes the log.
        if cycle % 3 != 0 || cycle + 1 == cycles {
            witness.check(folder.path(), cycle % 25 == 1 || cycle + 1 == cycles).await;
        }
    }
    println!(
        "{cycles} times killed; all of {} answered appends are there, {} records",
        witness.answers, witness.read
    );
    assert!(witness.answers > 0);
}

/// Lets a process append, and kills it at a time of its own.
fn kill(folder: &Path, cycle: u32, witness: &mut Witness) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["append".as_ref(), folder.as_os_str(), cycle.to_string().as_ref()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap())
        .split(b'\n')
        .map(|line| String::from_utf8(line.unwrap()).unwrap());
    let patience = fastrand::usize(1..4000);
    for line in answers.by_ref().take(patience) {
        witness.answered(&line);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // The last line may be cut: a whole one ends with its count of characters.
    for line in answers {
        witness.answered(&line);
    }
}

/// The process that is killed: 64 tasks append, and tell each answer in a line.
async fn append(folder: &str, cycle: u32) {
    let durability =
        if cycle % 4 == 3 { Durability::Sync } else { Durability::Periodic(Duration::from_millis(20)) };
    // Small, so that what happens seldom happens often: tables are written and merged.
    let options = DurableOptions {
        durability,
        retention: retention(),
        write_buffer: 1 << 20,
        ..DurableOptions::default()
    };
    let log = Arc::new(DurableLog::open(folder, options).await.unwrap());
    let tasks: Vec<_> = (0..64)
        .map(|appender| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                for number in 0.. {
                    let count = fastrand::usize(1..5);
                    let records =
                        (0..count).map(|part| record(cycle, appender, number, part, count)).collect();
                    let positions = log.append(records).await.unwrap();
                    let places: Vec<_> = positions.iter().map(Position::to_string).collect();
                    let line = format!("{cycle}/{appender}/{number} {}", places.join(" "));
                    // In one write: what others print comes before or behind.
                    let line = format!("{line} {}\n", line.len());
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

fn retention() -> Retention {
    let prices = Rule::new(
        "prices",
        |topic| topic.starts_with("price"),
        Keep { last_per_topic: Some(2), ..Keep::ALL },
    );
    Retention::new(vec![prices], Keep::ALL).unwrap()
}

/// The last of each batch is about a price now and then, which newer ones replace.
fn record(cycle: u32, appender: u32, number: u32, part: usize, count: usize) -> Record {
    let name = format!("{cycle}/{appender}/{number}/{part}/{count}");
    let price = part + 1 == count && number.is_multiple_of(8);
    let topic = if price { format!("price {}", appender % 4) } else { format!("topic {appender}") };
    let id = (number.is_multiple_of(3)).then(|| format!("urn:{name}").into());
    let body = format!("{name} {}", "x".repeat(fastrand::usize(0..600)));
    Record { topics: [topic.into_boxed_str()].into(), private: false, id, body: Bytes::from(body) }
}

/// What is known of the log from outside.
#[derive(Default)]
struct Witness {
    /// What was answered and has not been looked for: a batch, and where its records are.
    waiting: HashMap<String, Vec<u64>>,
    answers: u64,
    /// Everything up to here has been looked at.
    through: Position,
    /// The names of all records that have been seen.
    seen: HashSet<String>,
    read: u64,
    /// The highest position that anybody was ever told.
    told: u64,
}

impl Witness {
    fn answered(&mut self, line: &str) {
        let Some((line, length)) = line.rsplit_once(' ') else { return };
        if length.parse() != Ok(line.len()) {
            return;
        }
        let mut words = line.split(' ');
        let batch = words.next().unwrap().to_owned();
        let places: Vec<u64> = words.map(|place| place.parse().unwrap()).collect();
        assert!(places[0] > self.through.0, "position {} was used before", places[0]);
        self.told = self.told.max(*places.last().unwrap());
        self.answers += 1;
        assert!(self.waiting.insert(batch, places).is_none());
    }

    async fn check(&mut self, folder: &Path, everything: bool) {
        let options = DurableOptions { retention: retention(), ..DurableOptions::default() };
        let log = DurableLog::open(folder, options).await.unwrap();
        let mut parts: HashMap<String, Vec<(u64, usize, usize)>> = HashMap::new();
        let mut last: HashMap<String, u32> = HashMap::new();
        let mut after = self.through;
        loop {
            let page = log.read(after, Limit { records: 4096, bytes: 1 << 24 }).await.unwrap();
            for entry in page.entries {
                assert!(entry.position > after);
                after = entry.position;
                self.read += 1;
                let body = std::str::from_utf8(&entry.record.body).unwrap();
                let name = body.split(' ').next().unwrap().to_owned();
                if let Some(id) = &entry.record.id {
                    assert_eq!(&**id, format!("urn:{name}"));
                    if self.read.is_multiple_of(8) {
                        assert_eq!(log.find(id).await.unwrap(), Some(entry.position));
                    }
                }
                let fields: Vec<_> = name.split('/').collect();
                let [cycle, appender, number, part, count] = fields[..] else { panic!("{name}") };
                let number: u32 = number.parse().unwrap();
                let before = last.insert(format!("{cycle}/{appender}"), number);
                assert!(before.is_none_or(|before| before <= number), "{name} after {before:?}");
                let batch = parts.entry(format!("{cycle}/{appender}/{number}")).or_default();
                batch.push((entry.position.0, part.parse().unwrap(), count.parse().unwrap()));
                assert!(self.seen.insert(name), "a record twice");
            }
            after = page.through;
            if page.end {
                break;
            }
        }
        for (batch, parts) in &parts {
            let (first, _, count) = parts[0];
            // A price that a newer one has replaced may be gone.
            let whole = parts.iter().map(|(_, part, _)| *part).eq(0..count)
                || parts.len() == count - 1
                    && batch.rsplit('/').next().unwrap().parse::<u32>().unwrap() % 8 == 0;
            assert!(whole, "{batch} is there in part: {parts:?}");
            if let Some(places) = self.waiting.remove(batch) {
                assert_eq!(places.len(), count);
                assert!(parts.iter().all(|(position, part, _)| places[*part] == *position));
            } else {
                assert!(first > self.through.0);
            }
        }
        // What is left was one record about a price.
        for (batch, places) in std::mem::take(&mut self.waiting) {
            let number: u32 = batch.rsplit('/').next().unwrap().parse().unwrap();
            assert!(places.len() == 1 && number.is_multiple_of(8), "{batch} was answered, and is not there");
        }
        assert!(after.0 >= self.told, "the log ends before what was told");
        self.through = after;
        if everything {
            let (mut records, mut bytes, mut prices) = (0, 0, HashMap::<_, u32>::new());
            let mut after = Position::START;
            loop {
                let page = log.read(after, Limit { records: 4096, bytes: 1 << 24 }).await.unwrap();
                for entry in &page.entries {
                    records += 1;
                    bytes += entry.record.size() as u64;
                    let topic = &entry.record.topics[0];
                    if topic.starts_with("price") {
                        *prices.entry(topic.clone()).or_default() += 1;
                    }
                }
                after = page.through;
                if page.end {
                    break;
                }
            }
            let bounds = log.bounds().await.unwrap();
            assert_eq!((bounds.records, bounds.bytes, bounds.horizon), (records, bytes, Position::START));
            assert!(prices.values().all(|count| *count <= 2), "{prices:?}");
        }
        log.close().await.unwrap();
    }
}
