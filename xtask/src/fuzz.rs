//! Runs of the fuzz targets in `fuzz`.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::command::{Command, Running, root};

/// The fuzz targets, with the folders of their seeds.
const TARGETS: &[(&str, &[&str])] = &[
    ("decode", &["seeds/decode"]),
    ("encode", &[]),
    ("head", &["seeds/head"]),
    ("publication", &["seeds/publication"]),
    ("template", &["seeds/template"]),
    ("token", &["seeds/token"]),
];

/// Runs each fuzz target for this time, as many at once as there are processors.
///
/// `fuzz/README.md` describes the targets and their findings.
pub(crate) fn run(each: Duration) -> Result<()> {
    cargo("build --quiet --release --bins").run()?;
    let at_once = thread::available_parallelism().map_or(1, usize::from);
    for targets in TARGETS.chunks(at_once) {
        let running: Vec<_> = targets.iter().map(|target| start(target, each)).collect::<Result<_>>()?;
        running.into_iter().try_for_each(Running::wait)?;
    }
    Ok(())
}

fn start((target, seeds): &(&str, &[&str]), time: Duration) -> Result<Running> {
    let corpus = format!("corpus/{target}");
    fs::create_dir_all(root().join("fuzz").join(&corpus))
        .with_context(|| format!("cannot create the folder fuzz/{corpus}"))?;
    cargo("run --quiet --release --bin")
        .arg(target)
        .args(["--", "-max_len=4096", "-dict=dictionary.txt", "-print_final_stats=1", "-verbosity=0"])
        .arg(format!("-max_total_time={}", time.as_secs()))
        .arg(&corpus)
        .args(seeds.iter().copied())
        .start()
}

/// Creates a command of cargo in the folder `fuzz`.
///
/// Cargo reads the compiler flags in `fuzz/.cargo/config.toml` only in that folder.
fn cargo(line: &str) -> Command {
    Command::cargo(line).within("fuzz").env_remove("RUSTFLAGS").env_remove("CARGO_TARGET_DIR")
}
