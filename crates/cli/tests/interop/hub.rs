//! A hub as an operator starts it, its URLs, and its tokens.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::program::{Program, run, ssekit};

/// Key of all tokens in these tests.
pub(crate) const KEY: &str = "the key of these tests, which nobody else would take";
pub(crate) const PATH: &str = "/.well-known/mercure";
pub(crate) const NEWS: &str = "https://example.com/news";

/// Running hub.
pub(crate) struct Hub {
    pub(crate) program: Program,
    pub(crate) addr: SocketAddr,
}

impl Hub {
    /// Starts a hub in memory on a free port, with these flags.
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", &[&["--store", "memory"], flags].concat())
    }

    pub(crate) fn start_at(addr: &str, flags: &[&str]) -> Self {
        let program = Program::start(
            ssekit()
                .args(["serve", "--addr", addr, "--anonymous", "--metrics"])
                .args(flags)
                .env("SSEKIT_KEY", KEY),
        );
        let line = program.stdout.find("the hub");
        let addr = line.split("http://").nth(1).and_then(|url| url.split('/').next()?.parse().ok());
        Self { addr: addr.unwrap_or_else(|| panic!("no address in {line:?}")), program }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}{PATH}", self.addr)
    }

    /// Number of subscribers.
    pub(crate) fn subscribers(&self) -> u64 {
        let metrics = run(Command::new("curl").args(["-sS", &format!("http://{}/metrics", self.addr)]));
        let metrics = String::from_utf8_lossy(&metrics.stdout).into_owned();
        let line = metrics.lines().find_map(|line| line.strip_prefix("ssekit_subscribers "));
        line.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no subscribers in {metrics}"))
    }
}

/// URL of a subscription to one topic.
pub(crate) fn topic(hub: &str, topic: &str) -> String {
    format!("{hub}?topic={}", topic.replace(':', "%3A").replace('/', "%2F"))
}

/// Token that grants to publish everything, or to read private updates of a topic.
pub(crate) fn token(grant: &str, selector: &str) -> String {
    let made = run(ssekit().args(["token", "make", grant, selector]).env("SSEKIT_KEY", KEY));
    assert!(made.status.success(), "{made:?}");
    String::from_utf8(made.stdout).expect("a token is text").trim().to_owned()
}

pub(crate) fn publisher_token() -> String {
    token("--publish", "*")
}

/// Path of a file in `examples/hub`.
pub(crate) fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/hub").join(name)
}

/// Text of such a file.
pub(crate) fn read_example(name: &str) -> String {
    let path = example(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Publishes with curl; returns the id.
pub(crate) fn publish(hub: &str, data: &str, flags: &[&str]) -> String {
    let mut command = Command::new(example("publish.sh"));
    command.args([NEWS, data]).args(flags).env("HUB", hub).env("SSEKIT_TOKEN", publisher_token());
    let output = run(&mut command);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    assert!(output.status.success(), "publish.sh: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Free address, which stays the same when its program is restarted.
pub(crate) fn free_addr() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

/// Empty folder for one test.
pub(crate) fn folder(name: &str) -> PathBuf {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("interop-{}-{number}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    folder
}
