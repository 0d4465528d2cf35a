//! The `ssekit` program; the library's front page describes it.

use std::ffi::OsString;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{CommandFactory as _, Parser, Subcommand};
use ssekit_cli::bench::Bench;
use ssekit_cli::config::{Flags, Loaded, Log, LogFormat, LogLevel, Problems};
use ssekit_cli::generate::{self, Shell};
use ssekit_cli::health::Health;
use ssekit_cli::listen::Listen;
use ssekit_cli::publish::Publish;
use ssekit_cli::serve;
use ssekit_cli::terminal::{Escaped, chain, colors, say};
use ssekit_cli::token::Token;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Server-sent events hub and tools
#[derive(Debug, Parser)]
#[command(
    name = "ssekit",
    version,
    args_override_self = true,
    after_help = "Without a command, the program runs: ssekit serve --demo --store memory"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the hub until Ctrl-C or SIGTERM
    Serve(Box<Flags>),
    /// Print the events of a stream, like curl for server-sent events
    Listen(Box<Listen>),
    /// Publish updates to a hub
    Publish(Box<Publish>),
    /// Load-test a server of event streams and check that every event arrives
    Bench(Bench),
    /// Check that a hub is ready, with an exit code for containers and scripts
    Health(Box<Health>),
    /// Create and check tokens (JWT)
    #[command(subcommand)]
    Token(Box<Token>),
    /// Print the completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the man pages into a folder
    Man {
        /// The folder, which is created if it does not exist
        folder: PathBuf,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse_from(arguments()).command {
        Command::Serve(flags) => configured(&flags).await,
        Command::Publish(publish) => {
            log(LevelFilter::OFF);
            end(publish.run(&mut stdout()).await.map_err(|failure| (failure.code, failure.error)))
        }
        Command::Health(health) => {
            log(LevelFilter::OFF);
            end(health.run(&mut stdout()).await.map_err(|failure| (failure.code, failure.error)))
        }
        Command::Completions { shell } => end(print(&generate::completions(shell, Cli::command()))),
        Command::Man { folder } => end(generate::man(Cli::command(), &folder).map_err(|error| (1, error))),
        Command::Bench(bench) => match bench.run(&mut stdout()) {
            Ok(verdict) => ExitCode::from(verdict.code()),
            Err(error) => end(Err((1, error))),
        },
        Command::Token(token) => match token.run(SystemTime::now()) {
            Ok(answer) if write!(stdout(), "{}", answer.text).is_ok() => {
                answer.warnings.iter().for_each(|warning| say(warning));
                ExitCode::from(answer.code)
            }
            Ok(_) => ExitCode::FAILURE,
            Err(failure) => end(Err((failure.code, failure.error))),
        },
        Command::Listen(listen) => {
            log(if listen.verbose > 1 { LevelFilter::DEBUG } else { LevelFilter::OFF });
            end(listen
                .run(&mut stdout(), colors(&stdout()))
                .await
                .map_err(|failure| (failure.code, failure.error)))
        }
    }
}

/// Returns the arguments, with the default command if there is none.
fn arguments() -> Vec<OsString> {
    let mut arguments: Vec<_> = std::env::args_os().collect();
    let is_flag = |argument: &OsString| {
        let text = argument.to_string_lossy();
        text.starts_with('-') && !matches!(&*text, "-h" | "--help" | "-V" | "--version")
    };
    if arguments.get(1).is_none_or(is_flag) {
        let start = arguments.len().min(1);
        arguments.splice(start..start, ["serve", "--demo", "--store", "memory"].map(OsString::from));
    }
    arguments
}

async fn configured(flags: &Flags) -> ExitCode {
    let log = Loaded::log(flags);
    log_as(log);
    let reporter = Reporter(log.format);
    let loaded = match Loaded::read(flags) {
        Ok(loaded) => loaded,
        Err(problems) => return reporter.problems(&problems),
    };
    if flags.print && write!(stdout(), "{}", loaded.to_toml()).is_err() {
        return ExitCode::FAILURE;
    }
    if flags.print && !flags.check {
        return ExitCode::SUCCESS;
    }
    loaded.warnings.iter().for_each(|warning| reporter.warning(warning));
    if flags.check {
        return match serve::check(&loaded) {
            Ok(remarks) => {
                remarks.iter().for_each(|remark| reporter.warning(remark));
                reporter.valid(flags.print)
            }
            Err(problems) => {
                problems.iter().for_each(|problem| reporter.error(problem));
                ExitCode::FAILURE
            }
        };
    }
    loaded.unusable.iter().for_each(|warning| reporter.warning(warning));
    match serve::run(&loaded, &mut stdout()).await.map_err(anyhow::Error::downcast::<Problems>) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ok(problems)) => reporter.problems(&problems),
        Err(Err(error)) => {
            reporter.error(&chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// Reports to the operator of `serve`: as text, or as log lines if logs are JSON.
#[derive(Clone, Copy)]
struct Reporter(LogFormat);

impl Reporter {
    fn warning(self, text: &str) {
        match self.0 {
            LogFormat::Text => say(text),
            LogFormat::Json => tracing::warn!("{text}"),
        }
    }

    /// Reports an error that ends the program, at every log level.
    fn error(self, text: &str) {
        match self.0 {
            LogFormat::Text => say(text),
            LogFormat::Json => {
                tracing::subscriber::with_default(json_lines(LevelFilter::ERROR), || {
                    tracing::error!("{text}")
                });
            }
        }
    }

    fn problems(self, problems: &Problems) -> ExitCode {
        problems.0.iter().for_each(|problem| self.error(&problem.to_string()));
        ExitCode::FAILURE
    }

    /// Reports that the configuration is valid: after a printed configuration, as its comment.
    fn valid(self, printed: bool) -> ExitCode {
        let comment = if printed { "# " } else { "" };
        match self.0 {
            LogFormat::Json if !printed => tracing::info!("{VALID}"),
            _ if writeln!(stdout(), "{comment}{VALID}").is_err() => return ExitCode::FAILURE,
            _ => {}
        }
        ExitCode::SUCCESS
    }
}

const VALID: &str = "the configuration is valid";

/// Writes the logs of the libraries to standard error.
fn log(level: LevelFilter) {
    let writer = || Escaped::text(stderr());
    tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_writer(writer).init();
}

/// Writes logs as configured.
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
            json_lines(level).init();
            std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a thread panicked")));
        }
    }
}

/// A JSON object per line.
fn json_lines(level: LevelFilter) -> impl Subscriber + Send + Sync {
    let writer = || Escaped::json(stderr());
    tracing_subscriber::fmt().json().flatten_event(true).with_max_level(level).with_writer(writer).finish()
}

/// Prints bytes, unless the reader is gone.
fn print(bytes: &[u8]) -> Result<(), (u8, anyhow::Error)> {
    match stdout().write_all(bytes) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err((1, anyhow::Error::from(error).context("cannot write the output")))
        }
        _ => Ok(()),
    }
}

/// Reports an error and its causes on one line.
fn end(result: Result<(), (u8, anyhow::Error)>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, error)) => {
            say(&chain(error.as_ref()));
            ExitCode::from(code)
        }
    }
}
