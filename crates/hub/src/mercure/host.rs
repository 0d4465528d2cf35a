//! By which names this machine may be asked.

use std::net::IpAddr;

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, Uri};

/// The host that a request asks for, unless that is this machine: by `localhost`, an IP address, or one of its own names. What cannot be read
/// is `?`.
///
/// A URL on the request line goes before the header (RFC 9112, section 3.2.2). Browsers never leave out both.
pub fn foreign_host<'a>(uri: &'a Uri, headers: &'a HeaderMap, own: &[String]) -> Option<&'a str> {
    let header = headers.get(HOST).map(|host| host.to_str().unwrap_or("?"));
    uri.authority().map(Authority::as_str).or(header).filter(|host| !is_ours(host, own))
}

/// Whether a host is this machine by `localhost`, by an IP address, or by one of its own names; ports do not matter.
///
/// The page of another site can have that site's name point at this machine (DNS rebinding). To the browser the hub is then a part of
/// that site; but its requests carry the site's name.
fn is_ours(host: &str, own: &[String]) -> bool {
    let host = name(host).to_ascii_lowercase();
    let is_local = host == "localhost" || host.ends_with(".localhost");
    let is_own = |own: &String| !host.is_empty() && host == name(own).to_ascii_lowercase();
    is_local || host.parse::<IpAddr>().is_ok() || own.iter().any(is_own)
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
            assert!(is_ours(host, &["127.0.0.1:3000".to_owned(), "box.lan:3000".to_owned()]), "{host}");
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
            for own in ["127.0.0.1:3000", ":3000"] {
                assert!(!is_ours(host, &[own.to_owned()]), "{host}");
            }
        }
    }
}
