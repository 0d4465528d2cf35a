//! The commands of the project, such as `cargo xtask test`. A check that cannot run fails.

use std::env;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

mod changelog;
mod command;
mod dependencies;
mod dist;
mod fuzz;
mod msrv;
mod node;
mod output;
mod pages;
mod prose;
mod publish;
mod registry;
mod tools;
mod wasm;
mod web;
mod workflows;

use command::Command;
use output::say;
use tools::Tool;

const USAGE: &str = "\
cargo xtask COMMAND

  test    runs all tests and checks, as CI does; names missing programs, and asks whether to install them
          (with a WORD: only the steps whose name contains it; with --install or CI=true: without a question)
  check   runs the checks without tests: formatting, lints, documentation, dependencies
  prose   lists the lines that break a writing rule, and lowers the recorded maxima
  web     builds the npm package in web/, and updates the program's copy of it
  pages   builds the pages in Rust: examples/leptos, and the page that browser tests open
  dist    builds the artifacts of a release in target/dist (with `program` or `root`: only the archive of the
          program, or the root file system of the container)
  publish publishes `crates`, `npm`, `image`, or on GitHub `draft TAG` and `release TAG`: see RELEASING.md
  libraries      tests wire, session, client and server, which run on every system
  audit          looks for advisories about dependencies, with cargo-audit
  compatibility  compares the crates with their last release, with cargo-semver-checks
  model   checks every interleaving of a channel's publishers and readers
  soak    runs the long tests: 500 kills, many cases of each property, an hour of attacks, fuzzing
  fuzz    runs each fuzz target for [SECONDS]; the default is 30
  bench   measures, and writes the tables of bench/*.md; needs an idle machine
";

#[allow(clippy::print_stderr, reason = "output for the terminal")]
fn main() -> ExitCode {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.last().is_some_and(|last| last == "--install") {
        arguments.pop();
        tools::install_without_question();
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["test"] => test(""),
        ["test", word] => test(word),
        ["check"] => check(),
        ["prose"] => prose::list(),
        ["web"] => web::build(),
        ["pages"] => pages::build(),
        ["dist"] => dist::build(),
        ["dist", "program"] => dist::program(),
        ["dist", "root"] => dist::root_file_system(),
        ["libraries"] => libraries(),
        ["audit"] => registry::audit(),
        ["compatibility"] => registry::compatibility(),
        ["publish", "draft", tag] => publish::draft(tag),
        ["publish", "crates"] => publish::crates(),
        ["publish", "npm"] => publish::npm(),
        ["publish", "image"] => publish::image(),
        ["publish", "release", tag] => publish::release(tag),
        ["model"] => model(),
        ["soak"] => soak(),
        ["fuzz"] => fuzz::run(Duration::from_secs(30)),
        ["fuzz", seconds] => seconds.parse().map_err(Into::into).map(Duration::from_secs).and_then(fuzz::run),
        ["bench"] => bench(),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A name, the programs that a step needs beside those of every step, and the step.
type Step = (&'static str, &'static [Tool], fn() -> Result<()>);

/// Runs the steps whose name contains this word; all of them if it is empty.
fn test(word: &str) -> Result<()> {
    let steps: [Step; 9] = [
        ("checks without tests", &[], check),
        ("tests and doctests", tools::AROUND_THE_HUB, || {
            Command::cargo("test --workspace --all-features --no-fail-fast").run()
        }),
        ("lints for browsers", &[], || wasm::lint().and_then(|()| pages::lint())),
        ("the npm package", &[], web::test),
        ("pages in Rust", &[], pages::build),
        ("pages in Chromium", &[], web::test_in_browser),
        ("artifacts of a release", dist::TOOLS, dist::test),
        ("every interleaving of a channel's publishers and readers", &[], model),
        ("fuzzing", &[], || fuzz::run(Duration::from_secs(30))),
    ];
    let chosen: Vec<_> = steps.into_iter().filter(|(name, ..)| name.contains(word)).collect();
    if chosen.is_empty() {
        bail!(
            "the name of no step contains {word:?}; the steps are: {}",
            steps.map(|(name, ..)| name).join("; ")
        );
    }
    let start = Instant::now();
    let tools: Vec<Tool> = chosen.iter().flat_map(|(_, tools, _)| *tools).copied().collect();
    tools::install(&tools)?;
    for (name, _, run) in chosen {
        step(name, run)?;
    }
    say(&format!("all passed in {} s", start.elapsed().as_secs()));
    Ok(())
}

/// Runs the checks that run no tests.
fn check() -> Result<()> {
    step("formatting", || {
        Command::cargo("fmt --all --check").run()?;
        for manifest in
            ["bench/Cargo.toml", "examples/leptos/Cargo.toml", "fuzz/Cargo.toml", "model/Cargo.toml"]
        {
            Command::cargo("fmt --all --check --manifest-path").arg(manifest).run()?;
        }
        Ok(())
    })?;
    step("workflows", workflows::check)?;
    step("licences and duplicate versions", dependencies::check)?;
    step("oldest Rust", msrv::check)?;
    step("lints", || Command::cargo("clippy --workspace --all-targets --all-features -- -D warnings").run())?;
    step("each feature by itself", || {
        for (package, features) in FEATURES {
            // `RUSTFLAGS` would compile all dependencies again.
            let features = format!(
                "clippy --quiet --package {package} --no-default-features --features={features} -- -D warnings"
            );
            Command::cargo(&features).run()?;
        }
        Ok(())
    })?;
    step("writing rules", prose::check)?;
    step("documentation", || {
        Command::cargo("doc --workspace --no-deps --all-features").env("RUSTDOCFLAGS", "-D warnings").run()
    })?;
    step("the program's copy of the npm package", web::check)
}

/// Tests the crates that run on every system.
fn libraries() -> Result<()> {
    let crates =
        "--package ssekit-wire --package ssekit-session --package ssekit-client --package ssekit-server";
    Command::cargo(&format!("test {crates}")).run()
}

fn model() -> Result<()> {
    // model/.cargo/config.toml sets the compiler flags. Cargo reads it only in that folder.
    Command::cargo("test --quiet")
        .within("model")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR")
        .run()
}

/// Runs the long form of tests that have a short one in `test`.
fn soak() -> Result<()> {
    tools::install(&[])?;
    let long = |run: &str| Command::cargo(run).env("SSEKIT_SOAK", "1").env("SSEKIT_KILL_CYCLES", "500").run();
    step("the log, killed 500 times", || long("test --release --package ssekit-log"))?;
    step("the hub: protocol, private updates, bad days, killed 500 times", || {
        long(
            "test --release --package ssekit-mercure --package ssekit-hub --package ssekit-cli \
             --test mercure --test hub --test baddays",
        )
    })?;
    // These tests measure times, so they run one after the other.
    step("the hub: all attacks at once for an hour, and resumes beside stalled subscribers", || {
        Command::cargo(
            "test --release --package ssekit-cli --test baddays -- --test-threads 1 hostile:: replay::",
        )
        .env("SSEKIT_SOAK", "1")
        .env("SSEKIT_HOSTILE_SECONDS", "3600")
        .run()
    })?;
    step("fuzzing, ten minutes each", || fuzz::run(Duration::from_secs(600)))
}

fn bench() -> Result<()> {
    for run in [
        "ssekit-bench-codec",
        "ssekit-bench-stream -- --write",
        "ssekit-bench-fanout -- --write",
        "ssekit-bench-log -- --write",
        "ssekit-bench-hub -- --write",
    ] {
        Command::cargo(&format!("run --release --manifest-path bench/Cargo.toml --package {run}")).run()?;
    }
    web::bench()
}

/// The sets of features that are compiled alone, besides the default and all features.
const FEATURES: &[(&str, &str)] = &[
    ("ssekit-wire", ""),
    ("ssekit-wire", "json"),
    ("ssekit-session", ""),
    ("ssekit-server", ""),
    ("ssekit-server", "actix-web"),
    ("ssekit-server", "axum"),
    ("ssekit-server", "json"),
    ("ssekit-server", "brotli"),
    ("ssekit-server", "gzip"),
    ("ssekit-server", "zstd"),
    ("ssekit-server", "metrics"),
    ("ssekit-server", "poem"),
    ("ssekit-server", "rocket"),
    ("ssekit-server", "salvo"),
    ("ssekit-server", "tcp"),
    ("ssekit-server", "warp"),
    ("ssekit-client", ""),
    ("ssekit", ""),
    ("ssekit", "server"),
    ("ssekit", "client"),
];

/// Runs a step, and prints its name and its time.
fn step(name: &str, run: impl FnOnce() -> Result<()>) -> Result<()> {
    say(name);
    let start = Instant::now();
    if let Err(error) = run() {
        bail!("{name} failed after {} s: {error:#}", start.elapsed().as_secs());
    }
    say(&format!("{name}: {} s", start.elapsed().as_secs()));
    Ok(())
}
