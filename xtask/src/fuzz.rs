//! Runs of the fuzz targets in `fuzz`.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::command::{Command, root};

/// The fuzz targets, with the folders of their seeds.
const TARGETS: &[(&str, &[&str])] = &[
    ("decode", &["seeds/decode"]),
    ("encode", &[]),
    ("head", &["seeds/head"]),
    ("publication", &["seeds/publication"]),
    ("template", &["seeds/template"]),
    ("token", &["seeds/token"]),
];

/// Runs each fuzz target for this time. `fuzz/README.md` describes the targets and their findings.
pub(crate) fn run(each: Duration) -> Result<()> {
    let folder = root().join("fuzz");
    for (target, seeds) in TARGETS {
        let corpus = format!("corpus/{target}");
        fs::create_dir_all(folder.join(&corpus))
            .with_context(|| format!("cannot create the folder fuzz/{corpus}"))?;
        let seconds = each.as_secs();
        // fuzz/.cargo/config.toml sets the compiler flags. Cargo reads it only in that folder.
        Command::cargo("run --quiet --release --bin")
            .arg(target)
            .args(["--", "-max_len=4096", "-dict=dictionary.txt", "-print_final_stats=1", "-verbosity=0"])
            .arg(format!("-max_total_time={seconds}"))
            .arg(&corpus)
            .args(seeds.iter().copied())
            .within("fuzz")
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_TARGET_DIR")
            .run()?;
    }
    Ok(())
}
