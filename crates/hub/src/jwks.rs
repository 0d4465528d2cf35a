//! Key sets (JWKS) that the hub fetches from a URL or a file.
//!
//! The hub fetches them again when their issuer changes them.
//!
//! # Limits
//!
//! | Limited | Limit | Beyond it |
//! |---|---|---|
//! | bytes of a key set; time to fetch it | [`Keys::MAX_SET_BYTES`]; 10 s | the earlier keys stay in use |
//! | fetches; after a failure | one in 30 s; after 1 s, 2 s, … 30 s | 503 for a missing key, or `retry:` |

mod rotation;

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::Request;
use http::header::ACCEPT;
use ssekit_client::{Http, Transport as _, TransportError};
use ssekit_mercure::Keys;
use url::{Host, Url};

pub use self::rotation::{KeyRenewals, Renewal, Renewed, Rotation, Schedule};

/// Checks the URL of a key set: `https`, or `http` on this machine.
///
/// Fetches follow no redirect, so that an issuer cannot make the hub request hosts that only the hub can
/// reach.
///
/// # Errors
/// When it is no such URL, or contains a user name and password.
pub fn check_url(text: &str) -> Result<Url, UrlError> {
    let url = Url::parse(text).map_err(|error| UrlError::new(text, &error.to_string()))?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => return Err(UrlError::new(text, "it has no host")),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlError::new(text, "it contains a user name or password, which would be logged"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        "http" => Err(UrlError::new(
            text,
            "others on the network could change keys that are sent over http: use https",
        )),
        _ => Err(UrlError::new(text, "only https is supported")),
    }
}

/// URL from which the hub fetches no keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot fetch keys from {url:?}: {why}")]
pub struct UrlError {
    url: String,
    why: String,
}

impl UrlError {
    fn new(url: &str, why: &str) -> Self {
        Self { url: url.to_owned(), why: why.to_owned() }
    }
}

/// Source of a key set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, which may be replaced while the program runs.
    File(PathBuf),
    /// A URL that [`check_url`] has accepted.
    Url(Url),
}

impl Source {
    /// Parses a URL if the text has a scheme, else the path of a file.
    ///
    /// # Errors
    /// When the hub fetches no keys from the URL.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.contains("://") { check_url(text).map(Self::Url) } else { Ok(Self::File(text.into())) }
    }

    /// Reads the text of the set once, without redirects, and at most [`Keys::MAX_SET_BYTES`].
    ///
    /// # Errors
    /// When the text cannot be read, or is too long.
    pub async fn fetch(&self, http: &Http) -> Result<String, FetchError> {
        let bytes = match self {
            // The file is small, and is read in the same way at the start.
            Self::File(path) => read(path)?,
            Self::Url(url) => fetch(http, url).await?,
        };
        String::from_utf8(bytes).map_err(|_| FetchError::NotUtf8)
    }
}

/// Omits the query of a URL, which may contain a secret.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => write!(f, "{}{}", url.origin().ascii_serialization(), url.path()),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::new();
    File::open(path)?.take(Keys::MAX_SET_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > Keys::MAX_SET_BYTES { Err(FetchError::Long) } else { Ok(bytes) }
}

async fn fetch(http: &Http, url: &Url) -> Result<Vec<u8>, FetchError> {
    let request = Request::get(url.as_str()).header(ACCEPT, "application/jwk-set+json, application/json");
    let request = request.body(Bytes::new()).map_err(|error| FetchError::Request(error.to_string()))?;
    let mut answer = http.send(request).await?;
    if answer.status() != 200 {
        return Err(FetchError::Status(answer.status().as_u16()));
    }
    let mut bytes = Vec::new();
    while let Some(piece) = answer.body_mut().next().await {
        bytes.extend_from_slice(&piece?);
        if bytes.len() > Keys::MAX_SET_BYTES {
            return Err(FetchError::Long);
        }
    }
    Ok(bytes)
}

/// Reason why a key set could not be read from its [`Source`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The file cannot be read.
    #[error("cannot read the file: {0}")]
    File(#[from] std::io::Error),
    /// The URL cannot be requested.
    #[error("the request is invalid: {0}")]
    Request(String),
    /// The connection failed before the answer was complete.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The status is not 200.
    #[error("the response has the status {0} instead of 200; redirects are not followed")]
    Status(u16),
    /// The text is too long.
    #[error("the key set is longer than {most} bytes", most = Keys::MAX_SET_BYTES)]
    Long,
    /// The text is not UTF-8.
    #[error("the key set is not UTF-8")]
    NotUtf8,
}
