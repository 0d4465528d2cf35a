use anyhow::{Context as _, Result, bail};

use crate::command::Command;
use crate::dependencies::{linked, packages, text, without_frameworks};

/// The Rust that the workspace promises is enough: for every dependency by its own word, and for our code by building
/// with it where it can be had, by the lint `clippy::incompatible_msrv` where not.
pub(crate) fn check() -> Result<()> {
    let packages = packages()?;
    let promised = packages
        .iter()
        .find(|package| text(package, "name") == "ssekit")
        .and_then(|package| version(text(package, "rust_version")))
        .context("the workspace names no rust-version")?;
    let ours = without_frameworks(&packages);
    // The program and its storage are not libraries: what they are built with is stated in their own manifests.
    let ours = format!(
        "{ours} --exclude ssekit-cli --exclude ssekit-hub --exclude ssekit-load --exclude ssekit-log --exclude ssekit-mercure"
    );
    let linked_by_us = linked("normal,build", &ours)?;
    let linked_by_any = linked("normal,build", "--workspace --exclude xtask --all-features")?;
    let mut faults = Vec::new();
    let mut exempt = Vec::new();
    for package in &packages {
        let named = format!("{} v{}", text(package, "name"), text(package, "version"));
        let Some(needed) = version(text(package, "rust_version")).filter(|needed| *needed > promised) else {
            continue;
        };
        let needs = format!("{named} needs Rust {}.{}", needed.0, needed.1);
        if linked_by_us.contains(&named) {
            faults.push(format!("{needs}, the workspace promises {}.{}", promised.0, promised.1));
        } else if linked_by_any.contains(&named) {
            exempt.push(needs);
        }
    }
    if !exempt.is_empty() {
        crate::say(&format!("exempt, because only features for frameworks link it: {}", exempt.join(", ")));
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
    Command::new(&format!("rustup run {toolchain} cargo check {ours} --locked"))
        .env("CARGO_TARGET_DIR", "target/msrv")
        .run()
}

/// Major and minor of a version such as 1.85 or 1.85.0.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}
