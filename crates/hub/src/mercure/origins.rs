use url::{Host, Url};

/// The web origins whose pages may do something: all, some or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Every page, but none with cookies.
    Any,
    /// None.
    #[default]
    None,
    /// Pages of the visitor's own machine, on every port.
    Local,
    /// These, as `https://example.com`.
    Listed(Vec<String>),
}

impl Origins {
    /// Reads a list, in which `*` is every origin.
    ///
    /// # Errors
    /// When a text is no origin.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, OriginError> {
        let mut origins = Vec::new();
        for text in texts {
            if text == "*" {
                return Ok(Self::Any);
            }
            let url =
                Url::parse(text).ok().filter(|url| matches!(url.path(), "" | "/") && url.query().is_none());
            let origin = url.map(|url| url.origin()).filter(url::Origin::is_tuple);
            origins.push(origin.ok_or_else(|| OriginError(text.to_owned()))?.ascii_serialization());
        }
        Ok(if origins.is_empty() { Self::None } else { Self::Listed(origins) })
    }

    /// Whether pages of this origin may; `null` is nobody's.
    pub fn has(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::None => false,
            Self::Local => is_local(origin),
            Self::Listed(origins) => origins.iter().any(|listed| listed == origin),
        }
    }
}

/// Whether an origin is one of the visitor's own machine: `localhost`, or a loopback address.
pub(super) fn is_local(origin: &str) -> bool {
    match Url::parse(origin).ok().as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// A text that is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no origin: give scheme, host and port, as https://example.com:8443, or *")]
pub struct OriginError(String);
