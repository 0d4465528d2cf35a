//! `ssekit listen`.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use crate::http::send_message;
use crate::program::{Program, curl, run, serve, serve_by, ssekit};
use crate::scripted::{OPEN, STREAM, Scripted, answer};

/// Three events that have everything that an output form can show.
const EVENTS: &str =
    "id: 1\nevent: first\ndata: a\ndata: b\n\ndata: plain\n\nid: 3\nevent: last\ndata: {\"x\":1}\n\n";

#[test]
fn text_shows_the_lines_of_each_event() {
    let server = Scripted::new([stream(EVENTS)]);
    let output = run(listen(&server).arg("--no-reconnect"));
    let lines = "id: 1\nevent: first\ndata: a\ndata: b\n\nevent: message\ndata: plain\n\nid: 3\nevent: last\n\
                 data: {\"x\":1}\n\n";
    assert_eq!(text(&output), (Some(0), lines.to_owned(), connected(&server)));
}

#[test]
fn json_is_one_object_a_line() {
    let server = Scripted::new([stream(EVENTS)]);
    let output = run(listen(&server).args(["--no-reconnect", "--output", "json", "--quiet"]));
    let lines = "{\"event\":\"first\",\"data\":\"a\\nb\",\"id\":\"1\"}\n\
                 {\"event\":\"message\",\"data\":\"plain\",\"id\":\"1\"}\n\
                 {\"event\":\"last\",\"data\":\"{\\\"x\\\":1}\",\"id\":\"3\"}\n";
    assert_eq!(text(&output), (Some(0), lines.to_owned(), String::new()));
}

#[test]
fn raw_is_the_data_alone() {
    let server = Scripted::new([stream(EVENTS)]);
    let output = run(listen(&server).args(["--no-reconnect", "-o", "raw", "-q"]));
    assert_eq!(text(&output), (Some(0), "a\nb\nplain\n{\"x\":1}\n".to_owned(), String::new()));
}

#[test]
fn events_are_filtered_by_name_and_counted_after_that() {
    let server = Scripted::new([stream(&EVENTS.repeat(2))]);
    let output = run(listen(&server).args(["-e", "last", "-e", "first", "-n", "3", "-o", "json", "-q"]));
    let (code, lines, _) = text(&output);
    let names: Vec<&str> = lines.lines().filter_map(|line| line.split('"').nth(3)).collect();
    assert_eq!((code, names.as_slice()), (Some(0), ["first", "last", "first"].as_slice()));
}

#[test]
fn control_characters_are_escaped_on_both_streams() {
    let evil = "\u{1b}[2J\u{9b}31m";
    let server = Scripted::new([stream(&format!("event: {evil}\ndata: {evil}\n\n"))]);
    let output = run(listen(&server).args(["--no-reconnect", "-q"]));
    let safe = "\\u{1b}[2J\\u{9b}31m";
    assert_eq!(text(&output), (Some(0), format!("event: {safe}\ndata: {safe}\n\n"), String::new()));

    let server = Scripted::new([answer("404 Not Found", "", evil)]);
    let (code, _, errors) = text(&run(&mut listen(&server)));
    assert_eq!((code, errors), (Some(22), format!("ssekit: the server answered 404 Not Found: {safe}\n")));
}

#[test]
fn logs_of_libraries_are_escaped_too() {
    let evil = "\u{202e}\u{1b}[2J\u{9b}31m\u{2028}\u{61c}";
    let server = Scripted::new([answer("404 Not Found", &format!("x-evil: {}\r\n", "\u{202e}"), evil)]);
    let (_, _, errors) = text(&run(listen(&server).arg("-vv")));
    assert!(errors.contains("event stream") && errors.contains("404"), "{errors}");
    for character in evil.chars().filter(|character| !character.is_ascii_graphic()) {
        assert!(!errors.contains(character), "{character:?} in {errors:?}");
    }
}

#[test]
fn no_secret_of_the_url_is_shown() {
    let server =
        Scripted::new([stream("data: x\n\n"), answer("500 Oh", "", ""), answer("302 Found", "", "")]);
    for _ in 0..3 {
        let url = format!("http://user:SECRET@{}/events?authorization=SECRET", server.addr);
        let (_, _, errors) = text(&run(ssekit().args(["listen", &url, "-v", "--no-reconnect"])));
        assert!(!errors.contains("SECRET"), "{errors}");
    }
}

#[test]
fn an_event_without_its_blank_line_is_reported_or_printed() {
    let server = Scripted::new([stream("data: last\n"), stream("data: last\n")]);
    let (code, lines, errors) = text(&run(listen(&server).args(["--no-reconnect", "-o", "raw", "-q"])));
    let why =
        "ssekit: the stream ended inside an event, which was dropped: the blank line at its end is missing\n";
    assert_eq!((code, lines.as_str(), errors.as_str()), (Some(0), "", why));
    let output = run(listen(&server).args(["--no-reconnect", "-o", "raw", "-q", "--incomplete"]));
    assert_eq!(text(&output), (Some(0), "last\n".to_owned(), String::new()));
}

#[test]
fn without_a_terminal_there_are_no_colors() {
    let server = Scripted::new([stream(EVENTS)]);
    let output = run(listen(&server).args(["--no-reconnect", "-vv"]).env("CLICOLOR_FORCE", "1"));
    assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b), "{output:?}");
}

#[test]
fn colors_are_for_terminals_without_no_color() {
    // `script` gives a program a terminal.
    let on_a_terminal = |server: &Scripted, no_color: &str| {
        let command =
            format!("{} listen {} --no-reconnect -q", env!("CARGO_BIN_EXE_ssekit"), server.url("/"));
        let output = run(Command::new("script")
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .env("NO_COLOR", no_color)
            .stdin(Stdio::null()));
        assert_eq!(output.status.code(), Some(0), "{output:?}: script comes with util-linux (bsdutils)");
        String::from_utf8(output.stdout).expect("text")
    };
    let server = Scripted::new([stream(EVENTS), stream(EVENTS)]);
    let colored = on_a_terminal(&server, "");
    assert!(colored.contains("\u{1b}[34mevent:\u{1b}[0m first\r\n"), "{colored:?}");
    let plain = on_a_terminal(&server, "1");
    assert!(plain.contains("event: first\r\n") && !plain.contains('\u{1b}'), "{plain:?}");
}

#[test]
fn the_flags_determine_the_request() {
    let server = Scripted::new([stream(""), stream(""), stream(""), stream(""), stream("")]);
    run(listen(&server).args([
        "--no-reconnect",
        "-H",
        "x-one: 1",
        "-H",
        "accept:text/*",
        "--last-event-id",
        "é-7",
    ]));
    let request = server.request();
    for part in ["GET /events HTTP/1.1\r\n", "x-one: 1\r\n", "accept: text/*\r\n", "last-event-id: é-7\r\n"]
    {
        assert!(request.contains(part), "{part:?} is not in {request:?}");
    }

    run(listen(&server).args(["--no-reconnect", "-d", "a=1&b=2"]));
    let request = server.request();
    assert!(
        request.starts_with("POST /events HTTP/1.1\r\n") && request.ends_with("\r\n\r\na=1&b=2"),
        "{request:?}"
    );
    assert!(request.contains("content-type: application/x-www-form-urlencoded\r\n"), "{request:?}");

    run(listen(&server).args(["--no-reconnect", "--json", "{\"stream\":true}", "-X", "REPORT"]));
    let request = server.request();
    assert!(
        request.starts_with("REPORT /events HTTP/1.1\r\n") && request.ends_with("{\"stream\":true}"),
        "{request:?}"
    );
    assert!(request.contains("content-type: application/json\r\n"), "{request:?}");

    let file = format!("{}/body-of-a-request", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&file, "from a file").expect("the folder is there");
    run(listen(&server).args(["--no-reconnect", "-d", &format!("@{file}")]));
    assert!(server.request().ends_with("\r\n\r\nfrom a file"));

    let mut child = listen(&server)
        .args(["--no-reconnect", "-d", "-", "-H", "content-type: text/plain"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    child.stdin.take().expect("piped").write_all(b"from stdin").expect("the program reads");
    assert!(child.wait().expect("it is our child").success());
    let request = server.request();
    assert!(request.ends_with("\r\n\r\nfrom stdin"), "{request:?}");
    assert!(
        request.contains("content-type: text/plain\r\n") && !request.contains("urlencoded"),
        "{request:?}"
    );
}

#[test]
fn a_hub_gets_topics_a_token_and_a_last_event_id() {
    let server = Scripted::new([stream(""), stream(""), stream(""), stream("")]);
    let hub = server.addr.to_string();
    let topics = ["-t", "https://example.com/a b", "--topic", "news", "--from", "earliest", "--no-reconnect"];
    run(ssekit().args(["listen", &hub]).args(topics).env("SSEKIT_TOKEN", " from.the.environment\n"));
    let request = server.request();
    let line = "GET /.well-known/mercure?topic=https%3A%2F%2Fexample.com%2Fa+b&topic=news HTTP/1.1\r\n";
    for part in [line, "authorization: Bearer from.the.environment\r\n", "last-event-id: earliest\r\n"] {
        assert!(request.contains(part), "{part:?} is not in {request:?}");
    }
    run(ssekit()
        .args(["listen", &format!("{hub}/hub?a=b"), "-t", "news", "--no-reconnect", "--token", "of.the.flag"])
        .env("SSEKIT_TOKEN", "x"));
    let request = server.request();
    assert!(request.starts_with("GET /hub?a=b&topic=news HTTP/1.1\r\n"), "{request:?}");
    assert!(request.contains("authorization: Bearer of.the.flag\r\n"), "{request:?}");
    run(listen(&server).args(["--no-reconnect", "--token", "of.the.flag"]));
    assert!(server.request().contains("authorization: Bearer of.the.flag\r\n"));
    run(listen(&server).arg("--no-reconnect").env("SSEKIT_TOKEN", "secret"));
    let request = server.request();
    assert!(!request.contains("secret"), "not every server is the hub that the token is for: {request:?}");
}

/// Listens over TLS to a server whose certificate this authority has signed.
#[test]
fn a_certificate_that_is_not_trusted_is_final_and_an_authority_can_be_added() {
    let mut authority = rcgen::CertificateParams::new([]).expect("parameters");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().expect("a key");
    let root = authority.self_signed(&authority_key).expect("a certificate").pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = rcgen::CertificateParams::new(["localhost".to_owned()])
        .and_then(|parameters| parameters.signed_by(&key, &issuer))
        .expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("the folder is there");
        path.into_os_string().into_string().expect("text")
    };
    let (root, certificate, key) =
        (write("root", root), write("certificate", certificate.pem()), write("key", key.serialize_pem()));
    let mut hub = ssekit();
    let hub =
        Program::start(hub.args(["--addr", "127.0.0.1:0", "--tls-cert", &certificate, "--tls-key", &key]));
    let page = hub.stdout.find("demo page");
    let port = page.trim_end_matches('/').rsplit(':').next().expect("a port");
    let url = format!("https://localhost:{port}/stats");

    let untrusting = run(ssekit().args(["listen", &url, "--timeout", "8"]));
    let (code, _, errors) = text(&untrusting);
    assert_eq!(code, Some(60), "{errors}");
    assert!(errors.starts_with(&format!("ssekit: the certificate of {url} is not trusted: ")), "{errors}");
    assert_eq!(errors.lines().count(), 1, "it does not try again: {errors}");

    let trusting = run(ssekit().args(["listen", &url, "--timeout", "8", "--ca", &root, "-n", "1"]));
    assert_eq!(text(&trusting).0, Some(0), "{trusting:?}");
}

#[test]
fn exit_codes_name_the_reason_of_the_end() {
    let refused =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let broken = format!("{}content-length: 999\r\n\r\ndata: x\n\n", &STREAM[..STREAM.len() - 2]);
    let page = answer("200 OK", "content-type: text/html\r\n", "<p>");
    let redirect = |location: &str| answer("302 Found", location, "");
    for (code, answers, options, why) in [
        (0, vec![stream("data: x\n\n")], "--no-reconnect", ""),
        (0, vec![format!("{STREAM}data: x\n\n{OPEN}")], "-n 1", ""),
        (0, vec!["HTTP/1.1 204 No Content\r\n\r\n".to_owned()], "", ""),
        (7, vec![broken], "--no-reconnect", "the event stream was interrupted: "),
        (
            22,
            vec![answer("500 Oh", "", "on fire")],
            "--retries 0",
            "the server answered 500 Internal Server Error: on fire",
        ),
        (22, vec![answer("403 Forbidden", "", "")], "", "the server answered 403 Forbidden"),
        (22, vec![redirect("")], "", "cannot follow the redirect (302 Found) of "),
        (28, vec![format!("{STREAM}{OPEN}")], "--timeout 0.2", "--timeout: 0.2 s have passed"),
        (
            28,
            vec![format!("{STREAM}{OPEN}")],
            "--read-timeout 0.2 --no-reconnect",
            "nothing was received for 200ms",
        ),
        (65, vec![page], "", "the server answered with \"text/html\", not with text/event-stream"),
    ] {
        let server = Scripted::new(answers);
        let options = options.split(' ').filter(|option| !option.is_empty());
        let (found, _, errors) = text(&run(listen(&server).args(options).arg("--quiet")));
        assert_eq!(found, Some(code), "{errors}");
        match why {
            "" => assert_eq!(errors, "", "{code}"),
            why => assert!(errors.starts_with(&format!("ssekit: {why}")), "{errors:?} is not {why:?}"),
        }
    }
    let nobody = run(ssekit().args(["listen", &refused.to_string(), "--no-reconnect"]));
    let why = format!("ssekit: cannot reach http://{refused}/: Connection refused (os error 111)\n");
    assert_eq!(text(&nobody), (Some(7), String::new(), why));
}

#[test]
fn invalid_requests_are_usage_errors() {
    for (arguments, why) in [
        (vec!["http://["], "cannot request \"http://[\": invalid IPv6 address"),
        (vec!["ftp://x/"], "its scheme is \"ftp\", not http or https"),
        (vec!["x", "-H", "no colon"], "a header has the form NAME: VALUE"),
        (vec!["x", "-H", "a: b\nc: d"], "the value of the header \"a\""),
        (vec!["x", "-X", "G T"], "the method \"G T\""),
        (vec!["x", "--last-event-id", "a\nb"], "the last event ID"),
        (vec!["x", "-d", "@/nothing/here"], "cannot read /nothing/here"),
        (vec!["x", "--ca", "/nothing/here"], "cannot read /nothing/here"),
        (
            vec!["x", "--ca", "/dev/null"],
            "cannot use the certificates in /dev/null: the PEM text contains no certificate",
        ),
        (vec!["http://user:secret@x", "-t", "a"], "the URL of a hub cannot contain a user name or password"),
        (vec!["x", "-n", "0"], "0 is not in"),
        (vec!["x", "--timeout=-1"], "expected a number of seconds above 0"),
        (vec!["x", "--timeout=nan"], "expected a number of seconds above 0"),
        (vec!["x", "-o", "xml"], "possible values: text, json, raw"),
        (vec![], "<URL>"),
    ] {
        let (code, lines, errors) = text(&run(ssekit().arg("listen").args(&arguments)));
        assert_eq!((code, lines.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(errors.contains(why), "{errors:?} is not {why:?}");
    }
}

#[test]
fn case_068_redirects_are_followed() {
    let target = Scripted::new([stream("data: here\n\n")]);
    let location = format!("location: {}\r\n", target.url("/there"));
    let server = Scripted::new([answer("307 Temporary Redirect", &location, "")]);
    let output = run(listen(&server).args(["--no-reconnect", "-o", "raw"]));
    let errors = format!("ssekit: connected to {}\n", target.url("/there"));
    assert_eq!(text(&output), (Some(0), "here\n".to_owned(), errors));
    assert!(target.request().starts_with("GET /there "));
}

#[test]
fn case_077_it_resumes_after_the_last_event_and_reports_it() {
    let server = Scripted::new([
        stream("retry: 100\nid: 41\ndata: one\n\n"),
        answer("500 Oh", "", ""),
        stream("id: 42\ndata: two\n\n"),
        "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
    ]);
    let (code, lines, errors) = text(&run(listen(&server).args(["-o", "raw"])));
    assert_eq!((code, lines.as_str()), (Some(0), "one\ntwo\n"));
    let connected = connected(&server);
    let expected = [
        connected.trim_end(),
        "ssekit: the server ended the event stream; reconnecting in 0.1 s",
        "ssekit: the server answered 500 Internal Server Error; reconnecting in ",
        connected.trim_end(),
        "ssekit: the server ended the event stream; reconnecting in 0.1 s",
    ];
    let errors: Vec<&str> = errors.lines().collect();
    assert_eq!(errors.len(), expected.len(), "{errors:?}");
    assert!(errors.iter().zip(expected).all(|(line, start)| line.starts_with(start)), "{errors:?}");
    assert!(!server.request().contains("last-event-id"));
    assert!(server.request().contains("last-event-id: 41\r\n"));
    assert!(server.request().contains("last-event-id: 41\r\n"));
    assert!(server.request().contains("last-event-id: 42\r\n"));
}

#[test]
fn a_server_that_restarts_is_connected_to_again() {
    let mut server = serve();
    let addr = server.addr.to_string();
    let listener = Program::start(ssekit().args([
        "listen",
        &server.url("/events"),
        "-e",
        "chat",
        "-e",
        "reset",
        "-o",
        "raw",
    ]));
    listener.stderr.find("connected to");
    send_message(server.addr, "Ada", "before");
    assert!(listener.stdout.find("before").starts_with("{\"from\":\"Ada\",\"text\":\"before\""));
    server.program.signal("KILL");
    server.program.wait();
    listener.stderr.find("reconnecting in");
    let server = serve_by(ssekit().args(["--addr", &addr]));
    listener.stderr.find("connected to");
    // The notice that nothing earlier is known is an event like any other.
    for channel in ["figures", "room", "people"] {
        let reset = format!("{{\"channel\":\"{channel}\",\"reason\":\"unknown\"}}");
        assert_eq!(listener.stdout.find(""), reset);
    }
    send_message(server.addr, "Ada", "after");
    listener.stdout.find("after");
}

#[test]
fn the_program_listens_to_its_own_demo() {
    let server = serve();
    let curl = curl(&server.url("/stats"));
    let listener = Program::start(ssekit().args(["listen", &server.url("/stats")]));
    // From some event on, both have the same lines.
    listener.stdout.find("id: ");
    let common = listener.stdout.find("id: ");
    curl.stdout.find(&common);
    let lines = |program: &Program| -> Vec<String> {
        (0..12).map(|_| program.stdout.next().expect("a line")).collect()
    };
    assert_eq!(lines(&curl), lines(&listener));
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let server = serve();
    let mut child = ssekit()
        .args(["listen", &server.url("/stats"), "-q"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it is our child");
    assert_eq!(text(&output), (Some(0), String::new(), String::new()));
}

#[test]
fn the_answers_head_is_shown_when_asked_for() {
    let server = Scripted::new([stream("")]);
    let (_, _, errors) = text(&run(listen(&server).args(["--no-reconnect", "--verbose"])));
    let head = "ssekit: < 200 OK\nssekit: < content-type: text/event-stream\n";
    assert_eq!(errors, connected(&server) + head);
}

#[test]
fn case_061_an_event_beyond_the_limit_is_reported_and_the_next_one_arrives() {
    let large = "x".repeat(17 << 20);
    let server = Scripted::new([stream(&format!("data: {large}\n\ndata: next\n\n"))]);
    let output = run(listen(&server).args(["--no-reconnect", "-o", "raw", "-q"]));
    let why = "ssekit: an event is larger than 16777216 bytes and was skipped: raise max_event_bytes if you \
               expect such events\n";
    assert_eq!(text(&output), (Some(0), "next\n".to_owned(), why.to_owned()));
}

fn listen(server: &Scripted) -> Command {
    let mut command = ssekit();
    command.args(["listen", &server.url("/events")]);
    command
}

fn stream(events: &str) -> String {
    format!("{STREAM}{events}")
}

fn connected(server: &Scripted) -> String {
    format!("ssekit: connected to {}\n", server.url("/events"))
}

fn text(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}
