use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::{hmac, signature};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer};
use serde::Deserialize;

use super::algorithm::{Algorithm, Family};
use super::spki::{self, PublicKey};

/// The keys that tokens are verified with. Cloning shares them, so that a rotation reaches everybody.
///
/// Each key has its type, and a token's algorithm must be one of that type and allowed; `none` is not an algorithm. What a token says of its
/// key (`kid`) is a hint, what it brings of one (`jwk`, `jku`, `x5u`) is ignored.
///
/// ```
/// use ssekit_hub::mercure::Keys;
///
/// let keys = Keys::read("a secret that is long enough: 32 bytes at least")?;
/// assert_eq!(keys.len(), 1);
/// # Ok::<(), ssekit_hub::mercure::KeyError>(())
/// ```
#[derive(Clone, Default)]
pub struct Keys(Arc<RwLock<Arc<[Key]>>>);

/// One key, and what it may be used for.
pub(super) struct Key {
    id: Option<Box<str>>,
    algorithms: Vec<Algorithm>,
    material: Material,
}

enum Material {
    Secret(Box<[u8]>),
    Public(PublicKey),
}

impl Keys {
    /// No key: no token is valid.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether these are shared: what replaces the ones, replaces the others.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Reads keys from a text: a PEM file with public keys, a JWK or JWKS in JSON, or else a shared secret, as it is.
    ///
    /// # Errors
    /// When the text is neither, holds no key that can be used, or is a secret of less than 32 bytes.
    pub fn read(text: &str) -> Result<Self, KeyError> {
        let start = text.trim_start();
        let keys = if start.starts_with("-----BEGIN") {
            pem(text)?
        } else if start.starts_with('{') {
            jwks(text)?
        } else {
            vec![Key::secret(text.as_bytes(), None)?]
        };
        Ok(Self::of(keys))
    }

    /// A shared secret that is no text.
    ///
    /// # Errors
    /// When it has less than 32 bytes.
    pub fn secret(secret: &[u8]) -> Result<Self, KeyError> {
        Ok(Self::of(vec![Key::secret(secret, None)?]))
    }

    fn of(keys: Vec<Key>) -> Self {
        Self(Arc::new(RwLock::new(keys.into())))
    }

    /// The same keys, for these algorithms alone.
    ///
    /// # Errors
    /// When no key could be used any more.
    pub fn allow(self, algorithms: &[Algorithm]) -> Result<Self, KeyError> {
        let mut kept = Vec::new();
        for key in self.current().iter() {
            let allowed: Vec<_> =
                key.algorithms.iter().copied().filter(|algorithm| algorithms.contains(algorithm)).collect();
            if !allowed.is_empty() {
                kept.push(key.with_algorithms(allowed));
            }
        }
        if kept.is_empty() && !self.is_empty() {
            return Err(KeyError::NoAlgorithm);
        }
        Ok(Self::of(kept))
    }

    /// Uses the keys of `other` from now on, here and in every clone.
    pub fn replace(&self, other: &Self) {
        let others = other.current();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = others;
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.current().len()
    }

    /// Whether there is none, so that no token is valid.
    pub fn is_empty(&self) -> bool {
        self.current().is_empty()
    }

    pub(super) fn current(&self) -> Arc<[Key]> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.current().iter()).finish()
    }
}

impl fmt::Debug for Key {
    /// Never the key itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

impl Key {
    fn secret(secret: &[u8], id: Option<Box<str>>) -> Result<Self, KeyError> {
        if secret.len() < MIN_SECRET {
            return Err(KeyError::ShortSecret(secret.len()));
        }
        Ok(Self { id, algorithms: Family::Secret.algorithms(), material: Material::Secret(secret.into()) })
    }

    fn public(key: PublicKey, id: Option<Box<str>>) -> Self {
        Self { id, algorithms: key.family().algorithms(), material: Material::Public(key) }
    }

    fn with_algorithms(&self, algorithms: Vec<Algorithm>) -> Self {
        let material = match &self.material {
            Material::Secret(secret) => Material::Secret(secret.clone()),
            Material::Public(key) => Material::Public(key.clone()),
        };
        Self { id: self.id.clone(), algorithms, material }
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(super) fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether the signature is of this message, by this key. Secrets are compared in constant time.
    pub(super) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.allows(algorithm) {
            return false;
        }
        match (&self.material, algorithm.hmac()) {
            (Material::Secret(secret), Some(hmac)) => {
                hmac::verify(&hmac::Key::new(hmac, secret), message, signature).is_ok()
            }
            (Material::Public(key), None) => key.verify(algorithm, message, signature),
            _ => false,
        }
    }
}

/// The public keys of a PEM file, in its order.
fn pem(text: &str) -> Result<Vec<Key>, KeyError> {
    let mut keys = Vec::new();
    for key in SubjectPublicKeyInfoDer::pem_slice_iter(text.as_bytes()) {
        let key = key.map_err(|error| KeyError::Pem(error.to_string()))?;
        let key = spki::read(&key).ok_or(KeyError::Unsupported)?;
        keys.push(Key::public(key, None));
    }
    if !keys.is_empty() {
        return Ok(keys);
    }
    if PrivateKeyDer::from_pem_slice(text.as_bytes()).is_ok() {
        return Err(KeyError::PrivateKey);
    }
    if CertificateDer::from_pem_slice(text.as_bytes()).is_ok() {
        return Err(KeyError::Certificate);
    }
    Err(KeyError::Pem("it holds no “PUBLIC KEY”".to_owned()))
}

/// The keys of a JWKS, or of one JWK (RFC 7517). Those of unknown types are skipped, as section 5 wants, but not all of them.
fn jwks(text: &str) -> Result<Vec<Key>, KeyError> {
    let invalid = |error: serde_json::Error| KeyError::Json(error.to_string());
    let value: serde_json::Value = serde_json::from_str(text).map_err(invalid)?;
    let members = match value.get("keys") {
        Some(_) => serde_json::from_value::<Set>(value).map_err(invalid)?.keys,
        None => vec![value],
    };
    if members.len() > MAX_KEYS {
        return Err(KeyError::Many(members.len()));
    }
    let mut keys = Vec::new();
    let mut why = KeyError::Unsupported;
    for member in members {
        match serde_json::from_value::<Jwk>(member).map_err(invalid).and_then(Jwk::key) {
            Ok(key) => keys.push(key),
            Err(error) => why = error,
        }
    }
    if keys.is_empty() { Err(why) } else { Ok(keys) }
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

/// A JWK, as far as it is needed (RFC 7518, section 6; RFC 8037).
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
        let id = self.kid.clone().map(String::into_boxed_str);
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

/// An uncompressed point of a curve (SEC 1, section 2.3.3).
fn point(length: usize, x: Option<String>, y: Option<String>) -> Result<Box<[u8]>, KeyError> {
    let mut point = vec![4];
    point.extend(sized("x", length, x)?);
    point.extend(sized("y", length, y)?);
    Ok(point.into())
}

impl PublicKey {
    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let with = |way: &'static dyn signature::VerificationAlgorithm, key: &[u8]| {
            signature::UnparsedPublicKey::new(way, key).verify(message, signature).is_ok()
        };
        match (self, algorithm.rsa()) {
            (Self::Rsa { n, e }, Some(way)) => {
                signature::RsaPublicKeyComponents { n, e }.verify(way, message, signature).is_ok()
            }
            (Self::P256(point), None) => with(&signature::ECDSA_P256_SHA256_FIXED, point),
            (Self::P384(point), None) => with(&signature::ECDSA_P384_SHA384_FIXED, point),
            (Self::Ed25519(key), None) => with(&signature::ED25519, key),
            _ => false,
        }
    }
}

/// Why a text holds no keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A shared secret is too short.
    #[error("the secret has {0} bytes and needs {least} at least (RFC 7518, section 3.2): make one with `openssl rand -base64 32`", least = MIN_SECRET)]
    ShortSecret(usize),
    /// The text begins as PEM and is none, or holds no public key.
    #[error("the PEM text cannot be used: {0}")]
    Pem(String),
    /// A private key where the public one belongs.
    #[error(
        "this is a private key, with which tokens are made: give the public one, as `openssl pkey -pubout` prints it"
    )]
    PrivateKey,
    /// A certificate where its public key belongs.
    #[error("this is a certificate: give its public key, as `openssl x509 -pubkey -noout` prints it")]
    Certificate,
    /// The text begins as JSON and is none.
    #[error("the JSON is no JWK or JWKS: {0}")]
    Json(String),
    /// A key lacks something.
    #[error("the member {0:?} of the JWK is missing or not what its type needs")]
    Member(&'static str),
    /// Of another type.
    #[error(
        "a key of this type is not supported: RSA of 2048 bits and more, EC P-256 and P-384, Ed25519 and shared secrets are"
    )]
    Unsupported,
    /// For something else.
    #[error("the JWK is not for verifying signatures")]
    NotForSignatures,
    /// Nothing is left to use the key for.
    #[error("no algorithm that is allowed fits the type of the key")]
    NoAlgorithm,
    /// The text is longer than any that is needed.
    #[error("the text has {0} bytes, {most} at most are taken", most = super::jwks::MAX_BYTES)]
    Long(usize),
    /// Too many.
    #[error("the JWKS has {0} keys, {most} at most are taken", most = MAX_KEYS)]
    Many(usize),
}

/// As long as the shortest hash (RFC 7518, section 3.2).
const MIN_SECRET: usize = 32;
const MAX_KEYS: usize = 100;
