//! The programs that tests run, and their installation as Debian packages if this process is root.

use std::io::{BufRead as _, IsTerminal as _, stdin};
use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail};

use crate::command::Command;
use crate::output::say;

/// A required program: its name in PATH or the path of a file, its Debian package, and its purpose.
pub(crate) type Tool = (&'static str, &'static str, &'static str);

/// The programs that the tests run besides Rust. `wasm.rs` has those for WebAssembly.
const TOOLS: &[Tool] = &[
    ("c++", "g++", "links the fuzz targets"),
    ("chromium", "chromium", "opens pages"),
    ("curl", "curl", "reads the demo's streams"),
    ("initdb", "postgresql", "runs the database of an example"),
    ("node", "nodejs", "builds and tests the npm package"),
    ("npm", "npm", "installs the dependencies of the npm package"),
];

/// The programs of the hub's tests and of `examples/hub`.
///
/// The tests install packages from PyPI themselves, into their own environment.
pub(crate) const AROUND_THE_HUB: &[Tool] = &[
    ("caddy", "caddy", "is a reverse proxy of the hub"),
    ("haproxy", "haproxy", "is a reverse proxy of the hub"),
    ("ip", "iproute2", "creates a network in which a peer disappears"),
    ("nginx", "nginx", "is a reverse proxy of the hub"),
    ("openssl", "openssl", "creates certificates and keys"),
    ("php", "php-cli", "publishes"),
    ("promtool", "prometheus", "checks the alert rules"),
    ("ruby", "ruby", "publishes, as docs/publishers.md shows"),
    (
        "/usr/share/php/Symfony/Component/Mercure/autoload.php",
        "php-symfony-mercure",
        "publishes with Symfony's component",
    ),
    ("/usr/share/doc/python3-venv", "python3-venv", "publishes with packages of PyPI"),
    ("/usr/share/doc/libfaketime", "libfaketime", "changes the clock of the hub"),
    ("systemd-analyze", "systemd", "checks the units of the hub"),
];

/// Installs the missing programs of the tests, and those of the chosen steps, which it announces together.
pub(crate) fn install(others: &[Tool]) -> Result<()> {
    for (component, command) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        let add = format!("rustup component add {component}");
        if !Command::new(&format!("cargo {command} --version")).succeeds() {
            confirm(&format!("missing: {component}. The command `{add}` installs it"), &add)?;
            Command::new(&add).run()?;
        }
    }
    provide(&[TOOLS, others].concat())
}

/// Whether packages are installed without a question.
static INSTALL: OnceLock<bool> = OnceLock::new();

/// Installs packages without a question from now on, as with `CI=true`.
pub(crate) fn install_without_question() {
    let _ = INSTALL.set(true);
}

/// Announces an installation, and asks whether to go on, unless packages are installed without a question.
pub(crate) fn confirm(announcement: &str, command: &str) -> Result<()> {
    say(announcement);
    let in_ci = || std::env::var("CI").is_ok_and(|value| value == "true");
    if *INSTALL.get_or_init(in_ci) {
        return Ok(());
    }
    if !stdin().is_terminal() {
        bail!("nothing was installed: run `{command}`, or use `cargo xtask test --install`, or set CI=true");
    }
    say("Install now? [y/N]");
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    if !matches!(answer.trim(), "y" | "Y" | "yes") {
        bail!("nothing was installed: run `{command}`");
    }
    Ok(())
}

/// Installs the missing programs; without root, returns an error with the command to run.
pub(crate) fn provide(tools: &[Tool]) -> Result<()> {
    let missing: Vec<_> = tools.iter().filter(|(program, ..)| !is_installed(program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.iter().map(|(_, package, _)| *package).collect::<Vec<_>>().join(" ");
    let command = format!("apt-get update && apt-get install -y --no-install-recommends {packages}");
    let reasons: Vec<_> = missing.iter().map(|(program, _, why)| format!("{program} ({why})")).collect();
    let missing = format!("missing: {}", reasons.join(", "));
    let is_root = Command::new("id -u").output().is_ok_and(|id| id.trim() == "0");
    if !is_root || !is_installed("apt-get") {
        bail!("{missing}. On Debian: sudo sh -c '{command}'");
    }
    confirm(&format!("{missing}. `{command}` installs these packages"), &command)?;
    Command::new("apt-get update -qq").run()?;
    Command::new("apt-get install -y -qq --no-install-recommends")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(packages.split(' '))
        .run()
}

/// Returns true if a program is in PATH or in a folder of Debian for servers, or if a path exists.
fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .chain(versions.map(|version| version.path().join("bin")))
        .any(|folder| Path::new(&folder).join(program).exists())
}
