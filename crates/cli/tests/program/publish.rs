//! `ssekit publish`.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

use proptest::prelude::*;
use serde_json::{Value, json};
use ssekit_mercure::{Keys, Limits, publication, publications_ndjson};

use crate::config::Folder;
use crate::program::{Program, run, ssekit};
use crate::scripted::{Scripted, answer};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const HUB: &str = "/.well-known/mercure";

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Answer with this id.
pub(crate) fn published(id: &str) -> String {
    answer("200 OK", "content-type: text/plain; charset=utf-8\r\n", id)
}

pub(crate) fn publish(server: &Scripted, arguments: &[&str]) -> Command {
    let mut command = ssekit();
    command.args(["publish", &server.url("")]).args(arguments);
    command
}

/// Runs a command with this standard input.
pub(crate) fn fed(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let written = child.stdin.take().expect("it is piped").write_all(input);
    let output = child.wait_with_output().expect("it ends");
    written.unwrap_or_else(|error| panic!("{error}: {output:?}"));
    output
}

pub(crate) fn body(request: &str) -> &str {
    request.split_once("\r\n\r\n").expect("there is a body").1
}

pub(crate) fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = request.split("\r\n").take_while(|line| !line.is_empty());
    lines
        .find_map(|line| line.split_once(": ").filter(|(found, _)| found.eq_ignore_ascii_case(name)))
        .map(|(_, value)| value)
}

#[test]
fn every_field_arrives_and_the_id_is_printed() {
    let server = Scripted::new([published("urn:uuid:1")]);
    let fields = [
        "--topic",
        "https://a.example/1",
        "-t",
        "b&c=d",
        "--private",
        "--id",
        "urn:mine",
        "--type",
        "news",
        "--retry",
        "1m30s",
        "--token",
        "a.b.c",
        "one\ntwo & three",
    ];
    let output = run(&mut publish(&server, &fields));
    assert_eq!(
        (output.status.code(), text(&output.stdout), text(&output.stderr)),
        (Some(0), "urn:uuid:1\n".to_owned(), String::new())
    );
    let request = server.request();
    assert!(request.starts_with(&format!("POST {HUB} HTTP/1.1\r\n")), "{request}");
    assert_eq!(header(&request, "authorization"), Some("Bearer a.b.c"));
    let content_type = header(&request, "content-type");
    let record = publication(content_type, body(&request).as_bytes(), HUB, &Limits::default())
        .expect("the hub takes it");
    assert_eq!(
        record.topics.iter().map(|topic| &**topic).collect::<Vec<_>>(),
        ["https://a.example/1", "b&c=d"]
    );
    assert_eq!((record.private, record.id.as_deref()), (true, Some("urn:mine")));
    assert_eq!(record.body, "retry: 90000\nevent: news\ndata: one\ndata: two & three\n\n");
}

#[test]
fn a_hub_is_named_as_briefly_as_can_be() {
    for (suffix, scheme, path) in
        [("", "", HUB), ("/", "http://", HUB), ("/hub", "http://", "/hub"), ("/hub?x=1", "", "/hub?x=1")]
    {
        let server = Scripted::new([published("1")]);
        let url = format!("{scheme}{}{suffix}", server.addr);
        let output = run(ssekit().args(["publish", &url, "-t", "a", "data"]));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let request = server.request();
        assert!(request.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{request}");
        assert_eq!(header(&request, "authorization"), None);
    }
}

#[test]
fn with_a_key_it_makes_itself_a_token_for_its_topics_and_a_minute() {
    let folder = Folder::new("publish-key");
    let file = folder.file("key", &format!("{SECRET}\n"));
    for (flags, variable) in [(vec!["--key", SECRET], ""), (vec!["--key-file", &file], ""), (vec![], SECRET)]
    {
        let server = Scripted::new([published("1")]);
        let output = run(publish(&server, &["-t", "a", "-t", "b", "data"])
            .args(flags)
            .env("SSEKIT_KEY", variable)
            .env("SSEKIT_TOKEN", ""));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let request = server.request();
        let token = header(&request, "authorization")
            .and_then(|value| value.strip_prefix("Bearer "))
            .expect("a token");
        let token =
            Keys::read(SECRET).expect("a secret").verify(token, SystemTime::now()).expect("it is valid");
        assert!(
            token.may_publish("a")
                && token.may_publish("b")
                && !token.may_publish("c")
                && !token.may_subscribe("a")
        );
        let left =
            token.expires.expect("it ends").duration_since(SystemTime::now()).expect("not yet").as_secs();
        assert!(left <= 60, "{left}");
    }
}

#[test]
fn data_may_come_from_stdin() {
    for (input, expected) in
        [("one\ntwo\n", "data: one\ndata: two\n\n"), ("", "data: \n\n"), ("x\n\n", "data: x\ndata: \n\n")]
    {
        let server = Scripted::new([published("1")]);
        let output = fed(&mut publish(&server, &["-t", "a", "-"]), input.as_bytes());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let request = server.request();
        let content_type = header(&request, "content-type");
        let record = publication(content_type, body(&request).as_bytes(), HUB, &Limits::default())
            .expect("the hub takes it");
        assert_eq!(record.body, expected);
    }
    let server = Scripted::new([]);
    let output = fed(&mut publish(&server, &["-t", "a", "-"]), b"\xff");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "ssekit: stdin is not UTF-8: encode it, for example as base64\n");
}

#[test]
fn lines_are_published_in_order_in_few_requests() {
    let input: String = (0..2_500).map(|number| format!("line {number} \"quoted\" \\ \u{1F980}\n")).collect();
    // Whatever the number of batches.
    let server = Scripted::new((0..50).map(|_| published("id")));
    let flags = ["-t", "a", "-t", "b", "--private", "--type", "t", "--retry", "5s", "--lines", "--quiet"];
    let output = fed(&mut publish(&server, &flags), input.as_bytes());
    assert_eq!(
        (output.status.code(), text(&output.stdout), text(&output.stderr)),
        (Some(0), String::new(), String::new())
    );
    let mut lines = Vec::new();
    let mut requests = 0;
    while lines.len() < 2_500 {
        let request = server.request();
        let content_type = header(&request, "content-type");
        let records = publications_ndjson(content_type, body(&request).as_bytes(), HUB, &Limits::default());
        for record in records.expect("the hub takes it") {
            assert_eq!((record.topics.len(), record.private), (2, true));
            let event = text(&record.body);
            let data = event
                .strip_prefix("retry: 5000\nevent: t\ndata: ")
                .and_then(|rest| rest.strip_suffix("\n\n"));
            lines.push(data.unwrap_or_else(|| panic!("{event:?}")).to_owned());
        }
        requests += 1;
    }
    assert_eq!(lines, input.lines().collect::<Vec<_>>());
    assert!(requests < 50, "{requests}");
}

#[test]
fn a_slow_input_is_published_line_by_line() {
    let server = Scripted::new(["1", "2"].map(published));
    let mut child = publish(&server, &["-t", "a", "--lines"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = child.stdin.take().expect("it is piped");
    for line in ["first", "second"] {
        writeln!(input, "{line}").expect("it reads");
        // The test writes the next line after this one was published.
        let request = server.request();
        assert!(body(&request).contains(line), "{request}");
    }
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "1\n2\n".to_owned()));
}

#[test]
fn hubs_that_take_no_batches_get_an_update_a_request() {
    let server = Scripted::new(["1", "2", "3"].map(published));
    let output = fed(&mut publish(&server, &["-t", "a", "--lines", "--no-batch"]), b"x\ny\n\n");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "1\n2\n3\n".to_owned()), "{output:?}");
    let bodies: Vec<String> = (0..3).map(|_| body(&server.request()).to_owned()).collect();
    assert_eq!(bodies, ["topic=a&data=x", "topic=a&data=y", "topic=a&data="]);
}

#[test]
fn refusals_are_reported_with_a_remedy() {
    let problem = |status: &str, kind: &str, title: &str, detail: &str| {
        let body = json!({ "type": kind, "title": title, "detail": detail }).to_string();
        answer(status, "content-type: application/problem+json\r\n", &body)
    };
    let none: &[&str] = &[];
    for (given, flags, expected) in [
        (
            problem(
                "403 Forbidden",
                "urn:ssekit:problem:x",
                "the token does not grant this",
                "nothing selects “a”",
            ),
            &["--token", "a.b.c"][..],
            "the hub refused the publication with 403 Forbidden: the token does not grant this: nothing \
             selects “a”",
        ),
        (
            problem("401 Unauthorized", "urn:ssekit:problem:x", "a token is needed", "send one"),
            none,
            "the hub refused the publication with 401 Unauthorized: a token is needed: send one; set \
             --token, or --key-file to create one",
        ),
        (
            answer("401 Unauthorized", "", "Unauthorized\n"),
            &["--token", "x"],
            "the hub refused the publication with 401 Unauthorized: Unauthorized",
        ),
        (
            answer("500 Internal Server Error", "", ""),
            none,
            "the hub refused the publication with 500 Internal Server Error",
        ),
        (
            answer("503 Service Unavailable", "", "\u{1b}[2Jno"),
            none,
            "the hub refused the publication with 503 Service Unavailable: \\u{1b}[2Jno",
        ),
        (
            answer("308 Permanent Redirect", "location: https://b.example/hub\r\n", ""),
            none,
            "the hub refused the publication with 308 Permanent Redirect; it redirects to \
             https://b.example/hub",
        ),
    ] {
        let server = Scripted::new([given]);
        let output = run(publish(&server, &["-t", "a", "data"]).args(flags));
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(22), String::new()));
        assert_eq!(text(&output.stderr), format!("ssekit: {expected}\n"));
    }
    let server = Scripted::new([answer("404 Not Found", "", "")]);
    let said = text(&run(&mut publish(&server, &["-t", "a", "data"])).stderr);
    assert_eq!(
        said,
        format!(
            "ssekit: the hub refused the publication with 404 Not Found; is {} the hub's URL?\n",
            server.url(HUB)
        )
    );

    // The number of lines that were published before is known.
    let server = Scripted::new([published("1"), answer("400 Bad Request", "", "missing topic")]);
    let output = fed(&mut publish(&server, &["-t", "a", "--lines", "--no-batch"]), b"x\ny\nz\n");
    let expected = "ssekit: 1 lines were published before this error: the hub refused the publication with \
                    400 Bad Request: missing topic\n";
    assert_eq!(
        (output.status.code(), text(&output.stdout), text(&output.stderr)),
        (Some(22), "1\n".to_owned(), expected.to_owned())
    );
    let server = Scripted::new([answer("400 Bad Request", "", "missing topic")]);
    let said = text(&fed(&mut publish(&server, &["-t", "a", "--lines"]), b"x\n").stderr);
    assert!(
        said.ends_with("400 Bad Request: missing topic; if it does not accept batches, use --no-batch\n"),
        "{said}"
    );
}

#[test]
fn a_hub_that_does_not_respond_is_an_error() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = silent.local_addr().expect("it has one").to_string();
    let output = run(ssekit().args(["publish", &addr, "-t", "a", "data", "--timeout", "100ms"]));
    let expected = format!(
        "ssekit: http://{addr}{HUB} did not respond within 0.1 s; it is unknown whether the update was \
         published\n"
    );
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(28), expected));

    drop(silent);
    let output = run(ssekit().args(["publish", &addr, "-t", "a", "data"]));
    assert_eq!(output.status.code(), Some(7));
    assert!(
        text(&output.stderr).starts_with(&format!("ssekit: cannot publish to http://{addr}{HUB}: ")),
        "{output:?}"
    );
}

#[test]
fn wrong_arguments_are_usage_errors() {
    for (arguments, expected) in [
        (vec!["publish", "localhost:1", "data"], "--topic"),
        (vec!["publish", "localhost:1", "-t", "a"], "DATA"),
        (vec!["publish", "localhost:1", "-t", "a", "data", "--lines"], "cannot be used with"),
        (vec!["publish", "localhost:1", "-t", "a", "--lines", "--id", "x"], "cannot be used with"),
        (vec!["publish", "ftp://localhost", "-t", "a", "data"], "is not an http:// or https:// URL"),
        (
            vec!["publish", "http://me:word@localhost", "-t", "a", "data"],
            "the URL of a hub cannot contain a user name or password",
        ),
        (
            vec!["publish", "localhost:1", "-t", "a", "data", "--key", "short"],
            "the secret has 5 bytes and needs at least 32",
        ),
        (
            vec!["publish", "localhost:1", "-t", "a", "data", "--key-file", "/nowhere"],
            "cannot read the key file /nowhere",
        ),
        (
            vec!["publish", "localhost:1", "-t", "a", "data", "--token", "a\nb"],
            "the token contains a character that a token cannot have",
        ),
        (vec!["publish", "localhost:1", "-t", "a", "data", "--ca", "/nowhere"], "cannot read /nowhere"),
        (vec!["publish", "localhost:1", "-t", "a", "data", "--retry", "5"], "expected a time"),
    ] {
        let output = run(ssekit().args(&arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(text(&output.stderr).contains(expected), "{arguments:?}: {output:?}");
    }
}

#[test]
fn a_closed_output_does_not_stop_the_publications() {
    let server = Scripted::new(["1", "2"].map(published));
    let command = format!(
        "printf 'x\\ny\\n' | {} publish {} -t a --lines --no-batch | true",
        env!("CARGO_BIN_EXE_ssekit"),
        server.url("")
    );
    let mut program = Program::start(Command::new("sh").args(["-c", &command]));
    assert!(program.wait().success());
    assert_eq!([body(&server.request()), body(&server.request())], ["topic=a&data=x", "topic=a&data=y"]);
}

/// Starts a hub with these flags; returns its address, too.
pub(crate) fn hub(flags: &[&str]) -> (Program, String) {
    let program =
        Program::start(ssekit().args(["serve", "--store", "memory", "--addr", "127.0.0.1:0"]).args(flags));
    let line = program.stdout.find(HUB);
    let url = line.split_whitespace().last().expect("there is a URL").to_owned();
    (program, url)
}

#[test]
fn our_own_hub_accepts_and_delivers_the_update() {
    let folder = Folder::new("own-hub");
    let key = folder.file("key", SECRET);
    let (_hub, url) = hub(&["--publisher-key-file", &key, "--anonymous"]);
    let listening = Program::start(ssekit().args([
        "listen",
        &format!("{url}?topic=*&lastEventID=earliest"),
        "-q",
        "-n",
        "6",
        "-o",
        "json",
    ]));
    let one =
        run(ssekit().args(["publish", &url, "-t", "a", "--type", "news", "--key-file", &key, "one\ntwo"]));
    assert_eq!((one.status.code(), text(&one.stderr)), (Some(0), String::new()));
    // It cannot be read without a token.
    let private =
        run(ssekit().args(["publish", &url, "-t", "a", "--private", "--key-file", &key, "private"]));
    assert_eq!(private.status.code(), Some(0), "{private:?}");
    for flags in [&["--lines"][..], &["--lines", "--no-batch"]] {
        let output =
            fed(ssekit().args(["publish", &url, "-t", "a", "--key-file", &key]).args(flags), b"x\ny\n");
        assert_eq!((output.status.code(), text(&output.stdout).lines().count()), (Some(0), 2), "{output:?}");
    }
    let last =
        run(ssekit().args(["publish", &url, "-t", "a", "--key-file", &key, "--id", "urn:last", "end"]));
    assert_eq!(text(&last.stdout), "urn:last\n");
    let heard: Vec<Value> = (0..6)
        .map(|_| serde_json::from_str(&listening.stdout.next().expect("an event comes")).expect("it is JSON"))
        .collect();
    let data: Vec<&Value> = heard.iter().map(|event| &event["data"]).collect();
    assert_eq!(data, ["one\ntwo", "x", "y", "x", "y", "end"]);
    assert_eq!((&heard[0]["event"], &heard[0]["id"]), (&json!("news"), &json!(text(&one.stdout).trim_end())));
    assert_eq!(heard[5]["id"], "urn:last");

    for (flags, expected) in [
        (vec![], "missing token"),
        (vec!["--token", "a.b.c"], "invalid token"),
        (vec!["--key", "another secret that is long enough"], "the token's signature is invalid"),
    ] {
        let output = run(ssekit().args(["publish", &url, "-t", "a", "data"]).args(flags));
        assert_eq!(output.status.code(), Some(22));
        assert!(text(&output.stderr).contains(expected), "{output:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_data_arrives_as_it_was_given(data in "\\PC{0,40}(\n\\PC{0,40}){0,3}") {
        let server = Scripted::new([published("1")]);
        let output = fed(&mut publish(&server, &["-t", "a", "-q", "-"]), format!("{data}\n").as_bytes());
        prop_assert_eq!(output.status.code(), Some(0), "{:?}", output);
        let request = server.request();
        let fields = form_urlencoded::parse(body(&request).as_bytes()).into_owned();
        let fields: Vec<(String, String)> = fields.collect();
        prop_assert_eq!(&fields[1], &("data".to_owned(), data));
    }
}
