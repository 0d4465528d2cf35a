//! Node.js and npm. If the installed Node.js is too old, a newer one comes from the npm registry.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::command::{Command, target};

/// The oldest Node.js that runs the packages which build and test the npm package.
const OLDEST: (u32, u32) = (20, 19);
/// The major version that is fetched if the machine has no Node.js or an older one.
const INSTALLED: u32 = 22;

/// Creates a command of npm in a folder.
pub(crate) fn npm(folder: &Path, line: &str) -> Result<Command> {
    Ok(Command::new(&format!("npm {line}")).within(folder).env("PATH", path()?))
}

/// Creates a command that runs a script under Node.js in a folder.
pub(crate) fn node(folder: &Path, script: impl AsRef<OsStr>) -> Result<Command> {
    Ok(Command::new("node").arg(script).within(folder).env("PATH", path()?))
}

/// Installs a package of npm into a folder of its own, unless it is installed, and returns that folder.
pub(crate) fn tool(package: &str, version: &str) -> Result<PathBuf> {
    let folder = target().join("tools").join(package.replace(['@', '/'], "-"));
    let installed = folder.join("node_modules").join(package);
    let manifest = fs::read_to_string(installed.join("package.json")).unwrap_or_default();
    let manifest: Value = serde_json::from_str(&manifest).unwrap_or_default();
    if manifest["version"] != version {
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        npm(&folder, "install --no-save --no-audit --no-fund --ignore-scripts")?
            .arg(format!("{package}@{version}"))
            .run()?;
    }
    Ok(installed)
}

/// Installs the packages of a folder's lock file, unless they are installed.
pub(crate) fn install(folder: &Path) -> Result<()> {
    let wanted = packages(&folder.join("package-lock.json"))?;
    // npm writes this lock file for the installed packages.
    let installed = packages(&folder.join("node_modules/.package-lock.json")).unwrap_or_default();
    let is_installed = |(name, package): (&String, &Value)| {
        // Optional packages may be for other machines; the package with an empty name is the folder itself.
        name.is_empty() || package["optional"] == true || installed[name]["version"] == package["version"]
    };
    if wanted.as_object().is_some_and(|packages| packages.iter().all(is_installed)) {
        return Ok(());
    }
    npm(folder, "ci --no-audit --no-fund --ignore-scripts")?.run()
}

/// The packages of a lock file, by the paths to which npm installs them.
fn packages(lock: &Path) -> Result<Value> {
    let text = fs::read_to_string(lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let mut lock: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is not JSON", lock.display()))?;
    Ok(lock["packages"].take())
}

/// The value of PATH, with the folder of a recent Node.js before the others if it was fetched.
fn path() -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    if is_recent(Path::new("node")) {
        return Ok(path);
    }
    let folder = target().join("tools/node");
    let bin = folder.join("node_modules").join(package()?).join("bin");
    if !is_recent(&bin.join("node")) {
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create the folder {}", folder.display()))?;
        Command::new("npm install --no-save --no-audit --no-fund --ignore-scripts")
            .arg(format!("{}@{INSTALLED}", package()?))
            .within(&folder)
            .run()?;
    }
    if !is_recent(&bin.join("node")) {
        bail!("Node.js {}.{} or newer is needed: https://nodejs.org", OLDEST.0, OLDEST.1);
    }
    let folders = std::iter::once(bin).chain(env::split_paths(&path));
    env::join_paths(folders).context("PATH cannot be extended")
}

/// Returns true if this Node.js is recent enough.
fn is_recent(node: &Path) -> bool {
    let output = Command::new(&node.display().to_string()).arg("--version").output();
    output.is_ok_and(|version| parse(&version).is_some_and(|version| version >= OLDEST))
}

/// The major and minor number of a version such as v20.19.0.
fn parse(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.trim().strip_prefix('v')?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The npm package with the Node.js for this machine.
fn package() -> Result<String> {
    let system = match env::consts::OS {
        "macos" => "darwin",
        "windows" => "win",
        other => other,
    };
    let processor = match env::consts::ARCH {
        "aarch64" => "arm64",
        "x86_64" => "x64",
        other => bail!("npm has no Node.js for {other}: install Node.js {}.{} or newer", OLDEST.0, OLDEST.1),
    };
    Ok(format!("node-{system}-{processor}"))
}
