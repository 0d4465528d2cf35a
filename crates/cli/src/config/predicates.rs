//! Texts with conditions, and the conditions.

use std::net::Ipv6Addr;

use super::value_parser::Text;

pub(super) const ADDRESS: Text = Text { allowed: "an address of the form HOST:PORT", is: is_address };
/// Name that is only compared.
pub(super) const ANY_TEXT: Text = Text { allowed: "a non-empty string", is: |text| !text.is_empty() };
pub(super) const HUB_PATH: Text =
    Text { allowed: "an absolute path such as /.well-known/mercure", is: is_path };
pub(super) const COOKIE: Text = Text { allowed: "a cookie name", is: is_token };
pub(super) const JWKS: Text = Text { allowed: "a file path or an https:// URL", is: is_jwks };

fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_is_valid = match inside {
        Some(inside) => inside.parse::<Ipv6Addr>().is_ok(),
        None => {
            let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            !host.is_empty() && host.bytes().all(valid)
        }
    };
    host_is_valid && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

fn is_path(text: &str) -> bool {
    let valid = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
    };
    text.strip_prefix('/').is_some_and(|path| path.split('/').all(valid))
}

/// A `token` of RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(valid)
}

/// Whether this may be the source of a key set. A party that can change the set in transit can publish.
fn is_jwks(text: &str) -> bool {
    let loopback = |text: &str| {
        let host = text.split(['/', '?', '#']).next().unwrap_or_default();
        let name = host.rsplit_once(':').filter(|_| !host.ends_with(']')).map_or(host, |(name, _)| name);
        matches!(name, "localhost" | "127.0.0.1" | "[::1]")
    };
    match text.split_once("://") {
        Some(("https", rest)) => !rest.is_empty(),
        Some(("http", rest)) => loopback(rest),
        Some(_) => false,
        None => !text.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_condition_accepts_only_valid_texts() {
        type Is = fn(&str) -> bool;
        let table: [(Is, &[&str], &[&str]); 4] = [
            (
                is_address,
                &["127.0.0.1:3000", "localhost:0", "[::1]:80", "0.0.0.0:65535", "my-host.example:1"],
                &[
                    "",
                    "3000",
                    ":3000",
                    "localhost",
                    "localhost:",
                    "a:65536",
                    "::1:80",
                    "[x]:80",
                    "a b:1",
                    "a:+1",
                ],
            ),
            (
                is_path,
                &["/.well-known/mercure", "/hub"],
                &["", "/", "hub", "/hub/", "//", "/a/../b", "/a?b", "/a b"],
            ),
            (is_token, &["mercureAuthorization", "__Secure-token"], &["", "a b", "a;b", "a=b", "ä"]),
            (
                is_jwks,
                &[
                    "keys.json",
                    "/etc/keys.json",
                    "https://a.example/jwks",
                    "http://localhost:1/",
                    "http://[::1]:1/x",
                ],
                &[
                    "",
                    "http://a.example/jwks",
                    "http://localhost.evil.example/",
                    "ftp://localhost/",
                    "https://",
                ],
            ),
        ];
        for (is, valid, invalid) in table {
            for text in valid {
                assert!(is(text), "{text:?}");
            }
            for text in invalid {
                assert!(!is(text), "{text:?}");
            }
        }
    }
}
