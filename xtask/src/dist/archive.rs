//! The archive with the program, its man pages and completions, and the examples of a hub.

use std::env;
use std::path::PathBuf;

use anyhow::Result;

use super::build::{Build, VERSION, documents, host, tar};
use super::files;
use crate::command::root;

const DOCUMENTS: &[&str] = &["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "README.md"];

/// Packs the archive, whose name `cargo binstall` knows from the manifest of the program.
pub(super) fn write(build: &Build) -> Result<PathBuf> {
    let name = format!("ssekit-{VERSION}-{}", host()?);
    let folder = build.stage.join(&name);
    files::clear(&folder)?;
    files::copy(&build.program, &folder.join(format!("ssekit{}", env::consts::EXE_SUFFIX)))?;
    documents(&build.program, &folder.join("man/man1"), &folder.join("completions"))?;
    for document in DOCUMENTS {
        files::copy(&root().join(document), &folder.join(document))?;
    }
    files::copy_all(&root().join("examples/hub"), &folder.join("examples/hub"))?;
    let archive = format!("{name}.tar.gz");
    tar(&build.stage, &name, &build.out.join(&archive))?;
    build.artifact(&archive)
}
