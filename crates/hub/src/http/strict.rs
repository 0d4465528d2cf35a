//! Rules of HTTP/1 that hyper leaves to the server.

use axum::extract::{Request, State};
use axum::http::header::HOST;
use axum::http::{HeaderMap, Version};
use axum::middleware::Next;
use axum::response::Response;
use http_body::Body as _;
use ssekit_mercure::{Problem, ProblemKind};

use super::routes::{Context, refused};

/// Refuses a request with an invalid `Host`, and ends HTTP/1.0 connections after answers of unknown length.
pub(super) async fn strict(State(context): State<Context>, request: Request, next: Next) -> Response {
    let version = request.version();
    if let Some(wrong) = wrong_host(version, request.headers()) {
        let (parts, _) = request.into_parts();
        return refused(&context.hub, &parts, &Problem::new(ProblemKind::Malformed, wrong));
    }
    let mut response = next.run(request).await;
    // The end of the connection ends the body, so the connection must not be announced as kept alive (RFC
    // 9112, section 9.3); hyper does that unless the version is HTTP/1.0.
    if version == Version::HTTP_10 && response.body().size_hint().exact().is_none() {
        *response.version_mut() = Version::HTTP_10;
    }
    response
}

/// Fault of the `Host` of a request.
///
/// HTTP/1.1 needs exactly one, and it is a host with or without a port (RFC 9112, section 3.2).
pub(super) fn wrong_host(version: Version, headers: &HeaderMap) -> Option<&'static str> {
    let mut hosts = headers.get_all(HOST).iter();
    let Some(host) = hosts.next() else {
        return (version == Version::HTTP_11)
            .then_some("the request has no header Host, which HTTP/1.1 requires");
    };
    if hosts.next().is_some() {
        return Some("the request has more than one header Host; send one");
    }
    (!is_host(host.as_bytes()))
        .then_some("the header Host is not a host name or IP address, with or without a port")
}

/// Whether it is `uri-host [ ":" port ]` (RFC 9110, section 7.2), where the host may be empty.
fn is_host(value: &[u8]) -> bool {
    let (host, port) = match value.iter().rposition(|byte| *byte == b':') {
        // The colons of an IPv6 address are inside brackets.
        Some(at) if !value[at..].contains(&b']') => (&value[..at], &value[at + 1..]),
        _ => (value, &[][..]),
    };
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(byte);
    let is_address = |byte: &u8| byte.is_ascii_alphanumeric() || b":.%-_~".contains(byte);
    let is_valid = match host {
        [b'[', inner @ .., b']'] => !inner.is_empty() && inner.iter().all(is_address),
        name => name.iter().all(is_name),
    };
    is_valid && port.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::is_host;

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for good in [
            "",
            "localhost",
            "localhost:",
            "a.example:80",
            "127.0.0.1:3000",
            "[::1]",
            "[::1]:3000",
            "xn--9ca.example",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "a b",
            "127.0.0.1:x",
            "localhost:80@evil",
            "a@b",
            "a/b",
            "::1",
            "[::1",
            "[]",
            "[::1]x",
            "a:1:2",
            "a\u{e9}",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }
}
