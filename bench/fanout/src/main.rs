//! One event to many subscribers: the cost of a delivery and of an idle subscriber, the deliveries per
//! second, and the effect of stalled subscribers on the others.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml -p ssekit-bench-fanout [-- --write]` prints the
//! table, and with `--write` puts it into `bench/fanout.md`. `-- --quick` is one short round, for
//! development.
//!
//! By hand: `serve NAME` prints its port and serves `GET /events` and `POST /publish` until it is killed;
//! `load PORT PID` measures it, or any other server with these routes.

#![forbid(unsafe_code)]

mod load;
mod process;
mod rounds;
mod server;
mod table;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Arguments {
    /// Puts the table into bench/fanout.md, too
    #[arg(long, conflicts_with = "quick")]
    write: bool,
    /// One short round
    #[arg(long)]
    quick: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serves until it is killed; prints its port first
    Serve {
        name: server::Contestant,
        /// Any free one unless given
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
    /// Subscribes, publishes, and prints its measurements as JSON
    Load(load::Plan),
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let soft = rlimit::increase_nofile_limit(u64::MAX).context("the limit of open files")?;
    match arguments.command {
        Some(Command::Serve { name, port }) => server::serve(name, port),
        Some(Command::Load(plan)) => {
            println!("{}", serde_json::to_string(&load::run(&plan, soft)?)?);
            Ok(())
        }
        None => {
            let rounds = if arguments.quick { rounds::QUICK } else { rounds::FULL };
            let table = table::table(&rounds.run()?)?;
            println!("{table}");
            if arguments.write {
                std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/../fanout.md"), table)?;
            }
            Ok(())
        }
    }
}
