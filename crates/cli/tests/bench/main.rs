//! `ssekit bench`, as the built program, against correct and faulty servers.

mod server;

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Command, Output};

use serde_json::Value;

use crate::server::{Fault, Server};

/// Runs the program against a plain server.
fn bench(server: &Server, arguments: &str) -> Output {
    let mut words = arguments.split(' ');
    let mut command = Command::new(env!("CARGO_BIN_EXE_ssekit"));
    command.env_remove("SSEKIT_TOKEN").env_remove("SSEKIT_PUBLISHER_KEY");
    command.arg("bench").args(words.next()).arg(server.addr.to_string()).args(["--preset", "plain"]);
    // In an argument, an underscore stands for the space of a request line.
    command.args(words.map(|word| word.replace("GET_", "GET ").replace("POST_", "POST ")));
    command.output().expect("the program starts")
}

/// Runs the program with a JSON report; returns the exit code, too.
fn report(server: &Server, arguments: &str) -> (Option<i32>, Value) {
    let output = bench(server, &format!("{arguments} --json"));
    let report = serde_json::from_slice(&output.stdout);
    let report =
        report.unwrap_or_else(|_| panic!("{arguments}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), report)
}

#[test]
fn a_run_without_lost_repeated_or_unordered_events_is_faultless() {
    let server = Server::right();
    for arguments in [
        "--rate 500",
        "--window 1",
        "--window 8 --threads 3",
        "--unwaiting",
        "--window 4 --publishers 4",
        "--unwaiting --size 5000 --at-once 50",
    ] {
        let arguments = format!("fanout --subscribers 50 --events 100 --warm-up 8 {arguments}");
        let (code, report) = report(&server, &arguments);
        assert_eq!(code, Some(0), "{arguments}: {report}");
        assert_eq!((&report["delivered"], &report["missing"]), (&5000.into(), &0.into()), "{arguments}");
        assert_eq!((&report["repeated"], &report["faults"]), (&0.into(), &Value::Array(Vec::new())));
        let ms = |member| report["latency"][member].as_f64().expect("a latency");
        assert!(0.0 < ms("p50") && ms("p50") <= ms("p99") && ms("p99") <= ms("max"), "{report}");
        let shares = report["latency"]["histogram"].as_array().expect("bars").iter();
        let shares: f64 = shares.map(|bar| bar["share"].as_f64().expect("a share")).sum();
        assert!((shares - 1.0).abs() < 0.001, "{report}");
    }
}

#[test]
fn a_rate_is_kept() {
    let server = Server::right();
    let (code, report) = report(&server, "fanout --subscribers 5 --events 40 --rate 100 --warm-up 0");
    assert_eq!(code, Some(0), "{report}");
    // The last of 40 events is due after 390 ms; a busy machine takes longer.
    let seconds = report["seconds"].as_f64().expect("a time");
    assert!((0.39..10.0).contains(&seconds), "{report}");
}

#[test]
fn faults_of_a_server_are_counted() {
    // The fault; the numbers of missing, and of repeated or late events among 500; the number of ended
    // streams.
    for (fault, missing, repeated, closed) in
        [(Fault::Lose, 1, 0, 0), (Fault::Repeat, 0, 1, 0), (Fault::Swap, 1, 1, 0), (Fault::End, 15, 0, 1)]
    {
        for pace in ["--rate 500", "--window 4", "--unwaiting"] {
            let server = Server::wrong(fault);
            let arguments = format!("fanout --subscribers 25 --events 20 --warm-up 0 {pace}");
            let (code, report) = report(&server, &arguments);
            assert_eq!(code, Some(3), "{fault:?} {pace}: {report}");
            let count = |member| report[member].as_i64().expect("a count");
            assert_eq!(
                (count("missing"), count("repeated"), count("closed")),
                (missing, repeated, closed),
                "{fault:?} {pace}: {report}"
            );
            let faults = report["faults"].to_string();
            assert!(faults.contains("first: subscriber "), "{fault:?} {pace}: {faults}");
        }
    }
}

#[test]
fn a_lost_or_repeated_last_event_is_counted() {
    for (fault, missing, repeated) in [(Fault::Lose, 1, 0), (Fault::Repeat, 0, 1)] {
        let server = Server::wrong(fault);
        let (code, report) = report(&server, "fanout --subscribers 3 --events 6 --warm-up 0");
        assert_eq!(code, Some(3), "{fault:?}: {report}");
        assert_eq!(
            (&report["missing"], &report["repeated"]),
            (&missing.into(), &repeated.into()),
            "{fault:?}"
        );
    }
}

#[test]
fn the_text_names_faults_in_capitals() {
    let output = bench(&Server::wrong(Fault::Lose), "fanout --subscribers 3 --events 20 --warm-up 0");
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("FAULT: 1 of 60 deliveries are missing\n"), "{text}");
    assert!(text.contains("p50 ") && text.contains("█"), "{text}");
    assert!(output.stderr.is_empty(), "no progress without a terminal");
}

#[test]
fn a_measurement_that_cannot_be_made_is_an_error() {
    let server = Server::right();
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let nobody = format!("fanout --warm-up 0 --body {{data}} --topic x {}", nobody.expect("a port"));
    for (arguments, code, said) in [
        (
            "fanout --subscribe GET_/closed",
            1,
            "the response is not an event stream: 503 text/plain come back later",
        ),
        (
            "idle --subscribe GET_/page --pid 1",
            1,
            "the response is not an event stream: 200 text/html <p>no stream</p>",
        ),
        ("connects --subscribers 3 --subscribe GET_/page", 3, ""),
        ("fanout --publish POST_/forbidden", 1, "a publication was refused with 403: not you"),
        ("publish --publish POST_/forbidden", 1, "a publication was refused with 403: not you"),
        ("publish --publish POST_/nowhere", 1, "a publication was refused with 404"),
        ("idle --subscribers 3", 1, "--pid is required"),
        ("idle --subscribers 3 --pid 4194304", 1, "check that --pid 4194304 is the server"),
        ("fanout --key-file /nowhere/key", 1, "cannot read the key file /nowhere/key"),
        ("connects --key short", 1, "secret"),
        ("fanout --events 0", 2, "--events"),
        ("publish --token x --key y", 2, "cannot be used with"),
        ("replay --key x --key-file y", 2, "cannot be used with"),
        ("fanout --rate 0", 2, "--rate"),
        (&nobody, 2, "unexpected argument"),
    ] {
        let output = bench(&server, arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments}: {text}");
        assert!(text.contains(said), "{arguments}: {text}");
    }
}

#[test]
fn a_key_signs_the_token_of_each_request() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("an address").to_string();
    let request = std::thread::spawn(move || {
        let (socket, _) = listener.accept().expect("a subscriber connects");
        let lines = BufReader::new(socket).lines().map_while(Result::ok);
        lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>()
    });
    let key = "0123456789abcdef0123456789abcdef";
    let mut command = Command::new(env!("CARGO_BIN_EXE_ssekit"));
    command.env_remove("SSEKIT_TOKEN").args(["bench", "connects", "--subscribers", "1", "--key", key, &addr]);
    let output = command.output().expect("the program starts");
    assert_eq!(output.status.code(), Some(3), "the connection is closed without a response: {output:?}");
    let request = request.join().expect("the request is read");
    let token = request.iter().find_map(|line| line.strip_prefix("authorization: Bearer "));
    assert_eq!(token.map(|token| token.split('.').count()), Some(3), "{request:?}");
}

#[test]
fn a_refused_connection_is_an_error_that_names_the_address() {
    let addr = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let addr = addr.expect("a port").to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ssekit"));
    let output = command.args(["bench", "fanout", "--yes", &addr]).output().expect("the program starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("refused") && text.contains("subscriber"), "{text}");
}

/// Nothing listens at the address, so an attempt to connect is another error.
#[test]
fn nothing_is_published_into_the_history_of_a_hub_without_consent() {
    let bench = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ssekit"));
        let output = command.arg("bench").args(arguments).arg("127.0.0.1:1").output();
        let output = output.expect("the program starts");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for arguments in [&["fanout"][..], &["publish"], &["replay"]] {
        let refused = bench(arguments);
        for part in ["history", "\"bench\"", "--yes", "ssekit serve --dev --store memory"] {
            assert!(refused.contains(part), "{arguments:?}: {part} is not in {refused}");
        }
        let agreed = bench(&[arguments, &["--yes"]].concat());
        assert!(!agreed.contains("--yes") && agreed.contains("refused"), "{arguments:?}: {agreed}");
    }
    for arguments in [&["replay", "--no-fill"][..], &["connects"], &["publish", "--preset", "plain"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_ssekit"))
            .arg("bench")
            .args(arguments)
            .arg("127.0.0.1:1")
            .output();
        let output = output.expect("the program starts");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("--yes"), "{arguments:?}: {output:?}");
    }
}

#[test]
fn the_memory_of_idle_subscribers_is_measured() {
    let server = Server::right();
    let own = std::process::id();
    let (code, report) = report(&server, &format!("idle --subscribers 500 --seconds 1 --pid {own}"));
    assert_eq!(code, Some(0), "{report}");
    // A connection of hyper takes kilobytes, and any server less than a megabyte.
    let bytes = report["resident_per_subscriber"].as_f64().expect("a size");
    assert!((1000.0..1e6).contains(&bytes), "{report}");
}

#[test]
fn subscribers_that_connect_at_once_are_counted() {
    let server = Server::right();
    let (code, report) = report(&server, "connects --subscribers 300 --threads 2");
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["opened"], 300);
    assert!(report["per_second"].as_f64() > Some(1.0), "{report}");
}

#[test]
fn publications_are_counted_and_seen_by_subscribers() {
    let server = Server::right();
    for (arguments, events, requests) in [
        ("--events 200 --subscribers 3", 200, 200),
        ("--events 200 --pipeline 16 --subscribers 2", 200, 200),
        ("--events 200 --connections 4 --pipeline 8 --subscribers 2", 200, 200),
        ("--events 190 --batch 20 --publish POST_/lines --subscribers 2", 200, 10),
        ("--events 100 --connections 3 --batch 10 --pipeline 3 --publish POST_/lines", 120, 12),
    ] {
        let (code, report) = report(&server, &format!("publish {arguments}"));
        assert_eq!(code, Some(0), "{arguments}: {report}");
        assert_eq!(
            (&report["events"], &report["requests"]),
            (&events.into(), &requests.into()),
            "{arguments}"
        );
        let seen = report["delivered"]["missing"].as_u64();
        assert_eq!(seen, arguments.contains("--subscribers").then_some(0), "{arguments}: {report}");
        assert!(report["latency"]["p50"].as_f64() > Some(0.0), "{report}");
    }
}

#[test]
fn late_subscribers_get_the_kept_events() {
    let server = Server::right();
    let all = "--subscribe GET_/all --after= --subscribers 3";
    let lines = "--publish POST_/lines --batch 100";
    let (code, first) = report(&server, &format!("replay --events 2000 {lines} {all}"));
    assert_eq!((code, &first["delivered"]), (Some(0), &6000.into()), "{first}");
    // Only the existing events of the first run.
    let (code, again) = report(&server, &format!("replay --events 2000 --no-fill {all}"));
    assert_eq!((code, &again["delivered"]), (Some(0), &6000.into()), "{again}");
    // A request for more events than there are is reported.
    let (code, short) = report(&server, &format!("replay --events 2001 --no-fill {all}"));
    assert_eq!((code, &short["missing"]), (Some(3), &3.into()), "{short}");
}
