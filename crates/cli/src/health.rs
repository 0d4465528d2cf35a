//! `ssekit health`: asks a server whether it is ready, for containers and scripts.

mod local;

use std::fmt;
use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Error, anyhow, bail};
use bytes::Bytes;
use http::{Request, StatusCode};
use ssekit_client::{Http, Transport as _, TransportError};
use url::Url;

use self::local::{Answer, READY};
use crate::arguments::timeout;
use crate::config::{Config, Flags, Loaded, Problems};
use crate::exchange::{Problem, http_client, read};
use crate::hub_url::{shown, url_with_path};
use crate::serve::reachable;
use crate::terminal::{FAILED, Failure, NO_CONNECTION, NOT_TRUSTED, REFUSED, TIMED_OUT, USAGE};

/// The arguments of `ssekit health`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Health {
    /// URL, whose path is /readyz if it has none, or unix:PATH for a Unix socket
    /// [default: the first address in the configuration]
    url: Option<String>,
    /// Read the address from this configuration file [env: SSEKIT_CONFIG]
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    config: Option<PathBuf>,
    /// Also trust the certificate authorities in this PEM file
    #[arg(long, value_name = "PATH", requires = "url")]
    ca: Option<PathBuf>,
    /// Give up after this time
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = timeout)]
    timeout: Duration,
}

const AFTER_HELP: &str = "\
Without a URL, asks the hub that `ssekit serve` starts with the same configuration file and environment
variables, at the first of its addresses. The certificate of such an address is not checked, because it
names the public host.

Exit codes, as in curl where it has one:
    0  ready: the response has status 200
    1  another failure, such as a failed write of the output
    2  usage: an unknown option, a malformed URL, an unusable configuration
    7  cannot connect, or the connection was lost
   22  not ready: the response has another status; stderr has the reason
   28  no response in time
   60  the server's certificate is not trusted; --ca adds a certificate authority";

impl Health {
    /// Asks once, and prints the status.
    ///
    /// # Errors
    /// When the server is not ready, with the exit code that says why.
    pub async fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let target = self.target().map_err(|error| Failure { code: USAGE, error })?;
        let answer = tokio::time::timeout(self.timeout, self.ask(&target)).await.map_err(|_| Failure {
            code: TIMED_OUT,
            error: anyhow!("{target} did not respond within {} s", self.timeout.as_secs_f64()),
        })??;
        if answer.status != StatusCode::OK {
            return Err(Failure { code: REFUSED, error: not_ready(&target, &answer) });
        }
        writeln!(out, "{target}: {}", answer.status).map_err(|error| Failure {
            code: FAILED,
            error: Error::from(error).context("cannot write the output"),
        })
    }

    fn target(&self) -> Result<Target, Error> {
        match self.url.as_deref().map(|url| (url, url.strip_prefix("unix:"))) {
            Some((_, Some(path))) => unix(Path::new(path)),
            Some((url, None)) => Ok(Target::Url(url_with_path(url, READY)?)),
            None => {
                let flags = Flags::of_file(self.config.clone());
                configured(&Loaded::settings(&flags).map_err(|problems| on_one_line(&problems))?)
            }
        }
    }

    async fn ask(&self, target: &Target) -> Result<Answer, Failure> {
        let asked = match target {
            Target::Url(url) => return self.ask_url(url).await,
            Target::Tcp { addr, tls: false } => local::ask_tcp(*addr).await,
            Target::Tcp { addr, tls: true } => local::ask_tls(*addr).await,
            #[cfg(unix)]
            Target::Unix(path) => local::ask_unix(path).await,
        };
        asked.map_err(|error| Failure {
            code: NO_CONNECTION,
            error: Error::from(error).context(format!("cannot get a response from {target}")),
        })
    }

    async fn ask_url(&self, url: &Url) -> Result<Answer, Failure> {
        let usage = |error| Failure { code: USAGE, error };
        let http = http_client(self.ca.as_deref()).map_err(usage)?;
        let request = Request::get(url.as_str()).body(Bytes::new());
        let request = request.map_err(|error| usage(error.into()))?;
        exchange(&http, request).await.map_err(|error| Failure {
            code: if error.is_certificate() { NOT_TRUSTED } else { NO_CONNECTION },
            error: Error::from(error).context(format!("cannot get a response from {}", shown(url.as_str()))),
        })
    }
}

async fn exchange(http: &Http, request: Request<Bytes>) -> Result<Answer, TransportError> {
    let (head, body) = http.send(request).await?.into_parts();
    Ok(Answer { status: head.status, body: read(body).await? })
}

fn on_one_line(problems: &Problems) -> Error {
    anyhow!(problems.to_string().replace('\n', "; "))
}

/// The server to ask.
enum Target {
    /// A URL, requested as any other client would.
    Url(Url),
    /// An address of this machine. It is sent no secret, so its certificate may name the public host.
    Tcp { addr: SocketAddr, tls: bool },
    #[cfg(unix)]
    Unix(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(&shown(url.as_str())),
            Self::Tcp { addr, tls } => write!(f, "{}://{addr}{READY}", if *tls { "https" } else { "http" }),
            #[cfg(unix)]
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The first address that a hub with this configuration listens on.
fn configured(config: &Config) -> Result<Target, Error> {
    let Some(addr) = config.addr.first() else {
        let path = config.unix.as_deref();
        return unix(path.context("the configuration has neither addr nor unix: give a URL")?);
    };
    let resolved = addr.to_socket_addrs().ok().and_then(|mut found| found.next()).map(reachable);
    let resolved = resolved.with_context(|| format!("cannot resolve the configured address {addr}"))?;
    if resolved.port() == 0 {
        bail!("the hub chooses the port of {addr} when it starts: give the URL that it prints");
    }
    Ok(Target::Tcp { addr: resolved, tls: config.tls.cert.is_some() })
}

#[cfg(unix)]
fn unix(path: &Path) -> Result<Target, Error> {
    Ok(Target::Unix(path.to_owned()))
}

#[cfg(not(unix))]
fn unix(path: &Path) -> Result<Target, Error> {
    bail!("this system has no Unix sockets, so {} cannot be asked", path.display())
}

fn not_ready(target: &Target, answer: &Answer) -> Error {
    let reason = Problem::read(&answer.body).reason(&answer.body);
    let separator = if reason.is_empty() { "" } else { ": " };
    anyhow!("{target} is not ready: {}{separator}{reason}", answer.status)
}
