//! Pages written in Rust, with the Rust client in them.

use std::fs;

use anyhow::{Context as _, Result};

use crate::command::{Command, root};
use crate::wasm::{self, Library};

/// The example, in a workspace of its own.
const EXAMPLE: &str = "examples/leptos";
const EXAMPLE_PACKAGE: &str = "ssekit-example-leptos";
const EXAMPLE_PROFILE: &str = "--profile wasm --locked --manifest-path examples/leptos/Cargo.toml";
/// What it has beside its modules.
const EXAMPLE_FILES: &[&str] = &["favicon.svg", "index.html", "style.css"];

/// What tests of the client open, and where they look for it.
const TESTED_PACKAGE: &str = "ssekit-browser-page";
const TESTED: &str = "web/node_modules/.cache/ssekit/rust-client";

/// Builds the example into its folder `dist`, from which any server can serve it, and what tests open.
pub(crate) fn build() -> Result<()> {
    let module = wasm::build(TESTED_PACKAGE, Library::Std, "")?;
    wasm::bindgen(&module, &root().join(TESTED), "ssekit_browser_page")?;

    wasm::cargo(&format!("build {EXAMPLE_PROFILE} --package {EXAMPLE_PACKAGE}"), Library::Std)?.run()?;
    let folder = root().join(EXAMPLE);
    let dist = folder.join("dist");
    wasm::bindgen(&wasm::built(EXAMPLE_PACKAGE)?, &dist, "page")?;
    for file in EXAMPLE_FILES {
        fs::copy(folder.join(file), dist.join(file))
            .with_context(|| format!("cannot copy {EXAMPLE}/{file}"))?;
    }
    Ok(())
}

/// Lints them as they are compiled for browsers, with the profile that they are built with.
pub(crate) fn lint() -> Result<()> {
    let tested = format!("clippy --profile wasm --package {TESTED_PACKAGE}");
    let example = format!("clippy {EXAMPLE_PROFILE} --package {EXAMPLE_PACKAGE}");
    for line in [tested, example] {
        wasm::cargo(&line, Library::Std)?.args(["--", "-D", "warnings"]).run()?;
    }
    let tool = "clippy --locked --manifest-path examples/leptos/Cargo.toml --package bindgen -- -D warnings";
    Command::cargo(tool).run()
}
