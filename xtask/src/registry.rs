//! Checks against crates.io: advisories about dependencies, and compatibility with the last release.

use anyhow::Result;

use crate::command::{Command, target};
use crate::dist::published;
use crate::publish::is_on_crates_io;

/// Looks for advisories about dependencies, with cargo-audit.
pub(crate) fn audit() -> Result<()> {
    tool("cargo-audit", "audit --deny warnings")?.run()
}

/// Checks that no release without a new major or minor version breaks code, with cargo-semver-checks.
pub(crate) fn compatibility() -> Result<()> {
    for name in published()? {
        // There is nothing to compare with before the first release.
        if is_on_crates_io(&name) {
            tool("cargo-semver-checks", "semver-checks --package")?.arg(name).run()?;
        }
    }
    Ok(())
}

/// Creates a command of a tool that cargo installs into a folder of ours, if it is not there.
fn tool(package: &str, line: &str) -> Result<Command> {
    let folder = target().join("tools/cargo");
    let program = folder.join("bin").join(format!("{package}{}", std::env::consts::EXE_SUFFIX));
    if !program.exists() {
        Command::cargo("install --locked --root").arg(&folder).arg(package).run()?;
    }
    Ok(Command::program(&program).args(line.split(' ')))
}
