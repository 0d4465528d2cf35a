//! Claims of every shape, in tokens with a valid signature.

use ring::hmac;
use ssekit_mercure::{Keys, TokenError};

use crate::request::{SECRET, access, at, bearer, now, post, signed_by};

/// Answer to a publisher with such claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// The token grants every topic.
    Publishes,
    /// The token grants some topics: only `*` alone is every topic.
    Elsewhere,
    /// A valid token that grants no publishing: 403.
    Grantless,
    /// The claims cannot be read: 401, like all variants below.
    Unreadable,
    NoClaim,
    BadSelector,
    Expired,
    Early,
}

use Answer::{BadSelector, Early, Elsewhere, Expired, Grantless, NoClaim, Publishes, Unreadable};

/// Compares the answers of the keys and of the access rules, and returns them.
fn answer(claims: &str) -> Answer {
    let token = signed_by(hmac::HMAC_SHA256, SECRET.as_bytes(), r#"{"alg": "HS256"}"#, claims);
    let verified = Keys::read(SECRET).unwrap().verify(&token, now());
    let answer = match &verified {
        Ok(token) if token.may_publish("https://example.com/any") => Publishes,
        Ok(token) if token.publish.as_ref().is_some_and(|grants| !grants.is_empty()) => Elsewhere,
        Ok(_) => Grantless,
        Err(TokenError::Claims(_)) => Unreadable,
        Err(TokenError::NoClaim) => NoClaim,
        Err(TokenError::Selector { .. }) => BadSelector,
        Err(TokenError::Expired(_)) => Expired,
        Err(TokenError::Early(_)) => Early,
        Err(other) => panic!("{claims}: {other}"),
    };
    let status = access().publisher(&post(&[("authorization", &bearer(&token))]), now());
    let status = status.map_or_else(|problem| problem.status().as_u16(), |_| 200);
    let wanted = match answer {
        Publishes | Elsewhere => 200,
        Grantless => 403,
        _ => 401,
    };
    assert_eq!(status, wanted, "{claims}");
    answer
}

fn check(table: &[(&str, Answer)], claims: impl Fn(&str) -> String) {
    for (value, wanted) in table {
        let claims = claims(value);
        assert_eq!(answer(&claims), *wanted, "{claims}");
    }
}

#[test]
fn grants_are_an_object_with_lists_of_texts() {
    let grants = [
        (r#"{"publish": ["*"]}"#, Publishes),
        (r#"{"publish": ["a", "*"], "subscribe": ["*"]}"#, Publishes),
        (r#"{"publish": ["*"], "other": [[{}]], "payload": [["*"]]}"#, Publishes),
        (r#"{"publ\u0069sh": ["\u002a"]}"#, Publishes),
        (r#"{"publish": ["*", "*"]}"#, Publishes),
        (r#"{}"#, Grantless),
        (r#"{"publish": []}"#, Grantless),
        (r#"{"publish": null}"#, Grantless),
        (r#"{"subscribe": ["*"]}"#, Grantless),
        (r#"{"PUBLISH": ["*"]}"#, Grantless),
        (r#"{"publish ": ["*"]}"#, Grantless),
        (r#"{"publish\u0000": ["*"]}"#, Grantless),
        (r#"{"payload": {"publish": ["*"]}}"#, Grantless),
        (r#"{"mercure": {"publish": ["*"]}}"#, Grantless),
        (r#"{"publish": ["**"]}"#, Elsewhere),
        (r#"{"publish": ["* "]}"#, Elsewhere),
        (r#"{"publish": [".*"]}"#, Elsewhere),
        (r#"{"publish": ["https://example.com/*"]}"#, Elsewhere),
        (r#"{"publish": "*"}"#, Unreadable),
        (r#"{"publish": true}"#, Unreadable),
        (r#"{"publish": 1}"#, Unreadable),
        (r#"{"publish": -1.5e3}"#, Unreadable),
        (r#"{"publish": {}}"#, Unreadable),
        (r#"{"publish": {"0": "*"}}"#, Unreadable),
        (r#"{"publish": {"*": true}}"#, Unreadable),
        (r#"{"publish": [["*"]]}"#, Unreadable),
        (r#"{"publish": [["*"], ["*"]]}"#, Unreadable),
        (r#"{"publish": [{"*": 1}]}"#, Unreadable),
        (r#"{"publish": ["*", null]}"#, Unreadable),
        (r#"{"publish": ["*", 1]}"#, Unreadable),
        (r#"{"publish": ["*", false]}"#, Unreadable),
        (r#"{"publish": ["*"], "subscribe": "*"}"#, Unreadable),
        (r#"{"publish": ["*"], "subscribe": 0}"#, Unreadable),
        (r#"{"publish": ["*"], "subscribe": {"0": "*"}}"#, Unreadable),
        (r#"{"publish": ["*"], "subscribe": [["*"]]}"#, Unreadable),
        // A repeated member has two meanings.
        (r#"{"publish": [], "publish": ["*"]}"#, Unreadable),
        (r#"{"publish": ["*"], "publish": []}"#, Unreadable),
        (r#"{"publish": [], "publ\u0069sh": ["*"]}"#, Unreadable),
        (r#"{"publish": ["*"], "subscribe": null, "subscribe": []}"#, Unreadable),
        (r#"{"publish": ["*", ""]}"#, BadSelector),
        (r#"{"publish": ["*", "a\n"]}"#, BadSelector),
        (r#"{"publish": ["*", "\u0000"]}"#, BadSelector),
        (r#"{"publish": ["*"], "subscribe": [""]}"#, BadSelector),
        // An array is no object, although its elements could be taken for the members in their order.
        ("[]", Unreadable),
        (r#"["*"]"#, Unreadable),
        (r#"[["*"]]"#, Unreadable),
        (r#"[["*"], ["*"]]"#, Unreadable),
        (r#"[["*"], ["*"], null]"#, Unreadable),
        (r#"[{"publish": ["*"]}]"#, Unreadable),
        (r#""*""#, Unreadable),
        (r#""{\"publish\": [\"*\"]}""#, Unreadable),
        ("true", Unreadable),
        ("0", Unreadable),
        ("1e999", Unreadable),
        ("null", NoClaim),
    ];
    for name in ["mercure", "https://mercure.rocks/"] {
        check(&grants, |grants| format!(r#"{{"{name}": {grants}}}"#));
        // The hub does not skip an unreadable claim for a readable one.
        let good = if name == "mercure" { "https://mercure.rocks/" } else { "mercure" };
        for (grants, answered) in grants.iter().filter(|(_, answer)| *answer == Unreadable) {
            assert_eq!(
                answer(&format!(r#"{{"{name}": {grants}, "{good}": {{"publish": ["*"]}}}}"#)),
                *answered
            );
        }
    }
    for name in [
        "Mercure",
        "MERCURE",
        "mercure ",
        " mercure",
        "mercure\\u0000",
        "m\\u0435rcure",
        "",
        "https://mercure.rocks",
        "http://mercure.rocks/",
        "https://mercure.rocks/mercure",
        "HTTPS://mercure.rocks/",
        "publish",
        "scope",
    ] {
        assert_eq!(answer(&format!(r#"{{"{name}": {{"publish": ["*"]}}}}"#)), NoClaim, "{name}");
    }
}

/// If the first claim is `null`, the second counts.
///
/// Otherwise the first takes precedence, even if it grants less.
#[test]
fn one_claim_counts_where_there_are_two() {
    for (namespaced, mercure, wanted) in [
        (r#"{"publish": ["*"]}"#, "{}", Publishes),
        (r#"{"publish": ["*"]}"#, "null", Publishes),
        ("null", r#"{"publish": ["*"]}"#, Publishes),
        ("{}", r#"{"publish": ["*"]}"#, Grantless),
        ("null", "null", NoClaim),
    ] {
        let claims = format!(r#"{{"mercure": {mercure}, "https://mercure.rocks/": {namespaced}}}"#);
        assert_eq!(answer(&claims), wanted, "{claims}");
        let claims = format!(r#"{{"https://mercure.rocks/": {namespaced}, "mercure": {mercure}}}"#);
        assert_eq!(answer(&claims), wanted, "{claims}");
    }
}

/// Values for `exp`, `nbf` and `iat` at the time 1,800,000,000: the answers for each.
const TIMES: &[(&str, [Answer; 3])] = &[
    ("1800000001", [Publishes, Early, Publishes]),
    ("1800000000", [Expired, Publishes, Publishes]),
    ("1799999999", [Expired, Publishes, Publishes]),
    ("1800000000.9", [Expired, Early, Publishes]),
    ("1800000001.0", [Publishes, Early, Publishes]),
    ("18e8", [Expired, Publishes, Publishes]),
    ("0", [Expired, Publishes, Publishes]),
    ("-0", [Expired, Publishes, Publishes]),
    ("-0.5", [Expired, Publishes, Publishes]),
    ("-1", [Expired, Publishes, Publishes]),
    ("-1800000001", [Expired, Publishes, Publishes]),
    ("-1e308", [Expired, Publishes, Publishes]),
    ("1e-400", [Expired, Publishes, Publishes]),
    ("4294967296", [Publishes, Early, Publishes]),
    ("9223372036854775807", [Publishes, Early, Publishes]),
    ("9223372036854775808", [Publishes, Early, Publishes]),
    ("18446744073709551616", [Publishes, Early, Publishes]),
    ("-9223372036854775809", [Expired, Publishes, Publishes]),
    ("1e300", [Publishes, Early, Publishes]),
    // Numbers out of range, and texts that are no numbers.
    ("1e400", [Unreadable, Unreadable, Publishes]),
    ("-1e400", [Unreadable, Unreadable, Publishes]),
    ("NaN", [Unreadable, Unreadable, Unreadable]),
    ("Infinity", [Unreadable, Unreadable, Unreadable]),
    ("0x7fffffff", [Unreadable, Unreadable, Unreadable]),
    ("+1900000000", [Unreadable, Unreadable, Unreadable]),
    ("01900000000", [Unreadable, Unreadable, Unreadable]),
    // `iat` decides nothing, so its shape does not matter.
    ("null", [Unreadable, Unreadable, Publishes]),
    ("true", [Unreadable, Unreadable, Publishes]),
    ("false", [Unreadable, Unreadable, Publishes]),
    ("\"\"", [Unreadable, Unreadable, Publishes]),
    ("\"1900000000\"", [Unreadable, Unreadable, Publishes]),
    ("\"2040-01-01T00:00:00Z\"", [Unreadable, Unreadable, Publishes]),
    ("[]", [Unreadable, Unreadable, Publishes]),
    ("[1900000000]", [Unreadable, Unreadable, Publishes]),
    ("[[\"*\"], [\"*\"]]", [Unreadable, Unreadable, Publishes]),
    ("{}", [Unreadable, Unreadable, Publishes]),
    ("{\"0\": 1900000000}", [Unreadable, Unreadable, Publishes]),
];

#[test]
fn times_are_numbers() {
    for (value, answers) in TIMES {
        for (name, wanted) in ["exp", "nbf", "iat"].into_iter().zip(answers) {
            let claims = format!(r#"{{"mercure": {{"publish": ["*"]}}, "{name}": {value}}}"#);
            assert_eq!(answer(&claims), *wanted, "{claims}");
        }
    }
    // A token that ends before it begins is refused at every time.
    let never = |now| {
        let claims = r#"{"mercure": {}, "exp": 1000, "nbf": 2000}"#;
        let token = signed_by(hmac::HMAC_SHA256, SECRET.as_bytes(), r#"{"alg": "HS256"}"#, claims);
        Keys::read(SECRET).unwrap().verify(&token, at(now)).is_err()
    };
    assert!([0, 999, 1000, 1500, 2000, 3000].into_iter().all(never));
}

/// Nothing requires these two claims here, so they may have any shape; `access.rs` tests required ones.
#[test]
fn audience_and_issuer_may_have_any_shape_if_not_required() {
    let shapes = [
        "null",
        "true",
        "0",
        "-1",
        "1.5",
        "1e300",
        "\"\"",
        "\"x\"",
        "[]",
        "[null]",
        "[[\"*\"], [\"*\"]]",
        "{}",
        "{\"x\": [1]}",
    ];
    for name in ["aud", "iss", "sub", "jti", "scope"] {
        for value in shapes {
            let claims = format!(r#"{{"mercure": {{"publish": ["*"]}}, "{name}": {value}}}"#);
            assert_eq!(answer(&claims), Publishes, "{claims}");
        }
    }
}

#[test]
fn claims_are_one_object_without_a_second_meaning() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let deep = format!(r#"{{"mercure": {{"publish": ["*"]}}, "x": {}}}"#, nested(1000));
    let payload = format!(r#"{{"mercure": {{"publish": ["*"], "payload": {}}}}}"#, nested(1000));
    check(
        &[
            (r#"{"mercure": {"publish": []}, "mercure": {"publish": ["*"]}}"#, Unreadable),
            (r#"{"mercure": {"publish": ["*"]}, "mercure": null}"#, Unreadable),
            (r#"{"mercure": {"publish": []}, "m\u0065rcure": {"publish": ["*"]}}"#, Unreadable),
            (
                r#"{"https://mercure.rocks/": {}, "https:\/\/mercure.rocks\/": {"publish": ["*"]}}"#,
                Unreadable,
            ),
            (r#"{"mercure": {"publish": ["*"]}, "exp": 1, "exp": 1900000000}"#, Unreadable),
            (r#"{"mercure": {"publish": ["*"]}, "exp": 1900000000, "\u0065xp": 1}"#, Unreadable),
            (r#"{"mercure": {"publish": ["*"]}, "nbf": 1, "nbf": 1}"#, Unreadable),
            (r#"{"mercure": {"publish": ["*"]}, "aud": "a", "aud": "b"}"#, Unreadable),
            (r#"{"mercure": {"publish": ["*"]}, "iss": "a", "iss": "b"}"#, Unreadable),
            // A repeated member that decides nothing changes nothing.
            (r#"{"mercure": {"publish": ["*"]}, "sub": "a", "sub": "b"}"#, Publishes),
            (r#"{"mercure": {"publish": ["*"]}, "Exp": 1, "NBF": 1900000000}"#, Publishes),
            ("", Unreadable),
            ("null", Unreadable),
            ("true", Unreadable),
            ("1", Unreadable),
            (r#""mercure""#, Unreadable),
            ("[]", Unreadable),
            (r#"[null, null, null, null, {"publish": ["*"]}, null]"#, Unreadable),
            (r#"[{"mercure": {"publish": ["*"]}}]"#, Unreadable),
            (r#"[["*"], ["*"]]"#, Unreadable),
            ("{}", NoClaim),
            (r#"{"mercure": {"publish": ["*"]}} {}"#, Unreadable),
            (r#"{"mercure": {"publish": ["*"]}},"#, Unreadable),
            (r#"{"mercure": {"publish": ["*"]},}"#, Unreadable),
            (r#"{"mercure": {"publish": ["*"],}}"#, Unreadable),
            (r#"{"mercure": {"publish": ["*"]}"#, Unreadable),
            (r#"{'mercure': {'publish': ['*']}}"#, Unreadable),
            (r#"{"mercure": {"publish": ["\ud800"]}}"#, Unreadable),
            ("{\"mercure\": {\"publish\": [\"*\"]}}\0", Unreadable),
            ("\u{FEFF}{\"mercure\": {\"publish\": [\"*\"]}}", Unreadable),
            // An unknown claim may be nested as deep as the token is long; the payload, which the hub keeps,
            // may not.
            (&*deep, Publishes),
            (&*payload, Unreadable),
        ],
        str::to_owned,
    );
}

/// The log limits the keys of each publisher, so the hub names the publisher of each key.
#[test]
fn idempotency_keys_name_the_subject_of_the_token() {
    let access = access();
    let key = |subject: &str, key: &str| {
        let claims = format!(r#"{{"sub": "{subject}", "mercure": {{"publish": ["*"]}}}}"#);
        let token = signed_by(hmac::HMAC_SHA256, SECRET.as_bytes(), r#"{"alg": "HS256"}"#, &claims);
        let request = post(&[("authorization", &bearer(&token)), ("idempotency-key", key)]);
        let publisher = access.publisher(&request, now()).unwrap();
        access.idempotency_key(&request, &publisher, b"data").unwrap().unwrap()
    };
    let [first, second, other] = [key("alice", "1"), key("alice", "2"), key("bob", "1")];
    assert_eq!(first.publisher, second.publisher);
    assert_ne!(first.publisher, other.publisher);
    assert!(first.hash != second.hash && first.hash != other.hash);
}
