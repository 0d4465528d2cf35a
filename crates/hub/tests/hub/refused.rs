//! Refused requests: status, problem type, challenge and detail of each.

use crate::client::{Connection, Request, text};
use crate::setup::{HUB, TestHub, claims, publication, sign, sign_with, token};
use crate::stream::Way;

struct Refusal {
    request: Request,
    status: u16,
    problem: &'static str,
    /// Beginning of the challenge.
    challenge: Option<&'static str>,
    /// Text that the detail contains.
    names: &'static str,
}

/// Refusal without a challenge.
fn plain(request: Request, status: u16, problem: &'static str, names: &'static str) -> Refusal {
    Refusal { request, status, problem, challenge: None, names }
}

fn challenged(
    request: Request,
    (status, challenge): (u16, &'static str),
    problem: &'static str,
    names: &'static str,
) -> Refusal {
    Refusal { request, status, problem, challenge: Some(challenge), names }
}

async fn check(way: Way, hub: &TestHub, refusal: &Refusal) {
    let Refusal { request, status, problem, challenge, names } = refusal;
    let answer = way.ask(hub, request).await;
    let shown = format!("{} {} by {way:?}: {}", request.method, request.target, answer.body);
    assert_eq!(answer.status, *status, "{shown}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{shown}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{shown}");
    let json = answer.json();
    assert_eq!(json["type"], format!("urn:ssekit:problem:{problem}"), "{shown}");
    assert_eq!(json["status"], *status, "{shown}");
    assert!(json["title"].as_str().is_some_and(|title| !title.is_empty()), "{shown}");
    assert!(json["detail"].as_str().unwrap().contains(names), "{names} in {shown}");
    assert_eq!(
        answer.status == 405,
        answer.header("allow").is_some_and(|allow| allow.contains("GET")),
        "{shown}"
    );
    match (challenge, answer.header("www-authenticate")) {
        (None, None) => {}
        (Some("Bearer"), found) => assert_eq!(found, Some("Bearer"), "{shown}"),
        (Some(wanted), Some(found)) => assert!(found.starts_with(wanted), "{found}: {shown}"),
        (wanted, found) => panic!("{wanted:?} and not {found:?}: {shown}"),
    }
}

const MISSING: (u16, &str) = (401, "Bearer");
const INVALID: (u16, &str) = (401, "Bearer error=\"invalid_token\"");
const SCOPE: (u16, &str) = (403, "Bearer error=\"insufficient_scope\"");
const MALFORMED: (u16, &str) = (400, "Bearer error=\"invalid_request\"");

fn expired() -> String {
    let mut claims = claims(&["*"], &["*"]);
    claims.exp = Some(1);
    sign(&claims)
}

fn forged() -> String {
    sign_with(&claims(&["*"], &["*"]), "another secret that is long enough: 32 bytes")
}

#[tokio::test(flavor = "multi_thread")]
async fn line_64_to_67_every_refusal_of_a_subscriber_names_the_reason_on_each_transport() {
    let hub = TestHub::usual().await;
    let get = |query: &str| Request::get(format!("{HUB}?{query}"));
    let refusals = [
        challenged(get("topic=a").bearer(&forged()), INVALID, "invalid-token", "the header Authorization"),
        challenged(get("topic=a").bearer(&expired()), INVALID, "invalid-token", "the header Authorization"),
        challenged(get("topic=a").bearer("no.token"), INVALID, "invalid-token", "the header Authorization"),
        challenged(get(&format!("topic=a&authorization={}", forged())), INVALID, "invalid-token", "query"),
        challenged(
            get("topic=a").with("cookie", &format!("mercureAuthorization={}", expired())),
            INVALID,
            "invalid-token",
            "the cookie mercureAuthorization",
        ),
        challenged(
            get("topic=a").with("authorization", &forged()),
            MALFORMED,
            "invalid-presentation",
            "Bearer TOKEN",
        ),
        challenged(
            get("topic=a&authorization=x&authorization=y"),
            MALFORMED,
            "invalid-presentation",
            "authorization",
        ),
        plain(get(""), 400, "missing-topic", "?topic="),
        plain(get("lastEventID=x"), 400, "missing-topic", "?topic="),
        plain(get("topic="), 400, "invalid-selector", "empty"),
        plain(get("topic=a%00b"), 400, "invalid-selector", "U+0000"),
        plain(get("topic=a%E2%80%AEb"), 400, "invalid-selector", "U+202E"),
        plain(get("topic=%FF"), 400, "not-utf-8", "topic"),
        plain(get("Match=a"), 400, "unsupported-matcher", "Match"),
        plain(get("match_regexp=a"), 400, "unsupported-matcher", "match_regexp"),
        plain(get(&format!("topic={}", "x".repeat(4097))), 400, "invalid-selector", "4097"),
        plain(get(&"topic=a&topic=b&".repeat(51)), 400, "invalid-selector", "100"),
        plain(get(&format!("topic=a&lastEventID={}", "x".repeat(1025))), 400, "invalid-id", "1025"),
        plain(Request::get("/nothing"), 404, "not-found", "nothing"),
        plain(
            Request::get("/nothing"),
            404,
            "not-found",
            "/.well-known/mercure, /healthz, /readyz, /metrics",
        ),
        plain(Request::new("DELETE", "/nothing"), 404, "not-found", "nothing"),
        plain(Request::get(format!("{HUB}/subscriptions")), 404, "not-found", "--subscriptions"),
        plain(Request::post("/healthz", "x"), 405, "method-not-allowed", "POST"),
        plain(Request::new("DELETE", "/readyz"), 405, "method-not-allowed", "DELETE"),
        plain(Request::new("OPTIONS", "/metrics"), 405, "method-not-allowed", "OPTIONS"),
    ];
    Way::each(async |way| {
        for refusal in &refusals {
            check(way, &hub, refusal).await;
        }
    })
    .await;
    let closed = TestHub::start(|setup| setup.access.anonymous = false).await;
    let missing = challenged(get("topic=a"), MISSING, "missing-token", "mercureAuthorization");
    Way::each(async |way| check(way, &closed, &missing).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_of_a_publisher_names_the_reason_and_publishes_nothing() {
    let hub = TestHub::usual().await;
    let post = |form: &str| Request::post(HUB, form);
    let cookie = format!("mercureAuthorization={}", token(&["*"], &[]));
    let refusals = [
        challenged(post("topic=a"), MISSING, "missing-token", "Authorization: Bearer"),
        challenged(post("topic=a").bearer(&forged()), INVALID, "invalid-token", "signature"),
        challenged(post("topic=a").bearer(&expired()), INVALID, "invalid-token", "Authorization"),
        challenged(
            post("topic=a").bearer(&token(&[], &["*"])),
            SCOPE,
            "insufficient-scope",
            "mercure.publish",
        ),
        challenged(post("topic=a").bearer(&token(&["b"], &[])), SCOPE, "insufficient-scope", "“a”"),
        challenged(post("topic=b&topic=a").bearer(&token(&["b"], &[])), SCOPE, "insufficient-scope", "“a”"),
        challenged(post("topic=a").with("cookie", &cookie), SCOPE, "foreign-origin", "Origin"),
        plain(publication(""), 400, "missing-topic", "topic"),
        plain(publication("topic=*"), 400, "invalid-topic", "*"),
        plain(publication("topic=a%0Ab"), 400, "invalid-topic", "U+000A"),
        plain(publication(&format!("topic={HUB}")), 400, "reserved-topic", HUB),
        plain(publication("topic=a&topic=/x/../.well-known/mercur%2565/y"), 400, "reserved-topic", HUB),
        plain(publication("topic=a&id=%23x"), 400, "invalid-id", "#"),
        plain(publication("topic=a&id=earliest"), 400, "invalid-id", "earliest"),
        plain(publication("topic=a&type=mercure"), 400, "invalid-type", "mercure"),
        plain(publication("topic=a&type=a%0Ddata:x"), 400, "invalid-type", "U+000D"),
        plain(publication("topic=a&retry=%2B1"), 400, "invalid-retry", "+1"),
        plain(publication("topic=a&data=1&data=2"), 400, "repeated-field", "data"),
        plain(publication("topic=a&data=%FF"), 400, "not-utf-8", "data"),
        plain(
            publication("{}").with("content-type", "application/json"),
            415,
            "unsupported-media-type",
            "json",
        ),
        plain(Request::new("DELETE", HUB), 405, "method-not-allowed", "DELETE"),
    ];
    Way::each(async |way| {
        for refusal in &refusals {
            check(way, &hub, refusal).await;
        }
    })
    .await;
    assert_eq!(hub.history().await, []);
}

/// A client that sends a POST by mistake, as `fetch` with a body does.
#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_accepts_a_stream_is_answered_with_a_hint() {
    let hub = TestHub::usual().await;
    Way::each(async |way| {
        for (request, problem) in [
            (Request::post(HUB, ""), "missing-token"),
            (Request::post(HUB, "").bearer(&token(&["*"], &[])), "missing-topic"),
            (Request::post(HUB, "").bearer(&token(&[], &["*"])), "insufficient-scope"),
            (
                Request::post(HUB, "{}").bearer(&token(&["*"], &[])).with("content-type", "application/json"),
                "unsupported-media-type",
            ),
        ] {
            let plain = way.ask(&hub, &request).await;
            let wanting = way.ask(&hub, &request.with("accept", "text/event-stream")).await;
            assert_eq!(plain.json()["type"], format!("urn:ssekit:problem:{problem}"), "{plain:?}");
            assert_eq!(wanting.json()["type"], plain.json()["type"]);
            let hint = format!("to subscribe, send GET {HUB}?topic=…");
            assert!(wanting.json()["detail"].as_str().unwrap().contains(&hint), "{wanting:?}");
            assert!(!plain.body.contains("to subscribe, send GET"), "{plain:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_tokens_are_counted_by_each_way() {
    let hub = TestHub::usual().await;
    Way::each(async |way| {
        for request in [
            Request::get(format!("{HUB}?topic=a")).bearer(&forged()),
            Request::get(format!("{HUB}?topic=a&authorization={}", expired())),
            Request::post(HUB, "topic=a").with("cookie", "mercureAuthorization=x").with("origin", "null"),
            Request::post(HUB, "topic=a").bearer(&forged()),
        ] {
            assert!(matches!(way.ask(&hub, &request).await.status, 401 | 403));
        }
    })
    .await;
    let figure = async |problem: &str| {
        hub.figure(&format!("ssekit_requests_refused_total{{problem=\"{problem}\"}}")).await
    };
    assert_eq!((figure("invalid-token").await, figure("foreign-origin").await), (9, 3));
}

/// If two parties read the host differently, checks of the host can be evaded (RFC 9112, section 3.2).
#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_host_or_with_two_is_400_by_whatever_way() {
    let hub = TestHub::usual().await;
    let wrong = [
        "",
        "host: a\r\nhost: a\r\n",
        "host: a\r\nx: y\r\nHOST: b\r\n",
        "host: a b\r\n",
        "host: localhost:80@b\r\n",
    ];
    let form = "topic=a&data=x";
    let asked = [
        format!("GET {HUB}?topic=a HTTP/1.1\r\nHOSTS\r\n"),
        "GET /healthz HTTP/1.1\r\nHOSTS\r\n".to_owned(),
        format!("GET http://a{HUB}?topic=a HTTP/1.1\r\nHOSTS\r\n"),
        format!("GET {HUB}/subscriptions HTTP/1.1\r\nHOSTS\r\n"),
        format!(
            "POST {HUB} HTTP/1.1\r\nHOSTSauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{form}",
            token(&["*"], &[]),
            form.len()
        ),
    ];
    for hosts in wrong {
        for request in &asked {
            let request = request.replace("HOSTS", hosts);
            for first in [true, false] {
                let mut connection = Connection::open(hub.addr).await;
                if !first {
                    assert_eq!(connection.ask(&Request::get("/healthz")).await.status, 200);
                }
                connection.send(request.as_bytes()).await;
                let answer = connection.answer("GET").await;
                assert_eq!(answer.status, 400, "{request}: {}", answer.body);
                assert!(answer.body.contains("Host"), "{request}: {}", answer.body);
            }
        }
    }
    // HTTP/1.0 needs no `Host`.
    let mut connection = Connection::open(hub.addr).await;
    connection.send(b"GET /healthz HTTP/1.0\r\n\r\n").await;
    assert_eq!(connection.head().await.expect("an answer").status, 200);
    assert_eq!(hub.history().await, []);
}

/// Such a stream used to be announced as kept alive, and its reader waited for the end in vain.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_over_http_1_0_ends_with_its_connection() {
    let hub = TestHub::usual().await;
    for more in ["", "connection: keep-alive\r\n"] {
        let mut connection = Connection::open(hub.addr).await;
        connection.send(format!("GET {HUB}?topic=a HTTP/1.0\r\n{more}\r\n").as_bytes()).await;
        let head = connection.head().await.expect("an answer");
        let said = ["connection", "transfer-encoding", "content-length"]
            .map(|name| text(&head.headers, name).map(str::to_owned));
        assert_eq!(head.status, 200);
        assert!(
            matches!(&said, [None, None, None]) || said == [Some("close".to_owned()), None, None],
            "{said:?}"
        );
        // An answer of known length keeps the connection, if the request asks for that.
        let mut connection = Connection::open(hub.addr).await;
        for _ in 0..if more.is_empty() { 1 } else { 3 } {
            connection.send(format!("GET /healthz HTTP/1.0\r\n{more}\r\n").as_bytes()).await;
            let answer = connection.answer("GET").await;
            assert_eq!((answer.status, &*answer.body), (200, "ok\n"));
        }
    }
}
