//! Python with packages for the protocol.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Packages from PyPI: a publisher, and an older one, whose other dependencies are for greenlets only.
const PACKAGES: [&str; 4] =
    ["mercure-publisher==0.1.0", "pymercure==0.0.1.0", "requests==2.34.2", "sseclient-py==1.9.0"];

/// Python that can import them.
pub(crate) fn python() -> PathBuf {
    installed().join("bin/python")
}

/// Environment, which is created the first time.
fn installed() -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = home.join("interop-python");
    // Several tests use it, and `cargo test` may run twice at once.
    let lock = std::fs::File::create(home.join("interop-python.lock")).expect("a file can be made");
    lock.lock().expect("it can be locked");
    let wanted = PACKAGES.join("\n");
    let marker = folder.join("installed.txt");
    if std::fs::read_to_string(&marker).is_ok_and(|there| there == wanted) {
        return folder;
    }
    // Debian's own Python, whatever else is in PATH: its package python3-venv belongs to it.
    let system = Path::new("/usr/bin/python3");
    let system = if system.exists() { system } else { Path::new("python3") };
    let hint = "this test needs Python with venv: `apt-get install python3-venv` (Debian, Ubuntu)";
    finish(Command::new(system).args(["-m", "venv", "--clear"]).arg(&folder), hint);
    let place = folder.join("bin/python");
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    let hint = "this test needs packages of PyPI";
    let (all, old) = (PACKAGES.iter().filter(|name| !name.starts_with("pymercure")), PACKAGES[1]);
    finish(Command::new(&place).args(pip).args(all), hint);
    finish(Command::new(&place).args(pip).args(["--no-deps", old]), hint);
    std::fs::write(&marker, wanted).expect("a file can be written");
    folder
}

fn finish(command: &mut Command, hint: &str) {
    let output = command.output().unwrap_or_else(|error| panic!("{hint}: {command:?}: {error}"));
    assert!(output.status.success(), "{hint}: {command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
