//! `/hub/` over HTTP.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::http::{Stream, request};
use crate::hub::{
    Folder, HUB, ending, get, json_of, locked, open, post, publish, serve, start, token, with_key,
};
use crate::program::Server;

#[test]
fn the_page_and_its_files_are_served_and_nothing_is_loaded_from_elsewhere() {
    let server = locked();
    let page = get(&server, "/hub/", "");
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").expect("a policy").to_owned();
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    assert!(!policy.replace("'wasm-unsafe-eval'", "").contains("unsafe"), "{policy}");
    assert!(policy.contains("connect-src 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    let html = page.text();
    assert!(!html.contains("{{"), "something was not written into the page");

    let quoted = |text: &str, before: &str| -> Vec<String> {
        text.split(before).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
    };
    let mut seen = BTreeSet::new();
    let mut names: Vec<String> = [
        quoted(&html, "<link rel=\"icon\" href=\""),
        quoted(&html, "<link rel=\"stylesheet\" href=\""),
        quoted(&html, "<script type=\"module\" src=\""),
    ]
    .concat();
    while let Some(name) = names.pop().filter(|name| seen.insert(name.clone())) {
        let file = get(&server, &format!("/hub/{name}"), "");
        assert_eq!(file.status, 200, "{name}");
        assert_eq!(file.header("content-security-policy"), Some(policy.as_str()), "{name}");
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"), "{name}");
        let text = file.text();
        names.extend(quoted(&text, " from \"./").into_iter().chain(quoted(&text, "import \"./")));
        names.retain(|name| !seen.contains(name));
        let own = ["http://www.w3.org/2000/svg", "https://mercure.rocks/"];
        let text = own.iter().fold(text, |text, known| text.replace(known, ""));
        assert!(!text.contains("://"), "{name} refers to another place");
    }
    assert_eq!(seen.len(), 15, "{seen:?}");

    let moved = get(&server, "/hub", "");
    assert_eq!((moved.status, moved.header("location")), (308, Some("/hub/")));
}

#[test]
fn unknown_paths_get_404_with_the_known_ones_and_wrong_methods_405() {
    let server = locked();
    for path in ["/hub/nothing", "/nothing", "/hub/stats/x"] {
        let answer = get(&server, path, "");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
        let (status, problem) = json_of(answer);
        assert_eq!((status, &problem["type"]), (404, &json!("urn:ssekit:problem:not-found")), "{path}");
        let detail = problem["detail"].as_str().expect("a detail");
        for there in [path, HUB, "/hub/", "/healthz", "/readyz", "/metrics"] {
            assert!(detail.contains(there), "{there} is not in {detail}");
        }
    }
    for (path, allow) in [
        ("/hub/", "GET"),
        ("/hub/stats", "GET"),
        ("/hub/history", "GET"),
        ("/healthz", "GET"),
        ("/readyz", "GET"),
        ("/metrics", "GET"),
    ] {
        let answer = post(&server, path, "", "text/plain", "x");
        let allowed = answer.header("allow").map(str::to_owned);
        assert!(allowed.is_some_and(|allowed| allowed.contains(allow)), "{path}");
        let (status, problem) = json_of(answer);
        assert_eq!(
            (status, &problem["type"]),
            (405, &json!("urn:ssekit:problem:method-not-allowed")),
            "{path}"
        );
    }
    let answer = get(&server, "/hub/explain", "");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    let head = request(server.addr, "HEAD /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    assert_eq!(head.status, 200);
    // Refusals are counted, and shown on the page.
    let refused = get(&server, "/hub/history?topic=", "");
    assert_eq!(refused.status, 400);
    let metrics = get(&server, "/metrics", "").text();
    for line in [
        "ssekit_requests_refused_total{problem=\"not-found\"} 3",
        "ssekit_requests_refused_total{problem=\"method-not-allowed\"} 7",
        "ssekit_requests_refused_total{problem=\"invalid-selector\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "no {line} in\n{metrics}");
    }
}

#[test]
fn without_the_setting_there_is_no_page() {
    let mut command = crate::program::ssekit();
    command.args(["serve", "--addr", "127.0.0.1:0", "--store", "memory"]);
    let program = crate::program::Program::start(with_key(&mut command));
    let hub = program.stdout.find("the hub");
    let addr = hub.split("http://").nth(1).and_then(|url| url.split('/').next()?.parse().ok());
    let server = Server { addr: addr.expect("an address"), program };
    for path in ["/hub/", "/hub/stats", "/hub/history?topic=*", "/hub/explain"] {
        assert_eq!(get(&server, path, "").status, 404, "{path}");
    }
}

#[test]
fn on_a_machine_for_development_another_sites_name_is_refused() {
    let server = open();
    for path in ["/hub/", "/hub/stats", "/hub/history?topic=*"] {
        let answer = request(server.addr, &format!("GET {path} HTTP/1.1\r\nhost: evil.example\r\n\r\n"));
        assert_eq!(answer.status, 421, "{path}");
    }
}

// History

const A: &str = "https://example.com/a";
const B: &str = "https://example.com/b";
const USER: &str = "https://example.com/users/7";

fn history(server: &Server, query: &str, token: &str) -> Value {
    let answer = get(server, &format!("/hub/history?{query}"), token);
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let (status, page) = json_of(answer);
    assert_eq!(status, 200, "{query}: {page}");
    page
}

fn data(page: &Value) -> Vec<&str> {
    let events = page["events"].as_array().expect("events");
    events.iter().map(|event| event["data"].as_str().expect("text")).collect()
}

#[test]
fn the_history_shows_private_updates_only_with_a_grant() {
    let server = locked();
    let publisher = token(&["*"], &[]);
    publish(
        &server,
        &publisher,
        &[
            json!({ "topic": A, "data": "public a" }),
            json!({ "topic": A, "data": "private a", "private": true }),
            json!({ "topic": B, "data": "private b", "private": true }),
            json!({ "topic": [B, USER], "data": "private b and user", "private": true }),
        ],
    );
    for (token, query, wanted) in [
        (String::new(), "topic=*", &["public a"][..]),
        (String::new(), "topic=https://example.com/b", &[]),
        (token(&["*"], &[]), "topic=*", &["public a"]),
        (token(&[], &[A]), "topic=*", &["private a", "public a"]),
        (token(&[], &[USER]), "topic=*", &["private b and user", "public a"]),
        (token(&[], &[USER]), "topic=https://example.com/b", &["private b and user"]),
        (token(&[], &[USER]), "topic=https://example.com/a", &["public a"]),
        (token(&[], &["*"]), "topic=*", &["private b and user", "private b", "private a", "public a"]),
        (
            token(&[], &["*"]),
            "topic=https://example.com/{x}",
            &["private b and user", "private b", "private a", "public a"],
        ),
    ] {
        let page = history(&server, query, &token);
        assert_eq!(data(&page), wanted, "{query}");
        // A page reveals only the position of updates that its reader may not read.
        for way in ["older", "newer"] {
            assert!(
                page[way].is_null() || page[way].as_str().is_some_and(|id| id.starts_with("urn:ssekit:")),
                "{page}"
            );
        }
    }

    // Other topics of a private update may name its other readers.
    let page = history(&server, "topic=*&limit=1", &token(&[], &[USER]));
    assert_eq!(page["events"][0]["topics"], json!([USER]));
    assert_eq!(page["events"][0]["more_topics"], 0);
    assert_eq!(page["events"][0]["private"], true);
    let page = history(&server, "topic=*&limit=1", &token(&[], &["*"]));
    assert_eq!(page["events"][0]["topics"], json!([B, USER]));
}

#[test]
fn without_the_right_to_subscribe_there_is_no_history() {
    let server = start(with_key(&mut serve()).args(["--store", "memory"]));
    let (status, problem) = json_of(get(&server, "/hub/history?topic=*", ""));
    assert_eq!((status, &problem["type"]), (401, &json!("urn:ssekit:problem:missing-token")));
    let (status, problem) = json_of(get(&server, "/hub/history?topic=*", &ending(&["*"], -10)));
    assert_eq!((status, &problem["type"]), (401, &json!("urn:ssekit:problem:invalid-token")));
    assert_eq!(get(&server, "/hub/history?topic=*", &token(&[], &[])).status, 200);
}

#[test]
fn a_question_that_is_none_is_refused_with_the_reason() {
    let server = open();
    for (query, status, kind) in [
        ("", 400, "missing-topic"),
        ("topic=", 400, "invalid-selector"),
        ("topic=*&after=a&before=b", 400, "malformed"),
        ("topic=*&limit=many", 400, "malformed"),
        ("topic=*&after=nobody-knows-this", 404, "not-found"),
        ("topic=*&after=no%00id", 400, "invalid-id"),
        ("topic=*&before=urn:ssekit:AAAAAAAAAAAAAAAAAAAAAA", 404, "not-found"),
    ] {
        let (found, problem) = json_of(get(&server, &format!("/hub/history?{query}"), ""));
        assert_eq!(
            (found, &problem["type"]),
            (status, &json!(format!("urn:ssekit:problem:{kind}"))),
            "{query}"
        );
    }
    let id = "i".repeat(2000);
    assert_eq!(get(&server, &format!("/hub/history?topic=*&after={id}"), "").status, 400);
    let (_, empty) = json_of(get(&server, "/hub/history?topic=https://example.com/a", ""));
    assert_eq!(empty, json!({ "events": [], "older": null, "newer": null }));
}

#[test]
fn an_update_is_shown_with_all_that_is_known_of_it_and_cut_to_fit() {
    let server = open();
    let topics: Vec<String> = (0..8).map(|number| format!("https://example.com/{number}")).collect();
    let long = format!("x{}", "\u{1F980}".repeat(1000));
    publish(
        &server,
        "",
        &[
            json!({ "topic": topics, "data": long, "type": "crab", "id": "own", "retry": 7 }),
            json!({ "topic": A, "data": "b\nc" }),
        ],
    );
    let page = history(&server, "topic=https://example.com/7&topic=https://example.com/a", "");
    assert_eq!(page["events"][0]["data"], "b\nc");
    assert_eq!(page["events"][0]["event"], "message");
    let event = &page["events"][1];
    assert_eq!(
        (&event["id"], &event["event"], &event["private"]),
        (&json!("own"), &json!("crab"), &json!(false))
    );
    assert_eq!((&event["topics"], &event["more_topics"]), (&json!(topics[..5]), &json!(3)));
    assert_eq!(event["size"], 4001);
    let shown = event["data"].as_str().expect("text");
    assert!(long.starts_with(shown) && (2045..=2048).contains(&shown.len()), "{} bytes", shown.len());
    assert!(event["time"].as_u64().is_some_and(|time| time > 1_700_000_000_000), "{event}");

    // An id that a publisher chose is a position, too.
    let page = history(&server, "topic=*&before=own&limit=1", "");
    assert!(data_is(&page, &[]) && page["older"].is_null(), "{page}");
    assert_eq!(data(&history(&server, "topic=https://example.com/a&after=own", "")), ["b\nc"]);
}

fn data_is(page: &Value, wanted: &[&str]) -> bool {
    data(page) == wanted
}

#[test]
fn pages_hold_each_update_once_in_both_directions() {
    let folder = Folder::new();
    let path = folder.0.to_string_lossy().into_owned();
    for store in ["memory", &path] {
        let server = start(serve().args(["--dev", "--subscriptions=false", "--store", store]));
        let updates: Vec<Value> = (0..257)
            .map(|number| {
                let topic = if number % 3 == 0 { A } else { B };
                json!({ "topic": topic, "data": number.to_string() })
            })
            .collect();
        publish(&server, "", &updates);
        for (topic, of) in
            [("*", 257), (A, 86), ("https://example.com/{x}", 257), ("https://example.com/c", 0)]
        {
            for limit in [1, 7, 100, 1000] {
                if limit == 1 && of > 100 {
                    continue;
                }
                let back = walk(&server, topic, limit, "older", "before", None);
                assert_eq!(back.len(), of, "{store}, {topic}, {limit} at once");
                let numbers: Vec<u32> = back.iter().map(|data| data.parse().expect("a number")).collect();
                assert!(numbers.is_sorted_by(|a, b| a > b), "{numbers:?}");
                let mut forth = walk(&server, topic, limit, "newer", "after", Some("earliest"));
                forth.reverse();
                let mut sorted: Vec<u32> = forth.iter().map(|data| data.parse().expect("a number")).collect();
                sorted.sort_by(|a, b| b.cmp(a));
                assert_eq!(sorted, numbers, "{store}, {topic}, {limit} at once");
            }
        }
        // From a page there is a way back to the one before.
        let first = history(&server, "topic=*&limit=10", "");
        let second = history(&server, &format!("topic=*&limit=10&before={}", id(&first["older"])), "");
        let back = history(&server, &format!("topic=*&limit=10&after={}", id(&second["newer"])), "");
        assert_eq!(data(&back), data(&first));
        let again = history(&server, &format!("topic=*&limit=10&before={}", id(&back["older"])), "");
        assert_eq!(data(&again), data(&second));
    }
}

fn id(value: &Value) -> &str {
    value.as_str().expect("an id")
}

/// All data, page for page.
fn walk(
    server: &Server,
    topic: &str,
    limit: usize,
    way: &str,
    parameter: &str,
    from: Option<&str>,
) -> Vec<String> {
    let mut all = Vec::new();
    let mut place = from.map(str::to_owned);
    loop {
        let place_of = place.map(|id| format!("&{parameter}={id}")).unwrap_or_default();
        let page = history(server, &format!("topic={topic}&limit={limit}{place_of}"), "");
        assert!(data(&page).len() <= limit.min(100), "a page has {}", data(&page).len());
        all.extend(data(&page).into_iter().map(str::to_owned));
        match page[way].as_str() {
            Some(id) => place = Some(id.to_owned()),
            None => return all,
        }
    }
}

#[test]
fn a_search_ends_in_time_and_names_the_next_page() {
    let server = locked();
    let publisher = token(&["*"], &[]);
    publish(&server, &publisher, &[json!({ "topic": A, "data": "first" })]);
    let secret = vec![json!({ "topic": B, "private": true, "data": "not for all" }); 9_000];
    for _ in 0..5 {
        publish(&server, &publisher, &secret);
    }
    // A reader without a grant gets nothing of 45,000 updates, over several empty pages.
    let (mut pages, mut place) = (0, String::new());
    loop {
        let page = history(&server, &format!("topic=*{place}"), "");
        pages += 1;
        if let [only] = data(&page)[..] {
            assert_eq!((only, &page["older"]), ("first", &Value::Null));
            break;
        }
        assert!(data_is(&page, &[]), "{page}");
        place = format!("&before={}", id(&page["older"]));
    }
    assert!((2..=10).contains(&pages), "{pages} pages");
}

// Figures

#[test]
fn metrics_need_the_grant_to_list_subscriptions() {
    let server = locked();
    let all = format!("{HUB}/subscriptions");
    for (token, status) in [
        (String::new(), 401),
        (token(&["*"], &[]), 403),
        (token(&[], &[A]), 403),
        (token(&[], &[&format!("{all}/{{topic}}/{{subscriber}}")]), 403),
        (ending(&[&all], -10), 401),
        (token(&[], &[&all]), 200),
        (token(&[], &["*"]), 200),
    ] {
        assert_eq!(get(&server, "/hub/stats", &token).status, status);
    }
}

#[test]
fn figures_end_with_the_token_that_they_were_asked_by() {
    let server = locked();
    let answer = get(&server, "/hub/stats", &ending(&["*"], 3));
    let mut stream = Stream::of(answer);
    // `next` panics unless the body ends as HTTP requires.
    while stream.next().is_some() {}
    let (status, _) = json_of(get(&server, "/hub/stats", &ending(&["*"], 0)));
    assert_eq!(status, 401);
}

#[test]
fn the_pages_figures_equal_the_metrics() {
    let server = open();
    let subscriber = get(&server, &format!("{HUB}?topic={A}"), "");
    let mut figures = Stream::open(server.addr, "/hub/stats");
    let before = figures.find("stats").json();
    assert_eq!(before["subscribers"], 1);
    let updates: Vec<Value> =
        (0..30).map(|number| json!({ "topic": A, "data": number.to_string() })).collect();
    publish(&server, "", &updates);
    let of = |stats: &Value, name: &str| stats[name]["total"].as_u64().expect("a number");
    let mut told = Vec::new();
    while told.last().is_none_or(|stats| of(stats, "published") < 30 || of(stats, "delivered") < 30) {
        told.push(figures.find("stats").json());
    }
    let after = &told[told.len() - 1];
    assert_eq!((of(after, "published"), of(after, "delivered")), (30, 30));
    // A second may be a little shorter.
    let rates = told.iter().filter_map(|stats| stats["published"]["per_second"].as_f64());
    assert!((20.0..40.0).contains(&rates.sum::<f64>()), "{told:#?}");
    let latencies = told
        .iter()
        .filter_map(|stats| Some((stats["latency"]["p50"].as_f64()?, stats["latency"]["p99"].as_f64()?)));
    let latencies: Vec<_> = latencies.collect();
    assert!(!latencies.is_empty() && latencies.iter().all(|(p50, p99)| p50 <= p99), "{told:#?}");
    let metrics = get(&server, "/metrics", "").text();
    for line in
        ["ssekit_events_published_total 30", "ssekit_events_delivered_total 30", "ssekit_subscribers 1"]
    {
        assert!(metrics.lines().any(|found| found == line), "no {line} in\n{metrics}");
    }
    // A second without a publication has no latency, and a rate of 0.
    let quiet = figures.find("stats").json();
    assert_eq!((&quiet["published"]["per_second"], &quiet["latency"]["p50"]), (&json!(0.0), &Value::Null));

    drop(subscriber);
    publish(&server, "", &[json!({ "topic": A })]);
    std::iter::from_fn(|| Some(figures.find("stats").json()))
        .find(|stats| stats["ends"]["left"] == 1 && stats["subscribers"] == 0)
        .expect("it never ends");
    // A late reader gets the kept figures.
    let mut late = Stream::open(server.addr, "/hub/stats");
    assert_eq!(late.next().expect("the stream goes on").json(), before);
}

#[test]
fn the_end_of_the_program_ends_the_figures() {
    let mut server = open();
    let mut figures = Stream::open(server.addr, "/hub/stats");
    figures.find("stats");
    server.program.signal("TERM");
    while figures.next().is_some() {}
    assert_eq!(server.program.wait().code(), Some(0));
}

// Explanations

fn explain(server: &Server, token: &str, action: &str, topics: &[&str]) -> Value {
    let question = json!({ "token": token, "action": action, "topics": topics }).to_string();
    let (status, explanation) = json_of(post(server, "/hub/explain", "", "application/json", &question));
    assert_eq!(status, 200, "{explanation}");
    explanation
}

#[test]
fn a_token_is_explained_check_for_check() {
    let server = locked();
    let good = token(&["https://example.com/{x}"], &[USER]);
    let (head, _) = good.rsplit_once('.').expect("three parts");
    let forged = format!("{head}.AAAA");
    for (token, action, topics, allowed, last, words) in [
        (&*good, "publish", &[A, B][..], true, "topic", "https://example.com/{x}"),
        (&good, "publish", &[A, "https://example.org/"], false, "topic", "https://example.org/"),
        (&good, "subscribe", &[USER], true, "topic", "“mercure.subscribe”"),
        (&good, "subscribe", &[A], false, "topic", "does not grant"),
        (&forged, "publish", &[A], false, "signature", "signature is invalid"),
        (&ending(&[A], -100), "subscribe", &[A], false, "time", "expired 100 s ago"),
        ("no token", "publish", &[A], false, "form", "three parts"),
        ("", "publish", &[A], false, "token", "publishing needs a token"),
        ("", "subscribe", &[A], false, "token", "no private ones"),
        ("", "subscribe", &[], true, "token", "may read public updates"),
    ] {
        let explanation = explain(&server, token, action, topics);
        let check = explanation["checks"].as_array().and_then(|checks| checks.last()).expect("a check");
        assert_eq!(explanation["allowed"], allowed, "{explanation}");
        assert_eq!((&check["name"], &check["passed"]), (&json!(last), &json!(allowed)), "{explanation}");
        assert!(
            check["detail"].as_str().is_some_and(|detail| detail.contains(words)),
            "{words:?} is not in {check}"
        );
    }
    let said = explain(&server, &forged, "publish", &[A]);
    assert_eq!(said["claims"]["mercure"]["subscribe"], json!([USER]));
    let open = open();
    let explanation = explain(&open, "anything", "publish", &[A]);
    assert_eq!(explanation["allowed"], true, "{explanation}");
}

#[test]
fn a_question_has_limits_and_no_token_is_repeated_or_logged() {
    let mut server = start(with_key(&mut serve()).args(["--store", "memory", "--log-level", "trace"]));
    let secret = "eyJTHISISSECRET";
    let many: Vec<String> = (0..101).map(|number| number.to_string()).collect();
    for (content_type, body, status) in [
        (
            "application/json",
            json!({ "token": secret, "action": "publish", "topics": many }).to_string(),
            413,
        ),
        ("application/json", json!({ "token": secret.repeat(5_000), "action": "publish" }).to_string(), 413),
        ("application/json", json!({ "token": secret, "action": "eat" }).to_string(), 400),
        ("application/json", format!("{{\"token\": \"{secret}\""), 400),
        ("text/plain", json!({ "token": secret, "action": "publish" }).to_string(), 415),
    ] {
        let (found, problem) = json_of(post(&server, "/hub/explain", "", content_type, &body));
        assert_eq!(found, status, "{problem}");
        assert!(!problem.to_string().contains(secret), "{problem}");
    }
    assert_eq!(explain(&server, secret, "publish", &[A])["allowed"], false);
    assert_eq!(get(&server, "/hub/explain", "").status, 405);
    server.program.signal("TERM");
    server.program.wait();
    let logged = server.program.stderr.rest();
    assert!(!logged.contains(secret), "{logged}");
}
