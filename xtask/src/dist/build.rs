//! A build of the program, and the parts that several artifacts have.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::files;
use crate::command::{Command, root, target};
use crate::node;
use crate::web;

/// Version of all crates, and of the npm package.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A build of the program, and the folders of the artifacts that are made with it.
pub(super) struct Build {
    /// The program, without symbols.
    pub(super) program: PathBuf,
    /// The artifacts.
    pub(super) out: PathBuf,
    /// Unpacked artifacts.
    pub(super) stage: PathBuf,
    /// Whether it is for users, or for a test, which takes little time and any state of the sources.
    pub(super) is_release: bool,
}

impl Build {
    /// Builds the program for users.
    pub(super) fn release() -> Result<Self> {
        Command::cargo("build --release --locked --package ssekit-cli").run()?;
        Self::new("release", "dist")
    }

    /// Takes the program that the tests have built.
    pub(super) fn debug() -> Result<Self> {
        // With an example, cargo selects the features of a test run, so that nothing is built twice.
        Command::cargo("build --workspace --all-features --bin ssekit --example publish").run()?;
        Self::new("debug", "dist-test")
    }

    fn new(profile: &str, name: &str) -> Result<Self> {
        let folder = target().join(name);
        files::clear(&folder)?;
        let stage = target().join(format!("{name}-stage"));
        files::clear(&stage)?;
        let program = stage.join(format!("ssekit{}", env::consts::EXE_SUFFIX));
        files::copy(&target().join(profile).join(format!("ssekit{}", env::consts::EXE_SUFFIX)), &program)?;
        if cfg!(unix) {
            Command::new("strip").arg(&program).run()?;
        }
        Ok(Self { program, out: folder, stage, is_release: profile == "release" })
    }

    /// Packs the npm package.
    pub(super) fn npm(&self) -> Result<PathBuf> {
        web::build()?;
        node::npm(&root().join("web"), "pack --silent --pack-destination")?.arg(&self.out).run()?;
        self.artifact(&format!("ssekit-{VERSION}.tgz"))
    }

    /// Copies the manifests for Kubernetes with the image of this version, the dashboard and the alert rules.
    pub(super) fn manifests(&self) -> Result<PathBuf> {
        for name in ["grafana.json", "alerts.yaml"] {
            files::copy(
                &root().join("examples/hub").join(name),
                &self.out.join(format!("ssekit-{VERSION}-{name}")),
            )?;
        }
        let text = files::read(&root().join("examples/hub/kubernetes.yaml"))?;
        let image = "image: ghcr.io/ssekit/ssekit:latest";
        if text.matches(image).count() != 1 {
            bail!("examples/hub/kubernetes.yaml does not contain {image:?} once");
        }
        let path = self.out.join(format!("ssekit-{VERSION}-kubernetes.yaml"));
        files::write(&path, &text.replace(":latest", &format!(":{VERSION}")))?;
        Ok(path)
    }

    /// The path of an artifact, which exists.
    pub(super) fn artifact(&self, name: &str) -> Result<PathBuf> {
        let path = self.out.join(name);
        if !path.is_file() {
            bail!("{} was not built", path.display());
        }
        Ok(path)
    }
}

/// The target of the compiler, such as `x86_64-unknown-linux-gnu`.
pub(super) fn host() -> Result<String> {
    let version = Command::new("rustc -vV").output()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` names no host")
}

/// Seconds since 1970 that files in archives get.
///
/// They are those of the commit, so that a second build has the same bytes.
pub(super) fn epoch() -> String {
    let set = env::var("SOURCE_DATE_EPOCH").ok();
    let commit = || Command::new("git log -1 --format=%ct").output().ok();
    set.or_else(commit).map_or_else(|| "0".to_owned(), |seconds| seconds.trim().to_owned())
}

/// Packs the file or folder `name` of a folder.
pub(super) fn tar(folder: &Path, name: &str, archive: &Path) -> Result<()> {
    let command = Command::new("tar --create --gzip --file").arg(archive).arg("--directory").arg(folder);
    // Those are flags of GNU's tar.
    let command = if cfg!(target_os = "linux") {
        command.args(["--sort=name", "--numeric-owner"]).arg(format!("--mtime=@{}", epoch()))
    } else {
        command
    };
    command.arg(name).run()
}

/// Returns the packages of the workspace that are published.
pub(crate) fn published() -> Result<Vec<String>> {
    let metadata = Command::cargo("metadata --format-version 1 --no-deps --locked").output()?;
    let metadata: serde_json::Value =
        serde_json::from_str(&metadata).context("cargo metadata is not JSON")?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let names = packages.iter().filter(|package| package["publish"].is_null());
    Ok(names.filter_map(|package| package["name"].as_str()).map(str::to_owned).collect())
}

/// Writes the man pages of the program, and a completion script for each shell.
pub(super) fn documents(program: &Path, man: &Path, completions: &Path) -> Result<()> {
    Command::program(program).arg("man").arg(man).run()?;
    fs::create_dir_all(completions).with_context(|| format!("cannot create {}", completions.display()))?;
    for (shell, name) in [
        ("bash", "ssekit"),
        ("elvish", "ssekit.elv"),
        ("fish", "ssekit.fish"),
        ("powershell", "_ssekit.ps1"),
        ("zsh", "_ssekit"),
    ] {
        let script = Command::program(program).args(["completions", shell]).output()?;
        files::write(&completions.join(name), &script)?;
    }
    Ok(())
}
