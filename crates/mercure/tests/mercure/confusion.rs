//! Token headers that try to choose the algorithm or the key of their verification.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use ssekit_mercure::{Algorithm, Keys, TokenError};

use crate::keys::{JWKS, PEMS, SIXTY_FOUR, key, tokens};
use crate::request::{SECRET, now, signed_by};

const KEYS: [&str; 5] = ["secret", "rsa", "p256", "p384", "ed25519"];
const HMACS: [(&str, hmac::Algorithm); 3] =
    [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)];
/// Claims that grant everything.
const ALL: &str = r#"{"mercure": {"publish": ["*"], "subscribe": ["*"]}}"#;

/// Values of `alg`: all that the hub knows, and others that resemble one.
fn names() -> Vec<&'static str> {
    let others = [
        "none",
        "None",
        "NONE",
        "nOnE",
        "none ",
        "",
        " ",
        "null",
        "hs256",
        "Hs256",
        "HS256 ",
        " HS256",
        "HS256\0",
        "HS1",
        "HS2566",
        "HMAC",
        "RS1",
        "rs256",
        "ES512",
        "ES256K",
        "es256",
        "EDDSA",
        "eddsa",
        "Ed448",
        "A128KW",
        "RSA-OAEP",
        "dir",
        "*",
        "HS256,RS256",
        "../HS256",
    ];
    Algorithm::ALL.iter().map(|algorithm| algorithm.name()).chain(others).collect()
}

/// Kind of key that allows a header to name this algorithm.
fn kind(name: &str) -> Option<&'static str> {
    match name.get(..2)? {
        _ if name.parse::<Algorithm>().is_err() => None,
        "HS" => Some("secret"),
        "RS" | "PS" => Some("rsa"),
        "ES" => Some(if name == "ES256" { "p256" } else { "p384" }),
        _ => Some("ed25519"),
    }
}

/// The token with another header.
fn with_header(token: &str, header: &str) -> String {
    let (_, rest) = token.split_once('.').unwrap();
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header))
}

/// Each valid token with each algorithm in its header, and each kind of key at the hub: only its own
/// algorithm with its own key is accepted.
#[test]
fn a_signature_counts_for_its_own_algorithm_and_kind_of_key_alone() {
    let mut accepted = Vec::new();
    for (algorithm, of, token) in tokens() {
        let claims = token.split('.').nth(1).unwrap();
        for name in names() {
            let kid = json!({"alg": name, "kid": of, "typ": "JWT"}).to_string();
            let changed = with_header(token, &kid);
            let unsigned = format!("{}.{claims}.", URL_SAFE_NO_PAD.encode(&kid));
            for configured in KEYS {
                let keys = key(configured);
                let wrong = match kind(name) {
                    Some(kind) if kind == configured => TokenError::Signature,
                    _ => TokenError::Algorithm(name.to_owned()),
                };
                assert_eq!(
                    keys.verify(&unsigned, now()).unwrap_err(),
                    wrong,
                    "{name} with {configured}, unsigned"
                );
                match keys.verify(&changed, now()) {
                    Ok(_) => accepted.push((algorithm.name(), name, configured)),
                    Err(error) => assert_eq!(error, wrong, "{algorithm} as {name} with {configured}"),
                }
            }
        }
    }
    let own: Vec<_> =
        tokens().iter().map(|(algorithm, of, _)| (algorithm.name(), algorithm.name(), *of)).collect();
    assert_eq!(accepted, own);
}

/// The public key is never the secret of an HMAC, in whatever form an attacker has it.
#[test]
fn a_public_key_is_no_secret_of_an_hmac() {
    let set: Value = serde_json::from_str(JWKS).unwrap();
    let all = Keys::read_set(JWKS).unwrap();
    for (of, pem) in PEMS {
        let own = key(of);
        let body: String = pem.lines().filter(|line| !line.starts_with("--")).collect();
        let jwk = set["keys"].as_array().unwrap().iter().find(|jwk| jwk["kid"] == of).unwrap();
        let mut secrets: Vec<Vec<u8>> = vec![
            pem.into(),
            pem.trim_end().into(),
            pem.replace('\n', "\r\n").into(),
            STANDARD.decode(&body).unwrap(),
            body.into(),
            jwk.to_string().into(),
            JWKS.into(),
            vec![],
            vec![0; 64],
        ];
        for member in ["n", "e", "x", "y"] {
            let text = jwk[member].as_str().unwrap_or_default();
            secrets.push(text.into());
            secrets.push(URL_SAFE_NO_PAD.decode(text).unwrap());
        }
        for secret in &secrets {
            for name in names() {
                for (hash, hmac) in HMACS {
                    for kid in [Value::Null, json!(of), json!("secret"), json!("gone")] {
                        let header = json!({"alg": name, "kid": kid}).to_string();
                        let forged = signed_by(hmac, secret, &header, ALL);
                        assert!(own.verify(&forged, now()).is_err(), "{of}: {header} with {hash}");
                        assert!(all.verify(&forged, now()).is_err(), "all keys: {header} with {hash}");
                    }
                }
            }
        }
    }
}

/// RFC 9864 names the curve; the older name remains valid.
#[test]
fn ed25519_has_two_names() {
    let pair = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pair.as_ref()).unwrap();
    let x = URL_SAFE_NO_PAD.encode(pair.public_key());
    let keys = Keys::read(&json!({"kty": "OKP", "crv": "Ed25519", "x": x}).to_string()).unwrap();
    for (name, accepted) in [("EdDSA", true), ("Ed25519", true), ("ed25519", false), ("ES256", false)] {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": name}).to_string());
        let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(ALL));
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes()));
        assert_eq!(keys.verify(&format!("{message}.{signature}"), now()).is_ok(), accepted, "{name}");
    }
}

/// Answer to a token with a header of the attacker's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Accepted,
    NoToken,
    UnknownKey,
    OtherAlgorithm,
    OtherSignature,
}

use Answer::{Accepted, NoToken, OtherAlgorithm, OtherSignature, UnknownKey};

fn answer(keys: &Keys, token: &str) -> Answer {
    match keys.verify(token, now()) {
        Ok(_) => Accepted,
        Err(TokenError::Form(_)) => NoToken,
        Err(TokenError::UnknownKey(_)) => UnknownKey,
        Err(TokenError::Algorithm(_)) => OtherAlgorithm,
        Err(TokenError::Signature) => OtherSignature,
        Err(other) => panic!("{other}"),
    }
}

/// Each header with its two results: signed with the hub's secret, and with an attacker's key, which the
/// header may contain or refer to.
#[test]
fn a_header_brings_no_key_and_leads_to_none() {
    let evil = "the secret of an attacker: 32 bytes and more";
    let jwk = format!(r#"{{"kty": "oct", "k": "{}"}}"#, URL_SAFE_NO_PAD.encode(evil));
    let alg = |more: &str| format!(r#"{{"alg": "HS256", {more}}}"#);
    let headers = [
        // A key in the header: it is ignored, and the hub's own key decides.
        (alg(&format!(r#""jwk": {jwk}"#)), Accepted, OtherSignature),
        (alg(&format!(r#""jwk": {jwk}, "kid": "secret""#)), Accepted, OtherSignature),
        (alg(&format!(r#""jwk": {jwk}, "kid": "evil""#)), UnknownKey, UnknownKey),
        (alg(&format!(r#""jwks": {{"keys": [{jwk}]}}"#)), Accepted, OtherSignature),
        (alg(r#""jwk": null"#), Accepted, OtherSignature),
        (alg(r#""jku": "https://evil.example/jwks.json""#), Accepted, OtherSignature),
        (alg(r#""jku": "file:///etc/passwd""#), Accepted, OtherSignature),
        (alg(r#""x5u": "https://evil.example/key.pem""#), Accepted, OtherSignature),
        (alg(r#""x5c": ["MIIB"]"#), Accepted, OtherSignature),
        (alg(r#""x5t": "AA", "x5t#S256": "AA""#), Accepted, OtherSignature),
        // A key name that refers to something.
        (alg(r#""kid": "secret""#), Accepted, OtherSignature),
        (alg(r#""kid": null"#), Accepted, OtherSignature),
        (alg(r#""kid": """#), UnknownKey, UnknownKey),
        (alg(r#""kid": "SECRET""#), UnknownKey, UnknownKey),
        (alg(r#""kid": "secret ""#), UnknownKey, UnknownKey),
        (alg(r#""kid": "secret\u0000""#), UnknownKey, UnknownKey),
        (alg(r#""kid": "../../../../dev/null""#), UnknownKey, UnknownKey),
        (alg(r#""kid": "/proc/sys/kernel/randomize_va_space""#), UnknownKey, UnknownKey),
        (alg(r#""kid": "' UNION SELECT 'key"#.replace("key", "key'--\"").as_str()), UnknownKey, UnknownKey),
        (alg(r#""kid": "$(id)|id""#), UnknownKey, UnknownKey),
        (alg(r#""kid": "https://evil.example/key""#), UnknownKey, UnknownKey),
        (alg(r#""kid": "*""#), UnknownKey, UnknownKey),
        (alg(r#""kid": "rsa""#), OtherAlgorithm, OtherAlgorithm),
        (alg(r#""kid": 0"#), NoToken, NoToken),
        (alg(r#""kid": true"#), NoToken, NoToken),
        (alg(r#""kid": ["secret"]"#), NoToken, NoToken),
        (alg(r#""kid": {"secret": 1}"#), NoToken, NoToken),
        // Extensions that the receiver must understand; the hub has none.
        (alg(r#""crit": ["b64"], "b64": false"#), NoToken, NoToken),
        (alg(r#""crit": ["exp"]"#), NoToken, NoToken),
        (alg(r#""crit": []"#), NoToken, NoToken),
        (alg(r#""crit": null"#), NoToken, NoToken),
        (alg(r#""crit": false"#), NoToken, NoToken),
        (alg(r#""crit": "b64""#), NoToken, NoToken),
        (alg(r#""b64": false"#), Accepted, OtherSignature),
        (alg(r#""typ": "evil", "cty": "JWT", "zip": "DEF", "enc": "A128GCM""#), Accepted, OtherSignature),
        // A repeated member has two meanings.
        (alg(r#""alg": "none""#), NoToken, NoToken),
        (alg(r#""alg": "HS256""#), NoToken, NoToken),
        (alg(r#""\u0061lg": "none""#), NoToken, NoToken),
        (alg(r#""kid": "secret", "kid": "evil""#), NoToken, NoToken),
        (alg(r#""ALG": "none""#), Accepted, OtherSignature),
        // An algorithm that is no text.
        (r#"{"alg": null}"#.to_owned(), NoToken, NoToken),
        (r#"{"alg": 256}"#.to_owned(), NoToken, NoToken),
        (r#"{"alg": ["HS256"]}"#.to_owned(), NoToken, NoToken),
        (r#"{"alg": {"HS256": 1}}"#.to_owned(), NoToken, NoToken),
        (r#"{"typ": "JWT"}"#.to_owned(), NoToken, NoToken),
        ("{}".to_owned(), NoToken, NoToken),
        // No JSON object.
        (r#"["HS256"]"#.to_owned(), NoToken, NoToken),
        (r#"["HS256", "secret", null]"#.to_owned(), NoToken, NoToken),
        (r#""HS256""#.to_owned(), NoToken, NoToken),
        ("null".to_owned(), NoToken, NoToken),
        (String::new(), NoToken, NoToken),
        ("{\"alg\": \"HS256\"} {}".to_owned(), NoToken, NoToken),
        ("\u{FEFF}{\"alg\": \"HS256\"}".to_owned(), NoToken, NoToken),
        ("{\"alg\": \"HS256\"}\0".to_owned(), NoToken, NoToken),
        ("{'alg': 'HS256'}".to_owned(), NoToken, NoToken),
        (
            format!("{{\"alg\": \"HS256\", \"x\": {}{}}}", "[".repeat(1000), "]".repeat(1000)),
            Accepted,
            OtherSignature,
        ),
    ];
    let keys = Keys::read_set(JWKS).unwrap();
    for (header, genuine, forged) in headers {
        let by = |secret: &str| signed_by(hmac::HMAC_SHA256, secret.as_bytes(), &header, ALL);
        assert_eq!(answer(&keys, &by(SIXTY_FOUR)), genuine, "{header}");
        for secret in [evil, "", "secret", "key", "0\n", "https://evil.example/jwks.json", SECRET] {
            assert_eq!(answer(&keys, &by(secret)), forged, "{header} with {secret:?}");
        }
    }
}
