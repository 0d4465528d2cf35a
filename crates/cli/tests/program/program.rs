//! Runs the program as its users do.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything in these tests takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Running program, killed when dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) stdout: Lines,
    pub(crate) stderr: Lines,
}

/// Program that serves, and its address.
pub(crate) struct Server {
    pub(crate) program: Program,
    pub(crate) addr: SocketAddr,
}

/// Lines of a stream, as they arrive.
pub(crate) struct Lines(Receiver<String>);

pub(crate) fn ssekit() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ssekit"));
    let ours = std::env::vars_os().map(|(name, _)| name);
    for name in ours.filter(|name| name.as_encoded_bytes().starts_with(b"SSEKIT_")) {
        command.env_remove(name);
    }
    command.env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

/// Starts the demo on a free port.
pub(crate) fn serve() -> Server {
    serve_by(ssekit().args(["serve", "--demo", "--store", "memory", "--addr", "127.0.0.1:0"]))
}

/// Starts the demo with this command.
pub(crate) fn serve_by(command: &mut Command) -> Server {
    let program = Program::start(command);
    let page = program.stdout.find("demo page");
    let addr = page.split("http://").nth(1).and_then(|url| url.trim_end_matches('/').parse().ok());
    Server { addr: addr.unwrap_or_else(|| panic!("no address in {page:?}")), program }
}

/// Output of curl for this URL, unbuffered.
pub(crate) fn curl(url: &str) -> Program {
    let there = Command::new("curl").arg("--version").output().is_ok();
    assert!(there, "this test needs curl: `apt-get install curl` (Debian, Ubuntu)");
    Program::start(Command::new("curl").args(["--silent", "--no-buffer", url]))
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Output {
    let mut program = Program::start(command);
    let status = program.wait();
    Output { status, stdout: program.stdout.rest().into(), stderr: program.stderr.rest().into() }
}

impl Server {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let stdout = Lines::of(child.stdout.take().expect("piped"));
        let stderr = Lines::of(child.stderr.take().expect("piped"));
        Self { child, stdout, stderr }
    }

    pub(crate) fn signal(&self, signal: &str) {
        // The shell's own `kill`, which exists where the program of this name does not.
        let kill = format!("kill -s {signal} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().expect("a shell is there");
        assert!(sent.success(), "SIG{signal} was not sent");
    }

    /// Exit status, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(Instant::now() < end, "the program does not end");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).into_owned();
                line.clear();
                if sender.send(text).is_err() {
                    break;
                }
            }
        });
        Self(receiver)
    }

    /// Returns the next line with its end; `None` when the stream has ended.
    pub(crate) fn next(&self) -> Option<String> {
        match self.0.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line comes"),
        }
    }

    /// Returns the next line with this text.
    pub(crate) fn find(&self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        let mut seen = String::new();
        while let Some(line) = self.next().filter(|_| Instant::now() < end) {
            if line.contains(text) {
                return line.trim_end().to_owned();
            }
            seen.push_str(&line);
        }
        panic!("{text:?} is not among the lines:\n{seen}");
    }

    /// Returns the rest, up to the end.
    pub(crate) fn rest(&self) -> String {
        std::iter::from_fn(|| self.next()).collect()
    }
}
