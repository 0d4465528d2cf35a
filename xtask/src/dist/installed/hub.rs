//! A hub that a test of an artifact has started, and commands that use it.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::command::{Command, Running};
use crate::dist::VERSION;

/// Longer than any of these programs takes to start.
pub(super) const START: Duration = Duration::from_secs(30);

/// The topic of all updates here.
const TOPIC: &str = "https://example.com/news";

/// A hub that runs, with an update in its history.
pub(super) struct Hub {
    pub(super) _running: Running,
    pub(super) url: String,
}

impl Hub {
    /// URL of a subscription that begins with the history.
    pub(super) fn history(&self) -> String {
        format!("{}/.well-known/mercure?topic={TOPIC}&lastEventID=earliest", self.url)
    }
}

/// Publishes an update, and checks that an id is printed.
pub(super) fn publish(program: &Path, address: &str, token: Option<&str>) -> Result<()> {
    let command = Command::program(program).args(["publish", address, "--topic", TOPIC, "hello, world"]);
    let command = clean(command);
    let command = if let Some(token) = token { command.env("SSEKIT_TOKEN", token) } else { command };
    let id = command.output()?;
    if !id.starts_with("urn:ssekit:") {
        bail!("`ssekit publish` printed {id:?} instead of an id");
    }
    Ok(())
}

/// Removes the settings of a hub in the environment of this process from that of a command.
pub(super) fn clean(command: Command) -> Command {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let ours = names.filter(|name| name.starts_with("SSEKIT_"));
    ours.fold(command, |command, name| command.env_remove(&name))
}

pub(super) fn has_version(printed: &str) -> Result<()> {
    if printed.trim() != format!("ssekit {VERSION}") {
        bail!("`ssekit --version` printed {printed:?}, not the version {VERSION}");
    }
    Ok(())
}

pub(super) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr()?.port())
}
