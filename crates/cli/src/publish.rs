//! `ssekit publish`: updates from the command line, to any Mercure hub.

mod lines;

use std::io::{ErrorKind, IsTerminal as _, Read as _, Write, stdin};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Error, anyhow, bail};
use bytes::Bytes;
use form_urlencoded::Serializer;
use futures_util::StreamExt as _;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use ring::rand::SystemRandom;
use serde::{Deserialize, Serialize};
use ssekit_client::{Body, Http, Transport as _, TransportError};
use ssekit_mercure::issue::{Claims, Grants, Lifetime, Signer, make};
use ssekit_mercure::{IDEMPOTENCY_KEY, IDEMPOTENCY_KEY_LIFETIME};
use ssekit_session::{MethodClass, Progress, RepeatChoice, repeat};
use tokio::time::sleep;
use url::Url;

use self::lines::Lines;
use crate::config::{Secret, time};
use crate::hub_url::{hub_url, say_if_unencrypted, shown};
use crate::terminal::{FAILED, Failure, NO_CONNECTION, REFUSED, TIMED_OUT, USAGE, escape, say};
use crate::token::KeyFlags;

/// What to publish, and where.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Publish {
    /// The hub; http:// may be left out, and so may the path /.well-known/mercure
    url: String,
    /// The update's data, or - for stdin without the line feed at its end
    #[arg(
        value_name = "DATA|-",
        required_unless_present = "lines",
        conflicts_with = "lines",
        allow_hyphen_values = true
    )]
    data: Option<String>,
    /// Publish each line of stdin as an update
    #[arg(long)]
    lines: bool,
    /// With --lines: an update a request, for hubs that take no batches
    #[arg(long, requires = "lines")]
    no_batch: bool,

    /// What it is about: the canonical topic, then its alternates (repeatable)
    #[arg(short, long = "topic", value_name = "TOPIC", required = true)]
    topics: Vec<String>,
    /// Only for subscribers whose token grants one of the topics
    #[arg(long)]
    private: bool,
    /// The event's id [default: the hub makes one]
    #[arg(long, conflicts_with = "lines")]
    id: Option<String>,
    /// The event's type [default: message]
    #[arg(long = "type", value_name = "NAME")]
    event_type: Option<String>,
    /// When subscribers come back after a lost connection
    #[arg(long, value_name = "TIME", value_parser = retry)]
    retry: Option<Duration>,

    /// The token that grants to publish
    #[arg(long, value_name = "JWT", env = "SSEKIT_TOKEN", hide_env_values = true, value_parser = token)]
    token: Option<Secret>,
    #[command(flatten)]
    key: KeyFlags,
    /// Trust the certificate authorities in this PEM file too
    #[arg(long, value_name = "PATH")]
    ca: Option<PathBuf>,
    /// Give a publication up after this long
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = timeout)]
    timeout: Duration,
    /// Do not print ids
    #[arg(short, long)]
    quiet: bool,
}

const AFTER_HELP: &str = "\
Prints the id of each update. With a key instead of a token it makes itself tokens, for these topics and a minute.
Each request has a random Idempotency-Key. If its answer is lost and the hub remembers keys, the request is sent again
until --timeout, and published once; with other hubs, the unknown outcome is reported.

Exit codes, curl's where it has one:
    0  the hub has everything
    1  another failure, as of reading stdin
    2  usage: an unknown option, a malformed URL, a key that cannot be used
    7  no connection, or it broke off
   22  the hub refused
   28  the hub did not answer in time";

/// What a token of our own says at most, longer than a request takes.
const TOKEN_LIFETIME: Lifetime = Lifetime(Some(Duration::from_secs(60)));
/// Data from stdin, in bytes; more than a hub takes.
const MOST_DATA: u64 = 64 << 20;
/// Of an answer, in bytes: the ids of a batch.
const MOST_ANSWER: usize = 1 << 20;
/// Of an answer that is no problem document, in characters.
const MOST_SHOWN: usize = 200;
/// Time between two attempts to publish.
const PAUSE: Duration = Duration::from_millis(500);

impl Publish {
    /// Publishes, and prints the ids.
    ///
    /// # Errors
    /// When not everything was published, with the exit code that says why.
    pub async fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let hub = self.hub().map_err(|error| Failure { code: USAGE, error })?;
        if self.lines {
            return self.publish_lines(&hub, out).await;
        }
        let data = self.data().map_err(|error| Failure { code: FAILED, error })?;
        let ids = hub.post(FORM, self.form(&data)).await?;
        self.print(&ids, out)
    }

    async fn publish_lines(&self, hub: &Hub, out: &mut impl Write) -> Result<(), Failure> {
        let mut lines = Lines::read(stdin());
        let mut published = 0;
        while let Some(batch) = lines.next().await {
            let batch = batch.map_err(|error| Failure { code: FAILED, error: far(published, error) })?;
            if self.no_batch {
                for line in &batch {
                    let ids = hub
                        .post(FORM, self.form(line))
                        .await
                        .map_err(|failure| failed(published, failure))?;
                    published += 1;
                    self.print(&ids, out)?;
                }
                continue;
            }
            let body: String = batch.iter().map(|line| self.json(line)).collect();
            let ids = hub.post(BATCH, body).await.map_err(|failure| failed(published, failure))?;
            published += batch.len();
            self.print(&ids, out)?;
        }
        Ok(())
    }

    fn hub(&self) -> Result<Hub, Error> {
        let http = match &self.ca {
            Some(path) => {
                let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
                Http::new().root_certificate(&pem)?
            }
            None => Http::new(),
        };
        let url = hub_url(&self.url)?;
        let token = self.token.as_ref().filter(|token| !token.expose().is_empty());
        let login = match (token, self.key.read()?) {
            (Some(token), _) => Login::Token(token.clone()),
            (None, Some(key)) => Login::Key(Box::new(Signer::read(key.expose())?), self.topics.clone()),
            (None, None) => Login::Nobody,
        };
        if !matches!(login, Login::Nobody) {
            say_if_unencrypted(url.as_str());
        }
        Ok(Hub { http, url, login, timeout: self.timeout })
    }

    fn data(&self) -> Result<String, Error> {
        let text = self.data.as_deref().unwrap_or_default();
        if text != "-" {
            return Ok(text.to_owned());
        }
        if stdin().is_terminal() {
            say("reading data from the terminal; Ctrl-D ends it");
        }
        let mut data = Vec::new();
        let read = stdin().lock().take(MOST_DATA + 1).read_to_end(&mut data).context("cannot read stdin")?;
        if read as u64 > MOST_DATA {
            bail!("stdin has more than {} MiB", MOST_DATA >> 20);
        }
        let mut data = String::from_utf8(data)
            .map_err(|_| anyhow!("stdin is not UTF-8: encode it, as base64 for example"))?;
        if data.ends_with('\n') {
            data.truncate(data.len() - 1);
        }
        Ok(data)
    }

    fn form(&self, data: &str) -> String {
        let mut form = Serializer::new(String::new());
        form.extend_pairs(self.topics.iter().map(|topic| ("topic", topic)));
        form.append_pair("data", data);
        if self.private {
            form.append_pair("private", "on");
        }
        for (name, value) in [("id", &self.id), ("type", &self.event_type)] {
            if let Some(value) = value {
                form.append_pair(name, value);
            }
        }
        if let Some(retry) = self.retry {
            form.append_pair("retry", &retry.as_millis().to_string());
        }
        form.finish()
    }

    /// A line of a batch.
    fn json(&self, data: &str) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            topic: &'a [String],
            data: &'a str,
            private: bool,
            #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
            event_type: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            retry: Option<u128>,
        }
        let line = Line {
            topic: &self.topics,
            data,
            private: self.private,
            event_type: self.event_type.as_deref(),
            retry: self.retry.map(|retry| retry.as_millis()),
        };
        serde_json::to_string(&line).expect("texts and a number") + "\n"
    }

    fn print(&self, ids: &str, out: &mut impl Write) -> Result<(), Failure> {
        if self.quiet {
            return Ok(());
        }
        let lines: String = ids.lines().map(|id| escape(id) + "\n").collect();
        match out.write_all(lines.as_bytes()).and_then(|()| out.flush()) {
            // Who does not want to know the ids may still want to publish.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Failure { code: FAILED, error: Error::from(error).context("cannot print the id") })
            }
            _ => Ok(()),
        }
    }
}

const FORM: &str = "application/x-www-form-urlencoded";
const BATCH: &str = "application/x-ndjson";

/// Where to publish, and as whom.
struct Hub {
    http: Http,
    url: Url,
    login: Login,
    timeout: Duration,
}

enum Login {
    Nobody,
    Token(Secret),
    /// A key to make tokens with, and the topics that they are for.
    Key(Box<Signer>, Vec<String>),
}

impl Hub {
    /// Publishes by one request, which is repeated if its answer is lost; returns the ids, one a line.
    async fn post(&self, content_type: &'static str, body: String) -> Result<String, Failure> {
        let request = self.request(content_type, body).map_err(|error| Failure { code: USAGE, error })?;
        let mut last = None;
        let sent = tokio::time::timeout(self.timeout, self.send(&request, &mut last)).await;
        let answer = sent.ok().or(last).ok_or_else(|| Failure {
            code: TIMED_OUT,
            error: anyhow!(
                "{} has not answered within {} s; whether it has the update is not known",
                shown(self.url.as_str()),
                self.timeout.as_secs_f64()
            ),
        })?;
        let answer = answer.map_err(|error: TransportError| Failure {
            code: NO_CONNECTION,
            error: Error::from(error).context(format!("cannot publish to {}", shown(self.url.as_str()))),
        })?;
        if answer.status().is_success() {
            return Ok(answer.into_body());
        }
        Err(Failure { code: REFUSED, error: anyhow!(self.refusal(&answer, content_type)) })
    }

    /// Sends a request. If the answer is lost and the hub remembers idempotency keys, sends it again until there is a final answer; `last` is the
    /// outcome of the last attempt, if there was more than one.
    async fn send(&self, request: &Request<Bytes>, last: &mut Option<Outcome>) -> Outcome {
        let first = self.attempt(request.clone()).await;
        let lost = matches!(&first, Err(error) if !error.is_nothing_sent());
        if !lost {
            return first;
        }
        let outcome = last.insert(first);
        if !self.remembers_keys().await {
            return outcome.clone();
        }
        say("the answer was lost: publishing again with the same Idempotency-Key");
        loop {
            *outcome = self.attempt(request.clone()).await;
            if !may_be_repeated(outcome) {
                return outcome.clone();
            }
            sleep(PAUSE).await;
        }
    }

    /// Asks the hub, until it answers, and returns true if it remembers idempotency keys.
    async fn remembers_keys(&self) -> bool {
        loop {
            let options =
                Request::builder().method(Method::OPTIONS).uri(self.url.as_str()).body(Bytes::new());
            let Ok(options) = options else { return false };
            let outcome = self.attempt(options).await;
            match outcome {
                Ok(answer) if !may_be_repeated(&outcome) => {
                    return answer.headers().contains_key(IDEMPOTENCY_KEY_LIFETIME);
                }
                _ => sleep(PAUSE).await,
            }
        }
    }

    async fn attempt(&self, request: Request<Bytes>) -> Outcome {
        let response = self.http.send(request).await?;
        let (head, body) = response.into_parts();
        Ok(Response::from_parts(head, read(body).await?))
    }

    fn request(&self, content_type: &'static str, body: String) -> Result<Request<Bytes>, Error> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.url.as_str())
            .header(CONTENT_TYPE, content_type)
            .header(IDEMPOTENCY_KEY, random_key()?)
            .body(Bytes::from(body))?;
        let token = match &self.login {
            Login::Nobody => return Ok(request),
            Login::Token(token) => token.expose().to_owned(),
            Login::Key(signer, topics) => {
                let grants = Grants { publish: topics.clone(), ..Grants::default() };
                make(&Claims::new(grants, SystemTime::now(), TOKEN_LIFETIME), signer, None, None)?
            }
        };
        let mut value = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| anyhow!("the token holds what no token may hold, a line feed perhaps"))?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
        Ok(request)
    }

    /// Why the hub has refused, in words.
    fn refusal(&self, answer: &Response<String>, content_type: &str) -> String {
        let status = answer.status();
        let problem = serde_json::from_str::<Problem>(answer.body()).unwrap_or_default();
        let said = [&problem.title, &problem.detail].map(Option::as_deref).into_iter().flatten();
        let mut said = said.collect::<Vec<_>>().join(": ");
        if said.is_empty() {
            said = answer.body().trim().chars().take(MOST_SHOWN).collect();
        }
        let mut words = format!("the hub refused with {status}");
        if !said.is_empty() {
            words = format!("{words}: {said}");
        }
        let is_ours = problem.kind.is_some_and(|kind| kind.starts_with("urn:ssekit:"));
        match status {
            StatusCode::UNAUTHORIZED if matches!(self.login, Login::Nobody) => {
                words.push_str("; give --token, or --key-file to make one");
            }
            StatusCode::BAD_REQUEST | StatusCode::UNSUPPORTED_MEDIA_TYPE
                if content_type == BATCH && !is_ours =>
            {
                words.push_str("; it may take no batches: --no-batch");
            }
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                words = format!("{words}; is {} the hub's URL?", shown(self.url.as_str()));
            }
            _ if status.is_redirection() => {
                let location = answer
                    .headers()
                    .get(LOCATION)
                    .map(|location| shown(&String::from_utf8_lossy(location.as_bytes())));
                words = format!("{words}; it points to {}", location.unwrap_or_default());
            }
            _ => {}
        }
        words
    }
}

/// What a hub says of what went wrong (RFC 9457).
#[derive(Default, Deserialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: Option<String>,
    title: Option<String>,
    detail: Option<String>,
}

/// Returns true if an idempotent request may be sent again after this outcome.
fn may_be_repeated(outcome: &Outcome) -> bool {
    let progress = match outcome {
        Ok(answer) if answer.status().is_success() => return false,
        Ok(answer) => Progress::Refused { status: answer.status().as_u16(), resumes: false },
        Err(error) if error.is_nothing_sent() => Progress::NothingSent,
        Err(_) => Progress::NoHead { resumes: false },
    };
    repeat(MethodClass::Idempotent, progress, RepeatChoice::default()).is_ok()
}

/// An idempotency key that no other publication has, as a quoted string.
fn random_key() -> Result<String, Error> {
    let random = ring::rand::generate::<[u8; 16]>(&SystemRandom::new());
    let random = random.map_err(|_| anyhow!("the system has no random bytes for an idempotency key"))?;
    Ok(format!("\"{:032x}\"", u128::from_be_bytes(random.expose())))
}

/// The answer to a request, or the error that prevented one.
type Outcome = Result<Response<String>, TransportError>;

async fn read(mut body: Body) -> Result<String, TransportError> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece?);
        if bytes.len() > MOST_ANSWER {
            return Err(TransportError::new("the answer is longer than 1 MiB"));
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn failed(published: usize, failure: Failure) -> Failure {
    Failure { error: far(published, failure.error), ..failure }
}

/// The error, with how far it went.
fn far(published: usize, error: Error) -> Error {
    error.context(format!("{published} lines were published before this"))
}

fn retry(text: &str) -> Result<Duration, String> {
    time(text).ok_or_else(|| "it must be a time: 500ms, 3s, 1m".to_owned())
}

fn timeout(text: &str) -> Result<Duration, String> {
    let time = time(text).filter(|time| !time.is_zero());
    time.ok_or_else(|| "it must be a time above 0: 500ms, 30s, 5m".to_owned())
}

#[expect(clippy::unnecessary_wraps, reason = "the parser of flags asks for it")]
pub(crate) fn token(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text.trim()))
}
