//! Keys that verify tokens. They can be replaced while they are in use.

use std::fmt;
use std::sync::Arc;

use ring::{hmac, signature};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer};
use serde_json::Value;
use tokio::sync::watch;

use super::algorithm::{Algorithm, Family};
use super::jwk;
use super::spki::{self, PublicKey};
use super::text::shown;

/// The keys that verify tokens. Clones share them: a replacement applies to each clone.
///
/// Each key has a type, and the algorithm of a token must belong to that type and be allowed; `none` is not
/// an algorithm. The name of a key in a token (`kid`) is a hint. A key in a token (`jwk`, `jku`, `x5u`) is
/// ignored.
///
/// ```
/// use ssekit_mercure::Keys;
///
/// let keys = Keys::read("a secret that is long enough: 32 bytes at least")?;
/// assert_eq!(keys.len(), 1);
/// # Ok::<(), ssekit_mercure::KeyError>(())
/// ```
#[derive(Clone, Default)]
pub struct Keys(Arc<watch::Sender<KeyList>>);

/// All keys at one time.
pub(super) type KeyList = Arc<[Arc<Key>]>;

/// One key and its permitted use.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key {
    id: Option<Arc<str>>,
    pub(super) algorithms: Vec<Algorithm>,
    material: Material,
}

#[derive(Clone, PartialEq, Eq)]
enum Material {
    Secret(Box<[u8]>),
    Public(PublicKey),
}

/// Notifications of the replacements of [`Keys`].
#[derive(Debug)]
pub struct Replacements(watch::Receiver<KeyList>);

impl Replacements {
    /// Waits for the next replacement; returns false when every clone of the keys is dropped.
    ///
    /// Dropping the future loses no replacement.
    pub async fn next(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

impl Keys {
    /// Maximum size of a key set in bytes. A set of a hundred RSA keys is smaller.
    pub const MAX_SET_BYTES: usize = 256 << 10;

    /// No keys: no token is valid.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether both are clones of the same keys.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Reads the text of a key: PEM, a JWK or a key set in JSON, or else a shared secret.
    ///
    /// A PEM file holds public keys. A shared secret is taken unchanged.
    ///
    /// Do not use it for a text from elsewhere, such as the answer of a URL: any text of 32 bytes is a
    /// secret. [`read_set`](Self::read_set) reads key sets.
    ///
    /// # Errors
    /// When the text is none of these, has no usable key, or is a secret of less than 32 bytes.
    pub fn read(text: &str) -> Result<Self, KeyError> {
        let start = text.trim_start();
        let keys = if start.starts_with("-----BEGIN") {
            pem(text)?
        } else if start.starts_with('{') {
            jwk::set_or_key(text)?
        } else {
            vec![Key::secret(secret_text(text)?.as_bytes(), None)?]
        };
        Ok(Self::of(keys))
    }

    /// Reads a key set (JWKS, RFC 7517): a JSON object with the member `keys`. Nothing else is a key set.
    ///
    /// # Errors
    /// When the text is longer than [`MAX_SET_BYTES`](Self::MAX_SET_BYTES), is no such object, or has no
    /// usable key.
    pub fn read_set(text: &str) -> Result<Self, KeyError> {
        if text.len() > Self::MAX_SET_BYTES {
            return Err(KeyError::Long(text.len()));
        }
        jwk::set(text).map(Self::of)
    }

    /// Makes a key of a shared secret of any bytes.
    ///
    /// # Errors
    /// When it has less than 32 bytes.
    pub fn secret(secret: &[u8]) -> Result<Self, KeyError> {
        Ok(Self::of(vec![Key::secret(secret, None)?]))
    }

    fn of(keys: Vec<Key>) -> Self {
        Self(Arc::new(watch::Sender::new(keys.into_iter().map(Arc::new).collect())))
    }

    /// Restricts the keys to these algorithms.
    ///
    /// # Errors
    /// When no key remains usable.
    pub fn allow(self, algorithms: &[Algorithm]) -> Result<Self, KeyError> {
        let mut kept = Vec::new();
        for key in self.current().iter() {
            let mut key = Key::clone(key);
            key.algorithms.retain(|algorithm| algorithms.contains(algorithm));
            if !key.algorithms.is_empty() {
                kept.push(key);
            }
        }
        if kept.is_empty() && !self.is_empty() {
            return Err(KeyError::NoAlgorithm);
        }
        Ok(Self::of(kept))
    }

    /// Replaces the keys by those of `other`, in every clone. Returns false if they are equal.
    pub fn replace(&self, other: &Self) -> bool {
        let others = other.current();
        self.0.send_if_modified(|keys| {
            let within = |these: &KeyList, those: &KeyList| these.iter().all(|key| those.contains(key));
            let differ = !within(keys, &others) || !within(&others, keys);
            if differ {
                *keys = others;
            }
            differ
        })
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.current().len()
    }

    /// Whether there is no key, so that no token is valid.
    pub fn is_empty(&self) -> bool {
        self.current().is_empty()
    }

    pub(super) fn current(&self) -> KeyList {
        Arc::clone(&self.0.borrow())
    }

    /// Returns the notifications of replacements from now on.
    pub fn replacements(&self) -> Replacements {
        Replacements(self.0.subscribe())
    }

    /// Describes the number of keys and the names of the first of them, for a log line.
    pub fn summary(&self) -> String {
        const NAMED: usize = 8;
        let keys = self.current();
        let names =
            keys.iter().take(NAMED).map(|key| key.id().map_or_else(|| "unnamed".to_owned(), |id| shown(id)));
        let more = if keys.len() > NAMED { ", …" } else { "" };
        let plural = if keys.len() == 1 { "key" } else { "keys" };
        format!("{} {plural} ({}{more})", keys.len(), names.collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.current().iter()).finish()
    }
}

impl fmt::Debug for Key {
    /// Omits the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

impl Key {
    pub(super) fn secret(secret: &[u8], id: Option<Arc<str>>) -> Result<Self, KeyError> {
        if secret.len() < MIN_SECRET {
            return Err(KeyError::ShortSecret(secret.len()));
        }
        Ok(Self { id, algorithms: Family::Secret.algorithms(), material: Material::Secret(secret.into()) })
    }

    pub(super) fn public(key: PublicKey, id: Option<Arc<str>>) -> Self {
        Self { id, algorithms: key.family().algorithms(), material: Material::Public(key) }
    }

    pub(super) fn id(&self) -> Option<&Arc<str>> {
        self.id.as_ref()
    }

    pub(super) fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Verifies the signature of a message with this key. Secrets are compared in constant time.
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

/// Returns the text as a shared secret, unless it looks like something else.
///
/// If a public key were a secret, everyone with that key could sign tokens.
///
/// # Errors
/// When the text looks like PEM, JSON, HTML or a public key of SSH, or has spaces, line feeds or quotes
/// around it.
pub fn secret_text(text: &str) -> Result<&str, KeyError> {
    let bytes = text.trim_start_matches('\u{FEFF}').trim();
    let within = |first, last| bytes.len() > 1 && bytes.starts_with(first) && bytes.ends_with(last);
    let json = || matches!(serde_json::from_str(bytes), Ok(Value::Object(_) | Value::Array(_)));
    let why = if text.contains("-----BEGIN ") {
        "it is PEM with text before it: remove everything before “-----BEGIN”"
    } else if ["ssh-", "ecdsa-sha2-"].iter().any(|kind| bytes.starts_with(kind)) {
        "it is an SSH public key: convert it to PEM with `ssh-keygen -e -m PKCS8 -f FILE`"
    } else if within('<', '>') {
        "it is HTML or XML: use the key itself"
    } else if json() {
        "it is JSON, but not a key: a key set is an object with the member “keys”, without a byte order \
         mark before it"
    } else if text.starts_with('\u{FEFF}') {
        BYTE_ORDER_MARK
    } else if bytes.len() != text.len() {
        "it begins or ends with spaces or line feeds: remove them (one line feed at the end of a file is \
         ignored)"
    } else if within('"', '"') || within('\'', '\'') {
        "it is in quotes: remove them"
    } else {
        return Ok(text);
    };
    Err(KeyError::NoSecret(why))
}

/// Reads the public keys of a PEM file, in their order.
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
    Err(KeyError::Pem("it contains no “PUBLIC KEY”".to_owned()))
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

/// Reason why a text has no valid keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The shared secret is too short.
    #[error("the secret has {0} bytes and needs at least {least} (RFC 7518, section 3.2): create one with `openssl rand -base64 32`", least = MIN_SECRET)]
    ShortSecret(usize),
    /// The text looks like something else than a shared secret.
    #[error("the text cannot be used as a secret: {0}")]
    NoSecret(&'static str),
    /// The text begins as PEM and is invalid, or has no public key.
    #[error("the PEM text cannot be used: {0}")]
    Pem(String),
    /// The key is a private key instead of a public key.
    #[error(
        "this is a private key, which signs tokens: use its public key, which `openssl pkey -pubout` prints"
    )]
    PrivateKey,
    /// The key is a certificate instead of its public key.
    #[error("this is a certificate: use its public key, which `openssl x509 -pubkey -noout` prints")]
    Certificate,
    /// The text is no JSON object, or its members are not those of a key.
    #[error("it is neither a key nor a key set in JSON, {{\"keys\": [...]}}: {0}")]
    Json(String),
    /// The JSON object is no key set.
    #[error("the JSON is not a key set (JWKS): it has no member “keys”; use `key_file` for a single key")]
    NoSet,
    /// The key set is empty.
    #[error("the key set (JWKS) is empty")]
    EmptySet,
    /// The key lacks a member.
    #[error("the member {0:?} of the JWK is missing or invalid for its type")]
    Member(&'static str),
    /// The key has an unsupported type.
    #[error(
        "the type of the key is not supported; supported types: RSA of at least 2048 bits, EC P-256 and \
         P-384, Ed25519, shared secrets"
    )]
    Unsupported,
    /// The key is for another use than signatures.
    #[error("the JWK is not meant for verifying signatures")]
    NotForSignatures,
    /// The key has no allowed algorithm left.
    #[error("none of the allowed algorithms fits the type of the key")]
    NoAlgorithm,
    /// The text is longer than the limit.
    #[error("the text has {0} bytes; the limit is {most}", most = Keys::MAX_SET_BYTES)]
    Long(usize),
    /// The set has too many keys.
    #[error("the JWKS has {0} keys; the limit is {most}", most = jwk::MAX_KEYS)]
    Many(usize),
}

/// Reason to refuse a text that begins with a byte order mark: without the mark it would be another key.
pub(super) const BYTE_ORDER_MARK: &str =
    "it begins with a byte order mark (U+FEFF): save the file without one";

/// Length of the shortest hash (RFC 7518, section 3.2).
const MIN_SECRET: usize = 32;
