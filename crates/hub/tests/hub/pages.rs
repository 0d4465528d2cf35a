//! Pages of other origins: CORS headers, preflights, and cookies.

use axum::http::HeaderMap;
use ssekit_mercure::{Access, Origins};

use crate::client::{Request, text};
use crate::setup::{HUB, TestHub, publication, token};
use crate::stream::Way;

const OURS: &str = "https://app.example";
const FOREIGN: &str = "https://evil.example";

async fn hub_for_pages() -> TestHub {
    TestHub::start(|setup| {
        setup.subscriptions = true;
        setup.access.cors_origins = Origins::parse([OURS]).unwrap();
        setup.access.publish_origins = Origins::parse([OURS]).unwrap();
    })
    .await
}

/// The origin that an answer allows, and whether cookies are allowed.
fn allowed(headers: &HeaderMap) -> (Option<&str>, Option<&str>) {
    (text(headers, "access-control-allow-origin"), text(headers, "access-control-allow-credentials"))
}

#[tokio::test(flavor = "multi_thread")]
async fn line_16_and_17_pages_that_are_listed_read_with_cookies_and_others_not() {
    let hub = hub_for_pages().await;
    let secret = token(&[], &["*"]);
    Way::each(async |way| {
        let get = Request::get(format!("{HUB}?topic=a&lastEventID=x"));
        let ours = way.open(&hub, &get.clone().with("origin", OURS)).await;
        assert_eq!(allowed(&ours.headers), (Some(OURS), Some("true")));
        let exposed = ours.header("access-control-expose-headers").unwrap().to_ascii_lowercase();
        assert_eq!(ours.header("ssekit-reset"), Some("unknown"));
        for header in ["last-event-id", "mercure-last-event-id", "link", "ssekit-reset"] {
            assert!(exposed.split(", ").any(|one| one == header), "{header} in {exposed}");
        }
        for origin in [FOREIGN, "null", "https://app.example.evil.example", "http://app.example"] {
            let foreign = way.open(&hub, &get.clone().with("origin", origin)).await;
            assert_eq!(allowed(&foreign.headers), (None, None), "{origin}");
            assert_eq!(foreign.header("vary"), Some("Origin"), "a cache must not give it to another page");
        }
        // A page must be able to read every refusal.
        for refused in [
            Request::get(HUB),
            Request::post(HUB, "topic=a"),
            Request::get(format!("{HUB}/subscriptions")),
            Request::new("DELETE", HUB),
            Request::get("/.well-known/mercur"),
            Request::get(format!("{HUB}?topic={}", "x".repeat(17_000))),
            Request::get(format!("{HUB}?topic=a")).with("x-filler", &"x".repeat(17_000)),
            Request::post(HUB, "topic=a").with("x-filler", &"x".repeat(17_000)),
        ] {
            let answer = way.ask(&hub, &refused.with("origin", OURS)).await;
            assert!(answer.status >= 400, "{answer:?}");
            assert_eq!(allowed(&answer.headers), (Some(OURS), Some("true")), "{answer:?}");
            assert!(answer.json()["detail"].is_string(), "{answer:?}");
        }
        let list = Request::get(format!("{HUB}/subscriptions")).bearer(&secret).with("origin", OURS);
        assert_eq!(allowed(&way.ask(&hub, &list).await.headers), (Some(OURS), Some("true")));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_with_the_wrong_url_may_ask_and_reads_that_nothing_is_there() {
    let hub = hub_for_pages().await;
    let wrong = "/.well-known/mercur?topic=a";
    let ask = |origin: &str| {
        let ask = Request::new("OPTIONS", wrong).with("origin", origin);
        ask.with("access-control-request-method", "GET")
            .with("access-control-request-headers", "authorization")
    };
    Way::each(async |way| {
        let ours = way.ask(&hub, &ask(OURS)).await;
        assert_eq!((ours.status, allowed(&ours.headers)), (204, (Some(OURS), Some("true"))));
        assert_eq!(allowed(&way.ask(&hub, &ask(FOREIGN)).await.headers), (None, None));
        let answer =
            way.ask(&hub, &Request::get(wrong).with("origin", OURS).bearer(&token(&[], &["*"]))).await;
        assert_eq!((answer.status, allowed(&answer.headers)), (404, (Some(OURS), Some("true"))));
        assert!(answer.json()["detail"].as_str().is_some_and(|detail| detail.contains(HUB)), "{answer:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_of_origins_is_answered_with_the_exact_origin() {
    let hub = TestHub::start(|setup| {
        setup.access.cors_origins = Origins::parse(["https://*.app.example", "http://localhost:*"]).unwrap();
    })
    .await;
    Way::each(async |way| {
        for origin in ["https://blog.app.example", "http://localhost:5173"] {
            for request in
                [Request::get(format!("{HUB}?topic=a")), Request::get(HUB), Request::post(HUB, "topic=a")]
            {
                let answer = way.head(&hub, &request.with("origin", origin)).await;
                assert_eq!(allowed(&answer), (Some(origin), Some("true")));
                assert_eq!(text(&answer, "vary"), Some("Origin"));
            }
        }
        for origin in ["https://app.example", "https://a.b.app.example", "https://localhost:5173", FOREIGN] {
            let answer = way.head(&hub, &Request::get(format!("{HUB}?topic=a")).with("origin", origin)).await;
            assert_eq!((allowed(&answer), text(&answer, "vary")), ((None, None), Some("Origin")), "{origin}");
        }
    })
    .await;
}

/// With `--dev`, a page of another site can send a form to a hub on the developer's machine without a
/// preflight.
#[tokio::test(flavor = "multi_thread")]
async fn where_anyone_may_publish_pages_of_other_sites_publish_nothing() {
    let hub = TestHub::start(|setup| {
        setup.access = Access::default();
        setup.access.open = true;
        setup.access.own_names = vec!["hub.test".to_owned()];
    })
    .await;
    Way::each(async |way| {
        for origin in [
            FOREIGN,
            "null",
            "https://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "http://hub.test.evil.example",
        ] {
            for kind in ["application/x-www-form-urlencoded", "text/plain", "application/x-ndjson"] {
                let post =
                    Request::post(HUB, "topic=a&data=x").with("content-type", kind).with("origin", origin);
                let answer = way.ask(&hub, &post).await;
                assert_eq!(answer.status, 403, "{origin} {kind}: {}", answer.body);
                assert_eq!(answer.json()["type"], "urn:ssekit:problem:foreign-origin", "{origin} {kind}");
            }
        }
        let near = Request::post(HUB, "topic=a&data=near").with("origin", "http://localhost:5173");
        assert_eq!(way.ask(&hub, &near).await.status, 200);
    })
    .await;
    assert_eq!(hub.figure("ssekit_events_published_total").await, 3, "one by each way, from this machine");
}

/// No browser takes a JSON answer for a page or a script.
#[tokio::test(flavor = "multi_thread")]
async fn every_answer_in_json_has_a_type_that_no_browser_guesses() {
    let hub = hub_for_pages().await;
    let list = format!("{HUB}/subscriptions");
    Way::each(async |way| {
        for request in [
            Request::get(list.clone()).bearer(&token(&[], &["*"])),
            Request::get(list.clone()),
            Request::get(HUB),
            Request::get(format!("{HUB}?topic=a")).bearer("no.token"),
            Request::post(HUB, "topic=a"),
            Request::post(HUB, "data=a").bearer(&token(&["*"], &[])),
            Request::new("DELETE", HUB),
            Request::post("/healthz", "x"),
            Request::get("/nothing"),
            Request::get(format!("{HUB}?topic=a")).with("x-filler", &"x".repeat(17_000)),
        ] {
            let answer = way.ask(&hub, &request).await;
            let kind = answer.header("content-type").unwrap();
            assert!(kind.ends_with("+json"), "{answer:?}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{request:?}: {answer:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_every_page_may_read_none_sends_cookies() {
    let hub = TestHub::start(|setup| setup.access.cors_origins = Origins::Any).await;
    Way::each(async |way| {
        let request = Request::get(format!("{HUB}?topic=a")).with("origin", FOREIGN);
        assert_eq!(allowed(&way.open(&hub, &request).await.headers), (Some("*"), None));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_request_is_answered_with_the_allowed_methods_and_headers() {
    let hub = hub_for_pages().await;
    for path in [HUB.to_owned(), format!("{HUB}/subscriptions"), format!("{HUB}/subscriptions/a/b")] {
        let ask = |origin: &str| {
            Request::new("OPTIONS", &*path)
                .with("origin", origin)
                .with("access-control-request-method", "POST")
                .with("access-control-request-headers", "authorization, last-event-id")
        };
        let ours = hub.ask(&ask(OURS)).await;
        assert_eq!((ours.status, &*ours.body), (204, ""), "{path}");
        assert!(ours.header("allow").is_some_and(|allow| allow.starts_with("GET, HEAD, ")), "{path}");
        assert_eq!(allowed(&ours.headers), (Some(OURS), Some("true")));
        assert!(ours.header("access-control-allow-methods").unwrap().contains("POST"));
        let headers = ours.header("access-control-allow-headers").unwrap().to_ascii_lowercase();
        for header in ["authorization", "last-event-id", "content-type"] {
            assert!(headers.split(", ").any(|one| one == header), "{header} in {headers}");
        }
        let foreign = hub.ask(&ask(FOREIGN)).await;
        assert_eq!(allowed(&foreign.headers), (None, None));
        assert_eq!(foreign.header("access-control-allow-methods"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn line_119_a_cookie_publishes_only_from_pages_that_are_listed() {
    let hub = hub_for_pages().await;
    let cookie = format!("other=1; mercureAuthorization={}", token(&["*"], &[]));
    let by_cookie = |name: &str| Request::post(HUB, format!("topic=a&data={name}")).with("cookie", &cookie);
    let cases = [
        (200, by_cookie("ours").with("origin", OURS)),
        (200, by_cookie("referred").with("referer", "https://app.example/page?x")),
        (403, by_cookie("foreign").with("origin", FOREIGN)),
        (403, by_cookie("null").with("origin", "null")),
        (403, by_cookie("foreign-referer").with("referer", "https://evil.example/https://app.example/")),
        (403, by_cookie("origin-counts").with("origin", FOREIGN).with("referer", "https://app.example/")),
        (403, by_cookie("nowhere")),
        // A request with a token in its header does not come from a browser that was tricked.
        (200, publication("topic=a&data=header").with("origin", FOREIGN)),
    ];
    for (status, request) in &cases {
        let answer = hub.ask(request).await;
        assert_eq!(
            answer.status,
            *status,
            "{:?}: {}",
            request.body.as_deref().map(String::from_utf8_lossy),
            answer.body
        );
    }
    let mut stream = Way::Socket.subscribe(&hub, "topic=a&lastEventID=earliest").await;
    assert_eq!(stream.datas(3).await, ["ours", "referred", "header"]);
    assert_eq!(hub.figure("ssekit_events_published_total").await, 3);
}
