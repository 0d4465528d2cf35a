//! Tokens for publishers and subscribers: claims, and the keys that sign them.

mod sign;

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::Algorithm;

pub use self::sign::{SignError, Signer};

/// The time for which a token is valid; `None` for a token that never expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime(
    /// The time.
    pub Option<Duration>,
);

/// The claims of a token.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Claims {
    /// The rights that it grants.
    pub mercure: Grants,
    /// The audience: the hubs that it is for.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "one_or_more")]
    pub aud: Vec<String>,
    /// The issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// The holder of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// The time of issue, in seconds since 1970.
    pub iat: u64,
    /// The time at which it expires, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<u64>,
}

/// The rights that a token grants; an empty list is left out.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Grants {
    /// Selectors of topics that the holder may publish to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<String>,
    /// Selectors of topics whose private updates the holder may read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subscribe: Vec<String>,
    /// Payload of the holder in subscription events and in the subscription API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
}

impl Claims {
    /// Makes claims that grant these rights from `now` on, for a lifetime.
    pub fn new(mercure: Grants, now: SystemTime, lifetime: Lifetime) -> Self {
        let seconds =
            |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let end = lifetime.0.and_then(|lifetime| now.checked_add(lifetime));
        Self { mercure, aud: Vec::new(), iss: None, sub: None, iat: seconds(now), exp: end.map(seconds) }
    }
}

/// Issues a token: a JWS in compact form (RFC 7515, section 7.1).
///
/// ```
/// use ssekit_mercure::issue::{Claims, Grants, Lifetime, Signer, make};
///
/// let signer = Signer::read("a secret that is long enough: 32 bytes at least")?;
/// let grants = Grants { publish: vec!["*".to_owned()], ..Grants::default() };
/// let claims = Claims::new(grants, std::time::SystemTime::now(), Lifetime(None));
/// let token = make(&claims, &signer, None, None)?;
/// assert_eq!(token.split('.').count(), 3);
/// # Ok::<(), ssekit_mercure::issue::SignError>(())
/// ```
///
/// # Errors
/// When the key does not fit the algorithm.
pub fn make(
    claims: &Claims,
    signer: &Signer,
    algorithm: Option<Algorithm>,
    kid: Option<&str>,
) -> Result<String, SignError> {
    #[derive(Serialize)]
    struct Header<'a> {
        alg: &'static str,
        typ: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        kid: Option<&'a str>,
    }
    let algorithm = algorithm.unwrap_or_else(|| signer.algorithm());
    let header = Header { alg: algorithm.name(), typ: "JWT", kid };
    let encode =
        |json: serde_json::Result<Vec<u8>>| URL_SAFE_NO_PAD.encode(json.expect("texts, numbers and JSON"));
    let message = format!("{}.{}", encode(serde_json::to_vec(&header)), encode(serde_json::to_vec(claims)));
    let signature = signer.sign(algorithm, message.as_bytes())?;
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Serializes one text as a string and several as an array.
///
/// Some verifiers do not read an array with one text.
fn one_or_more<S: Serializer>(texts: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    match texts {
        [text] => text.serialize(serializer),
        texts => texts.serialize(serializer),
    }
}
