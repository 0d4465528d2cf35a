//! Checks of dependencies: their licences, duplicate versions, and native crates in builds for browsers.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::command::Command;
use crate::wasm;

/// The allowed licences of dependencies. Each is permissive, or applies only to its own files.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates that may be linked in two versions, each with the reason.
const DUPLICATES: &[(&str, &str)] = &[
    ("getrandom", "`ring` uses an older version than the store and its `tempfile`"),
    ("hashbrown", "the two caches of the store use older versions"),
    ("spin", "the channel of the store uses an older version than the module of the npm package"),
];

/// Features for web frameworks that have many dependencies.
///
/// The dependencies of these features alone may need a newer Rust, and may be other versions of crates.
const FRAMEWORKS: &[&str] = &["actix-web", "poem", "rocket", "salvo", "warp"];
/// The package that enables all of these features.
const FRAMEWORKS_SUITE: &str = "ssekit-frameworks";

/// Crates of the native transport, which builds for browsers must not link.
const NATIVE: &[&str] = &["hyper", "mio", "rustls", "socket2", "tokio"];

/// Checks licences, duplicate versions and builds for browsers.
///
/// Each dependency must have an allowed licence. No crate may be linked in two versions, except
/// [`DUPLICATES`]. Builds for browsers must not link crates of the native transport.
pub(crate) fn check() -> Result<()> {
    let mut problems = Vec::new();
    for package in packages()? {
        let name = text(&package, "name");
        let licence = text(&package, "license");
        // `A/B` is the former notation of `A OR B`.
        if !is_allowed(&licence.replace('/', " OR ")) {
            problems.push(format!(
                "{name} {}: licence {licence:?} is not allowed: choose another crate, or add it to LICENCES",
                text(&package, "version")
            ));
        }
    }
    // Procedural macros are not linked.
    let machine = versions(linked("normal,no-proc-macro", &without_frameworks(&packages()?))?);
    let browser = format!("{} --target {}", wasm::BROWSER, wasm::TARGET);
    let browser = versions(linked("normal,no-proc-macro", &browser)?);
    for (name, versions) in machine.iter().chain(&browser) {
        if versions.len() > 1 && !DUPLICATES.iter().any(|(allowed, _)| allowed == name) {
            let versions: Vec<_> = versions.iter().map(String::as_str).collect();
            problems.push(format!(
                "{name} is linked in the versions {}: `cargo tree -d` shows the cause",
                versions.join(" and ")
            ));
        }
    }
    for name in NATIVE.iter().filter(|name| browser.contains_key(**name)) {
        problems.push(format!(
            "{name} is linked for browsers: `cargo tree -i {name} {} --target {}` shows the cause",
            wasm::BROWSER,
            wasm::TARGET
        ));
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    Ok(())
}

/// All packages of the workspace and their dependencies.
pub(crate) fn packages() -> Result<Vec<Value>> {
    let metadata = Command::cargo("metadata --format-version 1 --all-features --locked").output()?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata is not JSON")?;
    metadata["packages"].as_array().cloned().context("cargo metadata has no packages")
}

/// The string in a field of a package; empty if there is none.
pub(crate) fn text<'a>(package: &'a Value, key: &str) -> &'a str {
    package[key].as_str().unwrap_or_default()
}

/// The versions of each crate, from packages in the form "name vVERSION".
fn versions(packages: BTreeSet<String>) -> BTreeMap<String, BTreeSet<String>> {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages {
        if let Some((name, version)) = package.split_once(' ') {
            versions.entry(name.to_owned()).or_default().insert(version.to_owned());
        }
    }
    versions
}

/// The arguments by which cargo selects all packages and features, except [`FRAMEWORKS`].
///
/// The checks of duplicate versions and of the oldest Rust apply to this selection.
pub(crate) fn without_frameworks(packages: &[Value]) -> String {
    let ours = packages.iter().filter(|package| package["source"].is_null());
    let features = ours
        .filter(|package| ![FRAMEWORKS_SUITE, "xtask"].contains(&text(package, "name")))
        .flat_map(|package| {
            let features = package["features"].as_object().into_iter().flat_map(|features| features.keys());
            features
                .filter(|feature| !FRAMEWORKS.contains(&feature.as_str()))
                .map(move |feature| format!("{}/{feature}", text(package, "name")))
        });
    let features = features.collect::<Vec<_>>().join(",");
    format!("--workspace --exclude xtask --exclude {FRAMEWORKS_SUITE} --features {features}")
}

/// The packages that a selection links by these kinds of dependencies, as "name vVERSION".
pub(crate) fn linked(edges: &str, selection: &str) -> Result<BTreeSet<String>> {
    let tree = format!("tree {selection} --locked --edges {edges} --prefix none --format {{p}}");
    let tree = Command::cargo(&tree).output()?;
    let name_and_version = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    Ok(tree.lines().map(name_and_version).collect())
}

/// Returns true if allowed licences satisfy an SPDX expression of OR, AND and parentheses.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.trim();
    if LICENCES.contains(&expression) {
        return true;
    }
    // OR has a lower precedence than AND, so the expression is split at OR first.
    if let Some((left, right)) = split(expression, " OR ") {
        return is_allowed(left) || is_allowed(right);
    }
    if let Some((left, right)) = split(expression, " AND ") {
        return is_allowed(left) && is_allowed(right);
    }
    expression.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')).is_some_and(is_allowed)
}

/// Splits an expression at the first operator outside of parentheses.
fn split<'a>(expression: &'a str, operator: &str) -> Option<(&'a str, &'a str)> {
    let outside = |at: usize| {
        let before = &expression[..at];
        before.matches('(').count() == before.matches(')').count()
    };
    let (at, _) = expression.match_indices(operator).find(|(at, _)| outside(*at))?;
    Some((&expression[..at], &expression[at + operator.len()..]))
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn licence_expressions_are_evaluated() {
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("GPL-3.0 OR MIT", true),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("(MIT OR Apache-2.0) AND GPL-3.0", false),
            ("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT", true),
            ("", false),
        ] {
            assert_eq!(is_allowed(expression), expected, "{expression}");
        }
    }
}
