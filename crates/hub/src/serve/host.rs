//! By which names the server may be asked.
//!
//! The page of another site can have its own name point at this machine (DNS rebinding). To the browser the demo is then
//! a part of that site, which may read it and speak in it; but its requests carry the site's name, and that is refused.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Passes a request on that asks for `localhost`, an IP address or the name that the server was told to listen on.
pub(crate) async fn ours_alone(State(own): State<Arc<[String]>>, request: Request, next: Next) -> Response {
    // A URL on the request line goes before the header (RFC 9112, 3.2.2). Browsers never leave out both.
    let host = match (request.uri().authority(), request.headers().get(header::HOST)) {
        (Some(authority), _) => authority.as_str(),
        (None, Some(host)) => host.to_str().unwrap_or("?"),
        (None, None) => return next.run(request).await,
    };
    if own.iter().any(|own| is_ours(host, own)) || (own.is_empty() && is_ours(host, "")) {
        return next.run(request).await;
    }
    let why = format!(
        "{host:?} is not a name of this server: ask by localhost, by its IP address, or by the name given with --addr\n"
    );
    (StatusCode::MISDIRECTED_REQUEST, why).into_response()
}

/// Both are HOST or HOST:PORT; ports do not matter.
fn is_ours(host: &str, own: &str) -> bool {
    let (host, own) = (name(host).to_ascii_lowercase(), name(own).to_ascii_lowercase());
    let is_local = host == "localhost" || host.ends_with(".localhost");
    is_local || host.parse::<IpAddr>().is_ok() || (!host.is_empty() && host == own)
}

/// The host without its port and, in the case of IPv6, without its brackets.
fn name(host: &str) -> &str {
    if let Some((ip, _)) = host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        return ip;
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machines_names_addresses_and_the_name_it_listens_on_are_ours() {
        for host in [
            "localhost",
            "localhost:3000",
            "LocalHost.",
            "demo.localhost:1",
            "127.0.0.1:3000",
            "192.168.0.7",
            "[::1]:3000",
            "[fe80::1]",
            "Box.lan:3000",
            "box.lan",
        ] {
            assert!(is_ours(host, "box.lan:3000"), "{host}");
        }
    }

    #[test]
    fn other_names_are_not() {
        for host in [
            "",
            ":3000",
            ".",
            "evil.example",
            "evil.example:3000",
            "localhost.evil.example",
            "evillocalhost",
            "127.0.0.1.evil.example",
            "[evil.example]",
            "\u{e9}localhost",
            "?",
        ] {
            assert!(!is_ours(host, "127.0.0.1:3000"), "{host}");
            assert!(!is_ours(host, ":3000"), "{host}");
        }
    }
}
