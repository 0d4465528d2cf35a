//! Kills of a process that appends.
//!
//! After each kill, the log holds all confirmed records, once and in order. An append that was not confirmed
//! is there as a whole, or not at all.
//!
//! Then the same with damage after each kill: bytes of the files are flipped, zeroed or truncated. The log
//! returns no record that was not appended, uses no position twice, and reports missing records to readers.
//!
//! `SSEKIT_KILL_CYCLES` sets the number of kills; the default is 10.

#![expect(clippy::print_stdout, reason = "prints the number of kills and of compared records")]

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
        // `cargo test` asks for the list of tests.
        Some("--list") => println!("confirmed_records_survive_kills: test"),
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
        // Some kills follow each other without a start that closes the log between them.
        if cycle % 3 != 0 || cycle + 1 == cycles {
            witness.check(folder.path(), cycle % 25 == 1 || cycle + 1 == cycles).await;
        }
    }
    println!(
        "killed {cycles} times: the log holds all of {} confirmed appends, {} records; {} repeated appends \
         added no record",
        witness.appends, witness.records, witness.repeats
    );
    assert!(witness.appends > 0 && witness.repeats > 0);
}

/// Starts a process that appends, kills it, and notes the appends that it confirmed.
fn kill(folder: &Path, cycle: u32, witness: &mut Witness) {
    for line in lines_of_a_killed_process(folder, cycle) {
        witness.confirm(&line);
    }
}

/// The lines that a process prints for its confirmed appends, until it is killed after some of them.
fn lines_of_a_killed_process(folder: &Path, cycle: u32) -> Vec<String> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["append".as_ref(), folder.as_os_str(), cycle.to_string().as_ref()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap())
        .split(b'\n')
        .map(|line| String::from_utf8(line.unwrap()).unwrap());
    let count = fastrand::usize(1..4000);
    let mut lines: Vec<_> = output.by_ref().take(count).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    // The last line may be truncated: a complete one ends with its number of characters.
    lines.extend(output);
    lines
}

/// The batch in a line, and the positions of its records; `None` for a truncated line.
fn parse_line(line: &str) -> Option<(String, Vec<u64>)> {
    let (line, length) = line.rsplit_once(' ')?;
    let mut words = line.split(' ').map(str::to_owned);
    (length.parse() == Ok(line.len()))
        .then(|| (words.next().unwrap(), words.map(|position| position.parse().unwrap()).collect()))
}

/// Kills processes, damages their files, and looks for all records that were ever confirmed.
async fn damaged_cycles() {
    let mut folder = TempDir::new().unwrap();
    let mut confirmed: HashMap<u64, String> = HashMap::new();
    let (mut refused, mut missing, mut found) = (0, 0, 0);
    for cycle in 0..count() {
        for (batch, positions) in
            lines_of_a_killed_process(folder.path(), cycle).iter().filter_map(|line| parse_line(line))
        {
            for (part, position) in positions.iter().enumerate() {
                let before = confirmed.insert(*position, format!("{batch}/{part}/{}", positions.len()));
                assert!(before.is_none(), "position {position} of {batch} was that of {before:?}");
            }
        }
        let damage = damage(folder.path());
        let options = DurableOptions { retention: retention(), ..DurableOptions::default() };
        let Ok(log) = DurableLog::open(folder.path(), options).await else {
            // The error of `open` reports the damage to the operator.
            (refused, folder) = (refused + 1, TempDir::new().unwrap());
            confirmed.clear();
            continue;
        };
        let mut held: HashMap<u64, String> = HashMap::new();
        let mut reported = Vec::new();
        let mut after = Position::START;
        loop {
            let page = log.read(after, Limit { records: 4096, bytes: 1 << 24 }).await.unwrap();
            if page.horizons.of_all() > after {
                reported.push(after.0..=page.horizons.of_all().0);
            }
            for entry in page.entries {
                let body = std::str::from_utf8(&entry.record.body).unwrap();
                let (name, filler) = body.split_once(' ').unwrap();
                assert!(filler.bytes().all(|byte| byte == b'x'), "{damage}: {body}");
                held.insert(entry.position.0, name.to_owned());
            }
            after = page.through;
            if page.end {
                break;
            }
        }
        let horizon = log.bounds().await.unwrap().horizons.of_all().0;
        for (position, name) in &confirmed {
            match held.get(position) {
                Some(held) => assert_eq!(held, name, "{damage}: at {position}"),
                // A newer price may have replaced it.
                None if is_price(name) => {}
                None => {
                    missing += 1;
                    let is_reported =
                        *position <= horizon || reported.iter().any(|range| range.contains(position));
                    assert!(
                        is_reported,
                        "cycle {cycle}, {damage}: {name} at {position} is missing, the horizon is {horizon}"
                    );
                }
            }
        }
        found += held.len();
        // A store that cannot merge a damaged table refuses further records and returns an error.
        if log.close().await.is_err() {
            (refused, folder) = (refused + 1, TempDir::new().unwrap());
            confirmed.clear();
        }
    }
    println!(
        "damaged after a kill: {found} records read, {missing} missing and reported, {refused} starts or \
         ends refused"
    );
}

/// Returns true if the record of this name is a price, which newer ones replace.
fn is_price(name: &str) -> bool {
    let fields: Vec<u32> = name.split('/').map(|field| field.parse().unwrap()).collect();
    fields[2].is_multiple_of(8) && fields[3] + 1 == fields[4]
}

/// Flips, zeroes or truncates bytes of a journal, of the file `used`, or of the records in a table.
///
/// Returns a description of the damage.
fn damage(folder: &Path) -> String {
    let files_with_suffix = |folder: &Path, suffix: &str| -> Vec<_> {
        let files = fs::read_dir(folder).into_iter().flatten().map(|file| file.unwrap().path());
        files.filter(|path| path.is_file() && path.to_str().unwrap().ends_with(suffix)).collect()
    };
    let mut files = files_with_suffix(&folder.join("store"), ".jnl");
    if fastrand::u8(..4) == 0 {
        files = vec![folder.join("used")];
    } else if fastrand::u8(..4) == 0 {
        for keyspace in fs::read_dir(folder.join("store/keyspaces")).into_iter().flatten() {
            files.extend(files_with_suffix(&keyspace.unwrap().path().join("tables"), ""));
        }
    }
    let path = &files[fastrand::usize(..files.len())];
    let is_table = path.parent().unwrap().ends_with("tables");
    let bytes = fs::read(path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    // The store does not open a table without its end, which is the index.
    let end = if is_table { end / 2 } else { end };
    if end == 0 {
        return format!("{} is empty", path.display());
    }
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    let at = fastrand::usize(..end);
    let damage = match fastrand::u8(..3) {
        0 => {
            file.write_all_at(&[bytes[at] ^ (1 << fastrand::u8(..8))], at as u64).unwrap();
            "flipped"
        }
        1 => {
            let length = fastrand::usize(1..=4096).min(end - at);
            file.write_all_at(&vec![0; length], at as u64).unwrap();
            "zeroed"
        }
        _ if is_table => "left as it was",
        _ => {
            file.set_len(at as u64).unwrap();
            "truncated"
        }
    };
    format!("{} {damage} at {at} of {end}", path.display())
}

/// The process that is killed: 64 tasks append, and print a line for each confirmed append.
async fn append(folder: &str, cycle: u32) {
    let durability =
        if cycle % 4 == 3 { Durability::Sync } else { Durability::Periodic(Duration::from_millis(20)) };
    // The write buffer is small, so that the store often writes and merges tables.
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
                    let positions: Vec<_> = positions.iter().map(Position::to_string).collect();
                    let line = format!("{cycle}/{appender}/{number} {}", positions.join(" "));
                    // One write for the line, so that the lines of other tasks do not lie within it.
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

/// A record. The last one of some batches is a price, which newer ones replace.
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

/// Repeats an append that the log holds, confirmed or not; a no-op for appends without a key.
async fn repeat(log: &DurableLog, batch: &str, parts: &[(u64, usize, usize)], count: usize) -> bool {
    let fields: Vec<u32> = batch.split('/').map(|field| field.parse().unwrap()).collect();
    let [cycle, appender, number] = fields[..] else { panic!("{batch}") };
    if !has_key(number) {
        return false;
    }
    let records = (0..count).map(|part| record(cycle, appender, number, part, count)).collect();
    let repeated = log.append_with_key(Some(key(cycle, appender, number, count)), records).await.unwrap();
    assert!(repeated.repeated, "{batch} was added again");
    assert!(parts.iter().all(|(position, part, _)| repeated.positions[*part].0 == *position), "{batch}");
    true
}

/// The confirmed appends and the records that were read.
#[derive(Default)]
struct Witness {
    /// Confirmed batches that were not looked for yet, with the positions of their records.
    waiting: HashMap<String, Vec<u64>>,
    appends: u64,
    /// All records up to this position have been read.
    through: Position,
    /// The names of all records that have been read.
    names: HashSet<String>,
    records: u64,
    /// The number of appends that were repeated by their keys.
    repeats: u32,
    /// The highest confirmed position.
    highest: u64,
}

impl Witness {
    /// Notes the confirmed append of a line.
    fn confirm(&mut self, line: &str) {
        let Some((batch, positions)) = parse_line(line) else { return };
        assert!(positions[0] > self.through.0, "position {} was used before", positions[0]);
        self.highest = self.highest.max(*positions.last().unwrap());
        self.appends += 1;
        assert!(self.waiting.insert(batch, positions).is_none());
    }

    /// Opens the log, reads the new records, and compares them with the confirmed appends.
    ///
    /// If `all` is true, also compares the bounds with all records of the log.
    async fn check(&mut self, folder: &Path, all: bool) {
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
                self.records += 1;
                let body = std::str::from_utf8(&entry.record.body).unwrap();
                let name = body.split(' ').next().unwrap().to_owned();
                if let Some(id) = &entry.record.id {
                    assert_eq!(&**id, format!("urn:{name}"));
                    if self.records.is_multiple_of(8) {
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
                assert!(self.names.insert(name), "a record is there twice");
            }
            after = page.through;
            if page.end {
                break;
            }
        }
        for (batch, parts) in &parts {
            let (first, _, count) = parts[0];
            // A price may be missing, because a newer one has replaced it.
            let is_complete = parts.iter().map(|(_, part, _)| *part).eq(0..count)
                || parts.len() == count - 1
                    && batch.rsplit('/').next().unwrap().parse::<u32>().unwrap() % 8 == 0;
            assert!(is_complete, "{batch} is there in part: {parts:?}");
            if let Some(positions) = self.waiting.remove(batch) {
                assert_eq!(positions.len(), count);
                assert!(parts.iter().all(|(position, part, _)| positions[*part] == *position));
            } else {
                assert!(first > self.through.0);
            }
            self.repeats += u32::from(repeat(&log, batch, parts, count).await);
        }
        // The remaining batches were single prices, which newer ones have replaced.
        for (batch, positions) in std::mem::take(&mut self.waiting) {
            let number: u32 = batch.rsplit('/').next().unwrap().parse().unwrap();
            assert!(
                positions.len() == 1 && number.is_multiple_of(8),
                "{batch} was confirmed, and is missing"
            );
        }
        assert!(after.0 >= self.highest, "the log ends before a confirmed record");
        self.through = after;
        if all {
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
            assert_eq!(
                (bounds.records, bounds.bytes, bounds.horizons.of_all()),
                (records, bytes, Position::START)
            );
            assert!(prices.values().all(|count| *count <= 2), "{prices:?}");
        }
        log.close().await.unwrap();
    }
}
