//! The work of the hub's log on two embedded stores, `fjall` and `redb`, and the log itself on `fjall`.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml -p ssekit-bench-log [-- --write]` prints the tables,
//! and with `--write` writes them into `bench/log.md`. `-- --quick` is a tenth of it, for development. It
//! needs 10 GB in the folder for temporary files (`TMPDIR`).

#![forbid(unsafe_code)]

mod measure;
mod stores;
mod table;
mod through;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Arguments {
    /// Puts the tables into bench/log.md, too
    #[arg(long, conflicts_with = "quick")]
    write: bool,
    /// A tenth of it
    #[arg(long)]
    quick: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

/// A measurement in a process of its own, so that its memory counts alone; prints JSON.
#[derive(Subcommand)]
enum Command {
    /// Appends for a while, on one thread
    Append { store: stores::Kind, level: stores::Level, batch: usize, folder: PathBuf },
    /// Opens a store, appends so many records, and is killed at the end
    Fill {
        store: stores::Kind,
        count: u64,
        folder: PathBuf,
        #[arg(long, default_value_t = 1000)]
        batch: u64,
        /// Without ids, as only the log can
        #[arg(long)]
        plain: bool,
    },
    /// Opens a store that was filled, reads, and closes it
    Read {
        store: stores::Kind,
        count: u64,
        folder: PathBuf,
        #[arg(long)]
        plain: bool,
    },
    /// Appends to the log for a while, from many tasks
    Through {
        level: stores::Level,
        callers: usize,
        batch: usize,
        folder: PathBuf,
        #[arg(long)]
        ids: bool,
        #[arg(long)]
        keep: Option<u64>,
    },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let json = match arguments.command {
        Some(Command::Append { store, level, batch, folder }) => {
            serde_json::to_string(&measure::append(store, level, batch, &folder)?)?
        }
        Some(Command::Fill { store, count, folder, batch, plain }) => {
            println!("{}", serde_json::to_string(&measure::fill(store, count, &folder, batch, plain)?)?);
            // As `kill -9` would.
            std::process::abort();
        }
        Some(Command::Read { store, count, folder, plain }) => {
            serde_json::to_string(&measure::read(store, count, &folder, plain)?)?
        }
        Some(Command::Through { level, callers, batch, ids, folder, keep }) => {
            serde_json::to_string(&through::run(level, callers, batch, ids, keep, &folder)?)?
        }
        None => {
            let table = table::all(if arguments.quick { 1_000_000 } else { 10_000_000 })?;
            println!("{table}");
            if arguments.write {
                std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/../log.md"), table)?;
            }
            return Ok(());
        }
    };
    println!("{json}");
    Ok(())
}
