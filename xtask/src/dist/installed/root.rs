//! The root file system of the container: a hub that sees nothing else.

use anyhow::{Result, bail};

use super::chroot::Root;
use super::hub::{START, free_port, has_version, publish};
use crate::command::{Command, root};
use crate::dist::build::Build;
use crate::dist::{container, files};

pub(super) fn test(build: &Build) -> Result<()> {
    let folder = container::write(build)?;
    let packed = container::pack(build, &folder)?;
    let folder = build.stage.join("container");
    files::clear(&folder)?;
    Command::new("tar --extract --gzip --numeric-owner --preserve-permissions --file")
        .arg(packed)
        .arg("--directory")
        .arg(&folder)
        .run()?;
    let container = Root(folder);
    let user = format!("{0}:{0}", container::USER);
    has_version(&container.command(&user, "ssekit --version").output()?)?;
    let address = format!("127.0.0.1:{}", free_port()?);
    // The variables of the image, at an address that is free here.
    let run = |line: &str| {
        let settings = settings()?.into_iter().filter(|(name, _)| name != "SSEKIT_ADDR");
        let command =
            settings.fold(container.command(&user, line), |command, (name, value)| command.env(&name, value));
        Ok::<_, anyhow::Error>(command.env("SSEKIT_ADDR", &address).env("SSEKIT_DEV", "true"))
    };
    let mut hub = run("ssekit serve")?.start()?;
    let health = || run("ssekit health").unwrap_or_else(|_| Command::new("false"));
    hub.until(START, health)?;
    publish(&build.program, &address, None)?;
    hub.terminate()?;
    if !container.has("/var/lib/ssekit/data/used") {
        bail!("the hub in the container keeps no history in /var/lib/ssekit/data");
    }
    Ok(())
}

/// The variables that the image sets.
fn settings() -> Result<Vec<(String, String)>> {
    let text = files::read(&root().join("examples/hub/Containerfile"))?;
    let lines = text.lines().filter_map(|line| line.strip_prefix("ENV "));
    let words = lines.flat_map(str::split_whitespace).filter_map(|word| word.split_once('='));
    Ok(words.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}
