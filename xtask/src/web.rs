//! The npm package: built, tested, and copied into the program.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::command::{Command, root, target};
use crate::node;
use crate::wasm::{self, Library};

/// What the package is built of.
const SOURCES: &[&str] = &["crates/session/src", "crates/wire/src", "web/build.mjs", "web/src", "web/wasm"];
/// The package in one file, and its copy that the program serves.
const BUNDLE: &str = "web/dist/ssekit.js";
const COPY: &str = "crates/cli/assets/ssekit.js";

/// Builds the package, and the program's copy of it where sources have changed.
pub(crate) fn build() -> Result<()> {
    let wasm = wasm::build("ssekit-web", Library::Alloc, "")?;
    let wasm = wasm::optimize(&wasm)?;
    let folder = root().join("web");
    node::install(&folder)?;
    node::npm(&folder, "run build")?.env("SSEKIT_WASM", &wasm).run()?;
    let head = head()?;
    // Another compiler makes other bytes of the same sources: that is no reason to change it.
    if is_current(&head) {
        return Ok(());
    }
    let bundle = fs::read_to_string(root().join(BUNDLE)).with_context(|| format!("cannot read {BUNDLE}"))?;
    fs::write(root().join(COPY), format!("{head}\n{bundle}"))
        .with_context(|| format!("cannot write {COPY}"))?;
    crate::say(&format!("{COPY} is new: commit it"));
    Ok(())
}

/// The program's copy is of the sources as they are.
pub(crate) fn check() -> Result<()> {
    if !is_current(&head()?) {
        bail!("{COPY} is of other sources: run `cargo xtask web`, and commit it");
    }
    Ok(())
}

/// Types and what needs no browser.
pub(crate) fn test() -> Result<()> {
    build()?;
    let folder = root().join("web");
    node::npm(&folder, "run check")?.run()?;
    node::npm(&folder, "run test:unit")?.run()
}

/// Pages in Chromium, against our own servers.
pub(crate) fn test_in_browser() -> Result<()> {
    Command::cargo("build --package ssekit-web-fixture --package ssekit-example-sveltekit").run()?;
    for script in ["test:browser", "test:samples", "test:package"] {
        let script = node::npm(&root().join("web"), &format!("run {script}"))?;
        script.env("CARGO_TARGET_DIR", target()).run()?;
    }
    Ok(())
}

/// Measures in Chromium, with peers in the same run.
pub(crate) fn bench() -> Result<()> {
    build()?;
    let folder = root().join("bench/web");
    node::install(&folder)?;
    node::npm(&folder, "run bench -- --write")?.run()
}

fn is_current(head: &str) -> bool {
    fs::read_to_string(root().join(COPY)).is_ok_and(|copy| copy.lines().next() == Some(head))
}

/// The first line of the program's copy, which names the sources.
fn head() -> Result<String> {
    let package =
        fs::read_to_string(root().join("web/package.json")).context("cannot read web/package.json")?;
    let package: Value = serde_json::from_str(&package).context("web/package.json is not JSON")?;
    let version = package["version"].as_str().context("web/package.json has no version")?;
    let mut files = Vec::new();
    for source in SOURCES {
        collect(&root().join(source), &mut files)?;
    }
    files.sort();
    let mut hash = Hash::default();
    for file in files {
        let name = file.strip_prefix(root()).unwrap_or(&file).to_string_lossy().replace('\\', "/");
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {name}"))?;
        hash.add(&name);
        // A checkout may have other line ends.
        hash.add(&text.replace("\r\n", "\n"));
    }
    hash.add(version);
    Ok(format!("// ssekit {version}, made by `cargo xtask web` of sources {:016x}. Do not edit.", hash.0))
}

/// Every file of a folder and those in it, or the file itself.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    for entry in fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))? {
        collect(&entry?.path(), files)?;
    }
    Ok(())
}

/// FNV-1a with 64 bits: it tells sources apart, and nobody gains by a collision.
struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hash {
    /// Text, with an end that text does not contain.
    fn add(&mut self, text: &str) {
        for byte in text.bytes().chain([0xff]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Hash;

    fn hash(texts: &[&str]) -> u64 {
        let mut hash = Hash::default();
        texts.iter().for_each(|text| hash.add(text));
        hash.0
    }

    #[test]
    fn a_hash_tells_texts_and_their_ends_apart() {
        assert_eq!(hash(&["a", "b"]), hash(&["a", "b"]));
        assert_ne!(hash(&["a", "b"]), hash(&["b", "a"]));
        assert_ne!(hash(&["a", "b"]), hash(&["ab"]));
        assert_ne!(hash(&["ab", ""]), hash(&["a", "b"]));
    }
}
