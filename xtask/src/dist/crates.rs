//! The packages of the crates.

use std::path::PathBuf;

use anyhow::Result;

use super::build::{Build, VERSION, published};
use super::files;
use crate::command::{Command, target};

/// Packages each crate that is published, and returns the folder with the packages.
///
/// cargo does not build them: the test of the artifacts does, together.
pub(super) fn write(build: &Build) -> Result<PathBuf> {
    let names = published()?;
    let mut command = Command::cargo("package --quiet --no-verify");
    if !build.is_release {
        command = command.arg("--allow-dirty");
    }
    for name in &names {
        command = command.arg("--package").arg(name);
    }
    command.env("CARGO_TARGET_DIR", target()).run()?;
    for name in names {
        let package = format!("{name}-{VERSION}.crate");
        files::copy(&target().join("package").join(&package), &build.out.join(&package))?;
    }
    Ok(build.out.clone())
}
