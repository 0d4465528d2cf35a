//! Keys and tokens: which keys verify which tokens.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;
use ssekit_mercure::{Action, Algorithm, KeyError, Keys, Limits, RequiredClaims, TokenError, explain};

use crate::request::{SECRET, access, at, now, publisher, signed, token};

/// Made with PyJWT 2.15 and cryptography 48: algorithm, name of the key, token. All have the same claims.
const TOKENS: &str = include_str!("tokens/tokens.txt");
pub(crate) const JWKS: &str = include_str!("tokens/jwks.json");
pub(crate) const PEMS: [(&str, &str); 4] = [
    ("rsa", include_str!("tokens/rsa.pem")),
    ("p256", include_str!("tokens/p256.pem")),
    ("p384", include_str!("tokens/p384.pem")),
    ("ed25519", include_str!("tokens/ed25519.pem")),
];
pub(crate) const SIXTY_FOUR: &str = include_str!("tokens/secret.txt");

pub(crate) fn tokens() -> Vec<(Algorithm, &'static str, &'static str)> {
    let words = TOKENS.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    words.map(|words| (words[0].parse().unwrap(), words[1], words[2])).collect()
}

pub(crate) fn key(name: &str) -> Keys {
    let pem = PEMS.iter().find(|(known, _)| *known == name);
    Keys::read(pem.map_or(SIXTY_FOUR, |(_, pem)| pem)).unwrap()
}

#[test]
fn line_69_each_algorithm_is_verified_with_its_own_type_of_key_alone() {
    let all = tokens();
    assert_eq!(all.iter().map(|(algorithm, ..)| *algorithm).collect::<Vec<_>>(), Algorithm::ALL);
    for (algorithm, name, token) in &all {
        for other in ["rsa", "p256", "p384", "ed25519", "secret"] {
            let verified = key(other).verify(token, now());
            if other == *name {
                let verified = verified.unwrap();
                assert!(
                    verified.may_publish("https://example.com/1") && verified.may_subscribe("x"),
                    "{algorithm}"
                );
                assert_eq!(verified.payload.as_deref(), Some(&json!({"user": 1})));
                assert_eq!(verified.expires, Some(at(4_102_444_800)));
            } else {
                assert_eq!(
                    verified.unwrap_err(),
                    TokenError::Algorithm(algorithm.name().to_owned()),
                    "{algorithm} with {other}"
                );
            }
        }
        // Only the allowed algorithms are accepted.
        let only = key(name).allow(&[*algorithm]).unwrap();
        for (_, _, token) in all.iter().filter(|(_, of, _)| of == name) {
            assert_eq!(only.verify(token, now()).is_ok(), token.starts_with(&header(algorithm, name)));
        }
    }
    assert_eq!(key("rsa").allow(&[Algorithm::HS256]).unwrap_err(), KeyError::NoAlgorithm);
}

/// Beginning of a token of PyJWT with this algorithm and key.
fn header(algorithm: &Algorithm, name: &str) -> String {
    let found = tokens().into_iter().find(|(known, of, _)| known == algorithm && *of == name);
    found.unwrap().2.split('.').next().unwrap().to_owned()
}

/// The public key as the secret of an HMAC, and no signature: two known attacks.
#[test]
fn line_69_a_token_chooses_neither_none_nor_another_use_of_a_key() {
    let claims = json!({"mercure": {"publish": ["*"]}});
    for (name, pem) in PEMS {
        let forged = token(pem, &claims);
        assert_eq!(key(name).verify(&forged, now()).unwrap_err(), TokenError::Algorithm("HS256".to_owned()));
    }
    let keys = Keys::read(SECRET).unwrap();
    for algorithm in ["none", "None", "nOnE", "", "hs256", "HS1", "RS1"] {
        let signed = signed(SECRET, &json!({"alg": algorithm}), &claims);
        let bare = format!("{}.", signed.rsplit_once('.').unwrap().0);
        for token in [&signed, &bare] {
            assert_eq!(keys.verify(token, now()).unwrap_err(), TokenError::Algorithm(algorithm.to_owned()));
        }
    }
    // A header without an algorithm.
    assert!(matches!(keys.verify(&signed(SECRET, &json!({}), &claims), now()), Err(TokenError::Form(_))));
    let critical = signed(SECRET, &json!({"alg": "HS256", "crit": ["b64"], "b64": false}), &claims);
    assert!(matches!(keys.verify(&critical, now()), Err(TokenError::Form(_))));
}

#[test]
fn line_70_a_key_is_found_by_its_name_and_never_read_from_the_token() {
    let set = Keys::read(JWKS).unwrap();
    assert_eq!(set.len(), 5);
    for (algorithm, _, token) in tokens() {
        assert!(set.verify(token, now()).is_ok(), "{algorithm}");
    }
    let claims = json!({"mercure": {}});
    let named = |kid: &str| signed(SIXTY_FOUR, &json!({"alg": "HS256", "kid": kid}), &claims);
    assert!(set.verify(&named("secret"), now()).is_ok());
    assert_eq!(set.verify(&named("gone"), now()).unwrap_err(), TokenError::UnknownKey("gone".to_owned()));
    assert_eq!(set.verify(&named("rsa"), now()).unwrap_err(), TokenError::Algorithm("HS256".to_owned()));
    // A hint: without a name, every key that fits is tried; and any name may refer to a key without one.
    assert!(set.verify(&token(SIXTY_FOUR, &claims), now()).is_ok());
    assert!(Keys::read(SIXTY_FOUR).unwrap().verify(&named("whatever"), now()).is_ok());
    // A key in the header is ignored.
    let brought = json!({"alg": "HS256", "jwk": {"kty": "oct", "k": "QUFB"}, "jku": "https://evil.example/", "x5u": "https://evil.example/"});
    let forged = signed("some other secret: 32 bytes and more", &brought, &claims);
    assert_eq!(set.verify(&forged, now()).unwrap_err(), TokenError::Signature);
}

#[test]
fn line_72_a_token_counts_from_nbf_until_exp() {
    let keys = Keys::read(SECRET).unwrap();
    let with = |claims: &str| {
        let claims = serde_json::from_str(&format!("{{\"mercure\": {{}}, {claims}}}")).unwrap();
        keys.verify(&token(SECRET, &claims), at(1000)).map(|token| token.expires)
    };
    assert_eq!(with("\"exp\": 1001").unwrap(), Some(at(1001)));
    assert_eq!(with("\"exp\": 1001.9").unwrap(), Some(at(1001)));
    assert_eq!(with("\"exp\": 1e300").unwrap(), None);
    assert_eq!(with("\"exp\": 1000").unwrap_err(), TokenError::Expired(Duration::ZERO));
    assert_eq!(
        with("\"exp\": 100").unwrap_err().to_string(),
        "the token expired 15 min ago (claim “exp”): get a new one"
    );
    assert!(matches!(with("\"exp\": -1").unwrap_err(), TokenError::Expired(_)));
    assert!(matches!(with("\"exp\": \"1001\"").unwrap_err(), TokenError::Claims(_)));
    assert_eq!(with("\"nbf\": 1000").unwrap(), None);
    assert_eq!(with("\"nbf\": 1001").unwrap_err(), TokenError::Early(Duration::from_secs(1)));
    assert_eq!(with("\"nbf\": 1000.5").unwrap_err(), TokenError::Early(Duration::from_secs(1)));
    assert!(matches!(with("\"nbf\": 1e300").unwrap_err(), TokenError::Early(_)));
    // With a leeway, both last longer by that time.
    let within = |claims: serde_json::Value| {
        let (token, none) = (token(SECRET, &claims), RequiredClaims::default());
        keys.verify_within(&token, at(1000), Duration::from_secs(10), &Limits::default(), &none).is_ok()
    };
    assert!(within(json!({"mercure": {}, "exp": 991, "nbf": 1010})));
    assert!(!within(json!({"mercure": {}, "exp": 990})));
    assert!(!within(json!({"mercure": {}, "nbf": 1011})));
}

#[test]
fn line_76_a_token_is_not_too_much() {
    let keys = Keys::read(SECRET).unwrap();
    let limits = Limits::default();
    let with = |count: usize| {
        let selectors: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        keys.verify(&token(SECRET, &json!({"mercure": {"subscribe": selectors}})), now())
    };
    assert!(with(limits.claim_selectors).is_ok());
    assert!(matches!(
        with(limits.claim_selectors + 1),
        Err(TokenError::ManySelectors { claim: "subscribe", .. })
    ));
    let padded = |length: usize| format!("{}.{}", "a".repeat(10), "b".repeat(length - 11));
    assert!(matches!(keys.verify(&padded(limits.token), now()), Err(TokenError::Form(_))));
    assert!(matches!(keys.verify(&padded(limits.token + 1), now()), Err(TokenError::Long { .. })));
    let many = "{a}".repeat(33);
    let error = keys.verify(&publisher(&["a", &many]), now()).unwrap_err();
    assert!(
        error.to_string().contains("“mercure.publish”") && error.to_string().contains("33 variables"),
        "{error}"
    );
}

#[test]
fn line_77_one_bad_entry_refuses_the_whole_token() {
    let keys = Keys::read(SECRET).unwrap();
    for publish in [
        json!(["a", ""]),
        json!(["a", "b\n"]),
        json!(["a", 1]),
        json!(["a", null]),
        json!("a"),
        json!({"a": 1}),
        json!(["a", ["b"]]),
    ] {
        let error =
            keys.verify(&token(SECRET, &json!({"mercure": {"publish": publish}})), now()).unwrap_err();
        assert!(
            matches!(error, TokenError::Selector { claim: "publish", .. } | TokenError::Claims(_)),
            "{publish}: {error}"
        );
    }
}

/// The claim of today's tokens, with either of its names.
#[test]
fn dialect_0_grants_stand_in_the_claim_mercure() {
    let keys = Keys::read(SECRET).unwrap();
    let read = |claims: serde_json::Value| keys.verify(&token(SECRET, &claims), now());
    assert!(read(json!({"mercure": {"publish": ["a"]}})).unwrap().may_publish("a"));
    assert!(read(json!({"https://mercure.rocks/": {"publish": ["a"]}})).unwrap().may_publish("a"));
    let both =
        read(json!({"mercure": {"publish": ["a"]}, "https://mercure.rocks/": {"subscribe": ["a"]}})).unwrap();
    assert!(!both.may_publish("a") && both.may_subscribe("a"));
    let empty = read(json!({"mercure": {"publish": [], "subscribe": null, "other": 1}})).unwrap();
    assert_eq!((empty.publish.map(|list| list.len()), empty.subscribe), (Some(0), None));
    assert_eq!(read(json!({"sub": "x"})).unwrap_err(), TokenError::NoClaim);
    // An array is no object, although its elements could be taken for the members in their order.
    for claim in [json!([]), json!([["*"], ["*"]]), json!([["*"], ["*"], null])] {
        for name in ["mercure", "https://mercure.rocks/"] {
            let error = read(json!({ name: claim })).unwrap_err();
            assert!(matches!(error, TokenError::Claims(_)), "{claim}: {error}");
        }
    }
    // A template in a token grants its expansions, and itself.
    let books = read(json!({"mercure": {"subscribe": ["https://example.com/books/{id}"]}})).unwrap();
    for (topic, granted) in [
        ("https://example.com/books/1", true),
        ("https://example.com/books/{id}", true),
        ("https://example.com/books/{x}", false),
    ] {
        assert_eq!(books.may_subscribe(topic), granted, "{topic}");
    }
}

#[test]
fn a_text_that_holds_no_usable_key_is_refused_with_the_reason() {
    let jwk = |members: &str| format!("{{\"keys\": [{{{members}}}]}}");
    let cases: &[(&str, &str)] = &[
        ("too short", "has 9 bytes and needs at least 32"),
        ("", "has 0 bytes"),
        (include_str!("tokens/private.pem"), "private key"),
        (include_str!("tokens/rsa1024.pem"), "2048 bits"),
        ("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "openssl x509"),
        ("-----BEGIN NOTHING-----\n", "PEM"),
        ("-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n", "not supported"),
        ("{\"keys\": []}", "is empty"),
        ("{\"keys\": 1}", "JSON"),
        ("{", "JSON"),
        (&jwk("\"kty\": \"oct\", \"k\": \"QUFB\""), "has 3 bytes"),
        (&jwk("\"kty\": \"oct\""), "\"k\""),
        (&jwk("\"kty\": \"EC\", \"crv\": \"P-256\", \"x\": \"AA\", \"y\": \"AA\""), "\"x\""),
        (&jwk("\"kty\": \"EC\", \"crv\": \"secp256k1\""), "not supported"),
        (&jwk("\"kty\": \"OKP\", \"crv\": \"X25519\", \"x\": \"AA\""), "not supported"),
        (
            &jwk(
                "\"kty\": \"oct\", \"k\": \"QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE\", \"use\": \"enc\"",
            ),
            "not meant for verifying",
        ),
        (
            &jwk(
                "\"kty\": \"oct\", \"k\": \"QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE\", \"key_ops\": [\"sign\"]",
            ),
            "not meant for verifying",
        ),
        (
            &jwk(
                "\"kty\": \"oct\", \"k\": \"QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE\", \"alg\": \"RS256\"",
            ),
            "none of the allowed algorithms",
        ),
        (&format!("{{\"keys\": [{}]}}", vec!["{}"; 101].join(",")), "101 keys"),
    ];
    for (text, words) in cases {
        let error = Keys::read(text).unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
    // Unsupported keys are skipped if the set has others.
    let mixed = JWKS.replacen('[', "[{\"kty\": \"future\"}, ", 1);
    assert_eq!(Keys::read(&mixed).unwrap().len(), 5);
    let two = format!("{}{}", PEMS[0].1, PEMS[3].1);
    assert_eq!(Keys::read(&two).unwrap().len(), 2);
    // Debug output never contains a secret.
    assert!(!format!("{:?}", Keys::read(SECRET).unwrap()).contains("secret"));
}

#[test]
fn replaced_keys_count_in_every_clone() {
    let keys = Keys::read(SECRET).unwrap();
    let clone = keys.clone();
    let token = publisher(&["*"]);
    assert!(clone.verify(&token, now()).is_ok());
    keys.replace(&Keys::read(SIXTY_FOUR).unwrap());
    assert_eq!(clone.verify(&token, now()).unwrap_err(), TokenError::Signature);
    keys.replace(&Keys::none());
    assert_eq!(clone.verify(&token, now()).unwrap_err(), TokenError::NoKeys);
}

#[test]
fn an_explanation_lists_each_check_up_to_the_one_that_fails() {
    let checks = |token: &str, action, topics: &[&str]| {
        let explanation = explain(token, &access(), action, topics, now());
        let checks: Vec<_> = explanation.checks.iter().map(|check| (check.name, check.passed)).collect();
        let last = explanation.checks.last().unwrap().detail.clone();
        (explanation.allowed, checks, last)
    };
    let good = publisher(&["https://example.com/{id}"]);
    let (allowed, list, _) = checks(&good, Action::Publish, &["https://example.com/1"]);
    assert!(allowed && list.iter().all(|(_, passed)| *passed), "{list:?}");
    assert_eq!(
        list.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["form", "header", "algorithm", "signature", "claims", "time", "claim “mercure”", "topic"]
    );
    let (allowed, _, last) =
        checks(&good, Action::Publish, &["https://example.com/1", "https://example.com/1/2"]);
    assert!(
        !allowed && last.contains("“https://example.com/1/2”") && last.contains("“https://example.com/{id}”"),
        "{last}"
    );
    let expired = token(SECRET, &json!({"mercure": {"publish": ["*"]}, "exp": 1}));
    for (token, action, failed) in [
        ("x", Action::Publish, "form"),
        ("e30.e30.e30", Action::Publish, "header"),
        (&*signed(SECRET, &json!({"alg": "none"}), &json!({})), Action::Publish, "algorithm"),
        // A publisher's token for a subscription.
        (&*good, Action::Subscribe, "signature"),
        (&*token(SECRET, &json!({"exp": "soon"})), Action::Publish, "claims"),
        (&*expired, Action::Publish, "time"),
        (&*token(SECRET, &json!({})), Action::Publish, "claim “mercure”"),
        (&*token(SECRET, &json!({"mercure": {"publish": []}})), Action::Publish, "grant"),
    ] {
        let (allowed, list, last) = checks(token, action, &["a"]);
        assert!(!allowed);
        assert_eq!(list.last(), Some(&(failed, false)), "{last}");
        assert!(list[..list.len() - 1].iter().all(|(_, passed)| *passed));
    }
    // The explanation and the answer to a request have the same text.
    let shown = explain(&expired, &access(), Action::Publish, &["a"], now());
    let refused = access().publishers.verify(&expired, now()).unwrap_err();
    assert_eq!(shown.checks.last().unwrap().detail, refused.to_string());
    assert!(shown.to_string().ends_with("refused") && shown.claims.unwrap()["exp"] == 1);
}

proptest! {
    #[test]
    fn any_text_is_verified_without_a_panic(text in "[a-zA-Z0-9_.-]{0,60}", bytes in vec(any::<u8>(), 0..60), claims in "[{}\\[\\]\",:a-z0-9]{0,40}") {
        let keys = Keys::read(JWKS).unwrap();
        prop_assert!(keys.verify(&text, now()).is_err());
        prop_assert!(keys.verify(&String::from_utf8_lossy(&bytes), now()).is_err());
        drop(Keys::read(&claims));
        drop(Keys::read(&format!("{{{claims}")));
    }

    /// A token with one changed bit anywhere has no valid signature.
    #[test]
    fn a_changed_token_is_refused(choice in 0..12_usize, at: proptest::sample::Index, bit in 0..6_u8) {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let (_, name, token) = tokens()[choice];
        let mut changed = token.as_bytes().to_vec();
        let at = at.index(changed.len());
        let Some(value) = ALPHABET.iter().position(|byte| *byte == changed[at]) else { return Ok(()) };
        changed[at] = ALPHABET[value ^ 1 << bit];
        prop_assert!(key(name).verify(std::str::from_utf8(&changed).unwrap(), now()).is_err());
    }
}
