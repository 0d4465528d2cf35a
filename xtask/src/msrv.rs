use anyhow::{Context as _, Result, bail};

use crate::command::Command;
use crate::dependencies::{packages, text};

/// The Rust that the workspace promises is enough: for every dependency by its own word, and for our code by building
/// with it where it can be had, by the lint `clippy::incompatible_msrv` where not.
pub(crate) fn check() -> Result<()> {
    let packages = packages()?;
    let promised = packages
        .iter()
        .find(|package| text(package, "name") == "ssekit")
        .and_then(|package| version(text(package, "rust_version")))
        .context("the workspace names no rust-version")?;
    let tree = "tree --workspace --exclude xtask --all-features --locked --edges normal,build --prefix none --format {p}";
    let linked = Command::cargo(tree).output()?;
    let mut faults = Vec::new();
    for package in &packages {
        let named = format!("{} v{}", text(package, "name"), text(package, "version"));
        let linked = linked
            .lines()
            .any(|line| line == named || line.strip_prefix(&named).is_some_and(|rest| rest.starts_with(' ')));
        if let Some(needed) =
            version(text(package, "rust_version")).filter(|needed| linked && *needed > promised)
        {
            faults.push(format!(
                "{named} needs Rust {}.{}, the workspace promises {}.{}",
                needed.0, needed.1, promised.0, promised.1
            ));
        }
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    let toolchain = format!("{}.{}", promised.0, promised.1);
    let installed = Command::new("rustup run").arg(&toolchain).arg("rustc").arg("--version").succeeds()
        || Command::new("rustup toolchain install --profile minimal").arg(&toolchain).succeeds();
    if !installed {
        crate::say(&format!(
            "Rust {toolchain} cannot be fetched here, so nothing was built with it: what was held to it is every \
             dependency's own rust-version, and our use of std by clippy::incompatible_msrv in the step \"lints\""
        ));
        return Ok(());
    }
    Command::new("rustup run")
        .args([
            &toolchain,
            "cargo",
            "check",
            "--workspace",
            "--exclude",
            "xtask",
            "--all-features",
            "--locked",
        ])
        .env("CARGO_TARGET_DIR", "target/msrv")
        .run()
}

/// Major and minor of a version such as 1.85 or 1.85.0.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}
