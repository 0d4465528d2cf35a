//! Runs the page of this folder, and with it the npm package's own client, under Node.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A page that listens to `url`, its request made as the package's `options` (JSON) say. It reports on
/// stdout, one JSON value a line, unsubscribes when it reads a line on stdin, and ends with stdin.
pub(crate) fn page(url: &str, options: &str) -> Command {
    let folder = installed();
    let mut node = Command::new(node(&folder));
    node.args(["--conditions=svelte", "--import", "./bundler.mjs", "page.mjs", url, options])
        .current_dir(folder)
        .stdin(Stdio::piped());
    node
}

/// The folder with the page and the package, which is installed from npm the first time.
fn installed() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sveltekit_sse");
    std::fs::create_dir_all(&folder).unwrap();
    // Several tests come here, and `cargo test` may run twice at once.
    let lock = std::fs::File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let files = [
        ("bundler.mjs", include_str!("bundler.mjs")),
        ("page.mjs", include_str!("page.mjs")),
        ("package.json", include_str!("package.json")),
    ];
    let wanted = files[2].1;
    let is_installed =
        std::fs::read_to_string(folder.join("installed.json")).is_ok_and(|text| text == wanted);
    for (name, text) in files {
        // One that is there may be being read.
        if std::fs::read_to_string(folder.join(name)).is_ok_and(|there| there == text) {
            continue;
        }
        std::fs::write(folder.join(name), text).unwrap();
    }
    if !is_installed {
        // The package's peers are for its server side and its build; the client needs svelte alone.
        npm(&folder, &["--legacy-peer-deps"]);
        if !is_recent_enough("node") {
            npm(&folder, &["--no-save", "--legacy-peer-deps", &format!("{}@22", node_package())]);
        }
        std::fs::write(folder.join("installed.json"), wanted).unwrap();
    }
    folder
}

fn npm(folder: &Path, arguments: &[&str]) {
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts"]).args(arguments).current_dir(folder);
    let output = npm.output().expect(NEEDED);
    assert!(output.status.success(), "{npm:?} failed in {}: {output:?}", folder.display());
}

/// The machine's Node.js, or the one that was installed beside the package. Debian 12 has Node.js 18, whose
/// `fetch` keeps a connection open when its request is aborted.
fn node(folder: &Path) -> PathBuf {
    let installed = folder.join("node_modules").join(node_package()).join("bin/node");
    if installed.exists() { installed } else { PathBuf::from("node") }
}

fn is_recent_enough(node: &str) -> bool {
    let output = Command::new(node).arg("--version").output().expect(NEEDED);
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    major.is_some_and(|major| major >= 20)
}

/// The npm package that is Node.js itself for this machine.
fn node_package() -> String {
    let processor = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    format!("node-{}-{processor}", if cfg!(target_os = "macos") { "darwin" } else { "linux" })
}

const NEEDED: &str = "this test runs a page under Node.js: install Node.js 18 or later and npm (Debian: apt-get \
                      install nodejs npm)";
