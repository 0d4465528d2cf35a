//! `cargo xtask dist`: everything that a release publishes, in `target/dist`.

mod archive;
mod container;
mod crates;
mod debian;
mod files;
mod installed;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::command::{Command, root, target};
use crate::node;
use crate::tools::{self, Tool};
use crate::web;

pub(crate) use self::installed::test;

/// Version of all crates, and of the npm package.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Programs that build the npm package.
const NODE: &[Tool] =
    &[("node", "nodejs", "builds the npm package"), ("npm", "npm", "installs what that needs")];

/// Programs that the test of the artifacts needs.
pub(crate) const TOOLS: &[Tool] = &[
    ("mmdebstrap", "mmdebstrap", "makes a fresh Debian for the test of the Debian package"),
    ("/usr/share/doc/python3-venv", "python3-venv", "checks the manifests for Kubernetes"),
];

/// A build of the program, and the folders of the artifacts that are made with it.
struct Build {
    /// The program, without symbols.
    program: PathBuf,
    /// The artifacts.
    out: PathBuf,
    /// Unpacked artifacts.
    stage: PathBuf,
    /// Whether it is for users, or for a test, which takes little time and any state of the sources.
    is_release: bool,
}

/// Builds every artifact.
pub(crate) fn build() -> Result<()> {
    tools::provide(NODE)?;
    let build = Build::release()?;
    build.everything()?;
    crate::say(&format!("the artifacts are in {}", build.out.display()));
    Ok(())
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

impl Build {
    fn release() -> Result<Self> {
        Command::cargo("build --release --locked --package ssekit-cli").run()?;
        Self::new("release", "dist")
    }

    /// Takes the program that the tests have built.
    fn debug() -> Result<Self> {
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

    fn everything(&self) -> Result<()> {
        archive::write(self)?;
        container::pack(self, &container::write(self)?)?;
        debian::write(self)?;
        self.manifests()?;
        crates::write(self)?;
        self.npm()?;
        checksums(&self.out)
    }

    /// Packs the npm package.
    fn npm(&self) -> Result<PathBuf> {
        web::build()?;
        node::npm(&root().join("web"), "pack --silent --pack-destination")?.arg(&self.out).run()?;
        self.artifact(&format!("ssekit-{VERSION}.tgz"))
    }

    /// Copies the manifests for Kubernetes with the image of this version, the dashboard and the alert rules.
    fn manifests(&self) -> Result<PathBuf> {
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

    fn artifact(&self, name: &str) -> Result<PathBuf> {
        let path = self.out.join(name);
        if !path.is_file() {
            bail!("{} was not built", path.display());
        }
        Ok(path)
    }
}

/// Writes the checksums of the files of a folder into its file `SHA256SUMS`.
pub(crate) fn checksums(folder: &Path) -> Result<()> {
    let mut names = files::list(folder)?;
    names.retain(|name| name != "SHA256SUMS");
    names.sort();
    let sums = Command::new("sha256sum").args(names.iter().map(String::as_str)).within(folder).output()?;
    files::write(&folder.join("SHA256SUMS"), &sums)
}

/// The target of the compiler, such as `x86_64-unknown-linux-gnu`.
fn host() -> Result<String> {
    let version = Command::new("rustc -vV").output()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` names no host")
}

/// Seconds since 1970 that files in archives get: those of the commit, so that a second build has the same
/// bytes.
fn epoch() -> String {
    let set = env::var("SOURCE_DATE_EPOCH").ok();
    let commit = || Command::new("git log -1 --format=%ct").output().ok();
    set.or_else(commit).map_or_else(|| "0".to_owned(), |seconds| seconds.trim().to_owned())
}

/// Packs the content of a folder.
fn tar(folder: &Path, name: &str, archive: &Path) -> Result<()> {
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

/// Writes the files that the program generates: man pages, and a completion script for each shell.
fn documents(program: &Path, man: &Path, completions: &Path) -> Result<()> {
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
