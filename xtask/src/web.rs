//! The npm package: its build, its tests, and the copy that the program serves.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::command::{Command, root, target};
use crate::node;
use crate::output::say;
use crate::wasm::{self, Library};

/// The sources of the package.
const SOURCES: &[&str] = &["crates/session/src", "crates/wire/src", "web/build.mjs", "web/src", "web/wasm"];
/// The bundle of the package, and the copy that the program serves.
const BUNDLE: &str = "web/dist/ssekit.js";
const COPY: &str = "crates/cli/assets/ssekit.js";

/// Builds the package, and updates the program's copy if the sources have changed.
pub(crate) fn build() -> Result<()> {
    let wasm = wasm::build("ssekit-web", Library::Alloc, "")?;
    let wasm = wasm::optimize(&wasm)?;
    let folder = root().join("web");
    node::install(&folder)?;
    node::npm(&folder, "run build")?.env("SSEKIT_WASM", &wasm).run()?;
    let head = head()?;
    // Another compiler may make other bytes of the same sources; the copy stays as it is.
    if is_current(&head) {
        return Ok(());
    }
    let bundle = fs::read_to_string(root().join(BUNDLE)).with_context(|| format!("cannot read {BUNDLE}"))?;
    fs::write(root().join(COPY), format!("{head}\n{bundle}"))
        .with_context(|| format!("cannot write {COPY}"))?;
    say(&format!("{COPY} has changed: commit it"));
    Ok(())
}

/// Checks that the program's copy was built from the present sources.
pub(crate) fn check() -> Result<()> {
    if !is_current(&head()?) {
        bail!("{COPY} was built from other sources: run `cargo xtask web`, and commit the file");
    }
    Ok(())
}

/// Checks types, and runs the tests that need no browser.
pub(crate) fn test() -> Result<()> {
    build()?;
    let folder = root().join("web");
    node::npm(&folder, "run check")?.run()?;
    node::npm(&folder, "run test:unit")?.run()
}

/// Runs the tests in Chromium, with servers of this workspace.
pub(crate) fn test_in_browser() -> Result<()> {
    Command::cargo("build --package ssekit-web-fixture --package ssekit-example-sveltekit").run()?;
    for script in ["test:browser", "test:samples", "test:package"] {
        let script = node::npm(&root().join("web"), &format!("run {script}"))?;
        script.env("CARGO_TARGET_DIR", target()).run()?;
    }
    Ok(())
}

/// Measures in Chromium, with the compared libraries in the same run.
pub(crate) fn bench() -> Result<()> {
    build()?;
    let folder = root().join("bench/web");
    node::install(&folder)?;
    node::npm(&folder, "run bench -- --write")?.run()
}

fn is_current(head: &str) -> bool {
    fs::read_to_string(root().join(COPY)).is_ok_and(|copy| copy.lines().next() == Some(head))
}

/// The first line of the program's copy: the version and a hash of the sources.
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
        // A checkout may have other line endings.
        hash.add(&text.replace("\r\n", "\n"));
    }
    hash.add(version);
    Ok(format!("// ssekit {version}, made by `cargo xtask web` of sources {:016x}. Do not edit.", hash.0))
}

/// Collects a file, or all files of a folder and its subfolders.
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

/// FNV-1a with 64 bits. It detects changes of sources; it need not resist attacks.
struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hash {
    /// Adds a text, and a byte that no text contains, so that the ends of texts count.
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
    fn the_hash_differs_for_other_texts_orders_and_ends() {
        assert_eq!(hash(&["a", "b"]), hash(&["a", "b"]));
        assert_ne!(hash(&["a", "b"]), hash(&["b", "a"]));
        assert_ne!(hash(&["a", "b"]), hash(&["ab"]));
        assert_ne!(hash(&["ab", ""]), hash(&["a", "b"]));
    }
}
