//! Requests, tokens and times for tests.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use http::{Method, Request};
use ring::hmac;
use serde_json::{Value, json};
use ssekit_mercure::{Access, Keys};

pub(crate) const HUB: &str = "/.well-known/mercure";
pub(crate) const SECRET: &str = "the secret of the publishers: 32 bytes and more";
pub(crate) const OTHER_SECRET: &str = "the secret of the subscribers: 32 bytes and more";

/// A fixed time.
pub(crate) fn now() -> SystemTime {
    at(1_800_000_000)
}

pub(crate) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A hub with a secret for each side, where anonymous clients may read.
pub(crate) fn access() -> Access {
    Access {
        publishers: Keys::read(SECRET).unwrap(),
        subscribers: Keys::read(OTHER_SECRET).unwrap(),
        anonymous: true,
        ..Access::default()
    }
}

pub(crate) fn get(target: &str, headers: &[(&str, &str)]) -> Parts {
    request(Method::GET, target, headers)
}

pub(crate) fn post(headers: &[(&str, &str)]) -> Parts {
    request(Method::POST, HUB, headers)
}

pub(crate) fn request(method: Method, target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, value.as_bytes());
    }
    request.body(()).unwrap().into_parts().0
}

/// A token of a publisher.
pub(crate) fn publisher(selectors: &[&str]) -> String {
    token(SECRET, &json!({"mercure": {"publish": selectors}}))
}

/// A token of a subscriber.
pub(crate) fn subscriber(selectors: &[&str]) -> String {
    token(OTHER_SECRET, &json!({"mercure": {"subscribe": selectors}}))
}

pub(crate) fn token(secret: &str, claims: &Value) -> String {
    signed(secret, &json!({"alg": "HS256", "typ": "JWT"}), claims)
}

pub(crate) fn signed(secret: &str, header: &Value, claims: &Value) -> String {
    signed_by(hmac::HMAC_SHA256, secret.as_bytes(), &header.to_string(), &claims.to_string())
}

/// A token with this header and these claims, which need not be JSON.
pub(crate) fn signed_by(algorithm: hmac::Algorithm, secret: &[u8], header: &str, claims: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = hmac::sign(&hmac::Key::new(algorithm, secret), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

pub(crate) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// Encodes a value for a form or a query.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
