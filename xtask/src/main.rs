//! The project's own commands: `cargo xtask test` passes every test and check, `cargo xtask bench` measures.

use std::env;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

mod command;
mod dependencies;
mod fuzz;
mod msrv;
mod node;
mod pages;
mod tools;
mod wasm;
mod web;

use command::Command;

const USAGE: &str = "\
cargo xtask COMMAND

  test    every test and check, as CI runs them; installs what is missing, or says what to install
          (with a WORD: only the steps that have it in their name)
  check   formatting, lints, documentation, dependencies: what needs no test run
  web     the npm package in web/, and the program's copy of it
  pages   the pages in Rust: examples/leptos, and the one that tests of the client open
  model   every interleaving of a channel's publishers and readers
  soak    the long form of what has one: 500 kills, properties over many cases, an hour of attacks, an hour of fuzzing
  fuzz    each fuzz target [SECONDS] long, 30 unless told
  bench   the tables of bench/*.md, with peers in the same run (a quiet machine, please)
";

#[allow(clippy::print_stderr, reason = "a command for people")]
fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["test"] => test(""),
        ["test", word] => test(word),
        ["check"] => check(),
        ["web"] => web::build(),
        ["pages"] => pages::build(),
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

type Run = fn() -> Result<()>;

/// Every step, or those with this word in their name.
fn test(word: &str) -> Result<()> {
    let steps: [(&str, Run); 8] = [
        ("what needs no test run", check),
        ("tests and doctests", || {
            tools::provide(tools::AROUND_THE_HUB)?;
            Command::cargo("test --workspace --all-features --no-fail-fast").run()
        }),
        ("lints of what browsers run", || wasm::lint().and_then(|()| pages::lint())),
        ("the npm package", web::test),
        ("pages in Rust", pages::build),
        ("pages in Chromium", web::test_in_browser),
        ("every interleaving of a channel's publishers and readers", model),
        ("fuzzing, a minute", || fuzz::run(Duration::from_secs(30))),
    ];
    let chosen: Vec<_> = steps.into_iter().filter(|(name, _)| name.contains(word)).collect();
    if chosen.is_empty() {
        bail!("no step has {word:?} in its name: {}", steps.map(|(name, _)| name).join("; "));
    }
    let start = Instant::now();
    tools::install()?;
    for (name, run) in chosen {
        step(name, run)?;
    }
    say(&format!("all passed in {} s", start.elapsed().as_secs()));
    Ok(())
}

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
    step("licences and duplicate versions", dependencies::check)?;
    step("oldest Rust", msrv::check)?;
    step("lints", || Command::cargo("clippy --workspace --all-targets --all-features -- -D warnings").run())?;
    step("each feature by itself", || {
        for (package, features) in FEATURES {
            let features =
                format!("check --quiet --package {package} --no-default-features --features={features}");
            Command::cargo(&features).env("RUSTFLAGS", "-D warnings").run()?;
        }
        Ok(())
    })?;
    step("documentation", || {
        Command::cargo("doc --workspace --no-deps --all-features").env("RUSTDOCFLAGS", "-D warnings").run()
    })?;
    step("the program's copy of the npm package", web::check)
}

fn model() -> Result<()> {
    // The flags are in model/.cargo/config.toml, which counts in that folder only.
    Command::cargo("test --quiet")
        .within("model")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR")
        .run()
}

/// What `test` does in a short form, in the long one.
fn soak() -> Result<()> {
    tools::install()?;
    let long = |run: &str| Command::cargo(run).env("SSEKIT_SOAK", "1").env("SSEKIT_KILL_CYCLES", "500").run();
    step("the log, killed 500 times", || long("test --release --package ssekit-log"))?;
    step("the hub: protocol, private updates, bad days, killed 500 times", || {
        long(
            "test --release --package ssekit-mercure --package ssekit-hub --package ssekit-cli --test mercure --test hub --test baddays",
        )
    })?;
    // One after the other, since they measure times.
    step("the hub: all attacks at once for an hour, and resumes beside those that do not read", || {
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

/// The sets of features that somebody may choose, beside all and the default.
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

fn step(name: &str, run: impl FnOnce() -> Result<()>) -> Result<()> {
    say(name);
    let start = Instant::now();
    if let Err(error) = run() {
        bail!("{name} failed after {} s: {error:#}", start.elapsed().as_secs());
    }
    say(&format!("{name}: {} s", start.elapsed().as_secs()));
    Ok(())
}

#[allow(clippy::print_stderr, reason = "a command for people")]
fn say(line: &str) {
    eprintln!("==> {line}");
}
