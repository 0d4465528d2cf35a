//! `ssekit publish` when an answer is lost: it publishes again, with the same idempotency key.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use crate::program::{Program, run, ssekit};
use crate::publish::{HUB, body, fed, header, hub, publish, published, text};
use crate::scripted::{Scripted, answer};

const KEY: &str = "idempotency-key";

/// Answer to `OPTIONS` of a hub that remembers keys.
fn remembers() -> String {
    answer("204 No Content", "ssekit-idempotency-key-lifetime: 86400\r\n", "")
}

/// Connection that ends without an answer.
fn lost() -> String {
    String::new()
}

#[test]
fn a_publication_whose_answer_is_lost_is_sent_again_with_its_key() {
    for passing in
        [vec![], vec![lost()], vec![answer("503 Service Unavailable", "retry-after: 1\r\n", ""), lost()]]
    {
        let attempts = 2 + passing.len();
        let script = [lost(), remembers()].into_iter().chain(passing).chain([published("1")]);
        let server = Scripted::new(script);
        let output = run(&mut publish(&server, &["-t", "a", "data"]));
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "1\n".to_owned()), "{output:?}");
        let again = "ssekit: the response was lost: publishing again with the same Idempotency-Key\n";
        assert_eq!(text(&output.stderr), again);
        let first = server.request();
        let key = header(&first, KEY).expect("a key");
        assert!(key.len() == 34 && key.starts_with('"') && key.ends_with('"'), "{key}");
        assert!(server.request().starts_with(&format!("OPTIONS {HUB} ")));
        for _ in 1..attempts {
            assert_eq!(server.request(), first);
        }
    }
}

#[test]
fn every_publication_and_every_batch_has_a_key_of_its_own() {
    let mut keys = HashSet::new();
    for flags in [&["--lines"][..], &["--lines", "--no-batch"]] {
        let script = [published("1"), lost(), remembers(), published("2"), published("3")];
        let server = Scripted::new(script);
        let mut command = publish(&server, &["-t", "a"]);
        // The first line is longer than a batch, so that there are two batches.
        let input = format!("{}\nsecond\n", "x".repeat(300 << 10));
        let output = fed(command.args(flags), input.as_bytes());
        assert_eq!(
            (output.status.code(), text(&output.stdout)),
            (Some(0), "1\n2\n".to_owned()),
            "{output:?}"
        );
        let [first, second, options, again] = [(); 4].map(|()| server.request());
        assert!(options.starts_with("OPTIONS "), "{options}");
        assert_eq!(second, again);
        assert!(body(&again).contains("second"));
        keys.extend([&first, &second].map(|request| header(request, KEY).expect("a key").to_owned()));
    }
    assert_eq!(keys.len(), 4);
}

/// Another hub might publish it twice.
#[test]
fn a_hub_that_does_not_remember_keys_gets_a_publication_once() {
    for other in [
        answer("204 No Content", "", ""),
        answer("405 Method Not Allowed", "", ""),
        answer("404 Not Found", "", ""),
    ] {
        let server = Scripted::new([lost(), other, published("1")]);
        let output = run(&mut publish(&server, &["-t", "a", "data"]));
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(7), String::new()), "{output:?}");
        let expected = format!("ssekit: cannot publish to {}: ", server.url(HUB));
        assert!(text(&output.stderr).starts_with(&expected), "{output:?}");
    }
}

#[test]
fn a_hub_that_stays_down_is_given_up_after_the_timeout() {
    for script in [vec![lost()], vec![lost(), remembers()]] {
        let server = Scripted::new(script);
        let output = run(publish(&server, &["-t", "a", "data"]).args(["--timeout", "1s"]));
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(7), String::new()), "{output:?}");
        assert!(text(&output.stderr).contains("cannot publish to"), "{output:?}");
    }
}

/// A final answer to the second attempt is the result.
#[test]
fn a_refusal_of_the_repetition_is_reported() {
    let server = Scripted::new([lost(), remembers(), answer("403 Forbidden", "", "no")]);
    let output = run(&mut publish(&server, &["-t", "a", "data"]));
    assert_eq!(output.status.code(), Some(22));
    assert!(
        text(&output.stderr).ends_with("ssekit: the hub refused the publication with 403 Forbidden: no\n"),
        "{output:?}"
    );
}

/// Passes connections on to a hub, and drops the first answer.
fn losing_the_first_answer(hub: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let mut client = client.expect("a client");
            let mut hub = TcpStream::connect(&hub).expect("the hub accepts");
            let (mut from, mut to) =
                (client.try_clone().expect("a socket"), hub.try_clone().expect("a socket"));
            thread::spawn(move || std::io::copy(&mut from, &mut to));
            if number == 0 {
                assert!(hub.read(&mut [0; 1024]).expect("the hub answers") > 0);
                // The other thread holds the sockets too.
                _ = client.shutdown(Shutdown::Both);
                _ = hub.shutdown(Shutdown::Both);
            } else {
                thread::spawn(move || {
                    _ = std::io::copy(&mut hub, &mut client);
                    _ = client.flush();
                });
            }
        }
    });
    addr
}

#[test]
fn through_a_proxy_that_loses_an_answer_each_line_is_published_once() {
    let (_hub, url) = hub(&["--dev"]);
    let at = url.strip_prefix("http://").and_then(|rest| rest.split('/').next()).expect("an address");
    let proxy = losing_the_first_answer(at.to_owned());
    let output = fed(ssekit().args(["publish", &proxy, "-t", "a", "--lines"]), b"one\ntwo\n");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stderr).contains("publishing again"), "{output:?}");
    let end = run(ssekit().args(["publish", &url, "-t", "a", "end"]));
    let printed = text(&output.stdout) + &text(&end.stdout);
    let from = format!("{url}?topic=a&lastEventID=earliest");
    let listening = Program::start(ssekit().args(["listen", &from, "-q", "-n", "3", "-o", "json"]));
    let heard = [(); 3].map(|()| -> serde_json::Value {
        serde_json::from_str(&listening.stdout.next().expect("an event comes")).expect("it is JSON")
    });
    assert_eq!(heard.each_ref().map(|event| event["data"].as_str().unwrap()), ["one", "two", "end"]);
    let ids = heard.each_ref().map(|event| event["id"].as_str().unwrap());
    assert_eq!(printed.lines().collect::<Vec<_>>(), ids);
}
