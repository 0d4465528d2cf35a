//! A process that appends is killed, again and again. Answered appends are there, once and in order, and no
//! append that was not answered is there in part.
//!
//! Then the same with damage between: bytes of its files are flipped, zeroed or cut off. No record is read
//! that was not appended, no position is used twice, and a reader after any position learns of missing
//! records behind it.
//!
//! `SSEKIT_KILL_CYCLES` sets the number of kills, 10 by default.

#![expect(clippy::print_stdout, reason = "says how often it was killed, and what was looked for")]

use std::collections::{HashMap, HashSet};
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ssekit_log::{
    Durability, DurableLog, DurableOptions, IdempotencyKey, Keep, Limit, Log, Position, Record, Retention,
    Rule,
};
use tempfile::TempDir;

fn main() {
    let arguments: Vec<_> = env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match arguments.get(1).map(String::as_str) {
        Some("append") => runtime.block_on(append(&arguments[2], arguments[3].parse().unwrap())),
        // `cargo test` itself asks this of every test.
        Some("--list") => println!("an_answered_record_survives: test"),
        _ => {
            runtime.block_on(cycles());
            runtime.block_on(damaged_cycles());
        }
    }
}

fn count() -> u32 {
    env::var("SSEKIT_KILL_CYCLES")
        .map_or(10, |cycles| cycles.parse().expect("SSEKIT_KILL_CYCLES is a number"))
}

async fn cycles() {
    let cycles = count();
    let folder = TempDir::new().unwrap();
    let mut witness = Witness::default();
    for cycle in 0..cycles {
        kill(folder.path(), cycle, &mut witness);
        // Sometimes twice in a row, so that nothing closes the log in between.
        if cycle % 3 != 0 || cycle + 1 == cycles {
            witness.check(folder.path(), cycle % 25 == 1 || cycle + 1 == cycles).await;
        }
    }
    println!(
        "{cycles} times killed; all of {} answered appends are there, {} records; {} appends were repeated and added nothing",
        witness.answers, witness.read, witness.repeats
    );
    assert!(witness.answers > 0 && witness.repeats > 0);
}

/// Lets a process append, and kills it at a time of its own.
fn kill(folder: &Path, cycle: u32, witness: &mut Witness) {
    for line in lines_of_a_killed_process(folder, cycle) {
        witness.answered(&line);
    }
}

fn lines_of_a_killed_process(folder: &Path, cycle: u32) -> Vec<String> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["append".as_ref(), folder.as_os_str(), cycle.to_string().as_ref()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap())
        .split(b'\n')
        .map(|line| String::from_utf8(line.unwrap()).unwrap());
    let patience = fastrand::usize(1..4000);
    let mut lines: Vec<_> = answers.by_ref().take(patience).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    // The last line may be cut: a whole one ends with its count of characters.
    lines.extend(answers);
    lines
}

/// The batch of an answer, and the positions of its records.
fn answer(line: &str) -> Option<(String, Vec<u64>)> {
    let (line, length) = line.rsplit_once(' ')?;
    let mut words = line.split(' ').map(str::to_owned);
    (length.parse() == Ok(line.len()))
        .then(|| (words.next().unwrap(), words.map(|place| place.parse().unwrap()).collect()))
}

/// Kills and damages, and looks for all records that were ever answered.
async fn damaged_cycles() {
    let mut folder = TempDir::new().unwrap();
    let mut answered: HashMap<u64, String> = HashMap::new();
    let (mut refused, mut missing, mut found) = (0, 0, 0);
    for cycle in 0..count() {
        for (batch, places) in
            lines_of_a_killed_process(folder.path(), cycle).iter().filter_map(|line| answer(line))
        {
            for (part, place) in places.iter().enumerate() {
                let before = answered.insert(*place, format!("{batch}/{part}/{}", places.len()));
                assert!(before.is_none(), "position {place} of {batch} was that of {before:?}");
            }
        }
        let harm = damage(folder.path());
        let options = DurableOptions { retention: retention(), ..DurableOptions::default() };
        let Ok(log) = DurableLog::open(folder.path(), options).await else {
            // The operator is told.
            (refused, folder) = (refused + 1, TempDir::new().unwrap());
            answered.clear();
            continue;
        };
        let mut held: HashMap<u64, String> = HashMap::new();
        let mut told = Vec::new();
        let mut after = Position::START;
        loop {
            let page = log.read(after, Limit { records: 4096, bytes: 1 << 24 }).await.unwrap();
            if page.horizon > after {
                told.push(after.0..=page.horizon.0);
            }
            for entry in page.entries {
                let body = std::str::from_utf8(&entry.record.body).unwrap();
                let (name, filler) = body.split_once(' ').unwrap();
                assert!(filler.bytes().all(|byte| byte == b'x'), "{harm}: {body}");
                held.insert(entry.position.0, name.to_owned());
            }
            after = page.through;
            if page.end {
                break;
            }
        }
        let horizon = log.bounds().await.unwrap().horizon.0;
        for (place, name) in &answered {
            match held.get(place) {
                Some(held) => assert_eq!(held, name, "{harm}: at {place}"),
                // A newer one may have replaced it.
                None if is_price(name) => {}
                None => {
                    missing += 1;
                    let is_told = *place <= horizon || told.iter().any(|told| told.contains(place));
                    assert!(
                        is_told,
                        "cycle {cycle}, {harm}: {name} at {place} is missing, and the horizon is {horizon}"
                    );
                }
            }
        }
        found += held.len();
        // A store whose damaged table is due to be merged takes no more records, and says so.
        if log.close().await.is_err() {
            (refused, folder) = (refused + 1, TempDir::new().unwrap());
            answered.clear();
        }
    }
    println!(
        "damaged after a kill: {found} records read, {missing} missing and told, {refused} starts or ends refused"
    );
}

fn is_price(name: &str) -> bool {
    let fields: Vec<u32> = name.split('/').map(|field| field.parse().unwrap()).collect();
    fields[2].is_multiple_of(8) && fields[3] + 1 == fields[4]
}

/// Flips, zeroes or cuts bytes of a journal, of the file `used`, or of the records in a table.
fn damage(folder: &Path) -> String {
    let of = |folder: &Path, end: &str| -> Vec<_> {
        let files = fs::read_dir(folder).into_iter().flatten().map(|file| file.unwrap().path());
        files.filter(|path| path.is_file() && path.to_str().unwrap().ends_with(end)).collect()
    };
    let mut files = of(&folder.join("store"), ".jnl");
    if fastrand::u8(..4) == 0 {
        files = vec![folder.join("used")];
    } else if fastrand::u8(..4) == 0 {
        for keyspace in fs::read_dir(folder.join("store/keyspaces")).into_iter().flatten() {
            files.extend(of(&keyspace.unwrap().path().join("tables"), ""));
        }
    }
    let path = &files[fastrand::usize(..files.len())];
    let is_table = path.parent().unwrap().ends_with("tables");
    let bytes = fs::read(path).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    // The end of a table has its index: without it, the store does not open.
    let used = if is_table { used / 2 } else { used };
    if used == 0 {
        return format!("{} is empty", path.display());
    }
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    let at = fastrand::usize(..used);
    let what = match fastrand::u8(..3) {
        0 => {
            file.write_all_at(&[bytes[at] ^ (1 << fastrand::u8(..8))], at as u64).unwrap();
            "flipped"
        }
        1 => {
            let length = fastrand::usize(1..=4096).min(used - at);
            file.write_all_at(&vec![0; length], at as u64).unwrap();
            "zeroed"
        }
        _ if is_table => "left as it was",
        _ => {
            file.set_len(at as u64).unwrap();
            "cut"
        }
    };
    format!("{} {what} at {at} of {used}", path.display())
}

/// The process that is killed: 64 tasks append, and tell each answer in a line.
async fn append(folder: &str, cycle: u32) {
    let durability =
        if cycle % 4 == 3 { Durability::Sync } else { Durability::Periodic(Duration::from_millis(20)) };
    // Small, so that tables are written and merged often.
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
                    let positions = if has_key(number) {
                        log.append_with_key(Some(key(cycle, appender, number, count)), records)
                            .await
                            .unwrap()
                            .positions
                    } else {
                        log.append(records).await.unwrap()
                    };
                    let places: Vec<_> = positions.iter().map(Position::to_string).collect();
                    let line = format!("{cycle}/{appender}/{number} {}", places.join(" "));
                    // In one write, so that no other output comes between.
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

/// Returns true if the append of this number has an idempotency key.
fn has_key(number: u32) -> bool {
    number % 2 == 1
}

/// The key of an append.
fn key(cycle: u32, appender: u32, number: u32, count: usize) -> IdempotencyKey {
    let mut hash = [0; 16];
    for (part, number) in hash.chunks_exact_mut(4).zip([cycle, appender, number]) {
        part.copy_from_slice(&number.to_be_bytes());
    }
    let publisher = u64::from(appender).to_be_bytes();
    IdempotencyKey { hash, publisher, content: [u8::try_from(count).unwrap(); 16] }
}

/// Repeats an append that the log holds, whether it was answered or not: it is known by its key, if it had
/// one.
async fn repeat(log: &DurableLog, batch: &str, parts: &[(u64, usize, usize)], count: usize) -> bool {
    let fields: Vec<u32> = batch.split('/').map(|field| field.parse().unwrap()).collect();
    let [cycle, appender, number] = fields[..] else { panic!("{batch}") };
    if !has_key(number) {
        return false;
    }
    let records = (0..count).map(|part| record(cycle, appender, number, part, count)).collect();
    let again = log.append_with_key(Some(key(cycle, appender, number, count)), records).await.unwrap();
    assert!(again.repeated, "{batch} was added again");
    assert!(parts.iter().all(|(position, part, _)| again.positions[*part].0 == *position), "{batch}");
    true
}

/// The expected state of the log.
#[derive(Default)]
struct Witness {
    /// Answered batches that have not been checked, with the positions of their records.
    waiting: HashMap<String, Vec<u64>>,
    answers: u64,
    /// Everything up to here has been looked at.
    through: Position,
    /// The names of all records that have been seen.
    seen: HashSet<String>,
    read: u64,
    /// The number of appends that were repeated by their keys.
    repeats: u32,
    /// The highest position that anybody was ever told.
    told: u64,
}

impl Witness {
    fn answered(&mut self, line: &str) {
        let Some((batch, places)) = answer(line) else { return };
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
            self.repeats += u32::from(repeat(&log, batch, parts, count).await);
        }
        // The remaining batches were one record about a price each.
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
