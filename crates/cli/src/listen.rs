//! `ssekit listen`: curl for server-sent events.

mod body;
mod output;

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Error, anyhow};
use ssekit_client::{CloseReason, Http, Notice, Reconnect, Response, SelectError, Source, Status, source};
use tokio::time::timeout;

use self::body::Body;
use self::output::Output;
use crate::arguments::token;
use crate::config::Secret;
use crate::exchange::http_client;
use crate::hub_url::{hub_url, say_if_unencrypted, shown, with_scheme};
use crate::terminal::{
    FAILED, Failure, NO_CONNECTION, NO_EVENT_STREAM, NOT_TRUSTED, REFUSED, TIMED_OUT, USAGE, chain, say,
};

pub use self::output::Format;

/// The arguments of `ssekit listen`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct Listen {
    /// URL of the stream, or of the hub with --topic; may omit http:// and the hub's path
    /// /.well-known/mercure
    url: String,

    /// Subscribe to this topic of a hub (repeatable)
    #[arg(short, long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,
    /// Send this token as authorization: Bearer … [with --topic, env: SSEKIT_TOKEN]
    #[arg(long, value_name = "JWT", value_parser = token)]
    token: Option<Secret>,
    /// Also trust the certificate authorities in this PEM file
    #[arg(long, value_name = "PATH")]
    ca: Option<PathBuf>,
    /// Use HTTP/2 without TLS; with TLS, the server chooses the HTTP version
    #[arg(long)]
    http2_prior_knowledge: bool,

    /// Send this header, as in -H 'authorization: Bearer …' (repeatable)
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Request method [default: GET, or POST with a body]
    #[arg(short = 'X', long)]
    method: Option<String>,
    /// Send this text, the content of @FILE, or stdin for -, as the body of a form
    #[arg(short, long, value_name = "TEXT|@FILE|-")]
    data: Option<Body>,
    /// Send this text, the content of @FILE, or stdin for -, as a JSON body
    #[arg(long, value_name = "TEXT|@FILE|-", conflicts_with = "data")]
    json: Option<Body>,
    /// Resume after the event with this id; with `earliest`, a hub sends its whole history
    #[arg(long, value_name = "ID|earliest", visible_alias = "last-event-id")]
    from: Option<String>,

    /// Print only events with this name (repeatable)
    #[arg(short, long = "event", value_name = "NAME")]
    events: Vec<String>,
    /// Output format of each event
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    /// Exit after this many events
    #[arg(short = 'n', long, value_name = "EVENTS", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Exit after this time, with exit code 28
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Reconnect if nothing was received for this time
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    read_timeout: Option<Duration>,
    /// Connect once, and exit when the stream ends
    #[arg(long, conflicts_with = "retries")]
    no_reconnect: bool,
    /// Give up after this many failed retries in a row [default: never]
    #[arg(long, value_name = "TIMES")]
    retries: Option<u32>,
    /// Send a POST again like a GET: after a complete response, and even if the server may have processed it
    #[arg(long, conflicts_with = "no_reconnect")]
    repeat: bool,
    /// Print the last event even if the blank line after it is missing
    #[arg(long)]
    incomplete: bool,

    /// Do not report connections and retries on stderr
    #[arg(short, long)]
    quiet: bool,
    /// Print the response headers on stderr; -vv also prints the log of the libraries
    #[arg(short, long, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
}

const EXIT_CODES: &str = "\
Exit codes, as in curl where it has one:
    0  ended as requested: --count was reached, the reader of the output is gone, the server has no
       (more) events (204), or the stream ended and is not requested again: with --no-reconnect, or
       because it was the response to a POST and the server sent no `retry:`
    1  another failure, such as a failed write of the output
    2  usage: an unknown option, a malformed URL or header, a body that cannot be read
    7  cannot connect, or the connection was lost, and no retry is left
   22  the server refused the request: an error status, or a redirect that cannot be followed
   28  --timeout has passed, or the server did not respond in time
   60  the server's certificate is not trusted; --ca adds a certificate authority
   65  the response is not an event stream

Control characters from the server are escaped in text and JSON output, not in raw output.";

impl Listen {
    /// Listens, and writes each event at once.
    ///
    /// # Errors
    /// When it did not end as requested; the exit code names the reason.
    pub async fn run(&self, out: &mut impl Write, colors: bool) -> Result<(), Failure> {
        let connection = self.source().map_err(|error| Failure { code: USAGE, error })?;
        let listening = self.write_events(&connection, out, colors);
        let Some(limit) = self.timeout else { return listening.await };
        timeout(limit, listening).await.unwrap_or_else(|_| {
            Err(Failure {
                code: TIMED_OUT,
                error: anyhow!("--timeout: {} s have passed", limit.as_secs_f64()),
            })
        })
    }

    fn source(&self) -> Result<Source, Error> {
        let mut reconnect = match (self.no_reconnect, self.retries) {
            (true, _) => Reconnect::never(),
            (false, Some(retries)) => Reconnect::resilient().max_retries(retries),
            (false, None) => Reconnect::resilient(),
        };
        if self.repeat {
            reconnect = reconnect.repeat_like_safe();
        }
        let url = self.url()?;
        let mut source = source(&url)
            .reconnect(reconnect)
            .transport(self.http()?)
            .accept_incomplete_event(self.incomplete);
        if let Some(token) = self.token() {
            say_if_unencrypted(&url);
            source = source.header("authorization", format!("Bearer {}", token.expose()));
        }
        let body = match (&self.data, &self.json) {
            (Some(body), _) => Some((body, "application/x-www-form-urlencoded")),
            (None, body) => body.as_ref().map(|body| (body, "application/json")),
        };
        if let Some((body, content_type)) = body {
            source = source.header("content-type", content_type).body(body.read()?);
        }
        for (name, value) in &self.headers {
            source = source.header(name, value);
        }
        if let Some(method) = &self.method {
            source = source.method(method);
        }
        if let Some(id) = &self.from {
            source = source.resume_after(id);
        }
        if let Some(limit) = self.read_timeout {
            source = source.read_timeout(limit);
        }
        source.check()?;
        Ok(self.report_to_stderr(source))
    }

    /// URL of the stream, or of the hub with its topics.
    fn url(&self) -> Result<String, Error> {
        if self.topics.is_empty() {
            return Ok(with_scheme(&self.url));
        }
        let mut url = hub_url(&self.url)?;
        url.query_pairs_mut().extend_pairs(self.topics.iter().map(|topic| ("topic", topic)));
        Ok(url.into())
    }

    fn http(&self) -> Result<Http, Error> {
        let http = http_client(self.ca.as_deref())?;
        Ok(if self.http2_prior_knowledge { http.http2_prior_knowledge() } else { http })
    }

    /// Token of the request. The token of the environment is meant for a hub, not for every server.
    fn token(&self) -> Option<Secret> {
        let of_hub = || std::env::var("SSEKIT_TOKEN").ok().filter(|_| !self.topics.is_empty());
        let token = self.token.clone().or_else(|| of_hub().map(|token| Secret::new(token.trim())));
        token.filter(|token| !token.expose().is_empty())
    }

    fn report_to_stderr(&self, source: Source) -> Source {
        let (quiet, verbose) = (self.quiet, self.verbose > 0);
        let source = source.on_error(move |error| match error.connection_status() {
            Status::Waiting { until, .. } if !quiet => {
                let wait = until.saturating_duration_since(Instant::now()).as_secs_f64();
                say(&format!("{}; reconnecting in {wait:.1} s", chain(&**error)));
            }
            // The last error is the reason of the end, and is reported there.
            Status::Waiting { .. } | Status::Closed { .. } => {}
            // The stream continues without the omitted part, which is always reported.
            _ => say(&chain(&**error)),
        });
        source.on_open(move |response| {
            if !quiet {
                opened(response, verbose);
            }
        })
    }

    async fn write_events(
        &self,
        connection: &Source,
        out: &mut impl Write,
        colors: bool,
    ) -> Result<(), Failure> {
        let mut output = Output::new(self.output, colors);
        let mut left = self.count;
        let mut messages = connection.select_all();
        while let Some(message) = messages.next().await {
            let message = match message {
                Ok(message) => message,
                // `on_error` has reported it.
                Err(SelectError::EventTooLarge { .. }) => continue,
                Err(SelectError::Closed(_)) => break,
                Err(lost) => {
                    say(&chain(&lost));
                    continue;
                }
            };
            if !self.events.is_empty() && !self.events.iter().any(|name| name == message.event()) {
                output.skip(message.last_event_id());
                continue;
            }
            let text = output.event(message.event(), message.data(), message.last_event_id());
            // Whole events are written at once, for any reader.
            match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                Err(error) => {
                    return Err(Failure {
                        code: FAILED,
                        error: Error::from(error).context("cannot write the output"),
                    });
                }
            }
            left = left.map(|left| left - 1);
            if left == Some(0) {
                return Ok(());
            }
        }
        match connection.status() {
            Status::Closed { reason } => exit_result(reason),
            _ => Ok(()),
        }
    }
}

/// Whether the connection ended as requested.
fn exit_result(reason: CloseReason) -> Result<(), Failure> {
    use ssekit_client::Error::{
        Certificate, ConnectTimeout, ContentEncoding, ContentType, Header, ReadTimeout, Redirect, Status, Url,
    };
    let code = match reason.error() {
        None => return Ok(()),
        Some(Url { .. } | Header { .. }) => USAGE,
        Some(Status { .. } | Redirect { .. }) => REFUSED,
        Some(Certificate { .. }) => NOT_TRUSTED,
        Some(ConnectTimeout { .. } | ReadTimeout { .. }) => TIMED_OUT,
        Some(ContentType { .. } | ContentEncoding { .. }) => NO_EVENT_STREAM,
        Some(_) => NO_CONNECTION,
    };
    let error = match reason {
        CloseReason::Failed(error) => error.into(),
        reason @ CloseReason::NotRepeated(_) => anyhow!("{reason}; --repeat sends it again anyway"),
        reason => Error::from(reason),
    };
    Err(Failure { code, error })
}

fn opened(response: &Notice<Response>, verbose: bool) {
    say(&format!("connected to {}", shown(response.url())));
    if verbose {
        say(&format!("< {}", response.status()));
        for (name, value) in response.headers() {
            say(&format!("< {name}: {}", String::from_utf8_lossy(value.as_bytes())));
        }
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a header has the form NAME: VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .filter(|seconds| !seconds.is_zero())
        .ok_or_else(|| "expected a number of seconds above 0".to_owned())
}
