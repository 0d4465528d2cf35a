//! `ssekit token`: makes tokens, and explains them.

mod doubts;
mod explain;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Error, anyhow};
use serde_json::Value;
use ssekit_mercure::issue::{Claims, Grants, Lifetime, Signer, make};
use ssekit_mercure::{Algorithm, Selector};

use crate::config::{Key, Secret, time};
use crate::terminal::{FAILED, Failure, USAGE};

use self::doubts::doubts;
pub use self::explain::Explain;

/// The subcommands of `ssekit token`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Token {
    /// Create a token (JWT) and print it
    Make(Make),
    /// Show the contents of a token, and why a hub would refuse it
    Explain(Explain),
}

impl Token {
    /// Runs the command.
    ///
    /// # Errors
    /// When the arguments are invalid.
    pub fn run(&self, now: SystemTime) -> Result<Answer, Failure> {
        match self {
            Self::Make(make) => make.run(now),
            Self::Explain(explain) => explain.run(now),
        }
    }
}

/// Output, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Text for standard output.
    pub text: String,
    /// Warnings for standard error.
    pub warnings: Vec<String>,
    /// 0 if all is well, 1 if a token is refused.
    pub code: u8,
}

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
    /// Subject (claim `sub`): the holder of the token, who owns its idempotency keys
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

/// Key that signs or verifies.
#[derive(Clone, Debug, clap::Args)]
pub struct KeyFlags {
    /// Key: a secret, or PEM (a private key to sign, a public key to verify) [env: SSEKIT_KEY]
    #[arg(long, value_name = "SECRET", conflicts_with = "key_file", value_parser = secret)]
    key: Option<Secret>,
    /// File with the key; unlike --key, it stays out of `ps` [env: SSEKIT_KEY_FILE]
    #[arg(long, value_name = "PATH")]
    key_file: Option<PathBuf>,
}

impl KeyFlags {
    /// Makes flags with these values.
    pub fn new(key: Option<&str>, key_file: Option<&Path>) -> Self {
        Self { key: key.map(Secret::new), key_file: key_file.map(Path::to_owned) }
    }

    /// Reads the text of the key, if a flag, or else a variable, names one.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn read(&self) -> Result<Option<Secret>, Error> {
        let mut key = Key { secret: self.key.clone(), file: self.key_file.clone(), ..Key::default() };
        if !key.is_given() {
            let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
            key.secret = variable("SSEKIT_KEY").map(Secret::new);
            key.file = variable("SSEKIT_KEY_FILE").map(PathBuf::from);
        }
        key.read().map_err(|error| anyhow!(error))
    }
}

impl Make {
    fn run(&self, now: SystemTime) -> Result<Answer, Failure> {
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
        let warnings = doubts(&serde_json::to_value(&claims).unwrap_or_default(), now);
        let token = make(&claims, &signer, self.algorithm, self.kid.as_deref());
        token
            .map(|token| Answer { text: token + "\n", warnings, code: 0 })
            .map_err(|error| usage(error.into()))
    }
}

/// Text of an argument, or of standard input for `-`, without the line feed at its end.
fn argument(text: &str) -> Result<String, Failure> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(MOST_TOKEN)
        .read_to_string(&mut text)
        .context("cannot read stdin")
        .map_err(|error| Failure { code: FAILED, error })?;
    Ok(text.trim().to_owned())
}

/// Maximum size of a token in bytes; larger than a hub accepts.
const MOST_TOKEN: u64 = 1 << 20;

fn selector(text: &str) -> Result<String, String> {
    Selector::parse(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("invalid JSON: {error}"))
}

#[expect(clippy::unnecessary_wraps, reason = "the parser of flags asks for it")]
fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
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
