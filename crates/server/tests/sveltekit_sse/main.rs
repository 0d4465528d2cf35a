//! A page that uses the npm package `sveltekit-sse` works with `produce`: the package's own client runs under
//! Node against an axum server.

mod node;

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use ssekit_server::{Emitter, StopReason, produce};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::mpsc;
use tokio::time::timeout;

#[tokio::test]
async fn a_page_sees_events_with_ids_from_1_pings_the_open_and_the_close() {
    let (mut server, mut page) = open(Duration::from_millis(200)).await;
    assert_eq!(page.next_but("message").await, json!({"kind": "open", "status": 200, "isLocal": false}));

    let stream = &server.emitter;
    stream.emit("greeting", "hello").unwrap();
    assert_eq!(page.event().await, json!(["1", "greeting", "hello"]));
    assert_eq!(page.next_but("message").await, json!({"kind": "greeting", "value": "hello"}));

    stream.comment("pages do not see this").unwrap();
    stream.retry(Duration::from_secs(9)).unwrap();
    stream.emit_json("quote", &json!({"symbol": "RST"})).unwrap();
    assert_eq!(page.event().await, json!(["2", "quote", "{\"symbol\":\"RST\"}"]));
    assert_eq!(page.next_but("message").await, json!({"kind": "quote", "value": {"symbol": "RST"}}));

    stream.try_send(ssekit_server::Event::new("two\r\nlines, no name")).unwrap();
    assert_eq!(page.event().await, json!(["3", "message", "two\nlines, no name"]));
    assert_eq!(page.next_but("message").await, json!({"kind": "length", "value": 18}));

    // A ping is an event of its own that takes no id.
    assert_eq!(page.message().await, json!(["", "ping", ""]));
    stream.emit("last", "").unwrap();
    assert_eq!(page.event().await, json!(["4", "last", ""]));

    stream.lock().set(false);
    assert_eq!(page.next_but("message").await, json!({"kind": "close", "status": 200, "isLocal": false}));
    assert!(matches!(server.stop.recv().await, Some(StopReason::Ended)));
    assert_eq!(page.leave().await, [] as [Value; 0]);
}

#[tokio::test]
async fn a_page_that_leaves_ends_its_stream() {
    let (mut server, mut page) = open(Duration::from_secs(30)).await;
    assert_eq!(page.next_but("message").await["kind"], "open");
    page.input.write_all(b"unsubscribe\n").await.unwrap();
    let stop = timeout(LONG, server.stop.recv()).await.expect("on_stop runs at once");
    assert!(matches!(stop, Some(StopReason::Disconnected)));
    assert_eq!(page.next_but("message").await, json!({"kind": "close", "status": 200, "isLocal": true}));
}

struct Server {
    emitter: Emitter,
    stop: mpsc::Receiver<StopReason>,
}

/// A server whose only stream is read by a page.
async fn open(ping: Duration) -> (Server, Page) {
    let (started, mut starts) = mpsc::channel(1);
    let (stopped, stop) = mpsc::channel(1);
    let router = axum::Router::new().fallback(move || async move {
        produce(move |stream| started.try_send(stream).expect("one stream"))
            .ids_from(1)
            .retry(Duration::from_millis(1500))
            .ping(ping)
            .on_stop(|reason| async move { stopped.try_send(reason).expect("one stop") })
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });

    let mut page = Page::open(addr).await;
    // The stores begin with these, before there is a connection.
    assert_eq!(page.next().await, json!({"kind": "greeting", "value": ""}));
    assert_eq!(page.next().await, json!({"kind": "quote", "value": null}));
    assert_eq!(page.next().await, json!({"kind": "length", "value": null}));
    let emitter = timeout(LONG, starts.recv()).await.expect("the page connects").unwrap();
    (Server { emitter, stop }, page)
}

/// Node running `page.mjs`, which reports line by line.
struct Page {
    node: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Page {
    async fn open(server: SocketAddr) -> Self {
        let url = format!("http://{server}/events");
        let node = tokio::task::spawn_blocking(move || node::page(&url, "{}")).await.unwrap();
        let mut node = tokio::process::Command::from(node)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node runs, as npm does");
        let (input, output) = (node.stdin.take().unwrap(), node.stdout.take().unwrap());
        Self { node, input, output: BufReader::new(output).lines() }
    }

    async fn next(&mut self) -> Value {
        let line = timeout(LONG, self.output.next_line()).await.expect("the page reports something").unwrap();
        serde_json::from_str(&line.expect("the page has not ended")).unwrap()
    }

    async fn next_but(&mut self, kind: &str) -> Value {
        loop {
            let report = self.next().await;
            if report["kind"] != kind {
                return report;
            }
            assert_ne!(report["event"], "", "a block without data reached the page");
        }
    }

    /// The next message as `[id, event, data]`.
    async fn message(&mut self) -> Value {
        let report = self.next().await;
        assert_eq!(report["kind"], "message", "{report}");
        json!([report["id"], report["event"], report["data"]])
    }

    /// The next message that is not a ping.
    async fn event(&mut self) -> Value {
        loop {
            let message = self.message().await;
            if message[1] != "ping" {
                return message;
            }
        }
    }

    /// Ends the page, and returns its remaining reports.
    async fn leave(mut self) -> Vec<Value> {
        drop(self.input);
        timeout(LONG, self.node.wait()).await.expect("node ends").unwrap();
        let mut rest = Vec::new();
        while let Some(line) = self.output.next_line().await.unwrap() {
            rest.push(serde_json::from_str(&line).unwrap());
        }
        rest
    }
}

const LONG: Duration = Duration::from_secs(20);
