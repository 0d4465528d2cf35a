//! Prints the tables of `bench/codec.md` and writes them there.
//!
//! The contestants of a row take turns, so that a disturbance of the machine disturbs all of them; each
//! figure is the median of its rounds. `-- NAME` runs only the rows whose corpus has NAME in its name, and
//! writes nothing.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hint::black_box;
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

const ROUNDS: usize = 31;

/// How long a contestant runs in one round: less than a slice of the scheduler, so that most rounds are
/// undisturbed.
const TURN: Duration = Duration::from_millis(1);

fn decoding_table(corpora: &[Corpus], allocations: &Allocations) -> String {
    let mut table = String::from(
        "\n## Decoding\n\nGB/s, and in brackets allocations per event (per comment for keep-alives).\n\n",
    );
    let mut header = String::from("| corpus | pieces | ssekit-wire | × best peer | goal |");
    for reader in decoding::PEERS.iter().chain(&decoding::FLOORS) {
        write!(header, " {} |", reader.name).unwrap();
    }
    writeln!(table, "{header}\n|{}", "---|".repeat(header.matches('|').count() - 1)).unwrap();
    for corpus in corpora {
        for size in PIECES {
            table += &decoding_row(corpus, size, allocations);
        }
    }
    if corpora.len() > 1 {
        table += &decoding_row(&corpus::one_line(), 1460, allocations);
    }
    table
}

fn decoding_row(corpus: &Corpus, size: usize, allocations: &Allocations) -> String {
    let pieces = corpus.pieces(size);
    let readers: Vec<Reader> =
        [decoding::OURS].into_iter().chain(decoding::PEERS).chain(decoding::FLOORS).collect();
    let peers = 1..=decoding::PEERS.len();
    // The first run is the one that is checked; the floors deliver nothing.
    let first: Vec<(Delivered, Duration)> = readers
        .iter()
        .map(|reader| {
            let start = Instant::now();
            ((reader.read)(&pieces), start.elapsed())
        })
        .collect();
    let wrong: Vec<Option<String>> = first[..=decoding::PEERS.len()]
        .iter()
        .map(|(delivered, _)| wrong(*delivered, corpus.wanted()))
        .collect();
    let contestants = readers.iter().zip(&first).map(|(reader, (_, once))| {
        let pieces = &pieces;
        let run = move || {
            let start = Instant::now();
            black_box((reader.read)(black_box(pieces)));
            start.elapsed()
        };
        Contestant::new(*once, run)
    });
    let speed: Vec<f64> =
        medians(contestants.collect()).iter().map(|time| corpus.stream.len() as f64 / time / 1e9).collect();
    let cells: Vec<String> = (0..readers.len())
        .map(|at| {
            format!("{}{}", figure(speed[at]), allocations.cell(corpus, &size.to_string(), readers[at].name))
        })
        .collect();
    let best = peers.filter(|&at| wrong[at].is_none()).map(|at| speed[at]).fold(0.0, f64::max);
    let ratio = speed[0] / best;
    let (goal, met) = if corpus.events.len() == 1 {
        let millis = corpus.stream.len() as f64 / speed[0] / 1e6;
        (format!("2 ms, takes {millis:.2}"), millis <= 2.0)
    } else if corpus.name.starts_with("40 KiB") {
        ("1.3".to_owned(), ratio >= 1.3)
    } else {
        ("2.0".to_owned(), ratio >= 2.0)
    };
    let verdict = if met { "met" } else { "**missed**" };
    let cell = |at: usize| cells[at].clone() + wrong.get(at).and_then(Option::as_deref).unwrap_or_default();
    let mut row = format!("| {} | {size} B | {} | {ratio:.2} | {goal}: {verdict} |", corpus.name, cell(0));
    for at in 1..readers.len() {
        write!(row, " {} |", cell(at)).unwrap();
    }
    row + "\n"
}

/// The mistakes of a reader, as a note for its cell.
fn wrong(delivered: Delivered, wanted: Delivered) -> Option<String> {
    (delivered != wanted).then(|| {
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
        let contestants = writers.iter().map(|writer| {
            let mut out = Vec::with_capacity(2 * corpus.stream.len());
            let wrote = (writer.write)(corpus.events, &mut out);
            assert_eq!(
                wrote.bytes,
                encoding::wanted(writer, corpus),
                "{} wrote {}",
                writer.name,
                corpus.name
            );
            Contestant::new(wrote.time, move || (writer.write)(corpus.events, &mut out).time)
        });
        let speed: Vec<f64> = medians(contestants.collect())
            .iter()
            .map(|time| corpus.stream.len() as f64 / time / 1e9)
            .collect();
        let cell = |at: usize| {
            format!("{}{}", figure(speed[at]), allocations.cell(corpus, "write", writers[at].name))
        };
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

struct Contestant<'a> {
    /// Says how long one run took.
    run: Box<dyn FnMut() -> Duration + 'a>,
    runs_in_a_turn: u32,
    times: Vec<f64>,
}

impl<'a> Contestant<'a> {
    fn new(once: Duration, run: impl FnMut() -> Duration + 'a) -> Self {
        let once = once.as_secs_f64().max(1e-9);
        let runs_in_a_turn = (TURN.as_secs_f64() / once).clamp(1.0, 1e6) as u32;
        Self { run: Box::new(run), runs_in_a_turn, times: vec![once] }
    }

    fn take_turn(&mut self) {
        let time: Duration = (0..self.runs_in_a_turn).map(|_| (self.run)()).sum();
        self.times.push(time.as_secs_f64() / f64::from(self.runs_in_a_turn));
    }
}

/// The median time of one run of each contestant in seconds; they take turns.
fn medians(mut contestants: Vec<Contestant<'_>>) -> Vec<f64> {
    for _ in 0..ROUNDS {
        for contestant in &mut contestants {
            // A contestant that takes hundreds of turns for one run is not repeated as often.
            if contestant.times[0] < 200.0 * TURN.as_secs_f64() {
                contestant.take_turn();
            }
        }
    }
    contestants.into_iter().map(|contestant| median(contestant.times)).collect()
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

/// The time, the machine and the versions.
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
    let versions = versions.join(", ").replace(", axum", ",\naxum");
    format!(
        "\
# The codec against its peers

`cargo run --release --manifest-path bench/Cargo.toml -p ssekit-bench-codec` wrote this.

{date}; {processor}, {cores} cores;
{rustc}, plain `--release`;
{versions}.

Each contestant is fed through its fastest public interface; all take turns in {ROUNDS} rounds, and the median
counts. A stream of 1 MiB is read repeatedly, so it lies in the cache, as bytes from a socket do. Each figure
was checked: either all events and all bytes of data were delivered, or the figure names the fault and does
not count as the best peer.
"
    )
}

/// Two digits that count, at the least.
fn figure(speed: f64) -> String {
    if speed < 0.1 { format!("{speed:.4}") } else { format!("{speed:.2}") }
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
