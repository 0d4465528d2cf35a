//! Installs and uses each artifact of a release as its users do, in clean folders and a fresh Debian.

mod debian;
mod manifests;
mod root;
mod rust;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::{Build, VERSION, archive, crates, files, host};
use crate::command::{Command, Running};
use crate::node;

/// Longer than any of these programs takes to start.
const START: Duration = Duration::from_secs(30);

/// The topic of all updates here.
const TOPIC: &str = "https://example.com/news";

/// Builds the artifacts with the program that the tests have built, and uses them.
pub(crate) fn test() -> Result<()> {
    let build = Build::debug()?;
    let hub = step("the program archive", || program_archive(&build))?;
    step("the npm package", || npm_package(&build, &hub))?;
    step("the Debian package", || debian::test(&build))?;
    step("the root file system of the container", || root::test(&build))?;
    step("the manifests for Kubernetes", || manifests::test(&build))?;
    step("the packages of the crates", || rust::test(&build, &crates::write(&build)?, &hub))
}

fn step<T>(name: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = std::time::Instant::now();
    let result = run().with_context(|| name.to_owned())?;
    crate::say(&format!("{name}: {} s", start.elapsed().as_secs()));
    Ok(result)
}

/// A hub that runs, with an update in its history.
struct Hub {
    _running: Running,
    url: String,
}

impl Hub {
    /// URL of a subscription that begins with the history.
    fn history(&self) -> String {
        format!("{}/.well-known/mercure?topic={TOPIC}&lastEventID=earliest", self.url)
    }
}

/// Unpacks the archive, checks its content, and starts a hub from it.
fn program_archive(build: &Build) -> Result<Hub> {
    let packed = archive::write(build)?;
    let folder = build.stage.join("unpacked");
    files::clear(&folder)?;
    Command::new("tar --extract --gzip --file").arg(&packed).arg("--directory").arg(&folder).run()?;
    let folder = folder.join(format!("ssekit-{VERSION}-{}", host()?));
    for (name, text) in [
        ("LICENSE-APACHE", "Apache License"),
        ("README.md", "# ssekit"),
        ("man/man1/ssekit.1", ".TH"),
        ("man/man1/ssekit-serve.1", "limits\\-body\\-size"),
        ("completions/_ssekit", "#compdef ssekit"),
        ("completions/ssekit", "complete -F"),
        ("examples/hub/ssekit.service", "[Service]"),
    ] {
        contains(&folder.join(name), text)?;
    }
    let program = folder.join("ssekit");
    has_version(&Command::program(&program).arg("--version").output()?)?;
    let port = free_port()?;
    let address = format!("127.0.0.1:{port}");
    let serve = Command::program(&program).args(["serve", "--dev", "--store", "memory", "--addr", &*address]);
    let mut running = clean(serve).start()?;
    running.until(START, || clean(Command::program(&program).args(["health", &*address])))?;
    publish(&program, &address, None)?;
    Ok(Hub { _running: running, url: format!("http://{address}") })
}

/// Installs the tarball in a new project without network, and reads the hub's history under Node.
fn npm_package(build: &Build, hub: &Hub) -> Result<()> {
    let tarball = build.npm()?;
    let folder = build.stage.join("npm");
    files::write(
        &folder.join("package.json"),
        "{ \"name\": \"new\", \"private\": true, \"type\": \"module\" }\n",
    )?;
    node::npm(&folder, "install --offline --no-audit --no-fund --ignore-scripts")?.arg(&tarball).run()?;
    let package = folder.join("node_modules/ssekit");
    contains(&package.join("LICENSE-MIT"), "MIT License")?;
    contains(&package.join("README.md"), "# ssekit")?;
    let script = "\
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { source } from 'ssekit'

const { exports } = JSON.parse(readFileSync('node_modules/ssekit/package.json'))
for (const [name, targets] of Object.entries(exports)) {
  const files = typeof targets === 'string' ? [targets] : Object.values(targets)
  for (const file of files) if (!existsSync(`node_modules/ssekit/${file}`)) throw new Error(`${name}: no ${file}`)
  if (!existsSync(fileURLToPath(import.meta.resolve(`ssekit${name.slice(1)}`)))) throw new Error(name)
}
for await (const { data } of source(process.argv[2], { method: 'GET' })) {
  if (data === 'hello, world') break
}
console.log('received')
";
    files::write(&folder.join("receive.mjs"), script)?;
    let printed = node::node(&folder, "receive.mjs")?.arg(hub.history()).output()?;
    if printed.trim() != "received" {
        bail!("the program under Node printed {printed:?}");
    }
    Ok(())
}

/// Publishes an update, and checks that an id is printed.
fn publish(program: &Path, address: &str, token: Option<&str>) -> Result<()> {
    let command = Command::program(program).args(["publish", address, "--topic", TOPIC, "hello, world"]);
    let command = clean(command);
    let command = if let Some(token) = token { command.env("SSEKIT_TOKEN", token) } else { command };
    let id = command.output()?;
    if !id.starts_with("urn:ssekit:") {
        bail!("`ssekit publish` printed {id:?} instead of an id");
    }
    Ok(())
}

/// Without the settings of whoever runs this.
fn clean(command: Command) -> Command {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let ours = names.filter(|name| name.starts_with("SSEKIT_"));
    ours.fold(command, |command, name| command.env_remove(&name))
}

fn has_version(printed: &str) -> Result<()> {
    if printed.trim() != format!("ssekit {VERSION}") {
        bail!("`ssekit --version` printed {printed:?}, not the version {VERSION}");
    }
    Ok(())
}

fn contains(path: &Path, text: &str) -> Result<()> {
    if !files::read(path)?.contains(text) {
        bail!("{} does not contain {text:?}", path.display());
    }
    Ok(())
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr()?.port())
}

/// A root file system for `chroot`.
struct Root(PathBuf);

impl Root {
    /// A program in it, run as a user.
    fn command(&self, user: &str, line: &str) -> Command {
        clean(Command::new("chroot --userspec").arg(user).arg(&self.0).args(line.split(' ')))
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .within(&self.0)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.path(path)).is_ok()
    }
}
