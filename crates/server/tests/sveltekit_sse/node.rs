//! Runs the page of this folder, and with it the npm package's own client, under Node.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A page that listens to `url`, its request made as the package's `options` (JSON) say. It reports on stdout, one JSON
/// value a line, unsubscribes when it reads a line on stdin, and ends with stdin.
pub(crate) fn page(url: &str, options: &str) -> Command {
    let mut node = Command::new("node");
    node.args(["--conditions=svelte", "--import", "./bundler.mjs", "page.mjs", url, options])
        .current_dir(installed())
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
        let npm = ["install", "--legacy-peer-deps", "--no-audit", "--no-fund", "--ignore-scripts"];
        let output = Command::new("npm").args(npm).current_dir(&folder).output().expect(NEEDED);
        assert!(output.status.success(), "npm install failed in {}: {output:?}", folder.display());
        std::fs::write(folder.join("installed.json"), wanted).unwrap();
    }
    folder
}

const NEEDED: &str = "this test runs a page under Node.js: install Node.js 18.19 or later and npm (Debian: apt-get \
                      install nodejs npm)";
