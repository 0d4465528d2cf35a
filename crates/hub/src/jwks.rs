//! Key sets (JWKS) that the hub fetches from a URL or a file, and fetches again when their issuer changes them.
//!
//! # Limits
//!
//! | | at most | beyond it |
//! |---|---|---|
//! | bytes of a key set; time to fetch it | [`Keys::MAX_SET_BYTES`]; 10 s | the keys from before stay in use |
//! | fetches of keys; after a failure | one in 30 s; after 1 s, 2 s, … 30 s | 503 for tokens that name a missing key, or a stream that says when to return |

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

/// Checks a URL that keys are fetched from: `https`, or `http` on this machine.
///
/// Who fetches follows no redirect, so that an issuer cannot make the hub ask hosts that only the hub can reach.
///
/// # Errors
/// When it is no such URL, or holds a name and password.
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

/// A URL that no keys are fetched from.
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

/// Where a set of keys comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, which may be replaced while the program runs.
    File(PathBuf),
    /// A URL that [`check_url`] took.
    Url(Url),
}

impl Source {
    /// A URL where there is a scheme, else the path of a file.
    ///
    /// # Errors
    /// When it is a URL that no keys are fetched from.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.contains("://") { check_url(text).map(Self::Url) } else { Ok(Self::File(text.into())) }
    }

    /// Reads the text of the set once. Redirects are not followed, and no more than [`Keys::MAX_SET_BYTES`] are read.
    ///
    /// # Errors
    /// When it cannot be read, or is longer than [`Keys::MAX_SET_BYTES`].
    pub async fn fetch(&self, http: &Http) -> Result<String, FetchError> {
        let bytes = match self {
            // The file is small, and the program reads it at its start as well.
            Self::File(path) => read(path)?,
            Self::Url(url) => fetch(http, url).await?,
        };
        String::from_utf8(bytes).map_err(|_| FetchError::NotUtf8)
    }
}

/// Without the query of a URL, which may hold a secret.
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

/// Why a set of keys could not be read from its [`Source`].
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
    /// Another status than 200.
    #[error("the response has the status {0} instead of 200; redirects are not followed")]
    Status(u16),
    /// The text is too long.
    #[error("the key set is longer than {most} bytes", most = Keys::MAX_SET_BYTES)]
    Long,
    /// The text is not UTF-8.
    #[error("the key set is not UTF-8")]
    NotUtf8,
}
