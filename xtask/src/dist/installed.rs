//! Installs and uses each artifact of a release as its users do, in clean folders and a fresh Debian.

mod chroot;
mod debian;
mod hub;
mod manifests;
mod root;
mod rust;

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use self::hub::{Hub, START, clean, free_port, has_version, publish};
use super::build::{Build, VERSION, host};
use super::{archive, crates, files};
use crate::command::Command;
use crate::node;
use crate::output::say;

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
    say(&format!("{name}: {} s", start.elapsed().as_secs()));
    Ok(result)
}

/// Unpacks the archive, checks its contents, and starts a hub from it.
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
  for (const file of files) {
    if (!existsSync(`node_modules/ssekit/${file}`)) throw new Error(`${name}: no ${file}`)
  }
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

fn contains(path: &Path, text: &str) -> Result<()> {
    if !files::read(path)?.contains(text) {
        bail!("{} does not contain {text:?}", path.display());
    }
    Ok(())
}
