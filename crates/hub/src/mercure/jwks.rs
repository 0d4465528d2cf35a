//! Keys that are fetched, and fetched again when their issuer changes them.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::Request;
use http::header::ACCEPT;
use ssekit_client::{Http, Transport as _, TransportError};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use url::{Host, Url};

use super::algorithm::Algorithm;
use super::keys::{KeyError, Keys};

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
        return Err(UrlError::new(text, "it holds a name or a password, which would be logged"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        "http" => {
            Err(UrlError::new(text, "anybody on the way could change keys that come by http: use https"))
        }
        _ => Err(UrlError::new(text, "only https is supported")),
    }
}

/// A URL that no keys are fetched from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("keys are not fetched from {url:?}: {why}")]
pub struct UrlError {
    url: String,
    why: String,
}

impl UrlError {
    fn new(url: &str, why: &str) -> Self {
        Self { url: url.to_owned(), why: why.to_owned() }
    }
}

/// Where keys come from.
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

    /// Fetches the text of the keys once. Redirects are not followed, and an answer that is too long is not read.
    ///
    /// # Errors
    /// When it cannot be read, or is longer than [`MAX_BYTES`].
    pub async fn fetch(&self, http: &Http) -> Result<String, FetchError> {
        match self {
            // The program reads it at its start as well, when there is nobody to keep waiting; it is small.
            Self::File(path) => std::fs::read_to_string(path)
                .map_err(|error| FetchError::File { path: path.clone(), why: error.to_string() }),
            Self::Url(url) => fetch(http, url).await,
        }
    }
}

async fn fetch(http: &Http, url: &Url) -> Result<String, FetchError> {
    let request = Request::get(url.as_str()).header(ACCEPT, "application/jwk-set+json, application/json");
    let request = request.body(Bytes::new()).map_err(|error| FetchError::Request(error.to_string()))?;
    let mut answer = http.send(request).await?;
    if answer.status() != 200 {
        return Err(FetchError::Status { url: url.to_string(), status: answer.status().as_u16() });
    }
    let mut text = Vec::new();
    while let Some(piece) = answer.body_mut().next().await {
        text.extend_from_slice(&piece?);
        if text.len() > MAX_BYTES {
            return Err(FetchError::Long(url.to_string()));
        }
    }
    String::from_utf8(text).map_err(|_| FetchError::NotUtf8(url.to_string()))
}

/// Why the keys could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The file cannot be read.
    #[error("the keys in {path:?} cannot be read: {why}")]
    File {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// The URL is none to ask.
    #[error("the keys cannot be asked for: {0}")]
    Request(String),
    /// No answer, or half of one.
    #[error("the keys could not be fetched")]
    Transport(#[from] TransportError),
    /// Another answer than 200.
    #[error(
        "the keys could not be fetched: {url} answered {status} instead of 200; redirects are not followed"
    )]
    Status {
        /// Who answered.
        url: String,
        /// What.
        status: u16,
    },
    /// Too long an answer.
    #[error("the answer of {0} is longer than {most} bytes", most = MAX_BYTES)]
    Long(String),
    /// An answer that is no text.
    #[error("the answer of {0} is not UTF-8")]
    NotUtf8(String),
}

/// When keys are fetched.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Again after this time.
    pub every: Duration,
    /// Never sooner after the last time, whatever tokens name.
    pub at_least: Duration,
    /// One fetch may take so long.
    pub timeout: Duration,
}

impl Default for Schedule {
    /// Every ten minutes, at least 30 s apart, in 10 s.
    fn default() -> Self {
        Self {
            every: Duration::from_secs(600),
            at_least: Duration::from_secs(30),
            timeout: Duration::from_secs(10),
        }
    }
}

/// Keeps [`Keys`] as their source has them.
#[derive(Debug)]
pub struct Rotation {
    keys: Keys,
    schedule: Schedule,
    allowed: Option<Vec<Algorithm>>,
    wanted: Arc<Notify>,
    rounds: watch::Sender<u64>,
}

/// Asks a [`Rotation`] for keys that are missing. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Renewal {
    wanted: Arc<Notify>,
    rounds: watch::Receiver<u64>,
    patience: Duration,
}

impl Rotation {
    /// A rotation of these keys, which are shared; only for these algorithms, if some are named.
    pub fn new(keys: Keys, allowed: Option<Vec<Algorithm>>, schedule: Schedule) -> (Self, Renewal) {
        let wanted = Arc::new(Notify::new());
        let (rounds, watching) = watch::channel(0);
        let renewal = Renewal { wanted: Arc::clone(&wanted), rounds: watching, patience: schedule.timeout };
        (Self { keys, schedule, allowed, wanted, rounds }, renewal)
    }

    /// Fetches the keys now, then again and again, for ever; dropping the future ends it. `fetch` gives the text that
    /// [`Keys::read`] reads: of a file, or of a URL that [`check_url`] took.
    ///
    /// What cannot be fetched or read changes nothing, and is logged: keys that were good are used on.
    pub async fn run<F, Fetched, E>(self, mut fetch: F)
    where
        F: FnMut() -> Fetched,
        Fetched: Future<Output = Result<String, E>>,
        E: fmt::Display,
    {
        loop {
            let last = Instant::now();
            let problem = match timeout(self.schedule.timeout, fetch()).await {
                Ok(Ok(text)) => self.renew(&text).err().map(|error| error.to_string()),
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("no answer within {} s", self.schedule.timeout.as_secs())),
            };
            let wait = match problem {
                None => self.schedule.every,
                Some(problem) => {
                    tracing::warn!(%problem, kept = self.keys.len(), "keys were not renewed, those that are here are used on");
                    self.schedule.at_least
                }
            };
            self.rounds.send_modify(|rounds| *rounds += 1);
            self.rest(last, wait.max(self.schedule.at_least)).await;
        }
    }

    /// Until it is time again, or a key is missing and it may be. Who misses one too early is told that there is nothing new.
    async fn rest(&self, last: Instant, wait: Duration) {
        loop {
            tokio::select! {
                () = sleep_until(last + wait) => return,
                () = self.wanted.notified() => {
                    if last.elapsed() >= self.schedule.at_least {
                        return;
                    }
                    self.rounds.send_modify(|rounds| *rounds += 1);
                }
            }
        }
    }

    fn renew(&self, text: &str) -> Result<(), KeyError> {
        if text.len() > MAX_BYTES {
            return Err(KeyError::Long(text.len()));
        }
        let mut keys = Keys::read(text)?;
        if let Some(allowed) = &self.allowed {
            keys = keys.allow(allowed)?;
        }
        self.keys.replace(&keys);
        Ok(())
    }
}

impl Renewal {
    /// Has the keys fetched again, if that may be now, and waits until they are here or were not to be had. For who was refused by
    /// [`TokenError::UnknownKey`](super::TokenError::UnknownKey), to try once more.
    ///
    /// Waits no longer than one fetch may take. Dropping it only ends the waiting.
    pub async fn renewed(&self) {
        let mut rounds = self.rounds.clone();
        rounds.mark_unchanged();
        self.wanted.notify_one();
        // Its only errors are that it took too long, and that the rotation has ended.
        let _ = timeout(self.patience, rounds.changed()).await;
    }
}

/// A set of a hundred RSA keys has less.
pub const MAX_BYTES: usize = 256 << 10;
