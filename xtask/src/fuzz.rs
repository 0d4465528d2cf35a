use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::command::{Command, root};

const TARGETS: &[(&str, &[&str])] = &[
    ("decode", &["seeds/decode"]),
    ("encode", &[]),
    ("head", &["seeds/head"]),
    ("publication", &["seeds/publication"]),
    ("template", &["seeds/template"]),
    ("token", &["seeds/token"]),
];

/// Runs each fuzz target this long. `fuzz/README.md` says what they hold and how to look at what they find.
pub(crate) fn run(each: Duration) -> Result<()> {
    let folder = root().join("fuzz");
    for (target, seeds) in TARGETS {
        let corpus = format!("corpus/{target}");
        fs::create_dir_all(folder.join(&corpus)).with_context(|| format!("cannot make fuzz/{corpus}"))?;
        let seconds = each.as_secs();
        // The flags are in fuzz/.cargo/config.toml, which counts in that folder only.
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
