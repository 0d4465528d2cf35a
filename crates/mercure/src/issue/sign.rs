//! Signatures of tokens. RSA-PSS, RSA and ECDSA take random numbers from the system.

use std::fmt;

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
    RsaEncoding, RsaKeyPair,
};
use ring::{error, hmac};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use crate::{Algorithm, KeyError, Keys, secret_text};

/// Key that signs tokens: a shared secret or a private key.
pub struct Signer {
    material: Material,
    random: SystemRandom,
}

enum Material {
    Secret(Box<[u8]>),
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Reason why a token cannot be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The secret is invalid.
    #[error(transparent)]
    Secret(KeyError),
    /// The text begins as PEM and has no private key.
    #[error("the PEM text contains no private key, which is needed to sign tokens")]
    NoPrivateKey,
    /// The private key has the old form SEC 1.
    #[error("the private key has the format SEC1: convert it to PKCS#8 with `openssl pkcs8 -topk8 -nocrypt`")]
    Sec1,
    /// The private key has an unsupported type.
    #[error(
        "the type of the private key is not supported; supported types: RSA of at least 2048 bits, EC \
         P-256 and P-384, Ed25519"
    )]
    Unsupported,
    /// The key does not fit the algorithm.
    #[error("the key cannot sign with {asked}; it is a key for {fits}")]
    Algorithm {
        /// The requested algorithm.
        asked: Algorithm,
        /// The algorithm of the key.
        fits: Algorithm,
    },
    /// The signature failed, for example because the system gives no random numbers.
    #[error("cannot sign the token")]
    Failed,
}

impl fmt::Debug for Signer {
    /// Omits the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("algorithm", &self.algorithm()).finish_non_exhaustive()
    }
}

impl Signer {
    /// Reads a key: a private key as PEM, or else a shared secret, unchanged.
    ///
    /// # Errors
    /// When the text has no usable private key, or is a secret of less than 32 bytes.
    pub fn read(text: &str) -> Result<Self, SignError> {
        let material = if text.trim_start().starts_with("-----BEGIN") {
            private_key(text.as_bytes())?
        } else {
            // The verifier must accept the same secret.
            let secret = secret_text(text).map_err(SignError::Secret)?.as_bytes();
            Keys::secret(secret).map_err(SignError::Secret)?;
            Material::Secret(secret.into())
        };
        Ok(Self { material, random: SystemRandom::new() })
    }

    /// Default algorithm of the key.
    pub fn algorithm(&self) -> Algorithm {
        match &self.material {
            Material::Secret(_) => Algorithm::HS256,
            Material::Rsa(_) => Algorithm::RS256,
            Material::P256(_) => Algorithm::ES256,
            Material::P384(_) => Algorithm::ES384,
            Material::Ed25519(_) => Algorithm::EdDSA,
        }
    }

    /// Signs a message.
    ///
    /// # Errors
    /// When the key does not fit the algorithm.
    pub fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let other = || SignError::Algorithm { asked: algorithm, fits: self.algorithm() };
        let failed = |_: error::Unspecified| SignError::Failed;
        match (&self.material, algorithm) {
            (Material::Secret(secret), _) => {
                let key = hmac::Key::new(hashed(algorithm).ok_or_else(other)?, secret);
                Ok(hmac::sign(&key, message).as_ref().to_vec())
            }
            (Material::Rsa(key), _) => {
                let encoding = padded(algorithm).ok_or_else(other)?;
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(encoding, &self.random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            (Material::P256(key), Algorithm::ES256) | (Material::P384(key), Algorithm::ES384) => {
                let signature = key.sign(&self.random, message).map_err(failed)?;
                Ok(signature.as_ref().to_vec())
            }
            (Material::Ed25519(key), Algorithm::EdDSA) => Ok(key.sign(message).as_ref().to_vec()),
            _ => Err(other()),
        }
    }
}

fn private_key(pem: &[u8]) -> Result<Material, SignError> {
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| SignError::NoPrivateKey)?;
    let der = match &key {
        PrivateKeyDer::Pkcs8(key) => key.secret_pkcs8_der(),
        PrivateKeyDer::Pkcs1(key) => {
            let key = RsaKeyPair::from_der(key.secret_pkcs1_der()).map_err(|_| SignError::Unsupported)?;
            return Ok(Material::Rsa(key));
        }
        PrivateKeyDer::Sec1(_) => return Err(SignError::Sec1),
        _ => return Err(SignError::Unsupported),
    };
    let random = SystemRandom::new();
    if let Ok(key) = RsaKeyPair::from_pkcs8(der) {
        return Ok(Material::Rsa(key));
    }
    if let Ok(key) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random) {
        return Ok(Material::P256(key));
    }
    if let Ok(key) = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, der, &random) {
        return Ok(Material::P384(key));
    }
    // OpenSSL omits the public key.
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Material::Ed25519).map_err(|_| SignError::Unsupported)
}

fn hashed(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        Algorithm::HS256 => Some(hmac::HMAC_SHA256),
        Algorithm::HS384 => Some(hmac::HMAC_SHA384),
        Algorithm::HS512 => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}

fn padded(algorithm: Algorithm) -> Option<&'static dyn RsaEncoding> {
    match algorithm {
        Algorithm::RS256 => Some(&RSA_PKCS1_SHA256),
        Algorithm::RS384 => Some(&RSA_PKCS1_SHA384),
        Algorithm::RS512 => Some(&RSA_PKCS1_SHA512),
        Algorithm::PS256 => Some(&RSA_PSS_SHA256),
        Algorithm::PS384 => Some(&RSA_PSS_SHA384),
        Algorithm::PS512 => Some(&RSA_PSS_SHA512),
        _ => None,
    }
}
