//! `ssekit token make`: a token with the requested claims.

use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use serde_json::Value;
use ssekit_mercure::issue::{Claims, Grants, Lifetime, Signer, make};
use ssekit_mercure::{Algorithm, Selector};

use super::answer::Answer;
use super::claims::warnings;
use crate::config::time;
use crate::key_flags::KeyFlags;
use crate::terminal::{Failure, USAGE};

/// The flags of `ssekit token make`.
#[derive(Clone, Debug, clap::Args)]
pub struct Make {
    /// Topics that the holder may publish to: a topic, a URI template or * (repeatable)
    #[arg(long, value_name = "SELECTOR", value_parser = selector)]
    publish: Vec<String>,
    /// Topics whose private updates the holder may read (repeatable)
    #[arg(long, value_name = "SELECTOR", value_parser = selector)]
    subscribe: Vec<String>,
    /// Payload shown in subscription events and the API
    #[arg(long, value_name = "JSON", value_parser = json)]
    payload: Option<Value>,
    /// Lifetime, or `none` for a token that does not expire
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = lifetime)]
    expires_in: Lifetime,
    /// Audience (claim `aud`), for a hub that requires one (repeatable)
    #[arg(long, value_name = "NAME")]
    audience: Vec<String>,
    /// Issuer (claim `iss`), for a hub that requires one
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// Subject (claim `sub`): the holder of the token and owner of its idempotency keys
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    #[command(flatten)]
    key: KeyFlags,
    /// Signing algorithm [default: HS256 for a secret, RS256 for RSA, the curve's own for elliptic curves]
    #[arg(long, value_name = "NAME")]
    algorithm: Option<Algorithm>,
    /// Key ID (`kid`), for a hub with several keys
    #[arg(long, value_name = "NAME")]
    kid: Option<String>,
}

impl Make {
    pub(super) fn run(&self, now: SystemTime) -> Result<Answer, Failure> {
        let usage = |error| Failure { code: USAGE, error };
        let key = self.key.read().map_err(usage)?;
        let key =
            key.ok_or_else(|| usage(anyhow!("no key to sign the token with: set --key-file or --key")))?;
        let signer = Signer::read(key.expose()).map_err(|error| usage(error.into()))?;
        if self.publish.is_empty() && self.subscribe.is_empty() {
            return Err(usage(anyhow!("the token would grant nothing: set --publish, --subscribe or both")));
        }
        let grants = Grants {
            publish: self.publish.clone(),
            subscribe: self.subscribe.clone(),
            payload: self.payload.clone(),
        };
        let mut claims = Claims::new(grants, now, self.expires_in);
        claims.aud.clone_from(&self.audience);
        claims.iss.clone_from(&self.issuer);
        claims.sub.clone_from(&self.subject);
        let warnings = warnings(&serde_json::to_value(&claims).unwrap_or_default(), now);
        let token = make(&claims, &signer, self.algorithm, self.kid.as_deref());
        token
            .map(|token| Answer { text: token + "\n", warnings, code: 0 })
            .map_err(|error| usage(error.into()))
    }
}

fn selector(text: &str) -> Result<String, String> {
    Selector::parse(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("invalid JSON: {error}"))
}

fn lifetime(text: &str) -> Result<Lifetime, String> {
    if text == "none" {
        return Ok(Lifetime(None));
    }
    let lifetime = time(text).filter(|lifetime| *lifetime >= Duration::from_secs(1));
    let lifetime =
        lifetime.ok_or("expected a time of at least one second, such as 90s, 15m, 1h30m or 7d, or `none`")?;
    Ok(Lifetime(Some(lifetime)))
}
