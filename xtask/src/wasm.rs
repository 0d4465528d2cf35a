//! Builds for WebAssembly.
//!
//! They use the target `wasm32-unknown-unknown` of the toolchain, if it is installed or rustup can install
//! it. Otherwise they use Debian's compiler, for which cargo builds the standard library from source.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::command::{Command, target};
use crate::output::say;
use crate::tools::{self, Tool};

/// The package and features that a page in Rust selects.
pub(crate) const BROWSER: &str = "--package ssekit --no-default-features --features client";

pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// The longest time for rustup to install the target, since its host may be unreachable.
const FETCH: Duration = Duration::from_secs(90);

/// Debian's compiler for Firefox and Chromium, which is newer than its package `rustc`.
const DEBIAN: &[Tool] = &[
    ("/usr/bin/rustc", "rustc-web", "compiles to WebAssembly; or `rustup target add wasm32-unknown-unknown`"),
    ("/usr/lib/rustlib/src/rust/library/core", "rust-web-src", "is the source of the standard library"),
    ("/usr/bin/cargo-clippy", "rust-web-clippy", "lints builds for WebAssembly"),
    ("wasm-ld-19", "lld-19", "links WebAssembly"),
];
/// The minor version of the oldest Debian compiler that is known to work.
const DEBIAN_MINOR: u32 = 95;

const OPTIMIZER: &[Tool] = &[("wasm-opt", "binaryen", "makes WebAssembly smaller")];

/// The workspace of the wasm-bindgen tool. Its lock file pins the tool and the library to one version.
const BINDGEN: &str = "examples/leptos/Cargo.toml";

/// The target features that all browsers since 2023 have, and the compiler does not assume.
const FEATURES: &str = "-C target-feature=+simd128";

/// The part of the standard library that a package uses.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Library {
    /// `core` and `alloc`.
    Alloc,
    /// All of the standard library.
    Std,
}

#[derive(Clone, Copy, Debug)]
enum Toolchain {
    Rustup,
    Debian,
}

/// Creates a cargo command for WebAssembly, such as "check" or "build", without arguments after `--`.
pub(crate) fn cargo(line: &str, library: Library) -> Result<Command> {
    let toolchain = toolchain()?;
    let command = match toolchain {
        // The cargo-clippy of rustup would use the compiler of rustup.
        Toolchain::Debian if line.starts_with("clippy") => {
            Command::new(&format!("/usr/bin/cargo-clippy {line}"))
        }
        _ => Command::cargo(line),
    };
    let command = command.args(["--target", TARGET]).env("RUSTFLAGS", FEATURES);
    Ok(match toolchain {
        Toolchain::Rustup => command.env("CARGO_TARGET_DIR", folder(toolchain)),
        Toolchain::Debian => command
            .arg(match library {
                Library::Alloc => "-Zbuild-std=core,alloc",
                Library::Std => "-Zbuild-std=std,panic_abort",
            })
            .env("CARGO_TARGET_DIR", folder(toolchain))
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld-19")
            .env("RUSTC", "/usr/bin/rustc")
            // `-Zbuild-std` is unstable, and the standard library uses unstable features.
            .env("RUSTC_BOOTSTRAP", "1"),
    })
}

/// Compiles a package with the profile `wasm`. Returns the path of the module.
pub(crate) fn build(package: &str, library: Library, options: &str) -> Result<PathBuf> {
    // Without `--crate-type cdylib`, cargo skips link-time optimization for a package that is also a library.
    let line = format!("rustc --lib --crate-type cdylib --profile wasm --package {package} {options}");
    cargo(&line, library)?.run()?;
    built(&package.replace('-', "_"))
}

/// The path of a module that was compiled with the profile `wasm`, by the name of its library.
pub(crate) fn built(name: &str) -> Result<PathBuf> {
    Ok(folder(toolchain()?).join(format!("{TARGET}/wasm/{name}.wasm")))
}

/// Runs wasm-bindgen on a module; writes `name.js` and `name_bg.wasm` into a folder.
///
/// The result is not [`optimize`]d, because Debian's wasm-opt exports the wrong one of its two tables.
pub(crate) fn bindgen(file: &Path, folder: &Path, name: &str) -> Result<()> {
    Command::cargo(&format!("run --quiet --locked --manifest-path {BINDGEN} --package bindgen --"))
        .arg(file)
        .arg(folder)
        .arg(name)
        .env("CARGO_TARGET_DIR", target())
        .run()
}

/// Optimizes a module with wasm-opt. Returns the path of the result, which is a new file.
pub(crate) fn optimize(file: &Path) -> Result<PathBuf> {
    tools::provide(OPTIMIZER)?;
    let name = file.file_name().with_context(|| format!("{} has no file name", file.display()))?;
    let folder = target().join("wasm-opt");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
    let optimized = folder.join(name);
    Command::new("wasm-opt")
        // -Oz does not make the module smaller, since the compiler has already optimized it for size.
        .args(["-O3", "--strip-producers", "--strip-debug", "--strip-target-features"])
        .args(["--enable-simd", "--enable-bulk-memory", "--enable-sign-ext", "--enable-mutable-globals"])
        .args(["--enable-nontrapping-float-to-int", "--enable-multivalue", "--enable-reference-types"])
        .arg(file)
        .arg("-o")
        .arg(&optimized)
        .run()?;
    Ok(optimized)
}

/// Lints the packages that browsers run, for their target.
pub(crate) fn lint() -> Result<()> {
    for (selection, library) in [
        ("--package ssekit-web", Library::Alloc),
        ("--package ssekit-client", Library::Std),
        (BROWSER, Library::Std),
    ] {
        cargo(&format!("clippy {selection}"), library)?.args(["--", "-D", "warnings"]).run()?;
    }
    Ok(())
}

/// The toolchain, which is chosen once for this run.
fn toolchain() -> Result<Toolchain> {
    static TOOLCHAIN: OnceLock<Toolchain> = OnceLock::new();
    if let Some(toolchain) = TOOLCHAIN.get() {
        return Ok(*toolchain);
    }
    let toolchain = find()?;
    Ok(*TOOLCHAIN.get_or_init(|| toolchain))
}

fn find() -> Result<Toolchain> {
    if has_target() {
        return Ok(Toolchain::Rustup);
    }
    let add = format!("rustup target add {TARGET}");
    tools::confirm(&format!("missing: the compiler's target {TARGET}. `{add}` installs it"), &add)?;
    if Command::new("rustup target add").arg(TARGET).succeeds_within(FETCH) && has_target() {
        return Ok(Toolchain::Rustup);
    }
    say("rustup cannot install the target: using Debian's compiler");
    tools::provide(DEBIAN)?;
    let version = Command::new("/usr/bin/rustc --version").output()?;
    let minor = version.split(['.', ' ']).nth(2).and_then(|minor| minor.parse::<u32>().ok());
    if minor.is_none_or(|minor| minor < DEBIAN_MINOR) {
        bail!(
            "/usr/bin/rustc is {}, but WebAssembly needs 1.{DEBIAN_MINOR} or newer: install Debian's package \
             rustc-web, or `rustup target add {TARGET}`",
            version.trim()
        );
    }
    Ok(Toolchain::Debian)
}

/// Returns true if the compiler of cargo has the standard library for WebAssembly.
fn has_target() -> bool {
    let folder = Command::new("rustc --print target-libdir --target").arg(TARGET).output();
    folder.is_ok_and(|folder| Path::new(folder.trim()).is_dir())
}

/// The target folder. Each compiler has its own, since their results are not compatible.
fn folder(toolchain: Toolchain) -> PathBuf {
    match toolchain {
        Toolchain::Rustup => target(),
        Toolchain::Debian => target().join("wasm-debian"),
    }
}
