//! Child processes, run at the root of the repository. A failed one is an error that names its command line.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// A command, which runs at the root of the repository.
#[derive(Debug)]
pub(crate) struct Command {
    inner: process::Command,
    line: String,
}

impl Command {
    /// Creates a command from words separated by spaces; there are no quotes.
    pub(crate) fn new(line: &str) -> Self {
        let mut words = line.split_whitespace();
        let mut inner = process::Command::new(words.next().unwrap_or_default());
        inner.args(words).current_dir(root());
        Self { inner, line: line.to_owned() }
    }

    /// Creates a command of the cargo that runs this program.
    pub(crate) fn cargo(line: &str) -> Self {
        let mut command = Self::new(&format!("cargo {line}"));
        if let Some(cargo) = env::var_os("CARGO") {
            command.inner = process::Command::new(cargo);
            command.inner.args(line.split_whitespace()).current_dir(root());
        }
        command
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.line = format!("{} {}", self.line, argument.as_ref().display());
        self.inner.arg(argument);
        self
    }

    pub(crate) fn args<'a>(self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        arguments.into_iter().fold(self, Self::arg)
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.inner.env(name, value);
        self
    }

    pub(crate) fn env_remove(mut self, name: &str) -> Self {
        self.inner.env_remove(name);
        self
    }

    /// Sets the working folder, relative to the root of the repository.
    pub(crate) fn within(mut self, folder: impl AsRef<Path>) -> Self {
        self.inner.current_dir(root().join(folder));
        self
    }

    /// Runs the command; its output goes to that of this program.
    pub(crate) fn run(mut self) -> Result<()> {
        let status = self
            .inner
            .stdin(Stdio::null())
            .status()
            .with_context(|| format!("cannot start `{}`", self.line))?;
        if !status.success() {
            bail!("`{}` ended with {status}", self.line);
        }
        Ok(())
    }

    /// Runs the command and returns its standard output.
    pub(crate) fn output(mut self) -> Result<String> {
        let output = self.inner.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("cannot start `{}`", self.line))?;
        if !output.status.success() {
            bail!("`{}` ended with {}", self.line, output.status);
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs the command without output; returns true if it succeeds.
    pub(crate) fn succeeds(mut self) -> bool {
        self.quiet().status().is_ok_and(|status| status.success())
    }

    /// Runs the command without output; returns true if it succeeds in time. Kills it after this time.
    pub(crate) fn succeeds_within(mut self, time: Duration) -> bool {
        let end = Instant::now() + time;
        let Ok(mut child) = self.quiet().spawn() else { return false };
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return status.success(),
                Ok(None) if Instant::now() < end => thread::sleep(Duration::from_millis(50)),
                _ => {
                    // The calls fail if the process has ended meanwhile.
                    let _ = child.kill();
                    let _ = child.wait();
                    return false;
                }
            }
        }
    }

    fn quiet(&mut self) -> &mut process::Command {
        self.inner.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
    }
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// The target folder of cargo.
pub(crate) fn target() -> PathBuf {
    // Commands run in several folders, in which a relative path would be different folders.
    let folder = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    std::path::absolute(&folder).unwrap_or(folder)
}
