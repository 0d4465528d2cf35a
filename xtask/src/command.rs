//! Child processes, run at the root of the repository. A failed one is an error that names its command line.

use std::env;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
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

    /// Creates a command of a program at a path, which may contain spaces.
    pub(crate) fn program(path: &Path) -> Self {
        let mut inner = process::Command::new(path);
        inner.current_dir(root());
        Self { inner, line: path.display().to_string() }
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

    /// Starts the command; its output goes to that of this program.
    pub(crate) fn start(mut self) -> Result<Running> {
        let child = self.inner.stdin(Stdio::null()).spawn();
        let child = child.with_context(|| format!("cannot start `{}`", self.line))?;
        Ok(Running { child, line: self.line })
    }

    /// Starts the command and returns it with the first line of its standard output.
    pub(crate) fn start_and_read(mut self) -> Result<(Running, String)> {
        self.inner.stdout(Stdio::piped());
        let mut running = self.start()?;
        let mut line = String::new();
        let output = running.child.stdout.take().context("the standard output is not piped")?;
        BufReader::new(output)
            .read_line(&mut line)
            .with_context(|| format!("cannot read the output of `{}`", running.line))?;
        Ok((running, line.trim_end().to_owned()))
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

/// A program that runs beside this one, and is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: process::Child,
    line: String,
}

impl Running {
    /// Sends SIGTERM, and checks that the program ends successfully.
    pub(crate) fn terminate(self) -> Result<()> {
        Command::new("kill -s TERM").arg(self.child.id().to_string()).run()?;
        self.wait().context("after SIGTERM")
    }

    /// Waits until the program ends, and fails if it does not end successfully.
    pub(crate) fn wait(mut self) -> Result<()> {
        let status = self.child.wait().with_context(|| format!("cannot wait for `{}`", self.line))?;
        if !status.success() {
            bail!("`{}` ended with {status}", self.line);
        }
        Ok(())
    }

    /// Waits until a command succeeds, and fails if the program ends before, or the time is over.
    pub(crate) fn until(&mut self, time: Duration, ready: impl Fn() -> Command) -> Result<()> {
        let end = Instant::now() + time;
        while !ready().succeeds() {
            if let Ok(Some(status)) = self.child.try_wait() {
                bail!("`{}` ended with {status}", self.line);
            }
            if Instant::now() > end {
                bail!("`{}` is not ready after {} s", self.line, time.as_secs());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail if it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
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
