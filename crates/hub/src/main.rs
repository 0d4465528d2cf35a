//! The `ssekit` program: see the library's front page.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::process::ExitCode;

use anyhow::Error;
use clap::{Parser, Subcommand};
use ssekit_hub::serve::{self, Address};
use tracing::level_filters::LevelFilter;

/// Server-sent events: a demo to look at, and a listener for the terminal
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = "Without a command: serve --demo")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    address: Address,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve events over HTTP
    Serve {
        /// Serve a page that shows this machine and a chat room, live
        #[arg(long, required = true)]
        demo: bool,
        #[command(flatten)]
        address: Address,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    log(LevelFilter::WARN);
    let result = match &cli.command {
        None => serve::demo(&cli.address, &mut stdout()).await,
        Some(Command::Serve { address, .. }) => serve::demo(address, &mut stdout()).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error),
    }
}

/// What goes wrong in the libraries is written to stderr.
fn log(level: LevelFilter) {
    let colours = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(colours)
        .with_writer(stderr)
        .without_time()
        .init();
}

/// Says what went wrong and why, on one line.
fn complain(error: &Error) -> ExitCode {
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(stderr(), "ssekit: {error:#}");
    ExitCode::FAILURE
}
