//! `cargo xtask dist`: everything that a release publishes, in `target/dist`.

mod archive;
mod build;
mod container;
mod crates;
mod debian;
mod files;
mod installed;

use std::path::Path;

use anyhow::Result;

use self::build::Build;
pub(crate) use self::build::{VERSION, published};
pub(crate) use self::installed::test;
use crate::command::Command;
use crate::output::say;
use crate::tools::{self, Tool};

/// Programs that build the npm package.
const NODE: &[Tool] =
    &[("node", "nodejs", "builds the npm package"), ("npm", "npm", "installs what that needs")];

/// Programs that the test of the artifacts needs.
pub(crate) const TOOLS: &[Tool] = &[
    ("mmdebstrap", "mmdebstrap", "makes a fresh Debian for the test of the Debian package"),
    ("/usr/share/doc/python3-venv", "python3-venv", "checks the manifests for Kubernetes"),
];

/// Builds every artifact.
pub(crate) fn build() -> Result<()> {
    tools::provide(NODE)?;
    let build = Build::release()?;
    everything(&build)?;
    say(&format!("the artifacts are in {}", build.out.display()));
    Ok(())
}

fn everything(build: &Build) -> Result<()> {
    archive::write(build)?;
    container::pack(build, &container::write(build)?)?;
    debian::write(build)?;
    build.manifests()?;
    crates::write(build)?;
    build.npm()?;
    checksums(&build.out)
}

/// Builds the archive of the program, which any system can do, and its Debian package on Debian.
pub(crate) fn program() -> Result<()> {
    let build = Build::release()?;
    archive::write(&build)?;
    if Command::new("dpkg-deb --version").succeeds() {
        debian::write(&build)?;
    }
    Ok(())
}

/// Builds the root file system of the container alone, which `examples/hub/Containerfile` does.
pub(crate) fn root_file_system() -> Result<()> {
    container::write(&Build::release()?).map(drop)
}

/// Writes the checksums of the files of a folder into its file `SHA256SUMS`.
pub(crate) fn checksums(folder: &Path) -> Result<()> {
    let mut names = files::list(folder)?;
    names.retain(|name| name != "SHA256SUMS");
    names.sort();
    let sums = Command::new("sha256sum").args(names.iter().map(String::as_str)).within(folder).output()?;
    files::write(&folder.join("SHA256SUMS"), &sums)
}
