//! The Debian package in a fresh Debian: installed, used, upgraded, removed and purged.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use super::chroot::Root;
use super::hub::{START, free_port, has_version, publish};
use crate::command::{Command, target};
use crate::dist::build::Build;
use crate::dist::{debian, files};

pub(super) fn test(build: &Build) -> Result<()> {
    let package = debian::write(build)?;
    let root = fresh(build)?;
    files::copy(&package, &root.path("ssekit.deb"))?;
    install(&root)?;
    unit_is_valid(build, &root)?;
    let key = files::read(&root.path("/etc/ssekit/key"))?;
    use_hub(build, &root)?;
    // An upgrade keeps the key.
    install(&root)?;
    if files::read(&root.path("/etc/ssekit/key"))? != key {
        bail!("the second installation replaced the key");
    }
    remove(&root)
}

/// A fresh Debian of the release that this machine has. Its packages are fetched once.
fn fresh(build: &Build) -> Result<Root> {
    let release = files::read("/etc/os-release".as_ref()).unwrap_or_default();
    let release = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let release = release.context("/etc/os-release names no release: this test needs Debian")?.to_owned();
    let archive: PathBuf = target().join(format!("debian-{release}.tar"));
    if !archive.exists() {
        let new = archive.with_extension("new");
        Command::new("mmdebstrap --quiet --variant=minbase --format=tar").arg(&release).arg(&new).run()?;
        std::fs::rename(&new, &archive).context("cannot keep the fresh Debian")?;
    }
    let root = build.stage.join("debian-root");
    files::clear(&root)?;
    Command::new("tar --extract --file").arg(&archive).arg("--directory").arg(&root).run()?;
    Ok(Root(root))
}

fn install(root: &Root) -> Result<()> {
    root.command("0:0", "dpkg --install /ssekit.deb").run()?;
    for (path, owner) in [("/var/lib/ssekit", "ssekit ssekit 700"), ("/etc/ssekit/key", "root ssekit 640")] {
        let found =
            root.command("0:0", &format!("stat --format=%U,%G,%a {path}")).output()?.replace(',', " ");
        if found.trim() != owner {
            bail!("{path} has owner, group and mode {}, not {owner}", found.trim());
        }
    }
    for path in [
        "/etc/ssekit/ssekit.toml",
        "/usr/lib/systemd/system/ssekit.service",
        "/usr/lib/systemd/system/ssekit.socket",
        "/usr/share/man/man1/ssekit-serve.1.gz",
        "/usr/share/bash-completion/completions/ssekit",
        "/usr/share/doc/ssekit/copyright",
        "/etc/systemd/system/multi-user.target.wants/ssekit.service",
        "/etc/systemd/system/sockets.target.wants/ssekit.socket",
    ] {
        if !root.has(path) {
            bail!("{path} is missing after the installation");
        }
    }
    has_version(&root.command("0:0", "ssekit --version").output()?)
}

fn unit_is_valid(build: &Build, root: &Root) -> Result<()> {
    let folder = build.stage.join("units");
    files::clear(&folder)?;
    for name in ["ssekit.service", "ssekit.socket"] {
        let unit = files::read(&root.path("/usr/lib/systemd/system").join(name))?;
        files::write(
            &folder.join(name),
            &unit.replace("/usr/bin/ssekit", &build.program.display().to_string()),
        )?;
    }
    Command::new("systemd-analyze verify --man=no").arg(folder.join("ssekit.service")).run()
}

/// Runs the hub as its user with the configuration of the package, and publishes with its key.
fn use_hub(build: &Build, root: &Root) -> Result<()> {
    let address = format!("127.0.0.1:{}", free_port()?);
    let serve = root.command("ssekit:ssekit", "ssekit serve --config /etc/ssekit/ssekit.toml");
    let mut hub = serve.env("SSEKIT_ADDR", &address).start()?;
    hub.until(START, || root.command("ssekit:ssekit", "ssekit health").env("SSEKIT_ADDR", &address))?;
    let token = root.command("0:0", "ssekit token make --key-file /etc/ssekit/key --publish *").output()?;
    publish(&build.program, &address, Some(token.trim()))?;
    hub.terminate()
}

/// Removal keeps configuration, key and history; purge leaves nothing.
fn remove(root: &Root) -> Result<()> {
    root.command("0:0", "dpkg --remove ssekit").run()?;
    for (path, expected) in [
        ("/usr/bin/ssekit", false),
        ("/etc/ssekit/ssekit.toml", true),
        ("/etc/ssekit/key", true),
        ("/var/lib/ssekit/used", true),
    ] {
        if root.has(path) != expected {
            bail!("{path} {} after the removal", if expected { "is missing" } else { "is left" });
        }
    }
    root.command("0:0", "dpkg --purge ssekit").run()?;
    let left = "find / -xdev -name *ssekit* -not -path /ssekit.deb";
    let left = root.command("0:0", left).output()?;
    if !left.trim().is_empty() {
        bail!("left after the purge: {}", left.trim().replace('\n', ", "));
    }
    for file in ["/etc/passwd", "/etc/group", "/etc/shadow"] {
        if files::read(&root.path(file))?.contains("ssekit") {
            bail!("the user is still in {file} after the purge");
        }
    }
    Ok(())
}
