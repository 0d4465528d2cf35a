//! The `ssekit` program: see the library's front page.

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Parser, Subcommand};
use ssekit_hub::config::{Flags, Loaded, Problems};
use ssekit_hub::listen::{Listen, chain, colours, say};
use ssekit_hub::publish::Publish;
use ssekit_hub::serve::{self, Address};
use ssekit_hub::token::Token;
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
    Serve(Box<Flags>),
    /// Listen to events in the terminal: curl for server-sent events
    Listen(Box<Listen>),
    /// Publish updates to a hub
    Publish(Box<Publish>),
    /// Make tokens, and see what they are good for
    #[command(subcommand)]
    Token(Box<Token>),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        None => serve(&cli.address).await,
        Some(Command::Serve(flags)) => configured(&flags).await,
        Some(Command::Publish(publish)) => {
            log(LevelFilter::OFF);
            end(publish.run(&mut stdout()).await.map_err(|failure| (failure.code, failure.error)))
        }
        Some(Command::Token(token)) => match token.run(SystemTime::now()) {
            Ok(answer) if write!(stdout(), "{}", answer.text).is_ok() => ExitCode::from(answer.code),
            Ok(_) => ExitCode::FAILURE,
            Err(failure) => end(Err((failure.code, failure.error))),
        },
        Some(Command::Listen(listen)) => {
            log(if listen.verbose > 1 { LevelFilter::DEBUG } else { LevelFilter::OFF });
            end(listen
                .run(&mut stdout(), colours(&stdout()))
                .await
                .map_err(|failure| (failure.code, failure.error)))
        }
    }
}

async fn configured(flags: &Flags) -> ExitCode {
    let loaded = match Loaded::read(flags) {
        Ok(loaded) => loaded,
        Err(problems) => return refuse(&problems),
    };
    if flags.print && write!(stdout(), "{}", loaded.to_toml()).is_err() {
        return ExitCode::FAILURE;
    }
    if flags.check {
        for warning in &loaded.warnings {
            say(warning);
        }
        return match loaded.check() {
            Ok(()) => ExitCode::SUCCESS,
            Err(problems) => refuse(&problems),
        };
    }
    if flags.print {
        return ExitCode::SUCCESS;
    }
    if !loaded.config.demo {
        say("there is nothing to serve: --demo serves the demo");
        return ExitCode::from(2);
    }
    serve(&Address { addr: loaded.config.addr.first().cloned().unwrap_or_default() }).await
}

/// Says all that is wrong with the configuration, one a line.
fn refuse(problems: &Problems) -> ExitCode {
    for problem in &problems.0 {
        say(&problem.to_string());
    }
    ExitCode::FAILURE
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
