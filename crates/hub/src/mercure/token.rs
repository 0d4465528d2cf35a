use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use super::algorithm::Algorithm;
use super::keys::Keys;
use super::limits::Limits;
use super::selector::{Selector, SelectorError};
use super::template::Topic as PreparedTopic;
use super::text::shown;

/// What a valid token grants: the claim `mercure`, or `https://mercure.rocks/`, which goes first.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Token {
    /// What may be published to; nothing where the claim is absent.
    pub publish: Option<Arc<[Selector]>>,
    /// Of what private updates may be read; nothing where the claim is absent.
    pub subscribe: Option<Arc<[Selector]>>,
    /// What subscription events and the API tell others of its holder.
    pub payload: Option<Arc<Value>>,
    /// When it ends, and every stream with it.
    pub expires: Option<SystemTime>,
}

impl Token {
    /// Whether it grants to publish to this topic.
    pub fn may_publish(&self, topic: &str) -> bool {
        grants(self.publish.as_deref(), topic)
    }

    /// Whether it has not ended; with a leeway.
    ///
    /// # Errors
    /// When it has: since when.
    pub(super) fn check_end(&self, now: SystemTime, leeway: Duration) -> Result<(), TokenError> {
        check_end(self.expires, now, leeway)
    }

    /// Whether it grants private updates of this topic.
    pub fn may_subscribe(&self, topic: &str) -> bool {
        grants(self.subscribe.as_deref(), topic)
    }
}

/// Whether who has this token, or none, may read an update: any that is not private, and of those the ones that have a
/// topic for which the token grants it. What somebody subscribed to widens nothing.
pub fn may_read(token: Option<&Token>, topics: &[Box<str>], private: bool) -> bool {
    !private || token.is_some_and(|token| topics.iter().any(|topic| token.may_subscribe(topic)))
}

fn check_end(expires: Option<SystemTime>, now: SystemTime, leeway: Duration) -> Result<(), TokenError> {
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
    /// Verifies a token: a JWS in compact form (RFC 7515) with claims in JSON (RFC 7519), as the default [`Limits`] allow it.
    ///
    /// `exp` and `nbf` hold to the second, without leeway.
    ///
    /// # Errors
    /// With what is wrong, in words for its holder.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Token, TokenError> {
        self.verify_within(token, now, Duration::ZERO, &Limits::default())
    }

    /// The same, with a leeway for `exp` and `nbf`, and limits.
    ///
    /// # Errors
    /// With what is wrong, in words for its holder.
    pub fn verify_within(
        &self,
        token: &str,
        now: SystemTime,
        leeway: Duration,
        limits: &Limits,
    ) -> Result<Token, TokenError> {
        let parts = Parts::split(token, limits)?;
        let header = parts.header()?;
        let algorithm = header.algorithm()?;
        self.check_signature(&parts, &header, algorithm)?;
        let claims = parts.claims()?;
        claims.check_times(now, leeway)?;
        claims.token(limits)
    }

    /// Whether the token names a key that is not here.
    pub(super) fn lacks_key(&self, token: &str, limits: &Limits) -> bool {
        let header = Parts::split(token, limits).and_then(|parts| parts.header());
        let Ok(Header { kid: Some(kid), .. }) = header else { return false };
        !self.current().iter().any(|key| key.id().is_none_or(|id| id == kid))
    }

    /// Whether one of the keys has signed the token. A key of the same name is tried alone.
    pub(super) fn check_signature(
        &self,
        parts: &Parts<'_>,
        header: &Header,
        algorithm: Algorithm,
    ) -> Result<(), TokenError> {
        let keys = self.current();
        if keys.is_empty() {
            return Err(TokenError::NoKeys);
        }
        let named = |key: &super::keys::Key| key.id().is_some() && key.id() == header.kid.as_deref();
        let any_named = keys.iter().any(named);
        // Keys without a name, as of a PEM file, can be meant by any.
        let meant = keys
            .iter()
            .filter(|key| if any_named { named(key) } else { header.kid.is_none() || key.id().is_none() });
        let mut meant = meant.peekable();
        if let (None, Some(kid)) = (meant.peek(), &header.kid) {
            return Err(TokenError::UnknownKey(kid.clone()));
        }
        let mut fits = meant.filter(|key| key.allows(algorithm)).peekable();
        if fits.peek().is_none() {
            return Err(TokenError::Algorithm(algorithm.name().to_owned()));
        }
        if fits.any(|key| key.verify(algorithm, parts.message, &parts.signature)) {
            Ok(())
        } else {
            Err(TokenError::Signature)
        }
    }
}

/// The parts of a token.
pub(super) struct Parts<'a> {
    header: Vec<u8>,
    claims: Vec<u8>,
    /// What is signed.
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
            return Err(TokenError::Form("it is not three parts with dots between them".to_owned()));
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
        let header = serde_json::from_slice(&self.header);
        header.map_err(|error| TokenError::Form(format!("its header is not the JSON of one: {error}")))
    }

    /// Header and claims as they are, of what is JSON.
    pub(super) fn json(&self) -> (Option<Value>, Option<Value>) {
        (serde_json::from_slice(&self.header).ok(), serde_json::from_slice(&self.claims).ok())
    }

    pub(super) fn claims(&self) -> Result<Claims, TokenError> {
        let claims = serde_json::from_slice(&self.claims);
        claims.map_err(|error| TokenError::Claims(error.to_string()))
    }
}

/// A token's header, as far as it counts.
#[derive(Deserialize)]
pub(super) struct Header {
    alg: String,
    pub(super) kid: Option<String>,
    /// Extensions that must be understood. There is none.
    crit: Option<Value>,
}

impl Header {
    pub(super) fn algorithm(&self) -> Result<Algorithm, TokenError> {
        if self.crit.is_some() {
            return Err(TokenError::Form(
                "its header names critical extensions, of which none is known".to_owned(),
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
            None => f.write_str("no key named"),
        }
    }
}

/// A token's claims, as far as they count.
#[derive(Deserialize)]
pub(super) struct Claims {
    exp: Option<Date>,
    nbf: Option<Date>,
    mercure: Option<Grants>,
    #[serde(rename = "https://mercure.rocks/")]
    namespaced: Option<Grants>,
}

#[derive(Deserialize)]
struct Grants {
    publish: Option<Vec<String>>,
    subscribe: Option<Vec<String>>,
    payload: Option<Value>,
}

impl Claims {
    pub(super) fn check_times(&self, now: SystemTime, leeway: Duration) -> Result<(), TokenError> {
        check_end(self.exp.and_then(Date::time), now, leeway)?;
        if let Some(starts) = self.nbf.and_then(Date::time_rounded_up) {
            let early = starts.duration_since(now).unwrap_or_default();
            if early > leeway {
                return Err(TokenError::Early(early));
            }
        }
        Ok(())
    }

    /// Words for times that have been checked.
    pub(super) fn times(&self, now: SystemTime) -> String {
        match self.exp.and_then(Date::time) {
            Some(expires) => {
                format!("valid for another {}", Ago(&expires.duration_since(now).unwrap_or_default()))
            }
            None => "valid without end: it has no claim “exp”".to_owned(),
        }
    }

    pub(super) fn token(self, limits: &Limits) -> Result<Token, TokenError> {
        let grants = self.namespaced.or(self.mercure).ok_or(TokenError::NoClaim)?;
        Ok(Token {
            publish: selectors("publish", grants.publish, limits)?,
            subscribe: selectors("subscribe", grants.subscribe, limits)?,
            payload: grants.payload.map(Arc::new),
            expires: self.exp.and_then(Date::time),
        })
    }
}

fn selectors(
    claim: &'static str,
    texts: Option<Vec<String>>,
    limits: &Limits,
) -> Result<Option<Arc<[Selector]>>, TokenError> {
    let Some(texts) = texts else { return Ok(None) };
    if texts.len() > limits.claim_selectors {
        return Err(TokenError::ManySelectors { claim, count: texts.len(), most: limits.claim_selectors });
    }
    let selectors = texts.into_iter().map(|text| {
        Selector::parse(&text).map_err(|why| TokenError::Selector { claim, text: shown(&text), why })
    });
    selectors.collect::<Result<Arc<[_]>, _>>().map(Some)
}

/// A time as tokens have it (RFC 7519, section 2): seconds since 1970, perhaps with a fraction.
#[derive(Clone, Copy, Deserialize)]
#[serde(transparent)]
struct Date(f64);

impl Date {
    /// To the second before; nothing where it lies after all times.
    fn time(self) -> Option<SystemTime> {
        // A cast is exact enough for the next 285 million years, and takes what is beyond its range for its ends.
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(self.0 as u64)).filter(|_| self.0 < 1e15)
    }

    fn time_rounded_up(self) -> Option<SystemTime> {
        Self(self.0.ceil().min(9e14)).time()
    }
}

/// Why a token is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Too long.
    #[error("the token has {length} bytes, {most} at most are taken")]
    Long {
        /// Its length in bytes.
        length: usize,
        /// The limit.
        most: usize,
    },
    /// It is no JWS in compact form.
    #[error("the token is no JWT: {0}")]
    Form(String),
    /// The claims are not what they should be.
    #[error("the token's claims cannot be read: {0}")]
    Claims(String),
    /// An algorithm that is unknown, or fits no key.
    #[error("the token is signed with {name}, for which the hub has no key that may be used so", name = shown(.0))]
    Algorithm(String),
    /// There is no key to verify it with.
    #[error("the hub has no key to verify tokens with; its operator sets one")]
    NoKeys,
    /// It names a key that the hub does not have.
    #[error("the token names the key {kid}, which the hub does not have", kid = shown(.0))]
    UnknownKey(String),
    /// It was signed with another key, or changed since.
    #[error(
        "the token's signature is not by the hub's key: it was signed with another one, or changed since"
    )]
    Signature,
    /// It is over, since so long.
    #[error("the token expired {} ago (claim “exp”): get a new one", Ago(.0))]
    Expired(Duration),
    /// It is not valid yet, for so long.
    #[error("the token is not valid for another {} (claim “nbf”)", Ago(.0))]
    Early(Duration),
    /// It is for something else.
    #[error("the token has no claim “mercure”, which lists what it grants")]
    NoClaim,
    /// A claim lists too much.
    #[error("the claim “mercure.{claim}” lists {count} selectors, {most} at most are taken")]
    ManySelectors {
        /// `publish` or `subscribe`.
        claim: &'static str,
        /// How many there are.
        count: usize,
        /// The limit.
        most: usize,
    },
    /// A claim lists what is no selector.
    #[error("the claim “mercure.{claim}” lists {text}, which is no selector: {why}")]
    Selector {
        /// `publish` or `subscribe`.
        claim: &'static str,
        /// What is listed.
        text: String,
        /// What is wrong with it.
        why: SelectorError,
    },
}

/// A duration for people: in its largest unit.
struct Ago<'a>(&'a Duration);

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
