//! The contestants, each in processes of its own.

// The code that users of axum write today: the same as in the measurements of the library.
#[path = "../../fanout/src/server/broadcast.rs"]
pub mod broadcast;
mod floor;
mod nchan;

pub use self::nchan::version as nchan_version;

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Contestant {
    Floor,
    Axum,
    Nchan,
    Hub,
}

impl Contestant {
    /// In the order of the tables.
    pub const ALL: [Self; 4] = [Self::Floor, Self::Axum, Self::Nchan, Self::Hub];

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Axum => "axum",
            Self::Nchan => "nchan",
            Self::Hub => "ssekit",
        }
    }

    /// Its name in the tables.
    pub fn title(self) -> &'static str {
        match self {
            Self::Floor => "floor: one thread, one `send`",
            Self::Axum => "axum `Sse`, tokio `broadcast`",
            Self::Nchan => "nchan in nginx, one worker",
            Self::Hub => "`ssekit serve`",
        }
    }

    /// The arguments of `ssekit bench` for this server, for a replay or not.
    pub fn options(self, replay: bool) -> &'static [&'static str] {
        match self {
            Self::Floor | Self::Axum => &["--preset", "plain"],
            // Its ids are its own: where one begins is said by the location.
            Self::Nchan if replay => &["--preset", "plain", "--subscribe", "GET /all", "--after", ""],
            Self::Nchan => &["--preset", "plain"],
            Self::Hub => &["--preset", "mercure"],
        }
    }

    /// Starts it, and waits until it can be asked.
    pub fn start(self, program: &Program, store: Store<'_>) -> Result<Server> {
        match self {
            Self::Floor | Self::Axum => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["serve", if self == Self::Floor { "floor" } else { "axum" }]);
                Server::start(command)
            }
            Self::Nchan => nchan::start(),
            Self::Hub => {
                let mut command = Command::new(&program.0);
                command.args(["serve", "--addr", "127.0.0.1:0", "--dev", "--subscriptions=false"]);
                match store {
                    Store::Memory => command.args(["--store", "memory"]),
                    Store::Folder(folder) => command.arg("--store").arg(folder),
                    Store::Synced(folder) => {
                        command.arg("--store").arg(folder).args(["--durability", "sync"])
                    }
                };
                Server::start(command)
            }
        }
    }
}

/// Where the hub keeps updates.
#[derive(Clone, Copy, Debug)]
pub enum Store<'a> {
    Memory,
    Folder(&'a Path),
    /// Synced before a publisher is answered.
    Synced(&'a Path),
}

/// The program `ssekit`.
pub struct Program(pub PathBuf);

impl Program {
    /// Builds it from this repository.
    pub fn build() -> Result<Self> {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--release", "--package", "ssekit-cli", "--bin", "ssekit"]);
        cargo.args(["--message-format", "json-render-diagnostics"]);
        cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        let output = cargo.stderr(Stdio::inherit()).output().context("cargo does not start")?;
        ensure!(output.status.success(), "the program does not build");
        let messages = String::from_utf8(output.stdout)?;
        let mut executable = messages.lines().filter_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(message["executable"].as_str()?.to_owned())
        });
        Ok(Self(executable.next_back().context("cargo names no program")?.into()))
    }
}

/// A server that runs, and is killed in the end.
pub struct Server {
    pub url: String,
    process: Child,
    /// Its files, which go with it.
    _folder: Option<tempfile::TempDir>,
}

impl Server {
    /// Starts one that says in its first line where it is.
    fn start(mut command: Command) -> Result<Self> {
        let process = command.stdout(Stdio::piped()).spawn().context("the server does not start")?;
        let mut server = Self { url: String::new(), process, _folder: None };
        let output = server.process.stdout.take().context("the server has an output")?;
        let mut output = BufReader::new(output);
        let mut line = String::new();
        output.read_line(&mut line)?;
        server.url = address(&line).with_context(|| format!("the server's address, not {line:?}"))?;
        // Whatever else it says, it must not wait for a reader.
        thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Ok(server)
    }

    /// Its process and those that it has started.
    pub fn pids(&self) -> Result<Vec<u32>> {
        let own = self.process.id();
        let mut pids = vec![own];
        for entry in std::fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            // It may have ended meanwhile.
            let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
            let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1));
            if parent.and_then(|parent| parent.parse().ok()) == Some(own) {
                pids.push(pid);
            }
        }
        Ok(pids)
    }

    /// Asks it to end, and waits.
    pub fn stop(mut self, signal: &str) -> Result<()> {
        let pid = self.process.id().to_string();
        ensure!(Command::new("kill").args([signal, &pid]).status()?.success(), "cannot send {signal}");
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !matches!(self.process.try_wait(), Ok(None)) {
            return;
        }
        // nginx ends its workers when it is asked to end.
        let _ = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        let deadline = Instant::now() + Duration::from_secs(2);
        while Instant::now() < deadline && matches!(self.process.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The address in a line, such as `127.0.0.1:3000`.
fn address(line: &str) -> Option<String> {
    let from = line.find("127.0.0.1:")?;
    let end = line[from..].find(|character: char| !character.is_ascii_digit() && !".:".contains(character));
    Some(line[from..end.map_or(line.len(), |end| from + end)].trim_end_matches('.').to_owned())
}

/// Waits until something listens there.
fn wait_for(port: u16) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(error) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
        ensure!(Instant::now() < deadline, "nothing listens on port {port}: {error}");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Serves until the process is killed; prints the address first.
pub fn serve(name: Contestant) -> Result<()> {
    match name {
        Contestant::Floor => floor::serve(),
        // As its documentation has it.
        Contestant::Axum => {
            tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
                let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                println!("{}", listener.local_addr()?);
                Ok(axum::serve(listener, broadcast::router()).await?)
            })
        }
        Contestant::Nchan | Contestant::Hub => anyhow::bail!("it is a program of its own"),
    }
}

/// Returns the output of a command.
pub fn said(program: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    let mut child = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut text = String::new();
    child.stdout.take().context("its output")?.read_to_string(&mut text)?;
    child.stderr.take().context("its errors")?.read_to_string(&mut text)?;
    child.wait()?;
    Ok(text.trim().to_owned())
}
