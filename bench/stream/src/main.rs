//! One stream over loopback, as fast as possible: `produce`, axum's `Sse`, and `sveltekit-sse` under Node.
//!
//! All send the same event to the same client, in turns; the table shows medians.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml -p ssekit-bench-stream [-- --write]` prints the
//! table, and with `--write` puts it into `bench/stream.md`.

mod client;
mod contestant;
mod process;
mod server;
mod table;

use anyhow::Result;
use contestant::Contestant;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", name] => server::serve(name),
        [] => run().map(|table| println!("{table}")),
        ["--write"] => {
            let table = run()?;
            println!("{table}");
            Ok(std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/../stream.md"), table)?)
        }
        _ => anyhow::bail!("usage: ssekit-bench-stream [--write]"),
    }
}

fn run() -> Result<String> {
    let contestants = Contestant::all()?;
    let mut rounds = Vec::new();
    for round in 1..=ROUNDS {
        for contestant in &contestants {
            let measured = contestant.round()?;
            eprintln!(
                "round {round} of {ROUNDS}: {:<22} {:>6.3} M events/s",
                contestant.name,
                measured.rate / 1e6
            );
            rounds.push((contestant.name, measured));
        }
    }
    table::table(&contestants, &rounds)
}

const ROUNDS: usize = 7;
