//! Permissions of pages of other origins, and the headers by which they find the hub.

use http::{HeaderMap, Method};
use ssekit_mercure::{Origins, cors, discovery};

use crate::request::{HUB, get, request};

fn origins() -> Origins {
    Origins::parse(["https://a.example", "https://b.example"]).unwrap()
}

/// Headers of an answer to a page of this origin.
fn answer(origins: &Origins, origin: Option<&str>) -> HeaderMap {
    let headers: Vec<_> = origin.iter().map(|origin| ("origin", *origin)).collect();
    let mut answer = HeaderMap::new();
    cors::allow_reading(&get(HUB, &headers), origins, &mut answer);
    answer
}

fn of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

#[test]
fn line_16_pages_of_listed_origins_may_read_and_ask() {
    let headers = answer(&origins(), Some("https://a.example"));
    assert_eq!(of(&headers, "access-control-allow-origin"), Some("https://a.example"));
    assert_eq!(of(&headers, "vary"), Some("Origin"));
    let ask = [("origin", "https://a.example"), ("access-control-request-method", "POST")];
    let preflight = request(Method::OPTIONS, HUB, &ask);
    assert!(cors::is_preflight(&preflight));
    assert!(!cors::is_preflight(&get(HUB, &ask)));
    assert!(!cors::is_preflight(&request(Method::OPTIONS, HUB, &ask[..1])));
    let mut headers = HeaderMap::new();
    cors::allow_request(&preflight, &origins(), &mut headers);
    assert_eq!(of(&headers, "access-control-allow-methods"), Some("GET, POST"));
    for name in ["Authorization", "Last-Event-ID", "Cache-Control", "Content-Type"] {
        assert!(of(&headers, "access-control-allow-headers").unwrap().contains(name), "{name}");
    }
    let mut refused = HeaderMap::new();
    let ask = [("origin", "https://c.example"), ("access-control-request-method", "POST")];
    cors::allow_request(&request(Method::OPTIONS, HUB, &ask), &origins(), &mut refused);
    assert_eq!(refused.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["vary"]);
}

#[test]
fn line_17_credentials_are_for_listed_origins_and_never_for_all() {
    let listed = answer(&origins(), Some("https://b.example"));
    assert_eq!(of(&listed, "access-control-allow-credentials"), Some("true"));
    for origin in ["https://c.example", "https://a.example.evil.example", "null", "https://A.example", "*"] {
        let headers = answer(&origins(), Some(origin));
        assert_eq!(of(&headers, "access-control-allow-origin"), None, "{origin}");
        assert_eq!(of(&headers, "access-control-allow-credentials"), None, "{origin}");
        // So no cache gives this answer to an allowed page.
        assert_eq!(of(&headers, "vary"), Some("Origin"));
    }
    for origin in ["https://c.example", "null"] {
        let all = answer(&Origins::Any, Some(origin));
        assert_eq!(of(&all, "access-control-allow-origin"), Some("*"), "never the origin that asks");
        assert_eq!(of(&all, "access-control-allow-credentials"), None);
    }
    assert!(answer(&Origins::None, Some("https://a.example")).is_empty());
}

#[test]
fn line_105_pages_may_read_the_headers_that_matter() {
    let headers = answer(&origins(), Some("https://a.example"));
    let exposed = of(&headers, "access-control-expose-headers").unwrap();
    for name in [
        "Link",
        "Last-Event-ID",
        "Mercure-Last-Event-ID",
        "ssekit-reset",
        "Retry-After",
        "WWW-Authenticate",
        "ETag",
    ] {
        assert!(exposed.split(", ").any(|known| known == name), "{name}");
    }
    assert_eq!(ssekit_mercure::subscriptions::CONTENT_TYPE, "application/ld+json");
}

#[test]
fn line_93_the_answer_names_the_event_after_which_it_begins() {
    for id in ["urn:ssekit:x", discovery::EARLIEST, "é"] {
        let mut headers = HeaderMap::new();
        discovery::begins_after(id, &mut headers);
        for name in ["last-event-id", "mercure-last-event-id"] {
            assert_eq!(headers[name].as_bytes(), id.as_bytes(), "{name}");
        }
    }
}

#[test]
fn line_110_the_hub_advertises_its_path() {
    let mut headers = HeaderMap::new();
    discovery::link(HUB, &mut headers);
    assert_eq!(of(&headers, "link"), Some("</.well-known/mercure>; rel=\"mercure\""));
}
