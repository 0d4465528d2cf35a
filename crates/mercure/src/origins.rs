//! Lists of web origins and patterns of them.

use std::fmt;
use std::str::FromStr;

use url::{Host, Position, Url};

/// Web origins whose pages have a permission: all, some or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Every page, but none with cookies.
    Any,
    /// No page.
    #[default]
    None,
    /// Pages of the visitor's own machine, on every port.
    Local,
    /// Pages of these origins.
    Listed(Vec<AllowedOrigin>),
}

impl Origins {
    /// Reads a list, in which `*` is every origin.
    ///
    /// # Errors
    /// When a text is no origin.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, OriginError> {
        let allowed = texts.into_iter().map(str::parse).collect::<Result<Vec<AllowedOrigin>, _>>()?;
        Ok(allowed.into())
    }

    /// Whether pages of this origin have the permission. The origin `null` never has it.
    pub fn has(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::None => false,
            Self::Local => is_local(origin),
            Self::Listed(allowed) => allowed.iter().any(|allowed| allowed.admits(origin)),
        }
    }
}

impl From<Vec<AllowedOrigin>> for Origins {
    fn from(allowed: Vec<AllowedOrigin>) -> Self {
        if allowed.iter().any(AllowedOrigin::is_any) {
            Self::Any
        } else if allowed.is_empty() {
            Self::None
        } else {
            Self::Listed(allowed)
        }
    }
}

/// One entry of a list of origins: `https://app.example:8443`, or a pattern.
///
/// In `https://*.app.example`, `*` stands for exactly one label: `https://a.app.example`, but neither
/// `https://app.example` nor `https://b.a.app.example`. In `http://localhost:*` it stands for any port,
/// including the scheme's default. `*` alone is every origin.
///
/// ```
/// use ssekit_mercure::Origins;
///
/// let origins = Origins::parse(["https://*.app.example", "http://localhost:*"])?;
/// assert!(origins.has("https://blog.app.example") && origins.has("http://localhost:5173"));
/// assert!(!origins.has("https://app.example") && !origins.has("https://a.b.app.example"));
/// # Ok::<(), ssekit_mercure::OriginError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedOrigin(Allowed);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Allowed {
    Any,
    Some {
        scheme: String,
        /// Whether one label precedes the host.
        subdomains: bool,
        /// Host as browsers write it.
        host: String,
        port: Port,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Port {
    Any,
    /// `None` is the default port of the scheme.
    Is(Option<u16>),
}

impl AllowedOrigin {
    /// Whether this is `*`.
    pub fn is_any(&self) -> bool {
        self.0 == Allowed::Any
    }

    /// Whether it is this origin, or a pattern that covers it.
    ///
    /// Browsers write origins as RFC 6454, section 6.2, says.
    pub fn admits(&self, origin: &str) -> bool {
        let Allowed::Some { scheme, subdomains, host, port } = &self.0 else { return true };
        let Some(rest) = origin.strip_prefix(&**scheme).and_then(|rest| rest.strip_prefix("://")) else {
            return false;
        };
        let (name, number) = split_port(rest);
        let is_host = match subdomains {
            false => name == host,
            true => {
                let label = name.strip_suffix(&**host).and_then(|name| name.strip_suffix('.'));
                label.is_some_and(is_label)
            }
        };
        is_host
            && match (port, number) {
                (Port::Any, None) => true,
                (Port::Any, Some(number)) => is_number(number),
                (Port::Is(port), number) => port.map(|port| port.to_string()).as_deref() == number,
            }
    }
}

impl FromStr for AllowedOrigin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        parse(text).map(Self).ok_or_else(|| OriginError(text.to_owned()))
    }
}

/// Writes the entry as in a configuration.
impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Allowed::Some { scheme, subdomains, host, port } = &self.0 else { return f.write_str("*") };
        write!(f, "{scheme}://{}{host}", if *subdomains { "*." } else { "" })?;
        match port {
            Port::Any => f.write_str(":*"),
            Port::Is(Some(port)) => write!(f, ":{port}"),
            Port::Is(None) => Ok(()),
        }
    }
}

fn parse(text: &str) -> Option<Allowed> {
    if text == "*" {
        return Some(Allowed::Any);
    }
    let (scheme, authority) = text.split_once("://")?;
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return None;
    }
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let (authority, port) = match authority.strip_suffix(":*") {
        Some(host) if split_port(host).1.is_none() => (host, Some(Port::Any)),
        Some(_) => return None,
        None => (authority, None),
    };
    let (host, subdomains) = match authority.strip_prefix("*.") {
        Some(host) => (host, true),
        None => (authority, false),
    };
    // The URL parser takes these characters for other parts of a URL, or drops them.
    let is_sound = |character: char| {
        !character.is_whitespace() && !character.is_control() && !"/\\?#@*,%".contains(character)
    };
    if host.is_empty() || host.ends_with(':') || !host.chars().all(is_sound) {
        return None;
    }
    let url = Url::parse(&format!("{scheme}://{host}")).ok()?;
    match url.host()? {
        Host::Domain(name) => {
            let is_wide = subdomains && !name.contains('.') && name != "localhost";
            let name = name.strip_suffix('.').unwrap_or(name);
            if is_wide || !name.split('.').all(is_label) {
                return None;
            }
        }
        Host::Ipv4(_) | Host::Ipv6(_) if subdomains => return None,
        Host::Ipv4(_) | Host::Ipv6(_) => {}
    }
    Some(Allowed::Some {
        scheme: url.scheme().to_owned(),
        subdomains,
        host: url.host_str()?.to_owned(),
        port: port.unwrap_or_else(|| Port::Is(url.port())),
    })
}

/// Splits an authority into host and port.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// Whether a text is one label of a host, as browsers write it.
fn is_label(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    (1..=63).contains(&text.len()) && text.bytes().all(is_letter)
}

fn is_number(port: &str) -> bool {
    port.parse::<u16>().is_ok_and(|number| number.to_string() == port)
}

/// Whether an origin is the visitor's own machine: `localhost`, or a loopback address.
///
/// A text that is not in the form in which browsers write origins, such as a URL with a user name or a path,
/// is not local.
pub(super) fn is_local(origin: &str) -> bool {
    let Ok(url) = Url::parse(origin) else { return false };
    if origin != format!("{}://{}", url.scheme(), &url[Position::BeforeHost..Position::AfterPort]) {
        return false;
    }
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Text that is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an origin: use scheme, host and port, such as https://example.com:8443, or a pattern: https://*.example.com (any one label), \
     http://localhost:* (any port) or *"
)]
pub struct OriginError(String);
