//! Pages written in Rust, which use the Rust client: the Leptos example, and the page of browser tests.

use std::fs;

use anyhow::{Context as _, Result};

use crate::command::{Command, root};
use crate::wasm::{self, Library};

/// The example, which is its own workspace.
const EXAMPLE: &str = "examples/leptos";
const EXAMPLE_PACKAGE: &str = "ssekit-example-leptos";
const EXAMPLE_PROFILE: &str = "--profile wasm --locked --manifest-path examples/leptos/Cargo.toml";
/// The files of the example besides its modules.
const EXAMPLE_FILES: &[&str] = &["favicon.svg", "index.html", "style.css"];

/// The package of the page that browser tests open, and the folder in which they expect it.
const TEST_PAGE_PACKAGE: &str = "ssekit-browser-page";
const TEST_PAGE_FOLDER: &str = "web/node_modules/.cache/ssekit/rust-client";

/// Builds the page of the tests, and the example into its folder `dist`, for any static file server.
pub(crate) fn build() -> Result<()> {
    let module = wasm::build(TEST_PAGE_PACKAGE, Library::Std, "")?;
    wasm::bindgen(&module, &root().join(TEST_PAGE_FOLDER), "ssekit_browser_page")?;

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

/// Lints both pages for the target and with the profile of their build.
pub(crate) fn lint() -> Result<()> {
    let test_page = format!("clippy --profile wasm --package {TEST_PAGE_PACKAGE}");
    let example = format!("clippy {EXAMPLE_PROFILE} --package {EXAMPLE_PACKAGE}");
    for line in [test_page, example] {
        wasm::cargo(&line, Library::Std)?.args(["--", "-D", "warnings"]).run()?;
    }
    let tool = "clippy --locked --manifest-path examples/leptos/Cargo.toml --package bindgen -- -D warnings";
    Command::cargo(tool).run()
}
