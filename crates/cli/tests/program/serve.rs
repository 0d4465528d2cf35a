//! `ssekit serve --demo`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::http::{Event, Stream, get, post, request, send_message};
use crate::program::{PATIENCE, Program, curl, run, serve, serve_by, ssekit};

#[test]
fn the_page_and_its_files_are_served_and_nothing_is_loaded_from_elsewhere() {
    let server = serve();
    let page = get(server.addr, "/");
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").expect("a policy").to_owned();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self';"),
        "{policy}"
    );
    assert!(!policy.replace("'wasm-unsafe-eval'", "").contains("unsafe"), "{policy}");
    let page = page.text();
    assert!(!page.contains("{{"), "a program is missing on the page");

    let quoted = |text: &str, before: &str| -> Vec<String> {
        text.split(before)
            .skip(1)
            .map(|rest| rest.split('"').next().expect("a first part").to_owned())
            .collect()
    };
    let mut paths = quoted(&page, "<link rel=\"icon\" href=\"");
    paths.extend(quoted(&page, "<link rel=\"stylesheet\" href=\""));
    paths.extend(quoted(&page, "<script type=\"module\" src=\""));
    for module in ["/page.js", "/stream.js", "/wire.js"] {
        paths.extend(quoted(&get(server.addr, module).text(), " from \"./"));
    }
    paths.sort();
    paths.dedup();
    let all = [
        "charts.js",
        "favicon.svg",
        "follow.js",
        "page.css",
        "page.js",
        "room.js",
        "ssekit.js",
        "stream.js",
        "wire.js",
    ];
    assert_eq!(paths, all);
    for path in paths {
        let file = get(server.addr, &format!("/{path}"));
        assert_eq!(file.status, 200, "{path}");
        let kind = match path.rsplit('.').next() {
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            _ => "image/svg+xml",
        };
        assert_eq!(file.header("content-type"), Some(kind), "{path}");
        assert_eq!(file.header("content-security-policy"), Some(policy.as_str()), "{path}");
        let text = file.text().replace("http://www.w3.org/2000/svg", "").replace("http://127.0.0.1:3000", "");
        assert!(!text.contains("://"), "{path} refers to another place");
    }
    assert_eq!(get(server.addr, "/nothing-here").status, 404);
}

#[test]
fn the_stats_stream_has_this_machines_figures_and_ids_that_count() {
    let server = serve();
    let mut stats = Stream::open(server.addr, "/stats");
    let events: Vec<Event> = (0..3).map(|_| stats.next().expect("the stream goes on")).collect();
    for event in &events {
        assert_eq!(event.name, "stats");
        let figures = event.json();
        let (used, total) = (&figures["memory"]["used"], &figures["memory"]["total"]);
        assert!(0 < used.as_u64().unwrap() && used.as_u64() < total.as_u64(), "{figures}");
        let cores = figures["cores"].as_array().expect("cores");
        assert!(!cores.is_empty(), "{figures}");
        for use_of_core in cores.iter().chain([&figures["cpu"]]) {
            assert!((0.0..=100.0).contains(&use_of_core.as_f64().unwrap()), "{figures}");
        }
        for rate in ["received", "sent", "loopback"] {
            assert!(figures["network"][rate].is_u64(), "{figures}");
        }
        assert_eq!(figures["streams"], 1);
    }
    assert_eq!(events[1].sequence(), events[0].sequence() + 1);
    assert_eq!(events[2].sequence(), events[0].sequence() + 2);
    if cfg!(target_os = "linux") {
        let memory = std::fs::read_to_string("/proc/meminfo").expect("Linux has it");
        let kilobytes: u64 =
            memory.split_whitespace().nth(1).and_then(|total| total.parse().ok()).expect("MemTotal");
        assert_eq!(events[0].json()["memory"]["total"], kilobytes * 1024);
    }
}

#[test]
fn every_stream_receives_the_same_events_at_the_same_places() {
    let server = serve();
    let mut page = Stream::open(server.addr, "/events?name=Ada");
    let mut stats = Stream::open(server.addr, "/stats");
    let there: Vec<Event> = (0..3).map(|_| stats.find("stats")).collect();
    let first =
        std::iter::from_fn(|| Some(page.find("stats"))).find(|event| event.common() == there[0].common());
    let here = [first.expect("it never ends"), page.find("stats"), page.find("stats")];
    assert_eq!(
        here.each_ref().map(Event::common).as_slice(),
        there.iter().map(Event::common).collect::<Vec<_>>()
    );
}

#[test]
fn a_message_reaches_all_visitors() {
    let server = serve();
    let mut ada = Stream::open(server.addr, "/events?name=Ada");
    let mut grace = Stream::open(server.addr, "/events?name=Grace");
    ada.find("people");
    grace.find("people");
    send_message(server.addr, "Ada", "data: 1\n\nid: 666 \u{1F980}");
    let heard = ada.find("chat");
    assert_eq!(heard.json()["from"], "Ada");
    assert_eq!(heard.json()["text"], "data: 1\n\nid: 666 \u{1F980}");
    assert!(heard.json()["at"].as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!(grace.find("chat").common(), heard.common());
}

#[test]
fn the_list_of_visitors_is_sent_on_join_and_leave() {
    let server = serve();
    let mut ada = Stream::open(server.addr, "/events?name=Ada");
    let ada_alone = json!([{ "name": "Ada", "streams": 1 }]);
    assert_eq!(ada.find("people").json(), json!({ "people": ada_alone, "joined": "Ada" }));

    let grace = Stream::open(server.addr, "/events?name=Grace%20Hopper");
    let people = ada.find("people").json();
    assert_eq!(people["joined"], "Grace Hopper");
    assert_eq!(people["people"][1], json!({ "name": "Grace Hopper", "streams": 1 }));

    let second_tab = Stream::open(server.addr, "/events?name=Grace%20Hopper");
    let people = ada.find("people").json();
    assert_eq!((&people["joined"], &people["people"][1]["streams"]), (&json!(null), &json!(2)));
    drop(second_tab);
    let people = ada.find("people").json();
    assert_eq!((&people["left"], &people["people"][1]["streams"]), (&json!(null), &json!(1)));

    drop(grace);
    assert_eq!(ada.find("people").json(), json!({ "people": ada_alone, "left": "Grace Hopper" }));

    let mut onlooker = Stream::open(server.addr, "/events");
    assert_eq!(onlooker.find("people").json()["people"], ada_alone);
}

#[test]
fn a_new_visitor_gets_the_latest_messages_and_a_returning_one_the_missed_ones() {
    let server = serve();
    for number in 1..=53 {
        send_message(server.addr, "Ada", &format!("message {number}"));
    }
    let mut newcomer = Stream::open(server.addr, "/events");
    let told: Vec<Event> = (0..50).map(|_| newcomer.find("chat")).collect();
    assert_eq!(told[0].json()["text"], "message 4");
    assert_eq!(told[49].json()["text"], "message 53");

    let mut returned = Stream::resume(server.addr, "/events", &told[47].id);
    for missed in &told[48..] {
        assert_eq!(returned.find("chat").common(), missed.common());
    }
    send_message(server.addr, "Ada", "message 54");
    assert_eq!(returned.find("chat").json()["text"], "message 54");
}

#[test]
fn case_109_a_reset_comes_first_if_missed_messages_are_no_longer_kept() {
    let server = serve();
    for number in 1..=53 {
        send_message(server.addr, "Ada", &format!("message {number}"));
    }
    // Each channel's reset comes before the events of that channel.
    let reset = |id: &str, count: usize| {
        let mut stream = Stream::resume(server.addr, "/events", id);
        let header = stream.header("ssekit-reset").map(str::to_owned);
        let (mut resets, mut first) = (Vec::new(), None);
        while resets.len() < count || first.is_none() {
            match stream.next().expect("the stream goes on") {
                reset if reset.name == "reset" => resets.push(reset.json()),
                chat if chat.name == "chat" && first.is_none() => {
                    assert!(resets.iter().any(|reset| reset["channel"] == "room"), "{resets:?}");
                    first = Some(chat.json()["text"].clone());
                }
                _ => {}
            }
        }
        (header, resets, first.expect("the loop ends with one"))
    };
    let of_now = Stream::open(server.addr, "/events").find("chat").id;
    let [figures, room, people] = of_now.split(',').collect::<Vec<_>>()[..] else {
        panic!("three places: {of_now}")
    };
    let epoch = room.strip_suffix("-4").expect("the first of 50");

    let (header, resets, told) = reset(&format!("{figures},{epoch}-1,{people}"), 1);
    assert_eq!(header.as_deref(), Some("expired"));
    assert_eq!(resets, [json!({ "channel": "room", "reason": "expired", "missed": 2 })]);
    assert_eq!(told, "message 4");

    // An id of another run, of no run, or from the future gives no information about missed events.
    let unknown = |channel| json!({ "channel": channel, "reason": "unknown" });
    let nothing = ["figures", "room", "people"].map(unknown).to_vec();
    let future = format!("{figures},{epoch}-54,{people}");
    for (stranger, expected) in [("1-2", &nothing), ("\u{e9}", &nothing), (&future, &vec![unknown("room")])] {
        let (header, resets, told) = reset(stranger, expected.len());
        assert_eq!(header.as_deref(), Some("unknown"), "{stranger}");
        assert_eq!(&resets, expected, "{stranger}");
        assert_eq!(told, "message 4", "{stranger}");
    }
}

#[test]
fn long_and_malformed_messages_are_refused_with_the_reason() {
    let server = serve();
    let said = |from: &str, text: &str| {
        post(server.addr, "/chat", &json!({ "from": from, "text": text }).to_string())
    };
    let refused = |status, why: &str| (status, format!("{why}\n"));
    assert_eq!(said("", "hello"), refused(422, "the name is empty"));
    assert_eq!(said(&"x".repeat(33), "hello"), refused(422, "the name is longer than 32 characters"));
    assert_eq!(said("a\u{7}b", "hello"), refused(422, "the name contains a control character"));
    assert_eq!(said("Ada", " "), refused(422, "the message is empty"));
    assert_eq!(said("Ada", &"x".repeat(501)), refused(422, "the message is longer than 500 characters"));
    assert_eq!(said("Ada", &"x".repeat(9_000)).0, 413);
    assert_eq!(said("Ada", &"\u{1F980}".repeat(500)).0, 204);
    assert_eq!(post(server.addr, "/chat", "{").0, 400);
    assert_eq!(post(server.addr, "/chat", "{}").0, 422);

    // A request that a page of another site could send without a preflight.
    let form =
        "POST /chat HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n{}";
    assert_eq!(request(server.addr, form).status, 415);

    let long = get(server.addr, &format!("/events?name={}", "x".repeat(33)));
    assert_eq!((long.status, long.text()), refused(400, "the name is longer than 32 characters"));
    assert_eq!(get(server.addr, "/events?name=a%0Ab").status, 400);
    assert_eq!(get(server.addr, "/chat").status, 405);
    assert_eq!(get(server.addr, &format!("/{}", "x".repeat(17_000))).status, 431);
}

#[test]
fn a_name_that_another_site_points_here_is_refused() {
    let server = serve();
    for path in ["/", "/events", "/nothing-here"] {
        let answer = request(
            server.addr,
            &format!("GET {path} HTTP/1.1\r\nhost: evil.example:{}\r\n\r\n", server.addr.port()),
        );
        let why = format!(
            "\"evil.example:{}\" is not a name of this server: use localhost, its IP address, or the host \
             name from \
             --addr\n",
            server.addr.port()
        );
        assert_eq!((answer.status, answer.text()), (421, why), "{path}");
    }
    let named = serve_by(ssekit().args(["--addr", "localhost:0"]));
    assert_eq!(request(named.addr, "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").status, 200);
    assert_eq!(
        request(server.addr, "GET http://evil.example/ HTTP/1.1\r\nhost: localhost\r\n\r\n").status,
        421
    );
}

#[test]
fn a_stream_beyond_the_limit_ends_with_a_retry_until_another_one_ends() {
    let server = serve();
    let mut streams: Vec<Stream> = (0..256).map(|_| Stream::open(server.addr, "/stats")).collect();
    streams[0].find("stats");
    for path in ["/stats", "/events?name=Ada"] {
        let mut refused = get(server.addr, path);
        assert_eq!((refused.status, refused.header("ssekit-refused")), (200, Some("too many streams")));
        // The last of several reconnection times counts.
        let lines = String::from_utf8(refused.chunk()).expect("text");
        let retry = lines.lines().last().and_then(|line| line.strip_prefix("retry: ")?.parse::<u64>().ok());
        assert!(retry.is_some_and(|retry| (500..=1_500).contains(&retry)), "{lines:?}");
        assert_eq!(refused.chunk(), b"", "it ends");
    }
    assert_eq!(get(server.addr, "/").status, 200);

    drop(streams.pop());
    let end = Instant::now() + PATIENCE;
    while get(server.addr, "/stats").header("ssekit-refused").is_some() {
        assert!(Instant::now() < end, "the place does not become free");
    }
}

#[test]
fn case_108_a_client_that_does_not_read_is_ended_and_the_others_hear_everything() {
    let server = serve();
    let mut reader = Stream::open(server.addr, "/events?name=reader");
    let mut sleeper = Stream::open(server.addr, "/events?name=sleeper");
    reader.find("people");
    reader.find("people");
    sleeper.find("people");

    // More than the system's buffers hold.
    const MESSAGES: usize = 10_000;
    let json = json!({ "from": "reader", "text": "\u{1F980}".repeat(500) }).to_string();
    let length = json.len();
    let head = format!(
        "POST /chat HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}"
    );
    let message = format!("{head}\r\n\r\n{json}");
    let answer = b"HTTP/1.1 204 No Content\r\n";
    let mut talk = TcpStream::connect(server.addr).expect("the server accepts");
    talk.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let mut heard = Vec::new();
    for _ in 0..MESSAGES {
        talk.write_all(message.as_bytes()).expect("the server reads");
        let mut first = [0; 128];
        let read = talk.read(&mut first).expect("the server answers");
        assert!(first[..read].starts_with(answer), "{}", String::from_utf8_lossy(&first[..read]));
        heard.push(reader.find("chat"));
    }

    // The stream of the sleeper is cut, since it is incomplete; when it resumes, it gets the rest, as far as
    // that is kept.
    let mut last = None;
    let told = std::iter::from_fn(|| sleeper.next_until_cut()).filter(|event| event.name == "chat").inspect(
        |event| {
            last = Some(event.clone());
        },
    );
    let told = told.count();
    assert!(0 < told && told < MESSAGES, "{told} of {MESSAGES} were told");
    let last = last.expect("some were told");
    assert_eq!(last.common(), heard[told - 1].common(), "none is left out before the end");
    let mut returned = Stream::resume(server.addr, "/events?name=sleeper", &last.id);
    let missed = MESSAGES - 50 - told;
    let reset = returned.find("reset").json();
    assert_eq!(reset, json!({ "channel": "room", "reason": "expired", "missed": missed }));
    assert_eq!(returned.find("chat").common(), heard[MESSAGES - 50].common());
}

#[test]
fn case_107_an_end_signal_ends_all_streams_cleanly_and_at_once() {
    for signal in ["TERM", "INT"] {
        let mut server = serve();
        let mut page = Stream::open(server.addr, "/events?name=Ada");
        let mut stats = Stream::open(server.addr, "/stats");
        let idle = TcpStream::connect(server.addr).expect("the server accepts");
        page.find("stats");
        stats.find("stats");
        let lines = curl(&server.url("/stats"));
        lines.stdout.find("data: ");
        let told = Instant::now();
        server.program.signal(signal);
        // `next` panics unless the body ends as HTTP requires.
        while page.next().is_some() {}
        while stats.next().is_some() {}
        assert_eq!(server.program.wait().code(), Some(0), "SIG{signal}");
        // One second is promised; the rest is for a busy machine.
        assert!(told.elapsed() < Duration::from_secs(2), "SIG{signal} took {:?}", told.elapsed());
        drop(idle);
        assert_eq!(server.program.stderr.rest(), "");
        // The clients return at different times.
        let lines = lines.stdout.rest();
        let retry = lines.lines().last().and_then(|line| line.strip_prefix("retry: ")?.parse::<u64>().ok());
        assert!(retry.is_some_and(|retry| (500..=1_500).contains(&retry)), "{lines:?}");
    }
}

#[test]
fn a_client_that_does_not_read_does_not_keep_the_program_from_ending() {
    let mut server = serve();
    let mut sleeper = Stream::open(server.addr, "/events?name=sleeper");
    sleeper.find("people");
    let text = "\u{1F980}".repeat(500);
    for _ in 0..4_000 {
        send_message(server.addr, "Ada", &text);
    }
    let told = Instant::now();
    server.program.signal("TERM");
    assert_eq!(server.program.wait().code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(2), "it took {:?}", told.elapsed());
}

#[test]
fn an_address_in_use_is_an_error_with_a_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = taken.local_addr().expect("an address");
    let output = run(ssekit().args(["serve", "--demo", "--store", "memory", "--addr", &addr.to_string()]));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    let port = addr.port();
    let message = format!(
        "ssekit: {addr} is in use: another program listens there (`ss -ltnp 'sport = :{port}'` or `lsof -i \
         :{port}` \
         names it). Stop it, or use a free port with --addr 127.0.0.1:0\n"
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr), message);
}

#[test]
fn an_invalid_address_is_an_error() {
    let output = run(ssekit().args(["--addr", "3000"]));
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(message, "ssekit: --addr: \"3000\" is not an address of the form HOST:PORT\n");
}

#[test]
fn without_a_command_the_demo_is_served_at_the_address_of_the_environment() {
    let server = serve_by(ssekit().env("SSEKIT_ADDR", "127.0.0.1:0"));
    assert_eq!(get(server.addr, "/").status, 200);
    let curl = server.program.stdout.find("curl");
    assert!(curl.ends_with(&format!("curl -N {}", server.url("/stats"))), "{curl}");
    let listen = server.program.stdout.find("listen");
    assert!(listen.ends_with(&format!("listen {}", server.url("/events"))), "{listen}");
}

#[test]
fn without_a_key_a_warning_names_the_remedy_and_publications_are_refused() {
    let program = Program::start(ssekit().args(["serve", "--store", "memory", "--addr", "127.0.0.1:0"]));
    let said = program.stderr.find("nobody can publish");
    assert!(said.contains("--publisher-key-file") && said.contains("--dev"), "{said}");
    let hub = program.stdout.find("the hub");
    let addr = hub.split("http://").nth(1).and_then(|url| url.split('/').next()?.parse().ok());
    let addr = addr.unwrap_or_else(|| panic!("no address in {hub:?}"));
    assert_eq!(post(addr, "/.well-known/mercure", "{}").0, 401);
}

#[test]
fn the_version_names_the_program() {
    let output = run(ssekit().arg("--version"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("ssekit {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_store_without_a_retention_rule_is_announced_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    for (flags, announced) in
        [(&[][..], true), (&["--retention", "topic=* records=10"], false), (&["--store", "memory"], false)]
    {
        let mut command = ssekit();
        command.args(["serve", "--demo", "--addr", "127.0.0.1:0", "--store"]).arg(folder.path().join("data"));
        let mut server = serve_by(command.args(flags));
        server.program.signal("TERM");
        assert!(server.program.wait().success());
        let said = server.program.stderr.rest();
        let is_announced =
            said.contains("keeps every update") && said.contains("--retention 'topic=* age=7d bytes=1GiB'");
        assert_eq!(is_announced, announced, "{flags:?}: {said}");
    }
}

#[test]
fn metrics_have_the_format_that_the_client_accepts() {
    let server = serve_by(ssekit().args([
        "serve",
        "--demo",
        "--addr",
        "127.0.0.1:0",
        "--store",
        "memory",
        "--metrics",
    ]));
    for (accept, content_type, counter) in [
        ("*/*", "text/plain; version=0.0.4; charset=utf-8", "ssekit_events_published_total"),
        (
            "application/openmetrics-text; version=1.0.0",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "ssekit_events_published",
        ),
    ] {
        let get = format!(
            "GET /metrics HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\nconnection: close\r\n\r\n"
        );
        let answer = request(server.addr, &get);
        assert_eq!(answer.header("content-type"), Some(content_type));
        assert_eq!(answer.header("vary"), Some("accept"));
        let text = answer.text();
        assert_eq!(text.ends_with("# EOF\n"), content_type.contains("openmetrics"), "{text}");
        for line in [
            &format!("# HELP {counter} Events accepted from publishers."),
            &format!("# TYPE {counter} counter"),
            "ssekit_events_published_total 0",
            "# HELP ssekit_publish_to_write_seconds Delivery latency, from publication to the last socket \
             write.",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
    }
}
