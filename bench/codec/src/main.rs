//! Prints the tables of `bench/codec.md` and writes them there.
//!
//! The contestants of a row take turns, so that what disturbs the machine disturbs all of them; each figure is the median of
//! its rounds. `-- NAME` runs only the rows whose corpus has it in its name, and writes nothing.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

use ssekit_bench_codec::corpus::{self, Corpus, Delivered, PIECES};
use ssekit_bench_codec::decoding::{self, Reader};
use ssekit_bench_codec::encoding::{self, Writer};

fn main() {
    let filter = env::args().nth(1).unwrap_or_default();
    let allocations = Allocations::count();
    let corpora: Vec<Corpus> =
        corpus::all().into_iter().filter(|corpus| corpus.name.contains(&filter)).collect();

    let mut report = machine();
    report += &decoding_table(&corpora, &allocations);
    report += &encoding_table(&corpora, &allocations);
    print!("{report}");
    if filter.is_empty() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../codec.md");
        fs::write(path, report).expect("bench/codec.md can be written");
    }
}

const ROUNDS: usize = 15;

/// How long a contestant runs in one round.
const TURN: Duration = Duration::from_millis(4);

fn decoding_table(corpora: &[Corpus], allocations: &Allocations) -> String {
    let mut table = String::from(
        "\n## Decoding\n\nGB/s, and in brackets allocations per event (per comment for keep-alives).\n\n",
    );
    let mut header = String::from("| corpus | pieces | ssekit-wire | × best peer | goal |");
    for reader in decoding::PEERS.iter().chain([&decoding::FLOOR]) {
        write!(header, " {} |", reader.name).unwrap();
    }
    writeln!(table, "{header}\n|{}", "---|".repeat(header.matches('|').count() - 1)).unwrap();
    for corpus in corpora {
        for size in PIECES {
            table += &decoding_row(corpus, size, allocations);
        }
    }
    table += &decoding_row(&corpus::one_line(), 1460, allocations);
    table
}

fn decoding_row(corpus: &Corpus, size: usize, allocations: &Allocations) -> String {
    let pieces = corpus.pieces(size);
    let readers: Vec<Reader> = [decoding::OURS, decoding::FLOOR].into_iter().chain(decoding::PEERS).collect();
    let wrong = readers.iter().map(|reader| wrong(reader, &pieces, corpus.wanted())).collect::<Vec<_>>();
    let mut contestants: Vec<Box<dyn FnMut() -> Duration>> = Vec::new();
    for reader in &readers {
        contestants.push(Box::new(|| {
            let start = Instant::now();
            std::hint::black_box((reader.read)(std::hint::black_box(&pieces)));
            start.elapsed()
        }));
    }
    let speed: Vec<f64> =
        medians(&mut contestants).iter().map(|time| corpus.stream.len() as f64 / time / 1e9).collect();

    let allocated = |reader: &Reader| allocations.cell(corpus, &size.to_string(), reader.name);
    let best = (2..readers.len()).filter(|&at| wrong[at].is_none()).map(|at| speed[at]).fold(0.0, f64::max);
    let ratio = speed[0] / best;
    let goal = if corpus.name.starts_with("40 KiB") { 1.3 } else { 2.0 };
    let verdict = if ratio >= goal { "met" } else { "**missed**" };
    let note = wrong[0].as_deref().unwrap_or_default();
    let mut row = format!(
        "| {} | {size} B | {:.2}{}{note} | {ratio:.2} | {goal:.1}: {verdict} |",
        corpus.name,
        speed[0],
        allocated(&readers[0])
    );
    for at in 2..readers.len() {
        let note = wrong[at].as_deref().unwrap_or_default();
        write!(row, " {:.2}{}{note} |", speed[at], allocated(&readers[at])).unwrap();
    }
    row + &format!(" {:.2} |\n", speed[1])
}

/// What a reader got wrong, as a note for its cell.
fn wrong(reader: &Reader, pieces: &[&'static [u8]], wanted: Delivered) -> Option<String> {
    let delivered = (reader.read)(pieces);
    (reader.name != decoding::FLOOR.name && delivered != wanted).then(|| {
        format!(
            " wrong: {} events of {}, {} bytes of {}",
            delivered.events, wanted.events, delivered.data_bytes, wanted.data_bytes
        )
    })
}

fn encoding_table(corpora: &[Corpus], allocations: &Allocations) -> String {
    let mut table = String::from("\n## Encoding\n\nGB/s, and in brackets allocations per event.\n\n");
    let mut header = String::from("| corpus | ssekit-wire | × by hand | goal | by hand | × best peer |");
    for writer in encoding::PEERS {
        write!(header, " {} |", writer.name).unwrap();
    }
    writeln!(table, "{header}\n|{}", "---|".repeat(header.matches('|').count() - 1)).unwrap();
    for corpus in corpora.iter().filter(|corpus| !corpus.events.is_empty()) {
        let writers: Vec<Writer> =
            [encoding::OURS, encoding::BY_HAND].into_iter().chain(encoding::PEERS).collect();
        let mut contestants: Vec<Box<dyn FnMut() -> Duration>> = Vec::new();
        for writer in &writers {
            let mut out = Vec::with_capacity(2 * corpus.stream.len());
            let wrote = (writer.write)(corpus.events, &mut out);
            assert_eq!(
                wrote.bytes,
                encoding::wanted(writer, corpus),
                "{} wrote {}",
                writer.name,
                corpus.name
            );
            contestants.push(Box::new(move || (writer.write)(corpus.events, &mut out).time));
        }
        let speed: Vec<f64> =
            medians(&mut contestants).iter().map(|time| corpus.stream.len() as f64 / time / 1e9).collect();
        let cell =
            |at: usize| format!("{:.2}{}", speed[at], allocations.cell(corpus, "write", writers[at].name));
        let ratio = speed[0] / speed[1];
        let verdict = if ratio >= 0.8 { "met" } else { "**missed**" };
        let best = speed[2..].iter().copied().fold(0.0, f64::max);
        write!(
            table,
            "| {} | {} | {ratio:.2} | 0.8: {verdict} | {} | {:.2} |",
            corpus.name,
            cell(0),
            cell(1),
            speed[0] / best
        )
        .unwrap();
        for at in 2..writers.len() {
            write!(table, " {} |", cell(at)).unwrap();
        }
        table.push('\n');
    }
    table
}

/// The median time of one run of each contestant in seconds; they take turns.
fn medians(contestants: &mut [Box<dyn FnMut() -> Duration + '_>]) -> Vec<f64> {
    let once: Vec<Duration> = contestants.iter_mut().map(|run| run().min(run())).collect();
    let mut times = vec![Vec::new(); contestants.len()];
    for round in 0..ROUNDS {
        for (at, run) in contestants.iter_mut().enumerate() {
            // Who takes a hundred times as long need not do it fifteen times.
            if round > 2 && once[at] > 100 * TURN {
                continue;
            }
            let runs = (TURN.as_secs_f64() / once[at].as_secs_f64().max(1e-9)).clamp(1.0, 1e6) as u32;
            let time: Duration = (0..runs).map(|_| run()).sum();
            times[at].push(time.as_secs_f64() / f64::from(runs));
        }
    }
    times.into_iter().map(median).collect()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Allocations per event by corpus, pieces (or `write`) and contestant.
struct Allocations(HashMap<[String; 3], String>);

impl Allocations {
    /// Runs the program that counts them.
    fn count() -> Self {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let output = run(
            &cargo,
            &["run", "--release", "--quiet", "--manifest-path", manifest, "--bin", "allocations"],
        );
        let cells = output.lines().map(|line| {
            let [corpus, kind, name, count] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("the counting program printed {line:?}")
            };
            let count: f64 = count.parse().expect("a number");
            ([corpus, kind, name].map(str::to_owned), format!(" ({count:.2})"))
        });
        Self(cells.collect())
    }

    fn cell(&self, corpus: &Corpus, kind: &str, name: &str) -> String {
        let key = [corpus.name, kind, name].map(str::to_owned);
        self.0.get(&key).cloned().unwrap_or_default()
    }
}

/// When, where and with what.
fn machine() -> String {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let date = run("date", &["-u", "+%F %H:%M UTC"]);
    let rustc = run("rustc", &["--version"]);
    let lock = include_str!("../../Cargo.lock");
    let versions = ["sse-core", "sse-stream", "sseer", "russe", "eventsource-stream", "axum", "memchr"]
        .map(|name| format!("{name} {}", version(lock, name)));
    format!(
        "# The codec against its peers\n\n`cargo run --release --manifest-path bench/Cargo.toml -p ssekit-bench-codec` wrote this.\n\n\
         {date}; {processor}, {cores} cores; {rustc}, plain `--release`; {}.\n\n\
         Each contestant is fed through its fastest public interface; all take turns in {ROUNDS} rounds, and the median counts. A \
         stream of 1 MiB is read again and again, so it lies in the cache, as bytes from a socket do. Every figure was checked \
         to have delivered all events and all bytes of data, or says what it got wrong and does not count as the best peer.\n",
        versions.join(", ")
    )
}

fn version<'a>(lock: &'a str, name: &str) -> &'a str {
    let package = format!("name = \"{name}\"\nversion = \"");
    lock.split_once(&package).and_then(|(_, rest)| rest.split('"').next()).unwrap_or("of unknown version")
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output =
        Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}
