//! `cargo xtask publish`: the steps of a release that need registries, a container engine or GitHub.
//!
//! The workflow `release` runs them; RELEASING.md describes the order. A step that runs again skips packages
//! that are published already.

use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::changelog;
use crate::command::{Command, root};
use crate::dist::{VERSION, checksums, published};

/// The artifacts of every system.
const ARTIFACTS: &str = "artifacts";
const IMAGE: &str = "ghcr.io/ssekit/ssekit";

/// Drafts a release on GitHub, with the artifacts and the section of the changelog.
pub(crate) fn draft(tag: &str) -> Result<()> {
    is_tag_of_version(tag)?;
    let folder = root().join(ARTIFACTS);
    checksums(&folder)?;
    let notes = root().join("target/notes.md");
    fs::create_dir_all(root().join("target")).context("cannot create target")?;
    fs::write(&notes, changelog::section(VERSION)?).context("cannot write the notes")?;
    let command = Command::new("gh release create --draft --verify-tag").arg(tag);
    let command = command.arg("--title").arg(format!("ssekit {VERSION}")).arg("--notes-file").arg(notes);
    artifacts()?.into_iter().fold(command, Command::arg).run()
}

/// Publishes the crates that the registry does not have in this version. cargo finds their order.
pub(crate) fn crates() -> Result<()> {
    let missing = published()?.into_iter().filter(|name| !is_on_crates_io(&format!("{name}@{VERSION}")));
    let missing: Vec<String> = missing.collect();
    if missing.is_empty() {
        return Ok(());
    }
    let command = Command::cargo("publish --locked");
    missing.iter().fold(command, |command, name| command.arg("--package").arg(name)).run()
}

/// Publishes the tarball of the npm package, with a statement of where it was built.
pub(crate) fn npm() -> Result<()> {
    let there = Command::new(&format!("npm view ssekit@{VERSION} version")).output();
    if there.is_ok_and(|there| there.trim() == VERSION) {
        return Ok(());
    }
    let tarball = root().join(ARTIFACTS).join(format!("ssekit-{VERSION}.tgz"));
    let token = env::var("NODE_AUTH_TOKEN").context("NODE_AUTH_TOKEN is not set")?;
    Command::new("npm publish --provenance --access public")
        .arg(tarball)
        .env("npm_config_//registry.npmjs.org/:_authToken", token)
        .run()
}

/// Builds the image, checks that its health check succeeds, and pushes it.
pub(crate) fn image() -> Result<()> {
    let name = format!("{IMAGE}:{VERSION}");
    let build = "docker build --file examples/hub/Containerfile --tag";
    Command::new(build).arg(&name).arg("--tag").arg(format!("{IMAGE}:latest")).arg(".").run()?;
    let run = "docker run --detach --env SSEKIT_DEV=true --env SSEKIT_DEV_ANYWHERE=true";
    let id = Command::new(run).arg(&name).output()?;
    let health = format!("docker exec {} /usr/local/bin/ssekit health --timeout 30s", id.trim());
    let is_healthy = (0..100).any(|_| Command::new(&health).succeeds());
    Command::new("docker rm --force").arg(id.trim()).run()?;
    if !is_healthy {
        bail!("the hub in the image {name} is not healthy");
    }
    for tag in [VERSION, "latest"] {
        Command::new("docker push").arg(format!("{IMAGE}:{tag}")).run()?;
    }
    Ok(())
}

/// Publishes the drafted release.
pub(crate) fn release(tag: &str) -> Result<()> {
    is_tag_of_version(tag)?;
    Command::new("gh release edit --draft=false").arg(tag).run()
}

fn is_tag_of_version(tag: &str) -> Result<()> {
    if tag != format!("v{VERSION}") {
        bail!("the tag {tag} is not that of the version {VERSION} in Cargo.toml");
    }
    Ok(())
}

pub(crate) fn is_on_crates_io(package: &str) -> bool {
    Command::cargo("info --quiet --registry crates-io").arg(package).succeeds()
}

fn artifacts() -> Result<Vec<PathBuf>> {
    let folder = root().join(ARTIFACTS);
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}
