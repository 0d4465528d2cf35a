//! `ssekit token explain`: contents of a token, and the checks of a hub.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Error, anyhow};
use serde_json::Value;
use ssekit_mercure::{Access, Action, Explanation, Keys, RequiredClaims, Selector, explain};

use super::answer::Answer;
use super::claims::{granted, warnings};
use crate::config::{Key, show_time};
use crate::key_flags::KeyFlags;
use crate::terminal::{FAILED, Failure, USAGE, escape};

/// The flags of `ssekit token explain`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 accepted, 1 refused, 2 usage")]
pub struct Explain {
    /// The token, or - for stdin
    #[arg(value_name = "TOKEN|-")]
    token: String,
    /// Check whether the holder may publish to this topic (repeatable)
    #[arg(long, value_name = "TOPIC")]
    publish: Vec<String>,
    /// Check whether the holder may read private updates of this topic (repeatable)
    #[arg(long, value_name = "TOPIC")]
    subscribe: Vec<String>,
    #[command(flatten)]
    key: KeyFlags,
    /// File with a key set (JWKS)
    #[arg(long, value_name = "PATH", conflicts_with_all = ["key", "key_file"])]
    jwks: Option<PathBuf>,
    /// Audience that the hub requires (claim `aud`; repeatable: one of them)
    #[arg(long, value_name = "NAME")]
    audience: Vec<String>,
    /// Issuer that the hub requires (claim `iss`; repeatable: one of them)
    #[arg(long, value_name = "NAME")]
    issuer: Vec<String>,
}

impl Explain {
    pub(super) fn run(&self, now: SystemTime) -> Result<Answer, Failure> {
        let token = token(&self.token)?;
        let access = self.access().map_err(|error| Failure { code: USAGE, error })?;
        let has_key = access.is_some();
        let mut required = RequiredClaims::default();
        required.audience.clone_from(&self.audience);
        required.issuer.clone_from(&self.issuer);
        let mut access = access.unwrap_or_default();
        access.publishers_required = required.clone();
        access.subscribers_required = required.clone();
        let asked = [(Action::Publish, &self.publish), (Action::Subscribe, &self.subscribe)];
        let asked: Vec<_> = asked.into_iter().filter(|(_, topics)| !topics.is_empty()).collect();

        let overview = explain(&token, &access, Action::Subscribe, &[], now);
        let mut report = Report { text: String::new(), is_good: true };
        let (Some(header), Some(claims)) = (&overview.header, &overview.claims) else {
            report.verdict(&overview);
            return Ok(report.into());
        };
        report.value("header", header);
        report.value("claims", claims);
        report.times(claims, now);
        report.grants(claims);
        for warning in warnings(claims, now) {
            report.line("warning", &warning);
        }
        if !has_key {
            if let Err(error) = required.check(claims.get("aud"), claims.get("iss")) {
                report.is_good = false;
                report.line("refused", &error.to_string());
            }
            report.line(
                "signature",
                "not checked: set --key-file, --key or --jwks; without this check, anyone may have \
                 created the token",
            );
            for (action, topics) in asked {
                topics.iter().for_each(|topic| report.unverified(claims, action, topic));
            }
        } else if asked.is_empty() {
            report.verdict(&overview);
        } else {
            for (action, topics) in asked {
                let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
                report.verdict(&explain(&token, &access, action, &topics, now));
            }
        }
        Ok(report.into())
    }

    /// Access rules with the given keys; `None` without keys.
    fn access(&self) -> Result<Option<Access>, Error> {
        let keys = match &self.jwks {
            Some(path) => {
                let key = Key { file: Some(path.clone()), ..Key::default() };
                let text = key.read().map_err(|error| anyhow!(error))?;
                text.map(|text| Keys::read_set(text.expose()))
            }
            None => self.key.read()?.map(|text| Keys::read(text.expose())),
        };
        let Some(keys) = keys.transpose()? else { return Ok(None) };
        Ok(Some(Access { publishers: keys.clone(), subscribers: keys, ..Access::default() }))
    }
}

/// Explanation of a token.
struct Report {
    text: String,
    /// Whether no check has failed so far.
    is_good: bool,
}

impl From<Report> for Answer {
    fn from(report: Report) -> Self {
        // The content of a token may come from anyone.
        let lines = report.text.lines().map(|line| escape(line) + "\n");
        Self { text: lines.collect(), warnings: Vec::new(), code: u8::from(!report.is_good) }
    }
}

impl Report {
    fn line(&mut self, name: &str, text: &str) {
        let _ = writeln!(self.text, "{name:10} {text}");
    }

    fn value(&mut self, name: &str, value: &Value) {
        let _ = writeln!(self.text, "{name} {value:#}");
    }

    /// Writes the checks of the hub, and their result.
    fn verdict(&mut self, explanation: &Explanation) {
        let _ = writeln!(self.text, "{explanation}");
        self.is_good &= explanation.allowed;
    }

    fn times(&mut self, claims: &Value, now: SystemTime) {
        let time = |name: &str| {
            let seconds = claims.get(name)?.as_f64().filter(|seconds| (0.0..1e11).contains(seconds))?;
            SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs_f64(seconds))
        };
        match time("exp") {
            None => {
                let words = match claims.get("exp").map(Value::as_f64) {
                    None => "never",
                    Some(Some(seconds)) if seconds > 0.0 => "after the year 5000",
                    Some(_) => "unknown: the claim is not a number of seconds since 1970",
                };
                self.line("expires", words);
            }
            Some(end) => {
                self.is_good &= now < end;
                let words = distance(end, now);
                self.line("expires", &words);
            }
        }
        if let Some(begin) = time("nbf") {
            self.is_good &= begin <= now;
            self.line("valid from", &distance(begin, now));
        }
    }

    fn grants(&mut self, claims: &Value) {
        for name in ["publish", "subscribe"] {
            let words = match granted(claims, name) {
                Some(selectors) if selectors.is_empty() => "nothing".to_owned(),
                None => "nothing".to_owned(),
                Some(selectors) => selectors.join(" "),
            };
            self.line(name, &words);
        }
    }

    /// Describes the grants of the token, if its signature is valid.
    fn unverified(&mut self, claims: &Value, action: Action, topic: &str) {
        let name = if action == Action::Publish { "publish" } else { "subscribe" };
        let selects = |text: &&str| Selector::parse(text).is_ok_and(|selector| selector.matches(topic));
        match granted(claims, name).unwrap_or_default().into_iter().find(selects) {
            Some(selector) => {
                self.line(name, &format!("{topic}: granted by {selector}, if the signature is valid"))
            }
            None => {
                self.is_good = false;
                self.line(
                    name,
                    &format!("{topic}: refused, no selector in the claim “mercure.{name}” matches it"),
                );
            }
        }
    }
}

/// Describes a time, and its distance from now.
fn distance(time: SystemTime, now: SystemTime) -> String {
    let seconds = |span: Duration| show_time(Duration::from_secs(span.as_secs()));
    let date = httpdate::fmt_http_date(time);
    match time.duration_since(now) {
        Ok(ahead) => format!("in {} ({date})", seconds(ahead)),
        Err(error) => format!("{} ago ({date})", seconds(error.duration())),
    }
}

/// The token of an argument; for `-`, that of standard input.
fn token(text: &str) -> Result<String, Failure> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(MAX_TOKEN)
        .read_to_string(&mut text)
        .context("cannot read stdin")
        .map_err(|error| Failure { code: FAILED, error })?;
    Ok(text.trim().to_owned())
}

/// Maximum size of a token in bytes; larger than a hub accepts.
const MAX_TOKEN: u64 = 1 << 20;
