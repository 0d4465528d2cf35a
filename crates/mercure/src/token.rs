//! Tokens: a JWS (RFC 7515) with the claim `mercure`, its verification, and its grants.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::algorithm::Algorithm;
use super::claims::Claims;
use super::keys::{Key, KeyList, Keys};
use super::limits::Limits;
use super::object::Object;
use super::required::RequiredClaims;
use super::selector::{Selector, SelectorError};
use super::template::Topic as PreparedTopic;
use super::text::shown;

/// Grants of a valid token: the claim `mercure`, or `https://mercure.rocks/`, which takes precedence.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Token {
    /// Selectors of the topics that the holder may publish to; `None` if the claim is absent.
    pub publish: Option<Arc<[Selector]>>,
    /// Selectors of the topics whose private updates the holder may read; `None` if the claim is absent.
    pub subscribe: Option<Arc<[Selector]>>,
    /// Payload that subscription events and the subscription API show to others.
    pub payload: Option<Arc<Value>>,
    /// Time at which the token and its streams end.
    pub expires: Option<SystemTime>,
    /// Proof of the verification; `None` for a token that the hub has made for itself.
    pub(super) signature: Option<Signature>,
}

/// Proof that a token was verified.
///
/// It is enough to verify the token again when keys are replaced, without the token's text.
#[derive(Clone, Debug)]
pub(super) struct Signature {
    keys: Keys,
    key: Arc<Key>,
    algorithm: Algorithm,
    /// Name of the key in the token.
    named: Option<Arc<str>>,
}

impl Signature {
    /// Whether the current keys would verify the token as well.
    fn is_valid(&self) -> bool {
        let keys = self.keys.current();
        meant(&keys, self.named.as_deref()).any(|key| *key == self.key && key.allows(self.algorithm))
    }
}

impl Token {
    /// Whether the token grants to publish to this topic.
    pub fn may_publish(&self, topic: &str) -> bool {
        grants(self.publish.as_deref(), topic)
    }

    /// Checks a verified token again: it must not have expired, and its key must still be one of the hub's.
    ///
    /// # Errors
    /// When it is not valid any more.
    pub(super) fn check_again(&self, now: SystemTime, leeway: Duration) -> Result<(), TokenError> {
        check_end(self.expires, now, leeway)?;
        if self.is_revoked() { Err(TokenError::Revoked) } else { Ok(()) }
    }

    /// Whether the keys were replaced after the verification, and the current keys do not verify the token.
    pub fn is_revoked(&self) -> bool {
        self.signature.as_ref().is_some_and(|signature| !signature.is_valid())
    }

    /// Payload that other clients see beside a subscription with this selector.
    pub fn payload_of(&self, _selector: &Selector) -> Option<&Arc<Value>> {
        self.payload.as_ref()
    }

    /// Whether the token grants private updates of this topic.
    pub fn may_subscribe(&self, topic: &str) -> bool {
        grants(self.subscribe.as_deref(), topic)
    }
}

/// Whether the holder of this token, or a client without one, may read an update.
///
/// Everyone may read a public update. A private one needs a token that grants one of its topics;
/// subscriptions add no rights.
pub fn may_read(token: Option<&Token>, topics: &[Box<str>], private: bool) -> bool {
    !private || token.is_some_and(|token| topics.iter().any(|topic| token.may_subscribe(topic)))
}

pub(super) fn check_end(
    expires: Option<SystemTime>,
    now: SystemTime,
    leeway: Duration,
) -> Result<(), TokenError> {
    match expires {
        Some(expires) if now >= expires => {
            let late = now.duration_since(expires).unwrap_or_default();
            if late < leeway { Ok(()) } else { Err(TokenError::Expired(late)) }
        }
        _ => Ok(()),
    }
}

fn grants(selectors: Option<&[Selector]>, topic: &str) -> bool {
    let prepared = PreparedTopic::new(topic);
    let selects = |selector: &Selector| selector.matches_prepared(topic, &prepared);
    selectors.is_some_and(|selectors| selectors.iter().any(selects))
}

impl Keys {
    /// Verifies a token, with the default [`Limits`].
    ///
    /// A token is a JWS in compact form (RFC 7515) with JSON claims (RFC 7519).
    ///
    /// `exp` and `nbf` apply to the second, without leeway.
    ///
    /// # Errors
    /// With the fault, in words for the holder.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Token, TokenError> {
        self.verify_within(token, now, Duration::ZERO, &Limits::default(), &RequiredClaims::default())
    }

    /// Verifies a token with a leeway for `exp` and `nbf`, limits, and required values of `aud` and `iss`.
    ///
    /// # Errors
    /// With the fault, in words for the holder.
    pub fn verify_within(
        &self,
        token: &str,
        now: SystemTime,
        leeway: Duration,
        limits: &Limits,
        required: &RequiredClaims,
    ) -> Result<Token, TokenError> {
        let parts = Parts::split(token, limits)?;
        let header = parts.header()?;
        let algorithm = header.algorithm()?;
        let signature = self.check_signature(&parts, &header, algorithm)?;
        let claims = parts.claims()?;
        claims.check_times(now, leeway)?;
        claims.check_required(required)?;
        Ok(Token { signature: Some(signature), ..claims.token(limits)? })
    }

    /// Whether there is no key yet, or the token names a key that is missing.
    pub(super) fn lacks_key(&self, token: &str, limits: &Limits) -> bool {
        let keys = self.current();
        let header = || Parts::split(token, limits).and_then(|parts| parts.header());
        keys.is_empty() || header().is_ok_and(|header| meant(&keys, header.kid.as_deref()).next().is_none())
    }

    /// Finds the key that has signed the token.
    ///
    /// If a key has the name that the token gives, no other key is tried.
    pub(super) fn check_signature(
        &self,
        parts: &Parts<'_>,
        header: &Header,
        algorithm: Algorithm,
    ) -> Result<Signature, TokenError> {
        let keys = self.current();
        if keys.is_empty() {
            return Err(TokenError::NoKeys);
        }
        let mut meant = meant(&keys, header.kid.as_deref()).peekable();
        if let (None, Some(kid)) = (meant.peek(), &header.kid) {
            return Err(TokenError::UnknownKey(kid.clone()));
        }
        let mut fits = meant.filter(|key| key.allows(algorithm)).peekable();
        if fits.peek().is_none() {
            return Err(TokenError::Algorithm(algorithm.name().to_owned()));
        }
        let key = fits.find(|key| key.verify(algorithm, parts.message, &parts.signature));
        let key = Arc::clone(key.ok_or(TokenError::Signature)?);
        let of_key = key.id().filter(|id| Some(&***id) == header.kid.as_deref()).cloned();
        let named = of_key.or_else(|| header.kid.as_deref().map(Arc::from));
        Ok(Signature { keys: self.clone(), key, algorithm, named })
    }
}

/// The keys that a token may refer to.
///
/// They are those with the name that it gives, else those without a name, such as keys of a PEM file; all
/// keys if it gives none.
fn meant<'a>(keys: &'a KeyList, name: Option<&'a str>) -> impl Iterator<Item = &'a Arc<Key>> {
    let is_named = move |key: &Key| name.is_some() && key.id().map(|id| &**id) == name;
    let any_named = keys.iter().any(|key| is_named(key));
    keys.iter().filter(
        move |key| {
            if any_named { is_named(key) } else { name.is_none() || key.id().is_none() }
        },
    )
}

/// Parts of a token.
pub(super) struct Parts<'a> {
    header: Vec<u8>,
    claims: Vec<u8>,
    /// The signed bytes.
    message: &'a [u8],
    signature: Vec<u8>,
}

impl<'a> Parts<'a> {
    pub(super) fn split(token: &'a str, limits: &Limits) -> Result<Self, TokenError> {
        if token.len() > limits.token {
            return Err(TokenError::Long { length: token.len(), most: limits.token });
        }
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::Form("it does not have three parts, separated by dots".to_owned()));
        };
        let decode = |name: &str, part: &str| {
            let decoded = URL_SAFE_NO_PAD.decode(part);
            decoded.map_err(|error| TokenError::Form(format!("its {name} is not base64url: {error}")))
        };
        Ok(Self {
            header: decode("header", header)?,
            claims: decode("payload", claims)?,
            message: &token.as_bytes()[..header.len() + 1 + claims.len()],
            signature: decode("signature", signature)?,
        })
    }

    pub(super) fn header(&self) -> Result<Header, TokenError> {
        let header = serde_json::from_slice(&self.header).map(|Object(header)| header);
        header.map_err(|error| {
            TokenError::Form(format!("its header is not a JWT header in JSON: {}", short(&error)))
        })
    }

    /// Header and claims, each of them if it is JSON.
    pub(super) fn json(&self) -> (Option<Value>, Option<Value>) {
        (serde_json::from_slice(&self.header).ok(), serde_json::from_slice(&self.claims).ok())
    }

    pub(super) fn claims(&self) -> Result<Claims, TokenError> {
        let claims = serde_json::from_slice(&self.claims).map(|Object(claims)| claims);
        claims.map_err(|error| TokenError::Claims(short(&error)))
    }
}

/// Text of a JSON error, shortened because it may repeat a long text of the token.
fn short(error: &serde_json::Error) -> String {
    const MOST: usize = 200;
    let words = error.to_string();
    match words.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

/// Members of a token's header that the hub reads.
#[derive(Deserialize)]
pub(super) struct Header {
    alg: String,
    pub(super) kid: Option<String>,
    /// Extensions that the receiver must understand. The hub supports none.
    #[serde(default, deserialize_with = "present")]
    crit: Option<Value>,
}

/// Reads a member that is present, even if it is `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Header {
    pub(super) fn algorithm(&self) -> Result<Algorithm, TokenError> {
        if self.crit.is_some() {
            return Err(TokenError::Form(
                "its header requires extensions (“crit”), none of which is supported".to_owned(),
            ));
        }
        Algorithm::named(&self.alg).ok_or_else(|| TokenError::Algorithm(self.alg.clone()))
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "algorithm {}, ", shown(&self.alg))?;
        match &self.kid {
            Some(kid) => write!(f, "key {}", shown(kid)),
            None => f.write_str("no key ID"),
        }
    }
}

/// Reason why a token is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The token is too long.
    #[error("the token has {length} bytes; the limit is {most}")]
    Long {
        /// Its length in bytes.
        length: usize,
        /// The limit.
        most: usize,
    },
    /// The text is no JWS in compact form.
    #[error("the token is not a JWT: {0}")]
    Form(String),
    /// The claims are invalid.
    #[error("cannot read the claims of the token: {0}")]
    Claims(String),
    /// The algorithm is unknown, or fits no key.
    #[error("the token is signed with {name}, but the hub has no key for this algorithm", name = shown(.0))]
    Algorithm(String),
    /// The hub has no keys.
    #[error("the hub has no key to verify tokens: its operator has to configure one")]
    NoKeys,
    /// The token names a key that the hub does not have.
    #[error("the token names the key {kid}, which the hub does not have", kid = shown(.0))]
    UnknownKey(String),
    /// The token was signed with another key, or changed later.
    #[error("the token's signature is invalid: the token was signed with another key, or changed later")]
    Signature,
    /// The key of a token that was verified before has been replaced or revoked.
    #[error("the token's key has been replaced or revoked: get a new token")]
    Revoked,
    /// The token expired this long ago.
    #[error("the token expired {} ago (claim “exp”): get a new one", Ago(.0))]
    Expired(Duration),
    /// The token becomes valid after this time.
    #[error("the token becomes valid in {} (claim “nbf”)", Ago(.0))]
    Early(Duration),
    /// A claim that the hub requires is missing, or has another value.
    #[error(
        "the token {}; this hub requires {accepted} (setting `{setting}`)",
        found.as_ref().map_or_else(|| format!("has no claim “{claim}”"), |found| format!("has {found} in the claim “{claim}”"))
    )]
    RequiredClaim {
        /// `aud` or `iss`.
        claim: &'static str,
        /// Setting that requires the claim.
        setting: &'static str,
        /// Value of the claim.
        found: Option<String>,
        /// Accepted values.
        accepted: String,
    },
    /// The token has no claim `mercure`.
    #[error("the token has no claim “mercure”, which lists what it grants")]
    NoClaim,
    /// A claim has too many selectors.
    #[error("the claim “mercure.{claim}” lists {count} selectors; the limit is {most}")]
    ManySelectors {
        /// `publish` or `subscribe`.
        claim: &'static str,
        /// Number of selectors.
        count: usize,
        /// The limit.
        most: usize,
    },
    /// A claim has an invalid selector.
    #[error("the claim “mercure.{claim}” lists {text}, which is not a valid selector: {why}")]
    Selector {
        /// `publish` or `subscribe`.
        claim: &'static str,
        /// The text.
        text: String,
        /// Its fault.
        why: SelectorError,
    },
}

/// Duration for people, in its largest unit.
pub(super) struct Ago<'a>(pub(super) &'a Duration);

impl fmt::Display for Ago<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0..120 => write!(f, "{seconds} s"),
            120..7200 => write!(f, "{} min", seconds / 60),
            7200..172_800 => write!(f, "{} h", seconds / 3600),
            _ => write!(f, "{} days", seconds / 86_400),
        }
    }
}
