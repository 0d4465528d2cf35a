use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::client;
use crate::process::Server;
use crate::server::DATA;

/// A server to measure.
pub struct Contestant {
    pub name: &'static str,
    command: Box<dyn Fn() -> Command>,
}

/// The result of one round.
pub struct Measured {
    /// Events per second.
    pub rate: f64,
    /// The server's processor time for one event, in nanoseconds.
    pub cpu: f64,
    /// The server's largest resident memory, in KiB, while its client read.
    pub reading: u64,
    /// The same after its client has stopped reading for a while.
    pub stalled: u64,
}

impl Contestant {
    pub fn all() -> Result<Vec<Self>> {
        let rust = |name| -> Box<dyn Fn() -> Command> {
            Box::new(move || {
                let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
                command.args(["serve", name]);
                command
            })
        };
        let folder = install_package()?;
        let node = move || {
            let mut command = Command::new("node");
            command.args(["--conditions=svelte", "--import", "./bundler.mjs", "seed.mjs", DATA]);
            command.current_dir(&folder);
            command
        };
        Ok(vec![
            Self { name: OURS, command: rust("ssekit") },
            Self { name: AXUM, command: rust("axum") },
            Self { name: SEED, command: Box::new(node) },
        ])
    }

    /// A fresh server, one stream from it.
    pub fn round(&self) -> Result<Measured> {
        let server = Server::start((self.command)()).context(self.name)?;
        let mut client = client::Client::connect(server.port)?;
        client.count_for(WARM_UP)?;
        let before = server.cpu()?;
        let counted = client.count_for(ROUND)?;
        let cpu = server.cpu()? - before;
        let reading = server.peak_memory()?;
        std::thread::sleep(STALL);
        let stalled = server.peak_memory()?;
        Ok(Measured {
            rate: counted.events as f64 / counted.time.as_secs_f64(),
            cpu: cpu.as_nanos() as f64 / counted.events as f64,
            reading,
            stalled,
        })
    }
}

pub const OURS: &str = "ssekit `produce`";
pub const AXUM: &str = "axum `Sse`";
pub const SEED: &str = "`sveltekit-sse` on Node";

const WARM_UP: Duration = Duration::from_millis(500);
const ROUND: Duration = Duration::from_secs(2);
const STALL: Duration = Duration::from_secs(1);

/// Installs the npm package below the target folder, the first time.
fn install_package() -> Result<PathBuf> {
    let target = std::env::current_exe()?;
    let target = target.ancestors().nth(2).context("the program lies in a target folder")?;
    let folder = target.join("bench-stream-node");
    std::fs::create_dir_all(&folder)?;
    let wanted = include_str!("../../../crates/server/tests/sveltekit_sse/package.json");
    let files = [
        ("bundler.mjs", include_str!("../../../crates/server/tests/sveltekit_sse/bundler.mjs")),
        ("seed.mjs", include_str!("seed.mjs")),
    ];
    for (name, text) in files.into_iter().chain([("package.json", wanted)]) {
        std::fs::write(folder.join(name), text)?;
    }
    if !Path::new(&folder.join("node_modules/sveltekit-sse")).exists() {
        let npm = ["install", "--legacy-peer-deps", "--no-audit", "--no-fund", "--ignore-scripts"];
        let npm = Command::new("npm").args(npm).current_dir(&folder).output();
        let npm =
            npm.context("install Node.js 18.19 or later and npm (Debian: apt-get install nodejs npm)")?;
        ensure!(npm.status.success(), "npm install failed: {}", String::from_utf8_lossy(&npm.stderr));
    }
    Ok(folder)
}
