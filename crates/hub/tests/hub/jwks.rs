//! Key sets: fetches, their schedule, and the answers that replace keys.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::json;
use ssekit_client::Http;
use ssekit_hub::jwks::{Renewed, Rotation, Schedule, Source, check_url};
use ssekit_mercure::issue::{Signer, make};
use ssekit_mercure::{Algorithm, Keys, TokenError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, advance, timeout};

use crate::setup::claims;

/// A JWKS with one secret of this name.
fn set(name: &str) -> String {
    // 32 bytes of `A`.
    format!(
        "{{\"keys\": [{{\"kty\": \"oct\", \"kid\": \"{name}\", \"k\": \"QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE\"}}]}}"
    )
}

fn verify(keys: &Keys, name: &str) -> Result<(), TokenError> {
    let signer = Signer::read(&"A".repeat(32)).unwrap();
    let token = make(&claims(&[], &[]), &signer, None, Some(name)).unwrap();
    keys.verify(&token, SystemTime::now()).map(drop)
}

/// Token that grants to publish everything, signed with any text, which [`Signer`] would refuse.
fn signed_with(secret: &str) -> String {
    let parts = [json!({"alg": "HS256"}), json!({"mercure": {"publish": ["*"]}})];
    let message = parts.map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn line_122_keys_are_fetched_by_https_or_from_this_machine() {
    for url in [
        "https://issuer.example/keys",
        "https://10.0.0.1/keys",
        "http://localhost:8080/keys",
        "http://127.0.0.1/",
        "http://[::1]:1/k",
    ] {
        assert!(check_url(url).is_ok(), "{url}");
    }
    for url in [
        "http://issuer.example/keys",
        "http://10.0.0.1/keys",
        "http://localhost.evil.example/",
        "http://127.0.0.1@evil.example/",
        "https://user:password@issuer.example/",
        "file:///etc/passwd",
        "ftp://issuer.example/keys",
        "issuer.example/keys",
        "",
    ] {
        assert!(check_url(url).is_err(), "{url}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_names_a_new_key_has_the_keys_fetched_but_not_too_often() {
    let keys = Keys::none();
    let (rotation, renewal) = Rotation::new("the issuer", keys.clone(), None, Schedule::default());
    let fetched = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&fetched);
    // The issuer names its key by the number of requests so far.
    let running = tokio::spawn(rotation.run(move || {
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        async move { Ok::<_, String>(set(&number.to_string())) }
    }));
    let start = Instant::now();
    assert_eq!(renewal.renewed().await, Renewed::Fresh);
    assert_eq!(verify(&keys, "1"), Ok(()));
    assert_eq!(verify(&keys, "2"), Err(TokenError::UnknownKey("2".to_owned())));
    // Too early: no client waits or learns that the key does not exist, and nothing is fetched, however many
    // requests come.
    for _ in 0..100 {
        assert_eq!(renewal.renewed().await, Renewed::Later(Duration::from_secs(30)));
    }
    assert_eq!((fetched.load(Ordering::Relaxed), start.elapsed()), (1, Duration::ZERO));
    advance(Duration::from_secs(30)).await;
    assert_eq!(renewal.renewed().await, Renewed::Fresh);
    assert_eq!(
        (verify(&keys, "2"), verify(&keys, "1")),
        (Ok(()), Err(TokenError::UnknownKey("1".to_owned())))
    );
    assert_eq!(start.elapsed(), Duration::from_secs(30));
    // After ten minutes, the rotation fetches by itself.
    while fetched.load(Ordering::Relaxed) < 3 {
        advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
    let waited = start.elapsed() - Duration::from_secs(30);
    assert!((Duration::from_secs(599)..=Duration::from_secs(602)).contains(&waited), "{waited:?}");
    running.abort();
    // Without a rotation, no client waits.
    drop(running.await);
    advance(Duration::from_secs(30)).await;
    timeout(Duration::from_millis(1), renewal.renewed()).await.unwrap();
}

/// The error page of an issuer used to become the secret of all tokens: everyone with access to that page
/// could make tokens.
#[tokio::test(start_paused = true)]
async fn only_a_set_of_keys_replaces_keys() {
    let html = "<!doctype html><html><head><title>Down for maintenance</title></head></html>";
    let secret = "a text that would be long enough for a secret";
    let jwk = set("1").trim_start_matches("{\"keys\": [").trim_end_matches("]}").to_owned();
    let texts = [
        html,
        secret,
        &format!("{html}\n"),
        &format!("\u{FEFF}{}", set("1")),
        include_str!("../../../mercure/tests/mercure/tokens/rsa.pem"),
        include_str!("../../../mercure/tests/mercure/tokens/secret.txt"),
        &jwk,
        &format!("[{jwk}]"),
        &format!("[[{jwk}]]"),
        "{\"keys\": {}}",
        "{\"keys\": []}",
        "{\"keys\": [[\"oct\", \"1\", null, null, null, null, \"QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE\"]]}",
        "{\"error\": \"the issuer is down, come back in a moment\"}",
        "\"a string of JSON that is long enough for a secret\"",
        "null",
        "",
    ];
    for first in [None, Some(set("1"))] {
        let keys = first.as_deref().map_or_else(Keys::none, |set| Keys::read_set(set).unwrap());
        for text in texts {
            let (rotation, renewal) = Rotation::new("the issuer", keys.clone(), None, Schedule::default());
            let answer = text.to_owned();
            let running = tokio::spawn(rotation.run(move || ready(Ok::<_, String>(answer.clone()))));
            assert_eq!(renewal.renewed().await, Renewed::Later(Duration::from_secs(1)), "{text:?}");
            running.abort();
            assert_eq!(verify(&keys, "1").is_ok(), first.is_some(), "{text:?}");
            for secret in [text, text.trim_end()] {
                assert!(keys.verify(&signed_with(secret), SystemTime::now()).is_err(), "{text:?}");
            }
            assert!(Keys::read_set(text).is_err(), "{text:?}");
        }
    }
}

/// An answer that may be older than the request proves nothing.
#[tokio::test(start_paused = true)]
async fn an_earlier_fetch_is_no_proof_that_a_key_is_missing() {
    let keys = Keys::none();
    let (rotation, renewal) = Rotation::new("the issuer", keys.clone(), None, Schedule::default());
    let (begun, mut begins) = mpsc::unbounded_channel();
    let running = tokio::spawn(rotation.run(move || {
        let _ = begun.send(());
        async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            Ok::<_, String>(set("1"))
        }
    }));
    begins.recv().await.unwrap();
    let waited = Instant::now();
    assert_eq!(renewal.renewed().await, Renewed::Later(Duration::from_secs(28)));
    assert_eq!((waited.elapsed(), verify(&keys, "1")), (Duration::from_secs(2), Ok(())));
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn keys_that_cannot_be_renewed_are_used_on() {
    let keys = Keys::none();
    let schedule = Schedule::default();
    let (rotation, _renewal) =
        Rotation::new("the issuer", keys.clone(), Some(vec![Algorithm::HS256]), schedule);
    let (answers, mut waiting) = mpsc::unbounded_channel::<Option<Result<String, &str>>>();
    let (asked, mut asks) = mpsc::unbounded_channel();
    let answer = |answer| answers.send(Some(answer)).unwrap();
    let running = tokio::spawn(async move {
        rotation
            .run(|| {
                asked.send(Instant::now()).unwrap();
                let answer = waiting.try_recv();
                async move {
                    match answer {
                        Ok(Some(answer)) => answer,
                        // An issuer that never answers.
                        _ => std::future::pending().await,
                    }
                }
            })
            .await;
    });
    answer(Ok(set("1")));
    answer(Err("out of reach"));
    answer(Ok("{".to_owned()));
    answer(Ok(" ".repeat(Keys::MAX_SET_BYTES + 1)));
    answer(Ok(set("1").replace("oct", "new")));
    answers.send(None).unwrap();
    answer(Ok(set("2")));
    let first = asks.recv().await.unwrap();
    let mut times = Vec::new();
    for _ in 0..5 {
        times.push((asks.recv().await.unwrap() - first).as_secs());
        assert_eq!(verify(&keys, "1"), Ok(()));
    }
    times.push((asks.recv().await.unwrap() - first).as_secs());
    // After a failure the next attempt comes soon, and later with each further failure.
    assert_eq!(times, [600, 601, 603, 607, 615, 631]);
    asks.recv().await.unwrap();
    assert_eq!(verify(&keys, "2"), Ok(()));
    running.abort();
}

/// Answers of an issuer over a real socket, and their effect.
#[tokio::test]
async fn line_122_a_fetch_follows_no_redirect_and_reads_no_more_than_keys() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answers = [
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", set("1")),
        format!(
            "HTTP/1.1 302 Found\r\nlocation: http://{address}/other\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        ),
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", " ".repeat(Keys::MAX_SET_BYTES + 1)),
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nk".to_owned(),
    ];
    let serving = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await.unwrap());
            }
            asked.push(String::from_utf8(head).unwrap().lines().next().unwrap().to_owned());
            // A client that has read enough closes the connection.
            let _ = socket.write_all(answer.as_bytes()).await;
        }
        asked
    });
    let source = Source::parse(&format!("http://{address}/keys")).unwrap();
    let http = Http::new();
    assert_eq!(verify(&Keys::read_set(&source.fetch(&http).await.unwrap()).unwrap(), "1"), Ok(()));
    let redirected = source.fetch(&http).await.unwrap_err().to_string();
    assert!(redirected.contains("the status 302") && redirected.contains("not followed"), "{redirected}");
    let long = source.fetch(&http).await.unwrap_err().to_string();
    assert!(long.contains("longer than 262144 bytes"), "{long}");
    assert_eq!(source.fetch(&http).await.unwrap(), "k");
    assert_eq!(timeout(Duration::from_secs(30), serving).await.unwrap().unwrap(), ["GET /keys HTTP/1.1"; 4]);
    let gone = source.fetch(&http).await.unwrap_err().to_string();
    assert!(gone.to_lowercase().contains("connection refused"), "{gone}");
}

#[tokio::test]
async fn keys_are_read_from_a_file_too() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../mercure/tests/mercure/tokens/jwks.json");
    let source = Source::parse(path).unwrap();
    assert_eq!(Keys::read_set(&source.fetch(&Http::new()).await.unwrap()).unwrap().len(), 5);
    let missing = Source::parse("no/such/file").unwrap().fetch(&Http::new()).await.unwrap_err().to_string();
    assert!(missing.contains("cannot read the file: No such file"), "{missing}");
    let endless = Source::File("/dev/zero".into()).fetch(&Http::new()).await.unwrap_err().to_string();
    assert!(endless.contains("longer than 262144 bytes"), "{endless}");
    assert!(Source::parse("http://issuer.example/").is_err());
}
