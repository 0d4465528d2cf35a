//! Every publisher reaches every subscriber, and private updates reach only those with a grant.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use ssekit_client::source;

use crate::chromium::{Chromium, DESKTOP, Page};
use crate::hub::{Hub, KEY, NEWS, PATH, example, free_addr, publish, publisher_token, token, topic};
use crate::page;
use crate::program::{Lines, PATIENCE, Program, curl, run, ssekit};
use crate::python::python;

#[test]
fn every_publisher_reaches_all_subscribers_and_private_updates_only_authorized_ones() {
    let hub = Hub::start(&["--cors-origins", "*"]);
    let granted = token("--subscribe", NEWS);
    let elsewhere = token("--subscribe", "https://example.com/other");
    let url = topic(&hub.url(), NEWS);
    let listen = |token: &str| {
        Program::start(ssekit().args([
            "listen",
            &url,
            "-o",
            "raw",
            "-H",
            &format!("authorization: Bearer {token}"),
        ]))
    };
    let consumer =
        Program::start(with(python(), &here("consumer.py")).args([&hub.url(), NEWS]).env("PYTHONUTF8", "1"));
    consumer.stdout.find("subscribed");
    let (ours, foreign) = (listen(&granted), listen(&elsewhere));
    let anonymous = curl(&url);
    let client = rust_client(&url, &granted);
    for program in [&ours, &foreign] {
        program.stderr.find("connected");
    }
    anonymous.stdout.find("retry:");

    let mut everything = Vec::new();
    let mut public = Vec::new();
    for (name, publisher) in PUBLISHERS {
        for private in [false, true] {
            if private && name == PYMERCURE {
                continue;
            }
            let kind = if private { "private" } else { "public" };
            let data = format!("{kind} by {name}: größer & 100 %, a+b=c");
            let output = publish_with(publisher, &hub, &publisher_token(), KEY, &data, private);
            assert!(output.status.success(), "{name}: {output:?}");
            let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            assert!(id.starts_with("urn:ssekit:"), "{name} prints the id: {id:?}");
            if !private {
                public.push(data.clone());
            }
            everything.push(data);
        }
    }
    assert_eq!((everything.len(), public.len()), (11, 6));
    publish(&hub.url(), END, &[]);

    assert_eq!(data_of(&ours.stdout), everything, "ssekit listen, granted");
    assert_eq!(data_of(&foreign.stdout), public, "ssekit listen, granted something else");
    assert_eq!(until_end(|| client.recv_timeout(PATIENCE).ok()), everything, "the Rust client, granted");
    assert_eq!(data_of(&consumer.stdout), public, "pymercure, anonymous");
    let lines = || Some(anonymous.stdout.find("data: ").strip_prefix("data: ")?.to_owned());
    assert_eq!(until_end(lines), public, "curl, anonymous");
}

#[test]
fn a_browser_receives_private_updates_with_symfonys_cookie_or_a_token_in_the_url() {
    // Another server has the pages; cookies depend on the host, not on the port.
    let addr = free_addr();
    let url = format!("http://{addr}{PATH}");
    let bare = page::serve(None);
    let granted = page::serve(Some(&symfony_cookie(&url, NEWS)));
    let elsewhere = page::serve(Some(&symfony_cookie(&url, "https://example.com/other")));
    let [bare, granted, elsewhere] = [bare, granted, elsewhere].map(|page| format!("http://{page}"));
    let origins = [&bare, &granted, &elsewhere].map(|origin| ["--cors-origins", origin]);
    let hub = Hub::start_at(&addr, &[&["--store", "memory"], origins.as_flattened()].concat());

    let mut browser = Chromium::start();
    let url = topic(&hub.url(), NEWS);
    let of_query = format!("{url}&authorization={}", token("--subscribe", NEWS));
    let cases = [
        ("a cookie of Symfony", &granted, &url, true),
        ("a cookie for another topic", &elsewhere, &url, false),
        ("a token in the URL", &bare, &of_query, true),
        ("nothing", &bare, &url, false),
    ];
    let pages: Vec<Page> =
        cases.iter().map(|(_, origin, url, _)| subscribe(&mut browser, origin, url)).collect();
    for page in &pages {
        browser.wait_for(page, "source.readyState === EventSource.OPEN");
    }
    publish(&hub.url(), "for all", &[]);
    publish(&hub.url(), "for some", &["--private"]);
    publish(&hub.url(), END, &[]);
    for ((who, _, _, private), page) in cases.iter().zip(&pages) {
        let seen = browser.wait_for(page, &format!("seen.includes({END:?}) && seen.join()"));
        let expected = if *private { format!("for all,for some,{END}") } else { format!("for all,{END}") };
        assert_eq!(seen, expected, "{who}");
    }
    assert_eq!(browser.problems(), [] as [serde_json::Value; 0]);
}

#[test]
fn every_client_library_shows_the_reason_of_a_refusal() {
    let hub = Hub::start(&[]);
    let other = token("--publish", "https://example.com/other");
    for (name, publisher) in PUBLISHERS {
        let output = publish_with(
            publisher,
            &hub,
            &other,
            "another key than the hub's, as long as it",
            "hello",
            false,
        );
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert!(!output.status.success() || name == PYMERCURE, "{name}: {text}");
        // The hub refuses the program that signs its own tokens.
        let why = if name == "mercure-publisher" { "signature" } else { "does not grant the topic" };
        assert!(text.contains(why), "{name} does not say {why:?}: {text}");
    }
}

/// Programs that publish; `HUB`, `SSEKIT_TOKEN` and `KEY` are set for each.
const PUBLISHERS: [(&str, Publisher); 6] = [
    ("curl", || Command::new(example("publish.sh"))),
    ("Symfony", || with("php", &example("publish.php"))),
    ("urllib", || with(python(), &example("publish.py"))),
    ("mercure-publisher", || with(python(), &example("publish_by_package.py"))),
    (PYMERCURE, || with(python(), &here("publisher.py"))),
    ("ureq", || Command::new(rust_example("publish"))),
];

/// It is older than private updates, and prints a refusal as if it were an id.
const PYMERCURE: &str = "pymercure";

/// Makes the command that runs a program.
type Publisher = fn() -> Command;

fn publish_with(
    publisher: Publisher,
    hub: &Hub,
    token: &str,
    key: &str,
    data: &str,
    private: bool,
) -> Output {
    let mut command = publisher();
    command.args([NEWS, data]).args(private.then_some("--private"));
    run(command.env("HUB", hub.url()).env("SSEKIT_TOKEN", token).env("KEY", key).env("PYTHONUTF8", "1"))
}

fn with(interpreter: impl AsRef<OsStr>, script: &Path) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(script);
    command
}

/// Path of a file beside this one.
fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(name)
}

/// A program of the folder `examples`, which cargo builds for the tests of the whole package.
fn rust_example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    test.ancestors().nth(2).expect("a test is in target/PROFILE/deps").join("examples").join(name)
}

/// Data that our client receives.
fn rust_client(url: &str, token: &str) -> Receiver<String> {
    let (sender, received) = channel();
    let (opened, is_open) = channel();
    let source = source(url).header("authorization", format!("Bearer {token}"));
    let source = source.on_open(move |_| _ = opened.send(()));
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut messages = source.select("message");
            while let Some(message) = messages.next().await {
                let data = message.expect("the stream goes on").data().to_owned();
                if sender.send(data).is_err() {
                    return;
                }
            }
        });
    });
    is_open.recv_timeout(PATIENCE).expect("the client connects");
    received
}

/// Cookie that Symfony sets for a reader of a topic.
fn symfony_cookie(hub: &str, topic: &str) -> String {
    let output = run(with("php", &here("cookie.php")).args([hub, KEY, topic]));
    assert!(output.status.success(), "{output:?}");
    let cookie = String::from_utf8(output.stdout).expect("a cookie is text");
    assert!(
        cookie.starts_with("mercureAuthorization=") && cookie.contains("path=/.well-known/mercure"),
        "{cookie}"
    );
    cookie.trim().to_owned()
}

/// Opens a page that subscribes with `EventSource`.
fn subscribe(browser: &mut Chromium, origin: &str, url: &str) -> Page {
    let page = browser.open(origin, DESKTOP);
    browser.wait_for(&page, &format!("location.origin === {origin:?} && document.readyState === 'complete'"));
    let script = format!(
        "window.seen = []; window.source = new EventSource({url:?}, {{ withCredentials: true }});
         source.onmessage = ({{ data }}) => seen.push(data); 0"
    );
    browser.evaluate(&page, &script);
    page
}

/// Items before the end.
fn until_end(mut next: impl FnMut() -> Option<String>) -> Vec<String> {
    std::iter::from_fn(|| next().filter(|data| data != END)).collect()
}

fn data_of(lines: &Lines) -> Vec<String> {
    until_end(|| lines.next().map(|line| line.trim_end().to_owned()))
}

/// Last update of a test.
const END: &str = "the end";
