//! Answers of a proxy in place of the hub.

use std::collections::HashSet;

use crate::hub::{Hub, NEWS, folder, free_addr, publisher_token, topic};
use crate::program::run;
use crate::proxy::{ALL, Proxy};

/// Origin that the examples allow.
const ALLOWED: &str = "https://app.example.com";

/// Answer: its status, its headers in lower case, and its body.
struct Answer {
    status: u16,
    headers: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| *found == name).map(|(_, value)| value.trim())
    }
}

/// Sends a request through the proxy, as a page of this origin.
fn ask(proxy: &Proxy, origin: &str, arguments: &[&str]) -> Answer {
    let output =
        run(proxy.curl().args(["--include", "--header", &format!("origin: {origin}")]).args(arguments));
    let text = String::from_utf8(output.stdout).expect("an answer is text").replace('\r', "");
    let (head, body) =
        text.split_once("\n\n").unwrap_or_else(|| panic!("{:?}: no answer: {text}", proxy.kind));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, headers: head.to_ascii_lowercase(), body: body.to_owned() }
}

#[test]
fn only_streams_get_a_reconnection_time_and_allowed_origins_can_read_every_response() {
    for kind in ALL {
        // Nothing listens there.
        let proxy = Proxy::start(kind, &free_addr());
        let stream = topic(&proxy.url(), NEWS);
        let subscriptions = format!("{}/subscriptions", proxy.url());
        let publish = ["--data", "topic=x", &*proxy.url()].map(str::to_owned);
        let publish: Vec<&str> = publish.iter().map(String::as_str).collect();
        for (origin, is_allowed) in [(ALLOWED, true), ("https://evil.example", false), ("null", false)] {
            for (arguments, is_stream) in
                [(&[&*stream][..], true), (&[&*subscriptions], false), (&publish, false)]
            {
                let answer = ask(&proxy, origin, arguments);
                let shown = format!("{kind:?} {origin} {arguments:?}: {}\n{}", answer.headers, answer.body);
                if is_stream {
                    assert_eq!(answer.status, 200, "{shown}");
                    assert_eq!(answer.header("content-type"), Some("text/event-stream"), "{shown}");
                    assert_eq!(answer.header("cache-control"), Some("no-store"), "{shown}");
                    assert!(answer.body.starts_with("retry: ") && answer.body.ends_with("\n\n"), "{shown}");
                } else {
                    assert!((502..=504).contains(&answer.status), "{shown}");
                    assert!(
                        answer.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")),
                        "{shown}"
                    );
                    assert_eq!(answer.header("retry-after"), Some("2"), "{shown}");
                    assert!(answer.body.contains("not available"), "{shown}");
                }
                let allowed = answer.header("access-control-allow-origin");
                assert_eq!(allowed, is_allowed.then_some(origin), "{shown}");
                let credentials = answer.header("access-control-allow-credentials");
                assert_eq!(credentials, is_allowed.then_some("true"), "{shown}");
                assert_eq!(
                    answer.header("vary").map(str::to_ascii_lowercase).as_deref(),
                    Some("origin"),
                    "{shown}"
                );
            }
        }
    }
}

#[test]
fn each_client_gets_another_reconnection_time() {
    for kind in ALL {
        let proxy = Proxy::start(kind, &free_addr());
        let stream = topic(&proxy.url(), NEWS);
        let retries: HashSet<u64> = (0..8)
            .map(|_| {
                let body = ask(&proxy, ALLOWED, &[&stream]).body;
                let retry = body.trim_end().strip_prefix("retry: ").and_then(|retry| retry.parse().ok());
                let retry = retry.filter(|retry| (1_000..4_000).contains(retry));
                retry.unwrap_or_else(|| panic!("{kind:?}: {body:?}"))
            })
            .collect();
        // Eight of 3,000 values practically always differ.
        assert!(retries.len() > 2, "{kind:?}: {retries:?}");
    }
}

#[test]
fn an_answer_of_the_hub_stays_as_it_is() {
    // Longer than an argument may be.
    let folder = folder("substitute");
    let large = folder.join("large");
    std::fs::write(&large, format!("topic=x&data={}", "x".repeat(1_100_000))).expect("a file can be written");
    let large = format!("@{}", large.display());
    let bearer = format!("authorization: Bearer {}", publisher_token());
    for kind in ALL {
        let hub = Hub::start(&["--cors-origins", ALLOWED]);
        let proxy = Proxy::start(kind, &hub.addr.to_string());
        for (arguments, status, says) in [
            (vec![proxy.url()], 400, "missing-topic"),
            (vec![format!("{}/subscriptions", proxy.url())], 404, "--subscriptions"),
            (vec!["--data".to_owned(), "topic=x".to_owned(), proxy.url()], 401, "missing-token"),
            // Larger than the hub accepts.
            (vec![format!("{}?topic={}", proxy.url(), "x".repeat(17_000))], 431, "head-too-large"),
            (
                vec!["--header".to_owned(), bearer.clone(), "--data".to_owned(), large.clone(), proxy.url()],
                413,
                "too-large",
            ),
        ] {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let answer = ask(&proxy, ALLOWED, &arguments);
            let shown = format!("{kind:?} {says}: {}\n{}", answer.headers, answer.body);
            assert_eq!(answer.status, status, "{shown}");
            assert!(answer.body.contains(says), "{shown}");
            // A browser refuses a repeated header.
            assert_eq!(answer.headers.matches("access-control-allow-origin: ").count(), 1, "{shown}");
            assert_eq!(answer.header("access-control-allow-origin"), Some(ALLOWED), "{shown}");
        }
    }
    std::fs::remove_dir_all(folder).expect("the folder can be removed");
}
