//! Compiles for WebAssembly: with the toolchain's own `wasm32-unknown-unknown` where it has that or rustup can fetch it,
//! else with Debian's compiler, whose standard library cargo builds from source.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::command::{Command, target};
use crate::tools::{self, Tool};

/// What a page written in Rust selects.
pub(crate) const BROWSER: &str = "--package ssekit --no-default-features --features client";

pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// How long rustup may take to fetch the target: its host may be out of reach.
const FETCH: Duration = Duration::from_secs(90);

/// Debian's compiler, of which Firefox and Chromium are built; it is newer than Debian's other one.
const DEBIAN: &[Tool] = &[
    ("/usr/bin/rustc", "rustc-web", "compiles to WebAssembly; or `rustup target add wasm32-unknown-unknown`"),
    ("/usr/lib/rustlib/src/rust/library/core", "rust-web-src", "is the standard library for it"),
    ("/usr/bin/cargo-clippy", "rust-web-clippy", "lints with it"),
    ("wasm-ld-19", "lld-19", "links WebAssembly"),
];
/// The oldest of these compilers that is known to do.
const DEBIAN_MINOR: u32 = 95;

const OPTIMIZER: &[Tool] = &[("wasm-opt", "binaryen", "makes WebAssembly smaller")];

/// Where wasm-bindgen's tool is, whose version has to be that of the library: this lock file has both.
const BINDGEN: &str = "examples/leptos/Cargo.toml";

/// What every browser since 2023 has, beyond what the compiler assumes.
const FEATURES: &str = "-C target-feature=+simd128";

/// What of the standard library a package uses.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Library {
    /// `core` and `alloc`.
    Alloc,
    /// All of it.
    Std,
}

#[derive(Clone, Copy, Debug)]
enum Toolchain {
    Rustup,
    Debian,
}

/// A cargo command for WebAssembly, such as "check" or "build". Without words for the compiler: nothing after `--`.
pub(crate) fn cargo(line: &str, library: Library) -> Result<Command> {
    let toolchain = toolchain()?;
    let command = match toolchain {
        // rustup's cargo-clippy would take rustup's compiler.
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
            // Its cargo flag above is unstable, and so is how the standard library is compiled.
            .env("RUSTC_BOOTSTRAP", "1"),
    })
}

/// Compiles a package with the profile `wasm`. Answers where its file is.
pub(crate) fn build(package: &str, library: Library, options: &str) -> Result<PathBuf> {
    // Of a package that is an ordinary library too, cargo would leave link-time optimization out.
    let line = format!("rustc --lib --crate-type cdylib --profile wasm --package {package} {options}");
    cargo(&line, library)?.run()?;
    built(&package.replace('-', "_"))
}

/// Where a file is that was compiled with the profile `wasm`: a library has another name than its package.
pub(crate) fn built(name: &str) -> Result<PathBuf> {
    Ok(folder(toolchain()?).join(format!("{TARGET}/wasm/{name}.wasm")))
}

/// Makes of a file that uses wasm-bindgen the module `name.js` of a folder, with its `name_bg.wasm` beside it.
///
/// Not [`optimize`]d: Debian's wasm-opt exports the wrong one of two tables.
pub(crate) fn bindgen(file: &Path, folder: &Path, name: &str) -> Result<()> {
    Command::cargo(&format!("run --quiet --locked --manifest-path {BINDGEN} --package bindgen --"))
        .arg(file)
        .arg(folder)
        .arg(name)
        .env("CARGO_TARGET_DIR", target())
        .run()
}

/// Makes a file smaller and faster. The result is another file.
pub(crate) fn optimize(file: &Path) -> Result<PathBuf> {
    tools::provide(OPTIMIZER)?;
    let name = file.file_name().with_context(|| format!("{} is no file", file.display()))?;
    let folder = target().join("wasm-opt");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let smaller = folder.join(name);
    Command::new("wasm-opt")
        // -Oz is not smaller: the compiler has left nothing to trade.
        .args(["-O3", "--strip-producers", "--strip-debug", "--strip-target-features"])
        .args(["--enable-simd", "--enable-bulk-memory", "--enable-sign-ext", "--enable-mutable-globals"])
        .args(["--enable-nontrapping-float-to-int", "--enable-multivalue", "--enable-reference-types"])
        .arg(file)
        .arg("-o")
        .arg(&smaller)
        .run()?;
    Ok(smaller)
}

/// Lints what browsers run, as it is compiled for them.
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

/// The toolchain that is taken throughout this run.
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
    crate::say(&format!("rustup target add {TARGET}"));
    if Command::new("rustup target add").arg(TARGET).succeeds_within(FETCH) && has_target() {
        return Ok(Toolchain::Rustup);
    }
    crate::say("rustup cannot fetch it here: Debian's compiler is taken");
    tools::provide(DEBIAN)?;
    let version = Command::new("/usr/bin/rustc --version").output()?;
    let minor = version.split(['.', ' ']).nth(2).and_then(|minor| minor.parse::<u32>().ok());
    if minor.is_none_or(|minor| minor < DEBIAN_MINOR) {
        bail!(
            "/usr/bin/rustc is {}, but 1.{DEBIAN_MINOR} or newer is needed for WebAssembly: install Debian's package \
             rustc-web, or `rustup target add {TARGET}`",
            version.trim()
        );
    }
    Ok(Toolchain::Debian)
}

/// Whether the compiler that cargo takes has the standard library for WebAssembly.
fn has_target() -> bool {
    let folder = Command::new("rustc --print target-libdir --target").arg(TARGET).output();
    folder.is_ok_and(|folder| Path::new(folder.trim()).is_dir())
}

/// Where it builds to: what two compilers make does not mix.
fn folder(toolchain: Toolchain) -> PathBuf {
    match toolchain {
        Toolchain::Rustup => target(),
        Toolchain::Debian => target().join("wasm-debian"),
    }
}
