use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};

use anyhow::{Context as _, Result, bail};

/// A program run at the root of the repository.
#[derive(Debug)]
pub(crate) struct Command {
    inner: process::Command,
    line: String,
}

impl Command {
    /// A command line without quotes: words between spaces.
    pub(crate) fn new(line: &str) -> Self {
        let mut words = line.split_whitespace();
        let mut inner = process::Command::new(words.next().unwrap_or_default());
        inner.args(words).current_dir(root());
        Self { inner, line: line.to_owned() }
    }

    /// The same cargo that runs this.
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

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.inner.env(name, value);
        self
    }

    pub(crate) fn env_remove(mut self, name: &str) -> Self {
        self.inner.env_remove(name);
        self
    }

    /// Runs it in a folder of the repository.
    pub(crate) fn within(mut self, folder: &str) -> Self {
        self.inner.current_dir(root().join(folder));
        self
    }

    /// Runs it, its output where ours goes.
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

    /// Runs it and gives what it printed.
    pub(crate) fn output(mut self) -> Result<String> {
        let output = self.inner.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("cannot start `{}`", self.line))?;
        if !output.status.success() {
            bail!("`{}` ended with {}", self.line, output.status);
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Whether it runs and succeeds; its output is dropped.
    pub(crate) fn succeeds(mut self) -> bool {
        let quiet = self.inner.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        quiet.status().is_ok_and(|status| status.success())
    }
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}
