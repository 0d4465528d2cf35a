//! `ssekit serve --check`, and the reports of `serve` before it serves.

use std::net::TcpListener;
use std::process::Output;

use serde_json::Value;

use crate::config::Folder;
use crate::program::{Program, run, ssekit};

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Checks a hub in memory on a free port, with these flags.
fn check(flags: &[&str]) -> Output {
    let usual = ["serve", "--check", "--store", "memory", "--addr", "127.0.0.1:0"];
    run(ssekit().args(usual).args(flags).env("SSEKIT_KEY", KEY))
}

/// Asserts that the check fails with these words.
fn fails(flags: &[&str], words: &str) {
    let output = check(flags);
    let shown = format!("{flags:?}: {output:?}");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()), "{shown}");
    assert!(text(&output.stderr).contains(words), "{words:?} is not in {shown}");
}

#[test]
fn a_valid_configuration_is_reported_as_such() {
    let output = check(&["--anonymous"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(text(&output.stdout), "the configuration is valid\n");
    assert_eq!(text(&output.stderr), "");
    // The printed configuration can still be read.
    let output = check(&["--anonymous", "--print"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let printed = text(&output.stdout);
    assert!(printed.ends_with("\n# the configuration is valid\n"), "{printed}");
}

#[test]
fn a_hub_without_access_for_anyone_is_invalid() {
    let unusable = |flags: &[&str]| {
        let usual = ["serve", "--check", "--store", "memory", "--addr", "127.0.0.1:0"];
        let output = run(ssekit().args(usual).args(flags));
        (output.status.code(), text(&output.stderr).lines().map(str::to_owned).collect::<Vec<_>>())
    };
    let (publish, subscribe) = ("ssekit: nobody can publish: ", "ssekit: nobody can subscribe: ");
    for (flags, expected) in [
        (vec![], vec![publish, subscribe]),
        (vec!["--anonymous"], vec![publish]),
        (vec!["--publisher-key", KEY], vec![subscribe]),
        (vec!["--subscriber-key", KEY], vec![publish]),
    ] {
        let (code, lines) = unusable(&flags);
        let lines: Vec<&String> = lines.iter().filter(|line| line.contains("nobody can")).collect();
        assert_eq!(code, Some(1), "{flags:?}");
        assert_eq!(lines.len(), expected.len(), "{flags:?}: {lines:?}");
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.starts_with(expected), "{flags:?}: {line}");
        }
    }
    for flags in [vec!["--dev"], vec!["--demo"], vec!["--publisher-key", KEY, "--anonymous"]] {
        assert_eq!(unusable(&flags).0, Some(0), "{flags:?}");
    }
}

#[test]
fn the_folder_of_the_store_must_be_writable() {
    let folder = Folder::new("check-store");
    let file = folder.file("file", "no folder");
    let (missing, in_file) = (folder.path("new/store"), format!("{file}/store"));
    fails(&["--anonymous", "--store", &file], &format!("--store: {file} is not a folder"));
    fails(&["--anonymous", "--store", &in_file], &format!("--store: {file} is not a folder"));
    // Nobody, root included, can create files there.
    fails(&["--anonymous", "--store", "/proc/1"], "--store: cannot write to the folder /proc/1: ");
    fails(&["--anonymous", "--store", "/proc/new"], "--store: cannot create the folder /proc/new in /proc: ");
    let output = check(&["--anonymous", "--store", &missing]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(!std::path::Path::new(&missing).exists(), "a check creates nothing");
    assert_eq!(
        std::fs::read_dir(folder.path("")).expect("it is there").count(),
        1,
        "nor does it leave anything"
    );
}

#[test]
fn the_address_must_be_free_unless_a_hub_has_it() {
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = other.local_addr().expect("an address").to_string();
    // It accepts connections and sends nothing, like a program of another protocol.
    fails(
        &["--anonymous", "--addr", &addr],
        &format!("--addr: {addr} is in use: another program listens there"),
    );

    let hub = Program::start(
        ssekit()
            .args(["serve", "--store", "memory", "--addr", "127.0.0.1:0", "--anonymous"])
            .env("SSEKIT_KEY", KEY),
    );
    let line = hub.stdout.find("the hub");
    let addr = line.split("http://").nth(1).and_then(|url| url.split('/').next()).expect("an address");
    let output = check(&["--anonymous", "--addr", addr]);
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(0), "the configuration is valid\n".to_owned())
    );
    assert_eq!(
        text(&output.stderr),
        format!("ssekit: a hub already listens on {addr}: stop it before you start another one\n")
    );
    fails(&["--anonymous", "--addr", "192.0.2.1:3000"], "cannot listen on 192.0.2.1:3000: ");
}

#[cfg(unix)]
#[test]
fn the_unix_socket_must_be_free() {
    let folder = Folder::new("check-unix");
    let (file, socket) = (folder.file("file", "no socket"), folder.path("socket"));
    fails(&["--anonymous", "--unix", &file], &format!("--unix: {file} exists and is not a socket"));
    fails(&["--anonymous", "--unix", &format!("{file}/socket")], &format!("--unix: {file} is not a folder"));
    assert_eq!(check(&["--anonymous", "--unix", &socket]).status.code(), Some(0));
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("it is free");
    let output = check(&["--anonymous", "--unix", &socket]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stderr).contains(&format!("a program already listens on {socket}")), "{output:?}");
}

/// Such a file used to be removed, because connections to it are refused, like those to the socket of a
/// killed program.
#[cfg(unix)]
#[test]
fn a_file_at_the_path_of_the_unix_socket_is_not_removed() {
    let folder = Folder::new("unix-file");
    let file = folder.file("file", "precious");
    let serve = ["serve", "--dev", "--store", "memory", "--addr", "127.0.0.1:0", "--unix", &*file];
    let output = run(ssekit().args(serve));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains(&format!("cannot listen on {file}: ")), "{output:?}");
    assert_eq!(std::fs::read_to_string(&file).expect("it is there"), "precious");
}

#[test]
fn everything_that_is_wrong_is_reported_at_once() {
    let folder = Folder::new("check-all");
    let file = folder.file("file", "no folder");
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = other.local_addr().expect("an address").to_string();
    let flags = ["serve", "--check", "--store", &file, "--addr", &addr, "--key-file", "/nowhere"];
    let said = text(&run(ssekit().args(flags)).stderr);
    for flag in ["--key-file: ", "--store: ", "--addr: "] {
        assert_eq!(said.matches(&format!("ssekit: {flag}")).count(), 1, "{flag}\n{said}");
    }
}

/// The store and the address are checked last: a missing key file is reported first.
#[test]
fn serve_reports_mistakes_of_the_configuration_before_the_state_of_the_machine() {
    let folder = Folder::new("key-first");
    let file = folder.file("file", "no folder, no certificate");
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = other.local_addr().expect("an address").to_string();
    let serve = ["serve", "--anonymous", "--store", &*file, "--addr", &*addr];
    let reported = |flags: &[&str]| {
        let output = run(ssekit().args(serve).args(flags));
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()), "{flags:?}");
        text(&output.stderr)
    };
    assert_eq!(
        reported(&["--key-file", "/nowhere", "--tls-cert", &file, "--tls-key", &file]),
        "ssekit: --key-file: cannot read the key file /nowhere: No such file or directory (os error 2)\n"
    );
    assert_eq!(
        reported(&["--key", KEY, "--retention", "topic=a last=1; topic=a age=1d"]).lines().last(),
        Some("ssekit: --retention: two retention rules are named \"a\": give each rule its own name")
    );
    let certificate = reported(&["--key", KEY, "--tls-cert", &file, "--tls-key", &file]);
    assert!(certificate.contains("contains no certificate in PEM format"), "{certificate}");
    let address = reported(&["--key", KEY]);
    assert!(address.contains(&format!("{addr} is in use")), "{address}");
}

/// Every line of a program's output, as JSON.
fn json_lines(output: &Output) -> Vec<Value> {
    let lines = text(&output.stdout) + &text(&output.stderr);
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
    lines.lines().map(parse).collect()
}

#[test]
fn with_json_logs_every_line_is_json() {
    let folder = Folder::new("json");
    let file = folder.file("ssekit.toml", "log.format = \"json\"\nheartbeet = \"1s\"\n");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("an address").to_string();
    // Each ends at once, with an error.
    for (flags, words) in [
        (
            vec!["--log-format", "json", "--key-file", "/nowhere"],
            "--key-file: cannot read the key file /nowhere",
        ),
        (vec!["--log-format", "json", "--heartbeat", "1"], "--heartbeat: \"1\" is not a time"),
        (
            vec!["--log-format", "json", "--log-level", "off", "--heartbeat", "1"],
            "--heartbeat: \"1\" is not a time",
        ),
        (vec!["--config", &*file], "unknown setting `heartbeet`"),
        (vec!["--log-format", "json", "--check"], "nobody can publish"),
        (vec!["--log-format", "json", "--dev", "--addr", &*taken], "is in use"),
    ] {
        let usual = ["serve", "--store", "memory", "--addr", "127.0.0.1:0"];
        let output = run(ssekit().args(usual).args(&flags));
        assert_eq!(output.status.code(), Some(1), "{flags:?}: {output:?}");
        let lines = json_lines(&output);
        let found = |line: &Value| {
            line["level"] == "ERROR"
                && line["message"].as_str().is_some_and(|message| message.contains(words))
        };
        assert!(lines.iter().any(found), "{words:?} is not in {lines:#?}");
    }

    let flags =
        ["serve", "--dev", "--demo", "--store", "memory", "--addr", "127.0.0.1:0", "--log-format", "json"];
    let mut hub = Program::start(ssekit().args(flags));
    let line = hub.stderr.find("listening");
    let line: Value = serde_json::from_str(&line).expect("it is JSON");
    let url = line["url"].as_str().expect("it has a URL").to_owned();
    assert!(url.starts_with("http://127.0.0.1:") && url.ends_with("/.well-known/mercure"), "{line}");
    let addr = url.split('/').nth(2).and_then(|addr| addr.parse().ok()).expect("an address");
    assert_eq!(crate::http::get(addr, "/").status, 200);
    hub.signal("TERM");
    let status = hub.wait();
    let output = Output { status, stdout: hub.stdout.rest().into(), stderr: hub.stderr.rest().into() };
    json_lines(&output);
}

/// Lines of `--help` that users did not understand, in standard terms.
#[test]
fn the_help_is_in_plain_english() {
    let help = |arguments: &[&str]| text(&run(ssekit().args(arguments)).stdout);
    for (arguments, lines) in [
        (vec!["--help"], vec!["Server-sent events hub and tools"]),
        (
            vec!["serve", "--help"],
            vec![
                "Listeners:",
                "Features:",
                "Access control:",
                "Delivery:",
                "Process:",
                "Check the configuration and exit (0 valid, 1 invalid)",
                "turns on --ui, --metrics, --subscriptions,",
                "Serve an admin page at /hub/",
                "When to answer publishers: at once (memory), after the OS has the data (periodic), after \
                 it is on disk (sync)",
                "What to keep per topic [default: everything]; the first matching rule applies",
                "Accept only these JWT algorithms",
                "Origins allowed to subscribe (CORS)",
                "Allow anonymous subscriptions to public updates",
                "Timeout for unacknowledged TCP data",
                "Reconnection delay sent to disconnected clients, chosen at random from this range",
                "Send buffer per subscriber",
                "Memory for the send buffers and replays of all subscribers together",
            ],
        ),
        (
            vec!["publish", "--help"],
            vec!["If its response is lost and the hub remembers keys, the request is sent again"],
        ),
        (vec!["token", "make", "--help"], vec!["Payload shown in subscription events and the API"]),
        (vec!["bench", "fanout", "--help"], vec!["Do not slow down for slow subscribers"]),
    ] {
        let help = help(&arguments);
        for line in lines {
            assert!(help.contains(line), "{line:?} is not in\n{help}");
        }
    }
}
