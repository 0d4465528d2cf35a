use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::command::Command;
use crate::wasm;

/// What we may be linked with. Each is permissive, or applies to its own files alone.
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

/// Crates that come in two versions, each with its reason.
const DUPLICATES: &[(&str, &str)] = &[
    ("getrandom", "`ring` has not taken the version that the store and its `tempfile` have"),
    ("hashbrown", "the store's two caches have older ones than everybody else"),
    ("spin", "the store's channel has an older one than the npm package's module"),
];

/// Features that are web frameworks with a whole house of dependencies. What they alone pull in is chosen by who chooses
/// them: it may need a newer Rust, and bring other versions of crates.
const FRAMEWORKS: &[&str] = &["actix-web", "poem", "rocket", "salvo", "warp"];
/// The package that has all of them.
const FRAMEWORKS_SUITE: &str = "ssekit-frameworks";

/// Crates that have no business in a page: the native transport's.
const NATIVE: &[&str] = &["hyper", "mio", "rustls", "socket2", "tokio"];

/// Every dependency has a licence that fits ours, no crate that users compile comes in two versions, and a page written
/// in Rust has nothing of the native transport.
pub(crate) fn check() -> Result<()> {
    let mut faults = Vec::new();
    for package in packages()? {
        let name = text(&package, "name");
        let licence = text(&package, "license");
        // `A/B` is an old way to write `A OR B`.
        if !is_allowed(&licence.replace('/', " OR ")) {
            faults.push(format!(
                "{name} {}: licence {licence:?} is not among those we allow",
                text(&package, "version")
            ));
        }
    }
    // Build-time helpers are left out.
    let machine = versions(linked("normal,no-proc-macro", &without_frameworks(&packages()?))?);
    let browser = format!("{} --target {}", wasm::BROWSER, wasm::TARGET);
    let browser = versions(linked("normal,no-proc-macro", &browser)?);
    for (name, versions) in machine.iter().chain(&browser) {
        if versions.len() > 1 && !DUPLICATES.iter().any(|(allowed, _)| allowed == name) {
            let versions: Vec<_> = versions.iter().map(String::as_str).collect();
            faults.push(format!(
                "{name} comes in versions {}: `cargo tree -d` says why",
                versions.join(" and ")
            ));
        }
    }
    for name in NATIVE.iter().filter(|name| browser.contains_key(**name)) {
        faults.push(format!(
            "{name} is linked for browsers: `cargo tree -i {name} {} --target {}` says why",
            wasm::BROWSER,
            wasm::TARGET
        ));
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(())
}

/// Every package of the workspace's dependency graph, ours included.
pub(crate) fn packages() -> Result<Vec<Value>> {
    let metadata = Command::cargo("metadata --format-version 1 --all-features --locked").output()?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata is not JSON")?;
    metadata["packages"].as_array().cloned().context("cargo metadata has no packages")
}

pub(crate) fn text<'a>(package: &'a Value, key: &str) -> &'a str {
    package[key].as_str().unwrap_or_default()
}

/// The versions of each crate among packages such as "name vVERSION".
fn versions(packages: BTreeSet<String>) -> BTreeMap<String, BTreeSet<String>> {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages {
        if let Some((name, version)) = package.split_once(' ') {
            versions.entry(name.to_owned()).or_default().insert(version.to_owned());
        }
    }
    versions
}

/// What cargo is told to select all that we promise things for: every package and feature but the frameworks.
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

/// The packages that such a selection links by these edges, as "name vVERSION".
pub(crate) fn linked(edges: &str, selection: &str) -> Result<BTreeSet<String>> {
    let tree = format!("tree {selection} --locked --edges {edges} --prefix none --format {{p}}");
    let tree = Command::cargo(&tree).output()?;
    let named = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    Ok(tree.lines().map(named).collect())
}

/// Whether an SPDX expression of OR, AND and parentheses can be met by the licences that we allow.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.trim();
    if LICENCES.contains(&expression) {
        return true;
    }
    // OR binds looser than AND, so it is taken apart first.
    if let Some((left, right)) = split(expression, " OR ") {
        return is_allowed(left) || is_allowed(right);
    }
    if let Some((left, right)) = split(expression, " AND ") {
        return is_allowed(left) && is_allowed(right);
    }
    expression.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')).is_some_and(is_allowed)
}

/// Splits at the first operator that stands outside parentheses.
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
    fn an_expression_is_met_when_its_parts_are() {
        for (expression, met) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("GPL-3.0 OR MIT", true),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("(MIT OR Apache-2.0) AND GPL-3.0", false),
            ("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT", true),
            ("", false),
        ] {
            assert_eq!(is_allowed(expression), met, "{expression}");
        }
    }
}
