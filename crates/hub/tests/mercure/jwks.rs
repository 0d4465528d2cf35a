//! Keys that change.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use ssekit_hub::mercure::jwks::{MAX_BYTES, Rotation, Schedule, check_url};
use ssekit_hub::mercure::{Algorithm, Keys, TokenError};
use tokio::sync::mpsc;
use tokio::time::{Instant, advance, timeout};

use crate::request::{now, signed};

/// A JWKS with one secret of this name.
fn set(name: &str) -> String {
    // 32 bytes of `A`.
    format!(
        "{{\"keys\": [{{\"kty\": \"oct\", \"kid\": \"{name}\", \"k\": \"QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE\"}}]}}"
    )
}

fn verify(keys: &Keys, name: &str) -> Result<(), TokenError> {
    let token = signed(&"A".repeat(32), &json!({"alg": "HS256", "kid": name}), &json!({"mercure": {}}));
    keys.verify(&token, now()).map(drop)
}

#[test]
fn line_122_keys_come_by_https_or_from_this_machine() {
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
    let (rotation, renewal) = Rotation::new(keys.clone(), None, Schedule::default());
    let fetched = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&fetched);
    // The issuer names its key after the number of times it was asked.
    let running = tokio::spawn(rotation.run(move || {
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        async move { Ok::<_, String>(set(&number.to_string())) }
    }));
    let start = Instant::now();
    renewal.renewed().await;
    assert_eq!(verify(&keys, "1"), Ok(()));
    assert_eq!(verify(&keys, "2"), Err(TokenError::UnknownKey("2".to_owned())));
    // Too early: whoever asks is not kept waiting, and nothing is fetched, however many ask.
    for _ in 0..100 {
        renewal.renewed().await;
    }
    assert_eq!((fetched.load(Ordering::Relaxed), start.elapsed()), (1, Duration::ZERO));
    advance(Duration::from_secs(30)).await;
    renewal.renewed().await;
    assert_eq!(
        (verify(&keys, "2"), verify(&keys, "1")),
        (Ok(()), Err(TokenError::UnknownKey("1".to_owned())))
    );
    assert_eq!(start.elapsed(), Duration::from_secs(30));
    // And by itself after ten minutes.
    while fetched.load(Ordering::Relaxed) < 3 {
        advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
    let waited = start.elapsed() - Duration::from_secs(30);
    assert!((Duration::from_secs(599)..=Duration::from_secs(602)).contains(&waited), "{waited:?}");
    running.abort();
    // Without a rotation, nobody waits.
    drop(running.await);
    timeout(Duration::from_millis(1), renewal.renewed()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn keys_that_cannot_be_renewed_are_used_on() {
    let keys = Keys::none();
    let schedule = Schedule::default();
    let (rotation, _renewal) = Rotation::new(keys.clone(), Some(vec![Algorithm::HS256]), schedule);
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
    answer(Ok(" ".repeat(MAX_BYTES + 1)));
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
    // After trouble it is tried again soon.
    assert_eq!(times, [600, 630, 660, 690, 720, 750]);
    asks.recv().await.unwrap();
    assert_eq!(verify(&keys, "2"), Ok(()));
    running.abort();
}
