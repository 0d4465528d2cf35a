//! Keys in JSON: a JWK or a set of them (RFC 7517).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::keys::{BYTE_ORDER_MARK, Key, KeyError};
use super::object::Object;
use super::spki::PublicKey;

/// Reads a key set: a JSON object with the member `keys`. Nothing else is a key set.
pub(super) fn set(text: &str) -> Result<Vec<Key>, KeyError> {
    let mut object = object(text)?;
    let members = object.remove("keys").ok_or(KeyError::NoSet)?;
    usable(serde_json::from_value(members)?)
}

/// Reads a key set, or a JSON object that is a single key.
pub(super) fn set_or_key(text: &str) -> Result<Vec<Key>, KeyError> {
    let object = object(text)?;
    if object.contains_key("keys") { set(text) } else { usable(vec![Value::Object(object)]) }
}

fn object(text: &str) -> Result<Map<String, Value>, KeyError> {
    if text.starts_with('\u{FEFF}') {
        return Err(KeyError::Json(BYTE_ORDER_MARK.to_owned()));
    }
    Ok(serde_json::from_str(text)?)
}

impl From<serde_json::Error> for KeyError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error.to_string())
    }
}

/// Reads the usable keys. RFC 7517, section 5, skips the others; but a set without a usable key is an error.
fn usable(members: Vec<Value>) -> Result<Vec<Key>, KeyError> {
    if members.len() > MAX_KEYS {
        return Err(KeyError::Many(members.len()));
    }
    let mut keys = Vec::new();
    let mut why = KeyError::EmptySet;
    for member in members {
        match serde_json::from_value::<Object<Jwk>>(member)
            .map_err(KeyError::from)
            .and_then(|jwk| jwk.0.key())
        {
            Ok(key) => keys.push(key),
            Err(error) => why = error,
        }
    }
    if keys.is_empty() { Err(why) } else { Ok(keys) }
}

/// Members of a JWK that verification needs (RFC 7518, section 6; RFC 8037).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    k: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Jwk {
    fn key(self) -> Result<Key, KeyError> {
        let verifies =
            self.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|name| name == "verify"));
        if self.usage.as_ref().is_some_and(|usage| usage != "sig") || !verifies {
            return Err(KeyError::NotForSignatures);
        }
        let id = self.kid.clone().map(Arc::from);
        let mut key = match (self.kty.as_str(), self.crv.as_deref()) {
            ("oct", _) => Key::secret(&part("k", self.k)?, id)?,
            ("RSA", _) => {
                let key = PublicKey::rsa(&part("n", self.n)?, &part("e", self.e)?);
                Key::public(key.ok_or(KeyError::Unsupported)?, id)
            }
            ("EC", Some("P-256")) => Key::public(PublicKey::P256(point(32, self.x, self.y)?), id),
            ("EC", Some("P-384")) => Key::public(PublicKey::P384(point(48, self.x, self.y)?), id),
            ("OKP", Some("Ed25519")) => Key::public(PublicKey::Ed25519(sized("x", 32, self.x)?.into()), id),
            _ => return Err(KeyError::Unsupported),
        };
        if let Some(name) = self.alg {
            let algorithm = Algorithm::named(&name).filter(|algorithm| key.allows(*algorithm));
            key.algorithms = vec![algorithm.ok_or(KeyError::NoAlgorithm)?];
        }
        Ok(key)
    }
}

fn part(name: &'static str, value: Option<String>) -> Result<Vec<u8>, KeyError> {
    let value = value.ok_or(KeyError::Member(name))?;
    URL_SAFE_NO_PAD.decode(value).map_err(|_| KeyError::Member(name))
}

fn sized(name: &'static str, length: usize, value: Option<String>) -> Result<Vec<u8>, KeyError> {
    part(name, value)
        .and_then(|bytes| if bytes.len() == length { Ok(bytes) } else { Err(KeyError::Member(name)) })
}

/// Encodes an uncompressed point of a curve (SEC 1, section 2.3.3).
fn point(length: usize, x: Option<String>, y: Option<String>) -> Result<Box<[u8]>, KeyError> {
    let mut point = vec![4];
    point.extend(sized("x", length, x)?);
    point.extend(sized("y", length, y)?);
    Ok(point.into())
}

/// Maximum number of keys of a set.
pub(super) const MAX_KEYS: usize = 100;
