//! The hub behind nginx, Caddy and HAProxy, over TLS.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::chromium::{Chromium, DESKTOP};
use crate::hub::{Hub, NEWS, folder, free_addr, publish, publisher_token, read_example, token, topic};
use crate::program::{PATIENCE, Program, run, ssekit};
use crate::proxy::{ALL, Kind, Proxy};

/// A proxy that buffers events holds them until there are kilobytes of them, or until the stream ends.
///
/// Neither happens here, and there is no heartbeat for longer than this time.
const AT_ONCE: Duration = Duration::from_secs(10);

#[test]
fn events_pass_at_once_while_the_stream_stays_open() {
    for kind in ALL {
        let hub = Hub::start(&[]);
        let proxy = Proxy::start(kind, &hub.addr.to_string());
        for (flag, version) in [("--http2", "HTTP/2 200"), ("--http1.1", "HTTP/1.1 200 OK")] {
            let stream = Program::start(proxy.curl().args([
                "--no-buffer",
                "--include",
                flag,
                &topic(&proxy.url(), NEWS),
            ]));
            let first = stream.stdout.next().expect("an answer");
            assert!(first.starts_with(version), "{kind:?}: {first:?}");
            stream.stdout.find("text/event-stream");
            stream.stdout.find("retry: ");
            for number in 0..3 {
                let told = Instant::now();
                let data = format!("{number} by {flag}");
                publish_through(&proxy, &data, false);
                let line = stream.stdout.find("data: ");
                assert_eq!(line, format!("data: {data}"), "{kind:?}");
                assert!(told.elapsed() < AT_ONCE, "{kind:?} took {:?}", told.elapsed());
            }
        }
    }
}

#[test]
fn a_client_resumes_after_a_restart_of_the_proxy() {
    for kind in ALL {
        let hub = Hub::start(&[]);
        let mut proxy = Proxy::start(kind, &hub.addr.to_string());
        let listen = |token: &str| {
            let mut command = ssekit();
            command.args(["listen", &topic(&proxy.url(), NEWS), "-o", "raw"]);
            command.args(["-H", &format!("authorization: Bearer {token}")]);
            Program::start(command.env("SSL_CERT_FILE", proxy.certificate()))
        };
        let granted = listen(&token("--subscribe", NEWS));
        let foreign = listen(&token("--subscribe", "https://example.com/other"));
        granted.stderr.find("connected");
        foreign.stderr.find("connected");
        publish_through(&proxy, "before", false);
        for program in [&granted, &foreign] {
            assert_eq!(program.stdout.next().as_deref(), Some("before\n"), "{kind:?}");
        }

        proxy.kill();
        for program in [&granted, &foreign] {
            program.stderr.find("reconnecting");
        }
        publish(&hub.url(), "meanwhile, for some", &["--private"]);
        publish(&hub.url(), "meanwhile, for all", &[]);
        proxy.begin();
        publish_through(&proxy, "after, for some", true);
        publish_through(&proxy, "after, for all", false);

        let next =
            |program: &Program| program.stdout.next().expect("the stream goes on").trim_end().to_owned();
        let all = ["meanwhile, for some", "meanwhile, for all", "after, for some", "after, for all"];
        for expected in all {
            assert_eq!(next(&granted), expected, "{kind:?}");
        }
        for expected in [all[1], all[3]] {
            assert_eq!(next(&foreign), expected, "{kind:?}");
        }
    }
}

#[test]
fn a_page_in_a_browser_resumes_after_a_restart_of_the_hub() {
    let mut browser = Chromium::start();
    for kind in ALL {
        let addr = free_addr();
        let store = folder("store");
        let store = store.to_str().expect("a path is text");
        let start = || Hub::start_at(&addr, &["--store", store]);
        let mut hub = start();
        let proxy = Proxy::start(kind, &addr);
        publish(&hub.url(), "history", &[]);

        let page = browser.open("about:blank", DESKTOP);
        browser.on(&page, "Security.setIgnoreCertificateErrors", &json!({ "ignore": true }));
        browser.on(&page, "Page.navigate", &json!({ "url": format!("{}/", proxy.origin()) }));
        let loaded =
            format!("location.origin === {:?} && document.readyState === 'complete'", proxy.origin());
        browser.wait_for(&page, &loaded);
        if !kind.has_pages() {
            let html = Value::from(read_example("page.html"));
            browser.evaluate(&page, &format!("document.open(); document.write({html}); document.close(); 0"));
        }
        let news = "[...document.querySelectorAll('#news li')].map((line) => line.textContent).join()";
        let state = "document.querySelector('#state').textContent";
        browser.wait_for(&page, &format!("{news} === 'history' && {state} === 'live'"));
        publish(&hub.url(), "live", &[]);
        browser.wait_for(&page, &format!("{news} === 'history,live'"));

        // While there is no hub, the page gets a reconnection time; a publisher gets an error.
        hub.program.signal("TERM");
        hub.program.wait();
        browser.wait_for(&page, &format!("{state} === 'reconnecting'"));
        let status = ["--output", "/dev/null", "--write-out", "%{http_code} %{content_type}"];
        let answered = |command: &mut Command| String::from_utf8(run(command).stdout).expect("text");
        // HAProxy checks the hub once per second.
        let told = answered(proxy.curl().args(status).arg(topic(&proxy.url(), NEWS)));
        assert_eq!(told, "200 text/event-stream", "{kind:?}");
        let stream = answered(proxy.curl().arg(topic(&proxy.url(), NEWS)));
        let retry = stream.trim_end().strip_prefix("retry: ").and_then(|retry| retry.parse::<u64>().ok());
        assert!(retry.is_some_and(|retry| (1_000..=4_000).contains(&retry)), "{kind:?}: {stream:?}");
        let post = ["--data", "topic=x", "--data", "data=x", &proxy.url()];
        let told = answered(proxy.curl().args(status).args(post));
        assert!(told.starts_with("50"), "{kind:?}: {told}");

        let hub = start();
        publish(&hub.url(), "after", &[]);
        browser.wait_for(&page, &format!("{news} === 'history,live,after' && {state} === 'live'"));
        browser.close(&page);
        drop(hub);
        std::fs::remove_dir_all(Path::new(store)).expect("the store can be removed");
    }
}

#[test]
fn the_hub_notices_a_closed_client_before_the_next_heartbeat() {
    for kind in ALL {
        let hub = Hub::start(&["--heartbeat", "1h"]);
        let proxy = Proxy::start(kind, &hub.addr.to_string());
        for flag in ["--http2", "--http1.1"] {
            let stream = Program::start(proxy.curl().args(["--no-buffer", flag, &topic(&proxy.url(), NEWS)]));
            stream.stdout.find("retry: ");
            assert_eq!(hub.subscribers(), 1, "{kind:?} {flag}");
            drop(stream);
            let end = Instant::now() + PATIENCE;
            while hub.subscribers() > 0 {
                assert!(Instant::now() < end, "{kind:?} {flag} keeps the stream of a client that has gone");
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

#[test]
fn heartbeats_keep_a_silent_stream_open_beyond_the_timeouts_of_the_proxy() {
    thread::scope(|scope| ALL.map(|kind| drop(scope.spawn(move || stay_open(kind)))));
}

fn stay_open(kind: Kind) {
    let hub = Hub::start(&["--heartbeat", "1s"]);
    let shorter: &[(&str, &str)] = match kind {
        Kind::Nginx => {
            &[("proxy_read_timeout 75s", "proxy_read_timeout 3s"), ("send_timeout 75s", "send_timeout 3s")]
        }
        Kind::Caddy => &[("response_header_timeout 30s", "response_header_timeout 3s")],
        Kind::HaProxy => {
            &[("timeout client 75s", "timeout client 3s"), ("timeout server 75s", "timeout server 3s")]
        }
    };
    let proxy = Proxy::start_with(kind, &hub.addr.to_string(), shorter);
    let stream = Program::start(proxy.curl().args(["--no-buffer", &topic(&proxy.url(), NEWS)]));
    stream.stdout.find("retry: ");
    let opened = Instant::now();
    while opened.elapsed() < Duration::from_secs(8) {
        // A stream that has ended has no next line.
        assert!(stream.stdout.next().is_some(), "{kind:?} ended the stream after {:?}", opened.elapsed());
    }
    publish_through(&proxy, "still here", false);
    stream.stdout.find("data: still here");
}

#[test]
fn paths_for_operators_are_not_reachable_through_the_proxy() {
    for kind in ALL {
        let hub = Hub::start(&[]);
        let proxy = Proxy::start(kind, &hub.addr.to_string());
        for path in [
            "/metrics",
            "/healthz",
            "/readyz",
            "/.well-known/mercure-and-more",
            "/.well-known/mercure/../../metrics",
        ] {
            let url = format!("{}{path}", proxy.origin());
            let through = run(proxy.curl().args(["--path-as-is", "--write-out", "%{http_code}", &url]));
            let text = String::from_utf8_lossy(&through.stdout);
            assert!(text.ends_with("404") || text.ends_with("400"), "{kind:?} {path}: {text}");
            assert!(!text.contains("ssekit_"), "{kind:?} {path}: {text}");
        }
    }
}

/// Publishes through the proxy.
fn publish_through(proxy: &Proxy, data: &str, private: bool) {
    let mut command = Command::new(crate::hub::example("publish.sh"));
    command.args([NEWS, data]).args(private.then_some("--private"));
    command
        .env("HUB", proxy.url())
        .env("SSEKIT_TOKEN", publisher_token())
        .env("CURL_CA_BUNDLE", proxy.certificate());
    let output = run(&mut command);
    assert!(output.status.success(), "{:?}: {output:?}", proxy.kind);
}
