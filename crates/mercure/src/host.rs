//! Check of the header `Host` against the names of this machine.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, Uri};

/// Returns the host of a request, unless it is this machine.
///
/// This machine is `localhost`, an IP address, or one of its own names. An unreadable host is `?`.
///
/// A URL on the request line takes precedence over the header (RFC 9112, section 3.2.2). Browsers never omit
/// both.
pub fn foreign_host<'a>(uri: &'a Uri, headers: &'a HeaderMap, own: &[String]) -> Option<&'a str> {
    let header = headers.get(HOST).map(|host| host.to_str().unwrap_or("?"));
    uri.authority().map(Authority::as_str).or(header).filter(|host| !is_ours(host, own))
}

/// Whether a host is this machine: `localhost`, an IP address, or one of its own names.
///
/// The port does not matter. A text that is not `host[:port]` (RFC 9110, section 7.2) is not this machine.
///
/// A site can point its own name at this machine (DNS rebinding). The browser then takes the hub for a part
/// of that site, but the requests carry the site's name.
fn is_ours(host: &str, own: &[String]) -> bool {
    match name(host) {
        None => false,
        Some(Name::Address) => true,
        Some(Name::Domain(host)) => {
            let is_local = host == "localhost" || host.ends_with(".localhost");
            is_local || own.iter().any(|own| matches!(name(own), Some(Name::Domain(own)) if own == host))
        }
    }
}

/// Host without its port.
enum Name {
    Address,
    /// In lower case, without the final dot.
    Domain(String),
}

/// Parses the host of `host[:port]`.
fn name(text: &str) -> Option<Name> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            (None, port)
        }
        None => {
            let end = text.find(':').unwrap_or(text.len());
            (Some(&text[..end]), &text[end..])
        }
    };
    let is_port = |port: &str| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
        return None;
    }
    let Some(host) = host else { return Some(Name::Address) };
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if host.parse::<Ipv4Addr>().is_ok() {
        return Some(Name::Address);
    }
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (!host.is_empty() && host.bytes().all(is_letter)).then_some(Name::Domain(host))
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
            "localhost:",
            "127.0.0.1",
            "[::ffff:127.0.0.1]:65535",
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
            "127.0.0.1:x",
            "127.0.0.1:80x",
            "127.0.0.1:-1",
            "127.0.0.1:3000:3000",
            "localhost:80@evil",
            "localhost:80@evil.example:80",
            "user@localhost",
            "localhost@evil.example",
            "localhost:123456",
            "localhost/",
            "localhost:80/evil.example",
            "localhost#evil.example",
            "localhost?evil.example",
            "localhost evil.example",
            "evil.example localhost",
            "localhost,evil.example",
            "localhost..",
            "[::1]x",
            "[::1]evil.example",
            "[::1]:x",
            "[::1",
            "::1",
            "[localhost]",
            "[127.0.0.1]",
            "[fe80::1%25eth0]",
            "127.1",
            "0x7f000001",
            "2130706433",
            "0177.0.0.1",
        ] {
            for own in ["127.0.0.1:3000", ":3000"] {
                assert!(!is_ours(host, &[own.to_owned()]), "{host}");
            }
        }
    }
}
