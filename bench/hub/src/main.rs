//! The hub, its peers and the floor, all measured by `ssekit bench`.
//!
//! It measures fan-out, idle subscribers, subscribers that connect at once, publications, replay and restart.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml --package ssekit-bench-hub` builds the program,
//! measures, and prints the tables. `-- --write` puts them into `bench/hub.md`, with a chart; `-- --quick` is
//! one short round; `-- --only WORD` runs the measurements whose names contain the word, and `-- --servers
//! floor,axum` these servers alone. As root on Debian it installs nchan.
//!
//! By hand: `serve NAME` prints its address and serves `GET /events` and `POST /publish` until it is killed.

#![forbid(unsafe_code)]

mod chart;
mod measure;
mod restart;
mod server;
mod table;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::measure::Plan;
use crate::server::{Contestant, Program};

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    plan: Plan,
    /// Puts the tables into bench/hub.md, too, and a chart into bench/hub.svg
    #[arg(long, conflicts_with_all = ["quick", "only"])]
    write: bool,
    /// Measures with this program `ssekit`, instead of building it
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serves until it is killed; prints its address first
    Serve { name: Contestant },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    rlimit::increase_nofile_limit(u64::MAX).context("the limit of open files")?;
    if let Some(Command::Serve { name }) = arguments.command {
        return server::serve(name);
    }
    let program = arguments.program.map_or_else(Program::build, |path| Ok(Program(path)))?;
    let measured = arguments.plan.run(&program)?;
    let table = table::table(&measured)?;
    println!("{table}");
    if arguments.write {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        std::fs::write(format!("{folder}/hub.md"), table)?;
        let chart = chart::chart(&measured)?.context("too little was measured for a chart")?;
        std::fs::write(format!("{folder}/hub.svg"), chart)?;
    }
    Ok(())
}
