//! The `ssekit` program: see the library's front page.

use std::io::{stderr, stdout};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ssekit_hub::bench::Bench;
use ssekit_hub::listen::{Listen, chain, colours, say};
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
    /// Serve events over HTTP, until Ctrl-C or SIGTERM
    Serve {
        /// Serve a page that shows this machine and a chat room, live
        #[arg(long, required = true)]
        demo: bool,
        #[command(flatten)]
        address: Address,
    },
    /// Listen to events in the terminal: curl for server-sent events
    Listen(Box<Listen>),
    /// Measure a server of events: a load generator that checks what arrives
    Bench(Bench),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        None => serve(&cli.address).await,
        Some(Command::Serve { address, .. }) => serve(&address).await,
        Some(Command::Listen(listen)) => {
            log(if listen.verbose > 1 { LevelFilter::DEBUG } else { LevelFilter::OFF });
            end(listen
                .run(&mut stdout(), colours(&stdout()))
                .await
                .map_err(|failure| (failure.code, failure.error)))
        }
        Some(Command::Bench(bench)) => match bench.run(&mut stdout()) {
            Ok(verdict) => ExitCode::from(verdict.code()),
            Err(error) => end(Err((1, error))),
        },
    }
}

async fn serve(address: &Address) -> ExitCode {
    log(LevelFilter::WARN);
    end(serve::demo(address, &mut stdout()).await.map_err(|error| (1, error)))
}

/// What the libraries tell goes to stderr.
fn log(level: LevelFilter) {
    tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_writer(stderr).init();
}

/// Says what went wrong and why, on one line.
fn end(result: Result<(), (u8, anyhow::Error)>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, error)) => {
            say(&chain(error.as_ref()));
            ExitCode::from(code)
        }
    }
}
