use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::peer::Peer;

/// The service under test in a process of its own, and the address that it reports to.
pub(crate) struct Harness {
    service: Child,
    address: SocketAddr,
    callbacks: SocketAddr,
    streams: Reports,
    next: AtomicUsize,
}

/// Where the reports of each stream go, with their numbers.
type Reports = Arc<Mutex<HashMap<usize, mpsc::UnboundedSender<(usize, Value)>>>>;

/// One client of the service.
pub(crate) struct Stream {
    service: SocketAddr,
    location: String,
    reports: mpsc::UnboundedReceiver<(usize, Value)>,
    /// How many reports there were.
    seen: usize,
}

const PATIENCE: Duration = Duration::from_secs(20);

impl Harness {
    pub(crate) async fn start() -> Self {
        let program = program();
        let mut service = Command::new(&program)
            .env("PORT", "0")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "{} does not start ({error}): build it with `cargo build -p ssekit --example contract_service`",
                    program.display()
                )
            });
        let mut lines = BufReader::new(service.stdout.take().unwrap()).lines();
        let line =
            timeout(PATIENCE, lines.next_line()).await.expect("a line in time").unwrap().expect("a line");
        let address = line.strip_prefix("listening on http://").expect("an address").parse().unwrap();

        let streams = Reports::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let callbacks = listener.local_addr().unwrap();
        let routes = Router::new()
            .route("/{stream}/{number}", post(receive))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&streams));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { service, address, callbacks, streams, next: AtomicUsize::new(0) }
    }

    /// Has the service open a client on the peer's URL.
    pub(crate) async fn open(&self, peer: &Peer, mut parameters: Value) -> Stream {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, reports) = mpsc::unbounded_channel();
        self.streams.lock().unwrap().insert(number, sender);
        parameters["streamUrl"] = json!(peer.url("/stream"));
        parameters["callbackUrl"] = json!(format!("http://{}/{number}", self.callbacks));
        let (status, location, body) = self.request("POST", "/", &parameters.to_string()).await;
        assert!((200..300).contains(&status), "{status} {body}");
        let location = location.expect("a Location");
        Stream { service: self.address, location, reports, seen: 0 }
    }

    /// Gives the answer's status, its `Location` and its body.
    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        body: &str,
    ) -> (u16, Option<String>, String) {
        request(self.address, method, path, body).await
    }

    pub(crate) async fn has_quit(mut self) {
        let status = timeout(PATIENCE, self.service.wait()).await.expect("the service quits").unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Stream {
    /// The next report; their numbers have no gaps.
    pub(crate) async fn report(&mut self, what: &str) -> Value {
        let report = timeout(PATIENCE, self.reports.recv()).await;
        let (number, report) =
            report.unwrap_or_else(|_| panic!("no report of {what}")).expect("the harness runs");
        self.seen += 1;
        assert_eq!(number, self.seen, "reports are counted from 1");
        report
    }

    /// The next report is an error, which says this in both fields.
    pub(crate) async fn expect_error(&mut self, text: &str) {
        let report = self.report(text).await;
        assert_eq!(report["kind"], "error", "{report}");
        assert_eq!(report["error"], report["comment"]);
        assert!(report["error"].as_str().unwrap().contains(text), "{report}");
    }

    /// Nothing is reported for longer than a retry would have taken.
    pub(crate) async fn stays_silent(&mut self) {
        let report = timeout(Duration::from_millis(300), self.reports.recv()).await;
        assert!(report.is_err(), "{report:?}");
    }

    pub(crate) async fn command(&self, command: Value) -> u16 {
        request(self.service, "POST", &self.location, &command.to_string()).await.0
    }

    pub(crate) async fn close(self) {
        let (status, ..) = request(self.service, "DELETE", &self.location, "").await;
        assert!(matches!(status, 200 | 204), "{status}");
    }

    pub(crate) fn location(&self) -> &str {
        &self.location
    }
}

/// Where cargo puts examples, beside the tests that it builds them for.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let name = format!("contract_service{}", std::env::consts::EXE_SUFFIX);
    test.ancestors().nth(2).expect("a test is in target/PROFILE/deps").join("examples").join(name)
}

async fn receive(
    State(streams): State<Reports>,
    Path((stream, number)): Path<(usize, usize)>,
    report: String,
) {
    let report = serde_json::from_str(&report).expect("a report in JSON");
    // A stream that its test is done with may still report.
    let _ = streams.lock().unwrap()[&stream].send((number, report));
}

async fn request(address: SocketAddr, method: &str, path: &str, body: &str) -> (u16, Option<String>, String) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    socket.write_all((head + body).as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, socket.read_to_string(&mut answer)).await.expect("an answer in time").unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let location = head.lines().find_map(|line| line.strip_prefix("location: ")).map(str::to_owned);
    (status, location, body.to_owned())
}
