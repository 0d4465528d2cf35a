//! The `ssekit` program: see the library's front page.

use std::ffi::OsString;
use std::io::{Write, stderr, stdout};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Parser, Subcommand};
use ssekit_hub::bench::Bench;
use ssekit_hub::config::{Flags, Loaded, Log, LogFormat, LogLevel, Problems};
use ssekit_hub::listen::{Listen, chain, colours, say};
use ssekit_hub::publish::Publish;
use ssekit_hub::serve;
use ssekit_hub::token::Token;
use tracing::level_filters::LevelFilter;

/// Server-sent events: a demo to look at, and a listener for the terminal
#[derive(Debug, Parser)]
#[command(version, args_override_self = true, after_help = "Without a command: serve --demo --store memory")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve events over HTTP, until Ctrl-C or SIGTERM
    Serve(Box<Flags>),
    /// Listen to events in the terminal: curl for server-sent events
    Listen(Box<Listen>),
    /// Publish updates to a hub
    Publish(Box<Publish>),
    /// Measure a server of events: a load generator that checks what arrives
    Bench(Bench),
    /// Make tokens, and see what they are good for
    #[command(subcommand)]
    Token(Box<Token>),
}

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse_from(arguments()).command {
        Command::Serve(flags) => configured(&flags).await,
        Command::Publish(publish) => {
            log(LevelFilter::OFF);
            end(publish.run(&mut stdout()).await.map_err(|failure| (failure.code, failure.error)))
        }
        Command::Bench(bench) => match bench.run(&mut stdout()) {
            Ok(verdict) => ExitCode::from(verdict.code()),
            Err(error) => end(Err((1, error))),
        },
        Command::Token(token) => match token.run(SystemTime::now()) {
            Ok(answer) if write!(stdout(), "{}", answer.text).is_ok() => ExitCode::from(answer.code),
            Ok(_) => ExitCode::FAILURE,
            Err(failure) => end(Err((failure.code, failure.error))),
        },
        Command::Listen(listen) => {
            log(if listen.verbose > 1 { LevelFilter::DEBUG } else { LevelFilter::OFF });
            end(listen
                .run(&mut stdout(), colours(&stdout()))
                .await
                .map_err(|failure| (failure.code, failure.error)))
        }
    }
}

/// The arguments, with the command that is meant where there is none.
fn arguments() -> Vec<OsString> {
    let mut arguments: Vec<_> = std::env::args_os().collect();
    let is_flag = |argument: &OsString| {
        let text = argument.to_string_lossy();
        text.starts_with('-') && !matches!(&*text, "-h" | "--help" | "-V" | "--version")
    };
    if arguments.get(1).is_none_or(is_flag) {
        let place = arguments.len().min(1);
        arguments.splice(place..place, ["serve", "--demo", "--store", "memory"].map(OsString::from));
    }
    arguments
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
    log_as(loaded.config.log);
    for warning in &loaded.warnings {
        match loaded.config.log.format {
            LogFormat::Text => say(warning),
            LogFormat::Json => tracing::warn!("{warning}"),
        }
    }
    end(serve::run(&loaded, &mut stdout()).await.map_err(|error| (1, error)))
}

/// Says all that is wrong with the configuration, one a line.
fn refuse(problems: &Problems) -> ExitCode {
    for problem in &problems.0 {
        say(&problem.to_string());
    }
    ExitCode::FAILURE
}

/// What the libraries tell goes to stderr.
fn log(level: LevelFilter) {
    tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_writer(stderr).init();
}

/// The same, as an operator wants it.
fn log_as(wanted: Log) {
    let level = match wanted.level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    match wanted.format {
        LogFormat::Text => log(level),
        LogFormat::Json => {
            let lines = tracing_subscriber::fmt().json().flatten_event(true);
            lines.with_max_level(level).with_writer(stderr).init();
        }
    }
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
