//! Requests to a hub: with credentials, and repeated if their answer is lost.

use std::time::{Duration, SystemTime};

use anyhow::{Error, anyhow};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use ring::rand::SystemRandom;
use ssekit_client::{Http, Transport as _, TransportError};
use ssekit_mercure::issue::{Claims, Grants, Lifetime, Signer, make};
use ssekit_mercure::{IDEMPOTENCY_KEY, IDEMPOTENCY_KEY_LIFETIME};
use ssekit_session::{MethodClass, Progress, RepeatChoice, repeat};
use tokio::time::sleep;
use url::Url;

use crate::config::Secret;
use crate::exchange::{Problem, read};
use crate::hub_url::shown;
use crate::terminal::{Failure, NO_CONNECTION, REFUSED, TIMED_OUT, USAGE, say};

/// Hub, with the credentials of the publisher.
pub(super) struct Hub {
    pub(super) http: Http,
    pub(super) url: Url,
    pub(super) login: Login,
    pub(super) timeout: Duration,
}

/// Credentials of the publisher.
pub(super) enum Login {
    Anonymous,
    Token(Secret),
    /// Key that signs tokens, and their topics.
    Key(Box<Signer>, Vec<String>),
}

impl Hub {
    /// Publishes with one request, which is repeated if its answer is lost; returns the ids, one per line.
    pub(super) async fn post(&self, content_type: &'static str, body: String) -> Result<String, Failure> {
        let request = self.request(content_type, body).map_err(|error| Failure { code: USAGE, error })?;
        let mut last = None;
        let sent = tokio::time::timeout(self.timeout, self.send(&request, &mut last)).await;
        let answer = sent.ok().or(last).ok_or_else(|| Failure {
            code: TIMED_OUT,
            error: anyhow!(
                "{} did not respond within {} s; it is unknown whether the update was published",
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

    /// Sends a request.
    ///
    /// If the answer is lost and the hub remembers idempotency keys, sends it again until there is a final
    /// answer; `last` is the outcome of the last attempt, if there was more than one.
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
        say("the response was lost: publishing again with the same Idempotency-Key");
        loop {
            *outcome = self.attempt(request.clone()).await;
            if !may_be_repeated(outcome) {
                return outcome.clone();
            }
            sleep(PAUSE).await;
        }
    }

    /// Asks the hub, until it answers, whether it remembers idempotency keys.
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
            Login::Anonymous => return Ok(request),
            Login::Token(token) => token.expose().to_owned(),
            Login::Key(signer, topics) => {
                let grants = Grants { publish: topics.clone(), ..Grants::default() };
                make(&Claims::new(grants, SystemTime::now(), TOKEN_LIFETIME), signer, None, None)?
            }
        };
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
            anyhow!("the token contains a character that a token cannot have, perhaps a line feed")
        })?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
        Ok(request)
    }

    /// Describes the refusal of the hub.
    fn refusal(&self, answer: &Response<String>, content_type: &str) -> String {
        let status = answer.status();
        let problem = Problem::read(answer.body());
        let reason = problem.reason(answer.body());
        let mut words = format!("the hub refused the publication with {status}");
        if !reason.is_empty() {
            words = format!("{words}: {reason}");
        }
        let is_ours = problem.kind.is_some_and(|kind| kind.starts_with("urn:ssekit:"));
        match status {
            StatusCode::UNAUTHORIZED if matches!(self.login, Login::Anonymous) => {
                words.push_str("; set --token, or --key-file to create one");
            }
            StatusCode::BAD_REQUEST | StatusCode::UNSUPPORTED_MEDIA_TYPE
                if content_type == BATCH && !is_ours =>
            {
                words.push_str("; if it does not accept batches, use --no-batch");
            }
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                words = format!("{words}; is {} the hub's URL?", shown(self.url.as_str()));
            }
            _ if status.is_redirection() => {
                let location = answer
                    .headers()
                    .get(LOCATION)
                    .map(|location| shown(&String::from_utf8_lossy(location.as_bytes())));
                words = format!("{words}; it redirects to {}", location.unwrap_or_default());
            }
            _ => {}
        }
        words
    }
}

/// Whether an idempotent request may be sent again after this outcome.
fn may_be_repeated(outcome: &Outcome) -> bool {
    let progress = match outcome {
        Ok(answer) if answer.status().is_success() => return false,
        Ok(answer) => Progress::Refused { status: answer.status().as_u16(), resumes: false },
        Err(error) if error.is_nothing_sent() => Progress::NothingSent,
        Err(_) => Progress::NoHead { resumes: false },
    };
    repeat(MethodClass::Idempotent, progress, RepeatChoice::default()).is_ok()
}

/// Makes a random idempotency key, as a quoted string.
fn random_key() -> Result<String, Error> {
    let random = ring::rand::generate::<[u8; 16]>(&SystemRandom::new());
    let random =
        random.map_err(|_| anyhow!("cannot create an idempotency key: the system has no random bytes"))?;
    Ok(format!("\"{:032x}\"", u128::from_be_bytes(random.expose())))
}

/// Answer to a request, or the error that prevented one.
type Outcome = Result<Response<String>, TransportError>;

/// Content type of one update.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";
/// Content type of a batch of updates, one per line.
pub(super) const BATCH: &str = "application/x-ndjson";

/// Lifetime of a token that the command makes; longer than a request takes.
const TOKEN_LIFETIME: Lifetime = Lifetime(Some(Duration::from_secs(60)));

/// Time between two attempts to publish.
const PAUSE: Duration = Duration::from_millis(500);
