//! `ssekit token`.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use ssekit_mercure::Keys;

use crate::config::Folder;
use crate::program::{run, ssekit};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A secret of 32 bytes, and key pairs made with openssl.
const PAIRS: [(&str, &[&str], &[&str]); 4] = [
    (
        "rsa",
        &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
    ),
    ("p256", &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], &["ES256"]),
    ("p384", &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"], &["ES384"]),
    ("ed25519", &["genpkey", "-algorithm", "ED25519"], &["EdDSA"]),
];

fn openssl(arguments: &[&str], input: &str) -> String {
    let folder = Folder::new("openssl");
    let file = folder.file(&format!("{:?}", std::thread::current().id()), input);
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(std::fs::File::open(file).expect("it was written"));
    let output =
        command.output().expect("this test needs openssl: `apt-get install openssl` (Debian, Ubuntu)");
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

fn token(arguments: &[&str]) -> Output {
    run(ssekit().arg("token").args(arguments))
}

/// Token made with these flags.
fn made(arguments: &[&str]) -> String {
    let output = token(&[&["make"], arguments].concat());
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    let token = text(&output.stdout);
    token.strip_suffix('\n').expect("it is one line").to_owned()
}

fn part(token: &str, at: usize) -> Value {
    let part = token.split('.').nth(at).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    serde_json::from_slice(&part.expect("it is there")).expect("it is JSON")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_token_has_the_requested_claims() {
    let before = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_secs();
    let flags = [
        "--key",
        SECRET,
        "--publish",
        "a",
        "--publish",
        "/b/{id}",
        "--subscribe",
        "*",
        "--payload",
        "{\"user\": 1}",
    ];
    let token = made(&[&flags[..], &["--expires-in", "1h30m", "--kid", "first"]].concat());
    assert_eq!(part(&token, 0), json!({ "alg": "HS256", "typ": "JWT", "kid": "first" }));
    let claims = part(&token, 1);
    let grants = json!({ "publish": ["a", "/b/{id}"], "subscribe": ["*"], "payload": { "user": 1 } });
    assert_eq!(claims["mercure"], grants);
    let (made, end) = (claims["iat"].as_u64().expect("a number"), claims["exp"].as_u64().expect("a number"));
    assert!((before..before + 60).contains(&made), "{claims}");
    assert_eq!(end - made, 5400);

    let default = part(&made_for_an_hour(), 1);
    assert_eq!(default["exp"].as_u64().expect("a number") - default["iat"].as_u64().expect("a number"), 3600);
    assert_eq!(default["mercure"], json!({ "subscribe": ["x"] }), "what is not granted is left out");
}

fn made_for_an_hour() -> String {
    let output = run(ssekit().args(["token", "make", "--subscribe", "x"]).env("SSEKIT_KEY", SECRET));
    text(&output.stdout).trim_end().to_owned()
}

#[test]
fn each_kind_of_key_makes_tokens_that_its_other_half_verifies() {
    let folder = Folder::new("pairs");
    for algorithm in ["HS256", "HS384", "HS512"] {
        let token = made(&["--key", SECRET, "--publish", "a", "--algorithm", algorithm]);
        assert_eq!(part(&token, 0)["alg"], algorithm);
        Keys::read(SECRET).expect("a secret").verify(&token, SystemTime::now()).expect(algorithm);
    }
    for (name, generate, algorithms) in PAIRS {
        let private = openssl(generate, "");
        let public = openssl(&["pkey", "-pubout"], &private);
        let (private, public_file) = (folder.file(name, &private), folder.file("public", &public));
        let keys = Keys::read(&public).expect("a public key");
        let default = made(&["--key-file", &private, "--publish", "a"]);
        assert_eq!(part(&default, 0)["alg"], algorithms[0]);
        for algorithm in algorithms {
            let token = made(&["--key-file", &private, "--publish", "a", "--algorithm", algorithm]);
            let verified = keys.verify(&token, SystemTime::now()).expect(algorithm);
            assert!(verified.may_publish("a") && !verified.may_publish("b"));
            let output = self::token(&["explain", &token, "--key-file", &public_file, "--publish", "a"]);
            assert_eq!(output.status.code(), Some(0), "{output:?}");
        }
        let wrong = token(&["make", "--key-file", &private, "--publish", "a", "--algorithm", "HS256"]);
        let expected = format!("ssekit: the key cannot sign with HS256; it is a key for {}\n", algorithms[0]);
        assert_eq!((wrong.status.code(), text(&wrong.stderr)), (Some(2), expected));
    }
}

#[test]
fn arguments_that_make_no_token_are_usage_errors() {
    let folder = Folder::new("wrong-keys");
    let public = openssl(&["pkey", "-pubout"], &openssl(PAIRS[1].1, ""));
    let sec1 = openssl(&["ec"], &openssl(PAIRS[1].1, ""));
    let (public, sec1) = (folder.file("public", &public), folder.file("sec1", &sec1));
    let grant = ["--publish", "a"];
    for (flags, expected) in [
        (vec!["--publish", "a"], "no key to sign the token with: set --key-file or --key"),
        (vec!["--key", SECRET], "the token would grant nothing: set --publish, --subscribe or both"),
        (vec!["--key", "short", "--publish", "a"], "the secret has 5 bytes and needs at least 32"),
        (
            [&["--key-file", "/nowhere"], &grant[..]].concat(),
            "cannot read the key file /nowhere: No such file",
        ),
        ([&["--key-file", &public], &grant[..]].concat(), "the PEM text contains no private key"),
        (
            [&["--key-file", &sec1], &grant[..]].concat(),
            "convert it to PKCS#8 with `openssl pkcs8 -topk8 -nocrypt`",
        ),
        (vec!["--key", SECRET, "--publish", ""], "invalid value '' for '--publish"),
        (
            vec!["--key", SECRET, "--publish", "a", "--expires-in", "5"],
            "expected a time of at least one second",
        ),
        (vec!["--key", SECRET, "--publish", "a", "--payload", "{"], "invalid JSON"),
        (
            vec!["--key", SECRET, "--publish", "a", "--algorithm", "none"],
            "\"none\" is not supported; the supported algorithms are HS256",
        ),
    ] {
        let output = token(&[&["make"], &flags[..]].concat());
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()), "{flags:?}");
        assert!(text(&output.stderr).contains(expected), "{flags:?}: {output:?}");
    }
}

/// Token with these claims.
fn with_claims(claims: &Value) -> String {
    let signer = ssekit_mercure::issue::Signer::read(SECRET).expect("a secret");
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", encode("{\"alg\":\"HS256\"}"), encode(&claims.to_string()));
    let signature = signer.sign(signer.algorithm(), message.as_bytes()).expect("it can sign");
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn explain_shows_the_claims_and_the_grants() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_secs();
    let good =
        with_claims(&json!({ "mercure": { "publish": ["/b/{id}"], "subscribe": ["*"] }, "exp": now + 7200 }));
    let over = with_claims(&json!({ "mercure": { "publish": ["*"] }, "exp": now - 90 }));
    let early = with_claims(&json!({ "mercure": { "publish": ["*"] }, "nbf": now + 9000 }));
    let nothing = with_claims(&json!({ "sub": "me" }));
    let namespaced = with_claims(&json!({ "https://mercure.rocks/": { "publish": ["a"] } }));
    let key = ["--key", SECRET];
    let other = ["--key", "another secret that is long enough!"];
    for (token, flags, code, expected) in [
        (
            &good,
            vec![],
            0,
            vec![
                "expires    in 1h59m",
                "GMT)",
                "publish    /b/{id}",
                "subscribe  *",
                "signature  not checked",
            ],
        ),
        (
            &good,
            vec!["--publish", "/b/1"],
            0,
            vec!["publish    /b/1: granted by /b/{id}, if the signature is valid"],
        ),
        (
            &good,
            vec!["--publish", "/c"],
            1,
            vec!["publish    /c: refused, no selector in the claim “mercure.publish” matches it"],
        ),
        (&good, key.to_vec(), 0, vec!["ok  signature", "allowed"]),
        (
            &good,
            [&key[..], &["--publish", "/b/1", "--subscribe", "x"]].concat(),
            0,
            vec!["“/b/1” is granted by “/b/{id}”", "“x” is granted by “*”"],
        ),
        (
            &good,
            [&key[..], &["--publish", "/b/1", "--publish", "/c"]].concat(),
            1,
            vec!["ok  topic", "NO  topic: the token does not grant the topic “/c”", "refused"],
        ),
        (&good, other.to_vec(), 1, vec!["NO  signature: the token's signature is invalid"]),
        (&over, vec![], 1, vec!["expires    1m30s ago", "subscribe  nothing"]),
        (&over, key.to_vec(), 1, vec!["NO  time: the token expired 90 s ago (claim “exp”): get a new one"]),
        (&early, vec![], 1, vec!["valid from in 2h", "expires    never"]),
        (&early, key.to_vec(), 1, vec!["NO  time: the token becomes valid in 2 h"]),
        (&nothing, key.to_vec(), 1, vec!["NO  claim “mercure”: the token has no claim “mercure”"]),
        (&namespaced, vec!["--publish", "a"], 0, vec!["publish    a: granted by a"]),
        (
            &"no.token".to_owned(),
            vec![],
            1,
            vec!["NO  form: the token is not a JWT: it does not have three parts, separated by dots"],
        ),
        (&"a.b.c".to_owned(), key.to_vec(), 1, vec!["NO  form"]),
    ] {
        let output = self::token(&[&["explain", token], &flags[..]].concat());
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{flags:?}\n{said}\n{output:?}");
        for expected in expected {
            // A second may pass meanwhile.
            let found = said.contains(expected)
                || said.replace("91 s ago", "90 s ago").replace("1m31s", "1m30s").contains(expected);
            assert!(found, "{expected:?} is not said:\n{said}");
        }
    }
}

#[test]
fn a_token_may_come_from_stdin() {
    let folder = Folder::new("stdin");
    let token = made_for_an_hour();
    let file = std::fs::File::open(folder.file("token", &format!("{token}\n"))).expect("it was written");
    let output = run(ssekit()
        .args(["token", "explain", "-", "--key", SECRET, "--subscribe", "x"])
        .stdin(Stdio::from(file)));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn control_characters_of_a_token_are_escaped() {
    let evil = with_claims(&json!({ "mercure": { "publish": ["\u{1b}[2J\u{9b}31m\n"] }, "\u{202e}": 1 }));
    let output = token(&["explain", &evil]);
    let said = text(&output.stdout);
    assert!(said.contains("\\u{1b}[2J"), "{said}");
    assert!(said.chars().all(|character| character == '\n' || !character.is_control()), "{said:?}");
    assert!(!said.contains('\u{202e}'), "{said:?}");
}

#[test]
fn the_library_creates_the_same_tokens() {
    use ssekit_mercure::issue::{Claims, Grants, Lifetime, Signer, make};
    let signer = Signer::read(SECRET).expect("a secret");
    let grants = Grants { publish: vec!["*".to_owned()], ..Grants::default() };
    let claims =
        Claims::new(grants, UNIX_EPOCH + Duration::from_secs(10), Lifetime(Some(Duration::from_secs(5))));
    let token = make(&claims, &signer, None, None).expect("it can be signed");
    assert_eq!(part(&token, 1), json!({ "mercure": { "publish": ["*"] }, "iat": 10, "exp": 15 }));
    assert!(!format!("{signer:?}").contains(SECRET));
}

#[test]
fn claims_that_are_probably_not_intended_cause_warnings() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_secs();
    let star = "`*` inside a selector is a plain character";
    let milliseconds = "it must be in seconds since 1970, not milliseconds";
    for (claims, warnings) in [
        (
            json!({
                "mercure": { "publish": ["*"], "subscribe": ["/a/{path*}", "{+a*}", "b"] },
                "exp": now + 60,
            }),
            vec![],
        ),
        (json!({ "mercure": { "publish": ["https://example.com/*"] } }), vec![star]),
        (json!({ "mercure": { "subscribe": ["*.example.com"] } }), vec![star]),
        (json!({ "mercure": { "subscribe": ["/{a*}/*"] } }), vec![star]),
        (json!({ "mercure": { "subscribe": ["*{a}"] } }), vec![star]),
        (json!({ "mercure": { "publish": ["**"], "subscribe": ["a*"] } }), vec![star, star]),
        (json!({ "mercure": { "publish": ["a"] }, "exp": (now + 60) * 1000 }), vec![milliseconds]),
        (json!({ "mercure": { "publish": ["a"] }, "exp": now + 99 * 365 * 86_400 }), vec![]),
        (json!({ "mercure": { "publish": ["a"] }, "exp": now + 101 * 365 * 86_400 }), vec![milliseconds]),
    ] {
        for flags in [vec![], vec!["--key", SECRET]] {
            let output = token(&[&["explain", &with_claims(&claims)], &flags[..]].concat());
            let said = text(&output.stdout);
            let found: Vec<&str> = said.lines().filter(|line| line.starts_with("warning ")).collect();
            assert_eq!((output.status.code(), found.len()), (Some(0), warnings.len()), "{claims}: {said}");
            assert!(
                found.iter().zip(&warnings).all(|(line, words)| line.contains(words)),
                "{claims}: {said}"
            );
        }
    }
    for (flags, warning) in [
        (vec!["--publish", "*", "--subscribe", "/a/{path*}"], None),
        (vec!["--publish", "/a/*"], Some(star)),
        (vec!["--publish", "a", "--expires-in", "40000d"], Some(milliseconds)),
    ] {
        let output = token(&[&["make", "--key", SECRET], &flags[..]].concat());
        let (made, said) = (text(&output.stdout), text(&output.stderr));
        assert_eq!((output.status.code(), made.split('.').count()), (Some(0), 3), "{flags:?}: {output:?}");
        assert_eq!(said.lines().count(), usize::from(warning.is_some()), "{said}");
        assert!(said.contains(warning.unwrap_or_default()), "{said}");
    }
}

#[test]
fn audience_and_issuer_are_made_and_explained() {
    let key = ["--key", SECRET];
    let one = made(&[&key[..], &["--publish", "a", "--audience", "hub", "--issuer", "login"]].concat());
    assert_eq!((&part(&one, 1)["aud"], &part(&one, 1)["iss"]), (&json!("hub"), &json!("login")));
    let two = made(&[&key[..], &["--publish", "a", "--audience", "hub", "--audience", "b"]].concat());
    assert_eq!((&part(&two, 1)["aud"], part(&two, 1).get("iss")), (&json!(["hub", "b"]), None));
    for (token, flags, words) in [
        (&one, vec![], None),
        (&one, vec!["--audience", "x", "--audience", "hub", "--issuer", "login"], None),
        (&two, vec!["--audience", "b"], None),
        (&one, vec!["--audience", "x"], Some("has “hub” in the claim “aud”; this hub requires “x”")),
        (&two, vec!["--audience", "x"], Some("in the claim “aud”")),
        (
            &two,
            vec!["--issuer", "login"],
            Some("has no claim “iss”; this hub requires “login” (setting `issuer`)"),
        ),
    ] {
        for key in [&key[..], &[]] {
            let output = self::token(&[&["explain", token], key, &flags[..]].concat());
            let said = text(&output.stdout);
            assert_eq!(output.status.code(), Some(i32::from(words.is_some())), "{flags:?}: {said}");
            assert!(said.contains(words.unwrap_or_default()), "{flags:?}: {said}");
        }
    }
}
