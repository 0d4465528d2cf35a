//! The root file system of the container: the program, the libraries that it loads, and a user.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::build::{Build, VERSION, host, tar};
use super::files;
use crate::command::{Command, root};

/// The user of the hub, by number, because the system that runs the container does not know its name.
pub(super) const USER: &str = "10001";
/// Certificate authorities, for key sets at `https://` URLs.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Writes the file system into a folder.
pub(super) fn write(build: &Build) -> Result<PathBuf> {
    if !cfg!(target_os = "linux") {
        bail!("containers need a program for Linux: run this on Linux");
    }
    let folder = build.out.join("root");
    files::clear(&folder)?;
    files::copy(&build.program, &folder.join("usr/local/bin/ssekit"))?;
    let libraries = Command::new("ldd").arg(&build.program).output()?;
    for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
        files::copy(Path::new(library), &folder.join(library.trim_start_matches('/')))?;
    }
    files::copy(Path::new(AUTHORITIES), &folder.join(AUTHORITIES.trim_start_matches('/')))
        .context("the container needs certificate authorities: install ca-certificates")?;
    let user = format!("ssekit:x:{USER}:{USER}::/var/lib/ssekit:/usr/sbin/nologin\n");
    files::write(&folder.join("etc/passwd"), &format!("root:x:0:0::/root:/usr/sbin/nologin\n{user}"))?;
    files::write(&folder.join("etc/group"), &format!("root:x:0:\nssekit:x:{USER}:\n"))?;
    for license in ["LICENSE-APACHE", "LICENSE-MIT"] {
        files::copy(&root().join(license), &folder.join("usr/share/doc/ssekit").join(license))?;
    }
    let data = folder.join("var/lib/ssekit");
    fs::create_dir_all(&data).with_context(|| format!("cannot create {}", data.display()))?;
    Command::new("chmod --recursive u=rwX,go=rX").arg(&folder).run()?;
    Command::new("chmod 0700").arg(&data).run()?;
    Command::new("chown").arg(format!("{USER}:{USER}")).arg(&data).run()?;
    Ok(folder)
}

/// Packs the folder, for systems that import a file system, and removes it.
pub(super) fn pack(build: &Build, folder: &Path) -> Result<PathBuf> {
    let name = format!("ssekit-{VERSION}-root-{}.tar.gz", host()?);
    tar(folder, ".", &build.out.join(&name))?;
    let unpacked = build.stage.join("root");
    fs::rename(folder, &unpacked).with_context(|| format!("cannot move {}", folder.display()))?;
    build.artifact(&name)
}
