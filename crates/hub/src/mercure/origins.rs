use url::Url;

/// The web origins whose pages may do something: all, some or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Every page, but none with cookies.
    Any,
    /// None.
    #[default]
    None,
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
            Self::Listed(origins) => origins.iter().any(|listed| listed == origin),
        }
    }
}

/// A text that is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no origin: give scheme, host and port, as https://example.com:8443, or *")]
pub struct OriginError(String);
