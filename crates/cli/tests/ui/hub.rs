//! Hub for the tests of the page, and tokens for it.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

use crate::http::{Answer, request};
use crate::program::{Program, Server, ssekit};

pub(crate) const HUB: &str = "/.well-known/mercure";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Starts a hub of one machine, where no client needs a token.
pub(crate) fn open() -> Server {
    start(serve().args(["--dev", "--store", "memory"]))
}

/// Starts a hub with a key, where anonymous clients read public updates.
pub(crate) fn locked() -> Server {
    start(with_key(&mut serve()).args(["--anonymous", "--store", "memory"]))
}

pub(crate) fn serve() -> Command {
    let mut command = ssekit();
    command.args(["serve", "--addr", "127.0.0.1:0", "--ui"]);
    command
}

pub(crate) fn with_key(command: &mut Command) -> &mut Command {
    command.args(["--subscriptions", "--subscriptions-anonymous", "--metrics"]).env("SSEKIT_KEY", SECRET)
}

/// Starts a hub, and waits until it prints the address of its page.
pub(crate) fn start(command: &mut Command) -> Server {
    let program = Program::start(command);
    let page = program.stdout.find("admin page");
    let addr = page.split("http://").nth(1).and_then(|url| url.split('/').next()?.parse().ok());
    Server { addr: addr.unwrap_or_else(|| panic!("no address in {page:?}")), program }
}

/// Folder that does not exist yet, removed when dropped.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        Self(format!("{}/ui-{}-{number}", env!("CARGO_TARGET_TMPDIR"), std::process::id()).into())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Token with these grants.
pub(crate) fn token(publish: &[&str], subscribe: &[&str]) -> String {
    signed(&json!({ "mercure": { "publish": publish, "subscribe": subscribe } }))
}

/// Token that grants to read, and expires after this number of seconds.
pub(crate) fn ending(subscribe: &[&str], seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs() as i64;
    signed(&json!({ "exp": now + seconds, "mercure": { "subscribe": subscribe } }))
}

fn signed(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&json!({ "alg": "HS256" })), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes())))
}

/// Sends a request with a token, or without one if it is empty.
pub(crate) fn get(server: &Server, path: &str, token: &str) -> Answer {
    let addr = server.addr;
    request(addr, &format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\n{}\r\n", authorization(token)))
}

/// Status, and the JSON of the answer.
pub(crate) fn json_of(answer: Answer) -> (u16, Value) {
    let status = answer.status;
    let text = answer.text();
    (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text:?} is not JSON: {error}")))
}

pub(crate) fn post(server: &Server, path: &str, token: &str, content_type: &str, body: &str) -> Answer {
    let (addr, length) = (server.addr, body.len());
    let head = format!("POST {path} HTTP/1.1\r\nhost: {addr}\r\ncontent-type: {content_type}\r\n");
    let head = format!("{head}content-length: {length}\r\n{}\r\n", authorization(token));
    request(addr, &(head + body))
}

/// Publishes these updates in one batch.
pub(crate) fn publish(server: &Server, token: &str, updates: &[Value]) {
    let lines: Vec<String> = updates.iter().map(Value::to_string).collect();
    let answer = post(server, HUB, token, "application/x-ndjson", &lines.join("\n"));
    let status = answer.status;
    assert_eq!(status, 200, "{}", answer.text());
}

fn authorization(token: &str) -> String {
    if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") }
}
