//! Check of the oldest supported Rust, which the workspace states as `rust-version`.

use anyhow::{Context as _, Result, bail};

use crate::command::Command;
use crate::dependencies::{linked, packages, text, without_frameworks};
use crate::output::say;
use crate::tools;

/// Checks that the `rust-version` of the workspace is sufficient.
///
/// Dependencies must state no higher `rust-version`. The workspace is compiled with this version if rustup
/// can install it; otherwise only the lint `clippy::incompatible_msrv` checks its code.
pub(crate) fn check() -> Result<()> {
    let packages = packages()?;
    let supported = packages
        .iter()
        .find(|package| text(package, "name") == "ssekit")
        .and_then(|package| version(text(package, "rust_version")))
        .context("the manifest of `ssekit` has no rust-version")?;
    let ours = without_frameworks(&packages);
    // These packages are not libraries for applications; their manifests state a newer Rust.
    let ours = format!(
        "{ours} --exclude ssekit-cli --exclude ssekit-hub --exclude ssekit-load --exclude ssekit-log \
         --exclude ssekit-mercure"
    );
    let linked_by_us = linked("normal,build", &ours)?;
    let linked_by_any = linked("normal,build", "--workspace --exclude xtask --all-features")?;
    let mut problems = Vec::new();
    let mut exempt = Vec::new();
    for package in &packages {
        let named = format!("{} v{}", text(package, "name"), text(package, "version"));
        let Some(needed) = version(text(package, "rust_version")).filter(|needed| *needed > supported) else {
            continue;
        };
        let needs = format!("{named} needs Rust {}.{}", needed.0, needed.1);
        if linked_by_us.contains(&named) {
            problems.push(format!("{needs}, but the workspace supports {}.{}", supported.0, supported.1));
        } else if linked_by_any.contains(&named) {
            exempt.push(needs);
        }
    }
    if !exempt.is_empty() {
        say(&format!("exempt, because only features for frameworks link it: {}", exempt.join(", ")));
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    let toolchain = format!("{}.{}", supported.0, supported.1);
    let installed = Command::new("rustup run").arg(&toolchain).arg("rustc").arg("--version").succeeds()
        || install(&toolchain);
    if !installed {
        say(&format!(
            "rustup cannot install Rust {toolchain}, so nothing was built with it: only the rust-version of \
             each dependency was checked, and the step \"lints\" checks our use of std"
        ));
        return Ok(());
    }
    Command::new(&format!("rustup run {toolchain} cargo check {ours} --locked"))
        .env("CARGO_TARGET_DIR", "target/msrv")
        .run()
}

/// Installs a toolchain, unless the answer is no; returns true if it is installed.
fn install(toolchain: &str) -> bool {
    let add = format!("rustup toolchain install --profile minimal {toolchain}");
    let announcement = format!("missing: Rust {toolchain}. `{add}` installs it");
    tools::confirm(&announcement, &add).is_ok() && Command::new(&add).succeeds()
}

/// The major and minor number of a version such as 1.85 or 1.85.0.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}
