//! Every example runs, and the README shows two of them to the letter. (The contract service has a test of
//! its own.)

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

/// A running example; it ends with the test.
struct Example {
    lines: Lines<BufReader<ChildStdout>>,
    process: Child,
}

impl Example {
    fn start(name: &str, argument: &str) -> Self {
        let program = folder().join(name);
        let mut process = Command::new(&program)
            .arg(argument)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
        let stdout = process.stdout.take().expect("stdout is piped");
        Self { lines: BufReader::new(stdout).lines(), process }
    }

    /// Starts a server on a free port and gives the URL that it prints.
    async fn serve(name: &str) -> (Self, String) {
        let mut example = Self::start(name, "127.0.0.1:0");
        let line = example.line().await;
        let (_, url) = line.split_once("listening on ").unwrap_or_else(|| panic!("{name} printed {line:?}"));
        (example, url.to_owned())
    }

    /// Ends it as Ctrl-C does.
    async fn interrupt(&mut self) {
        let process = self.process.id().expect("the program runs").to_string();
        let kill = Command::new("kill").args(["-INT", &process]).status().await.expect("kill is installed");
        assert!(kill.success());
    }

    async fn line(&mut self) -> String {
        let line = timeout(PATIENCE, self.lines.next_line()).await.expect("a line in time");
        line.expect("readable output").expect("the program goes on")
    }
}

/// Where cargo puts examples, beside the tests that it builds them for.
fn folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    test.ancestors().nth(2).expect("a test is in target/PROFILE/deps").join("examples")
}

/// Sends a request as curl would, and gives the connection.
async fn request(url: &str, method: &str, headers: &str, body: &str) -> BufReader<TcpStream> {
    let rest = url.strip_prefix("http://").expect("an http URL");
    let (address, path) = rest.split_once('/').expect("a path");
    let mut socket = TcpStream::connect(address).await.expect("the example listens");
    let length = body.len();
    let request = format!(
        "{method} /{path} HTTP/1.1\r\nhost: {address}\r\n{headers}content-length: {length}\r\n\r\n{body}"
    );
    socket.write_all(request.as_bytes()).await.expect("the example reads");
    BufReader::new(socket)
}

async fn read_until(response: &mut BufReader<TcpStream>, wanted: &str) -> String {
    let mut text = String::new();
    let mut part = [0; 4096];
    while !text.contains(wanted) {
        let length = timeout(PATIENCE, response.read(&mut part)).await.expect("in time").expect("readable");
        assert_ne!(length, 0, "no {wanted:?} in {text:?}");
        text.push_str(&String::from_utf8_lossy(&part[..length]));
    }
    text
}

#[tokio::test]
async fn one_program_consumes_the_events_that_the_other_produces() {
    let (_server, url) = Example::serve("produce").await;
    let mut client = Example::start("consume", &url);
    for _ in 0..2 {
        let line = client.line().await;
        assert!(line.starts_with("the time is "), "{line}");
    }
}

#[tokio::test]
async fn an_answer_is_read_to_its_last_message_with_a_renewed_token() {
    let mut model = Example::start("model", "");
    let refused = model.line().await;
    assert_eq!(refused, "renewing the token: the server answered 401 Unauthorized: the token has expired");
    assert_eq!(model.line().await, "Hello, world!");
}

#[tokio::test]
async fn clients_are_reached_by_session_and_end_with_the_program() {
    let (mut server, url) = Example::serve("clients").await;
    let sessions = url.replace("/events", "/sessions");
    let mut tabs = Vec::new();
    for session in ["ada", "ada", "bob"] {
        let mut tab = request(&url, "GET", &format!("session-id: {session}\r\n"), "").await;
        read_until(&mut tab, "\r\n\r\n").await;
        tabs.push(tab);
    }
    let mut nameless = request(&url, "GET", "", "").await;
    assert!(read_until(&mut nameless, "\r\n\r\n").await.starts_with("HTTP/1.1 400"));

    let mut posted = request(&format!("{sessions}/ada"), "POST", "", "hello").await;
    read_until(&mut posted, "sent to 2 streams\n").await;
    let mut posted = request(&sessions, "POST", "", "all of you").await;
    read_until(&mut posted, "sent to 3 streams of 2 sessions\n").await;
    let mut nobody = request(&format!("{sessions}/eve"), "POST", "", "hello").await;
    assert!(read_until(&mut nobody, "\r\n\r\n").await.starts_with("HTTP/1.1 404"));
    for (tab, hello) in tabs.iter_mut().zip([true, true, false]) {
        let text = read_until(tab, "data: all of you\n\n").await;
        assert_eq!(text.contains("data: hello\n\n"), hello, "{text}");
    }

    let mut bob = tabs.pop().expect("bob's");
    let mut closed = request(&format!("{sessions}/bob"), "DELETE", "", "").await;
    read_until(&mut closed, "ended 1 streams\n").await;
    read_until(&mut bob, "0\r\n\r\n").await;
    let mut back = request(&url, "GET", "session-id: bob\r\n", "").await;
    assert!(read_until(&mut back, "\r\n\r\n").await.starts_with("HTTP/1.1 401"));

    server.interrupt().await;
    for tab in &mut tabs {
        assert!(read_until(tab, "\r\n0\r\n\r\n").await.contains("\r\nretry: "));
    }
    // A graceful shutdown waits for every connection that may yet ask for something.
    drop((tabs, bob, back, posted, nobody, closed, nameless));
    assert_eq!(server.line().await, "every stream has ended");
}

#[tokio::test]
async fn a_stream_of_hyper_ends_after_its_events() {
    let (_server, url) = Example::serve("with_hyper").await;
    let mut response = request(&url, "GET", "", "").await;
    // The chunk of length zero that ends the body.
    let text = read_until(&mut response, "\r\n0\r\n\r\n").await;
    assert!(text.contains("content-type: text/event-stream"), "{text}");
    assert_eq!(text.matches("event: count\n").count(), 10, "{text}");
}

#[tokio::test]
async fn a_client_that_returns_gets_the_events_it_has_not_seen() {
    let (_server, url) = Example::serve("resume").await;
    let mut all = request(&url, "GET", "", "").await;
    assert_eq!(read_until(&mut all, "\r\n0\r\n\r\n").await.matches("event: chapter").count(), 4);
    let mut rest = request(&url, "GET", "last-event-id: 2\r\n", "").await;
    let rest = read_until(&mut rest, "\r\n0\r\n\r\n").await;
    assert!(!rest.contains("id: 2\n") && rest.contains("id: 3\n") && rest.contains("id: 4\n"), "{rest}");
    let mut nothing = request(&url, "GET", "last-event-id: 4\r\n", "").await;
    assert!(read_until(&mut nothing, "\r\n\r\n").await.starts_with("HTTP/1.1 204"));
    let mut nothing = request(&url, "GET", "last-event-id: 4\r\n", "").await;
    assert!(read_until(&mut nothing, "\r\n\r\n").await.starts_with("HTTP/1.1 204"));
}

#[test]
fn the_readme_shows_the_programs_that_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).expect(path);
    for example in ["produce", "consume"] {
        let program = read(&format!("examples/{example}.rs"));
        let code = &program[program.find("\nuse ").expect("a program uses something") + 1..];
        for readme in ["README.md", "crates/ssekit/README.md"] {
            assert!(read(readme).contains(code), "{readme} does not show examples/{example}.rs as it is");
        }
    }
}
