use std::path::Path;

use anyhow::{Result, bail};

use crate::command::Command;

/// A program that is needed: its name in PATH, or the path of a file of it; the Debian package that has it; what for.
pub(crate) type Tool = (&'static str, &'static str, &'static str);

/// What the tests run besides Rust. What WebAssembly needs is in `wasm.rs`.
const TOOLS: &[Tool] = &[
    ("c++", "g++", "links the fuzz targets"),
    ("chromium", "chromium", "opens pages"),
    ("curl", "curl", "reads the demo's streams"),
    ("initdb", "postgresql", "makes the database that an example listens to"),
    ("node", "nodejs", "builds the npm package, and runs it"),
    ("npm", "npm", "installs what that needs"),
];

/// What the hub is tried with: `examples/hub`. Packages of PyPI the tests get themselves, into an environment of their own.
pub(crate) const AROUND_THE_HUB: &[Tool] = &[
    ("caddy", "caddy", "stands before the hub"),
    ("haproxy", "haproxy", "stands before the hub"),
    ("ip", "iproute2", "makes a network from which a peer vanishes"),
    ("nginx", "nginx", "stands before the hub"),
    ("openssl", "openssl", "makes certificates and keys"),
    ("php", "php-cli", "publishes"),
    (
        "/usr/share/php/Symfony/Component/Mercure/autoload.php",
        "php-symfony-mercure",
        "publishes by Symfony's component",
    ),
    ("/usr/share/doc/python3-venv", "python3-venv", "publishes by packages of PyPI"),
    ("/usr/share/doc/libfaketime", "libfaketime", "lets the clock jump"),
    ("systemd-analyze", "systemd", "looks at the units of the hub"),
];

/// Installs what the tests need and is missing, or says exactly what to install.
pub(crate) fn install() -> Result<()> {
    for component in ["rustfmt", "clippy"] {
        if !Command::new(&format!(
            "cargo {} --version",
            if component == "rustfmt" { "fmt" } else { component }
        ))
        .succeeds()
        {
            Command::new("rustup component add").arg(component).run()?;
        }
    }
    provide(TOOLS)
}

/// Installs those that are missing, or says exactly what to install.
pub(crate) fn provide(tools: &[Tool]) -> Result<()> {
    let missing: Vec<_> = tools.iter().filter(|(program, ..)| !is_installed(program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.iter().map(|(_, package, _)| *package).collect::<Vec<_>>().join(" ");
    let by_hand = format!("apt-get update && apt-get install -y --no-install-recommends {packages}");
    let is_root = Command::new("id -u").output().is_ok_and(|id| id.trim() == "0");
    if !is_root || !is_installed("apt-get") {
        let why: Vec<_> = missing.iter().map(|(program, _, why)| format!("{program} ({why})")).collect();
        bail!("what is missing: {}. On Debian: sudo sh -c '{by_hand}'", why.join(", "));
    }
    crate::say(&by_hand);
    Command::new("apt-get update -qq").run()?;
    Command::new("apt-get install -y -qq --no-install-recommends")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(packages.split(' '))
        .run()
}

/// Whether a program is in PATH, or where Debian has servers and those of PostgreSQL, or a path is there.
fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .chain(versions.map(|version| version.path().join("bin")))
        .any(|folder| Path::new(&folder).join(program).exists())
}
