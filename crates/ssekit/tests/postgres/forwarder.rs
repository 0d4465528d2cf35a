use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

use crate::PATIENCE;

/// The example, running; it ends with the test.
pub(crate) struct Forwarder {
    output: Lines<BufReader<ChildStdout>>,
    errors: Lines<BufReader<ChildStderr>>,
    _process: Child,
}

impl Forwarder {
    pub(crate) fn start(database: &str, channels: &[&str]) -> Self {
        let program = program();
        let mut process = Command::new(&program)
            .arg("127.0.0.1:0")
            .args(channels)
            .env("DATABASE_URL", database)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
        let output = BufReader::new(process.stdout.take().expect("stdout is piped")).lines();
        let errors = BufReader::new(process.stderr.take().expect("stderr is piped")).lines();
        Self { output, errors, _process: process }
    }

    /// Waits until it listens to the database, once more, and gives the URL of its events.
    pub(crate) async fn listening(&mut self) -> String {
        let line = next(&mut self.output).await;
        line.strip_prefix("listening on ").unwrap_or_else(|| panic!("it printed {line:?}")).to_owned()
    }

    /// The next line of its error output.
    pub(crate) async fn error(&mut self) -> String {
        next(&mut self.errors).await
    }
}

async fn next(lines: &mut Lines<BufReader<impl AsyncRead + Unpin>>) -> String {
    let line = timeout(PATIENCE, lines.next_line()).await.expect("a line in time");
    line.expect("readable output").expect("the example goes on")
}

/// Where cargo puts examples, beside the tests that it builds them for.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    test.ancestors().nth(2).expect("a test is in target/PROFILE/deps").join("examples/postgres")
}
