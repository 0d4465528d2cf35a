//! A token that may publish and subscribe everywhere, for a hub whose key is known.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::hmac;

/// A JWT (RFC 7519), signed with HS256.
pub(super) fn for_all_topics(key: &str) -> String {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let head = encode(br#"{"alg":"HS256","typ":"JWT"}"#);
    let claims = encode(br#"{"mercure":{"publish":["*"],"subscribe":["*"]}}"#);
    let signed = format!("{head}.{claims}");
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let signature = encode(hmac::sign(&key, signed.as_bytes()).as_ref());
    format!("{signed}.{signature}")
}

#[cfg(test)]
mod tests {
    use super::*;

    // Signed by `openssl dgst -sha256 -hmac` over the same head and claims.
    #[test]
    fn it_is_signed_as_others_sign() {
        assert_eq!(for_all_topics("!ChangeThisMercureHubJWTSecretKey!"), SIGNED);
    }

    const SIGNED: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJtZXJjdXJlIjp7InB1Ymxpc2giOlsiKiJdLCJzdWJzY3JpYmUiOlsiKiJdfX0.nINXJPMGL7u4vvquYYm3zgMosrqrxTSooTs7R_OJLZA";
}
