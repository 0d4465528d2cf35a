//! Public keys in `SubjectPublicKeyInfo` (RFC 5280): a parser for the few forms that tokens use.

use super::algorithm::Family;

/// Public key in the form in which it verifies signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PublicKey {
    /// Modulus and exponent, unsigned and without leading zeros.
    Rsa { n: Box<[u8]>, e: Box<[u8]> },
    /// An uncompressed point.
    P256(Box<[u8]>),
    /// An uncompressed point.
    P384(Box<[u8]>),
    /// The encoding of RFC 8032.
    Ed25519(Box<[u8]>),
}

impl PublicKey {
    /// Makes an RSA key; `None` if the modulus has less than 2048 bits or more than 8192.
    pub(super) fn rsa(n: &[u8], e: &[u8]) -> Option<Self> {
        let unsigned = |number: &[u8]| -> Box<[u8]> {
            let zeros = number.iter().take_while(|byte| **byte == 0).count();
            number[zeros..].into()
        };
        let n = unsigned(n);
        (256..=1024).contains(&n.len()).then(|| Self::Rsa { n, e: unsigned(e) })
    }

    pub(super) fn family(&self) -> Family {
        match self {
            Self::Rsa { .. } => Family::Rsa,
            Self::P256(_) => Family::P256,
            Self::P384(_) => Family::P384,
            Self::Ed25519(_) => Family::Ed25519,
        }
    }
}

/// Reads a `SubjectPublicKeyInfo` (RFC 5280, section 4.1).
///
/// It is a sequence of the algorithm and of the key in a bit string.
pub(super) fn read(der: &[u8]) -> Option<PublicKey> {
    let (info, rest) = value(der, SEQUENCE)?;
    let (algorithm, key) = value(info, SEQUENCE)?;
    let (key, after) = value(key, BIT_STRING)?;
    // The first byte is the number of unused bits in the last byte.
    let key = key.strip_prefix(&[0])?;
    if !rest.is_empty() || !after.is_empty() {
        return None;
    }
    match algorithm {
        RSA => {
            let (numbers, _) = value(key, SEQUENCE)?;
            let (n, numbers) = value(numbers, INTEGER)?;
            let (e, _) = value(numbers, INTEGER)?;
            PublicKey::rsa(n, e)
        }
        P256 if key.len() == 65 => Some(PublicKey::P256(key.into())),
        P384 if key.len() == 97 => Some(PublicKey::P384(key.into())),
        ED25519 if key.len() == 32 => Some(PublicKey::Ed25519(key.into())),
        _ => None,
    }
}

/// Contents of the first value, if it has this tag, and the bytes behind it (X.690, section 8.1).
fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match der.strip_prefix(&[tag])? {
        [length @ 0..=0x7F, rest @ ..] => (usize::from(*length), rest),
        [0x81, length, rest @ ..] => (usize::from(*length), rest),
        [0x82, high, low, rest @ ..] => (usize::from(*high) << 8 | usize::from(*low), rest),
        _ => return None,
    };
    rest.split_at_checked(length)
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

/// rsaEncryption, with the parameter NULL.
const RSA: &[u8] = b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x01\x01\x05\x00";
/// id-ecPublicKey with secp256r1.
const P256: &[u8] = b"\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01\x06\x08\x2A\x86\x48\xCE\x3D\x03\x01\x07";
/// id-ecPublicKey with secp384r1.
const P384: &[u8] = b"\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01\x06\x05\x2B\x81\x04\x00\x22";
/// id-Ed25519, without parameters.
const ED25519: &[u8] = b"\x06\x03\x2B\x65\x70";
