//! Keys that change while the hub is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ssekit_hub::mercure::Keys;
use ssekit_hub::mercure::jwks::{Rotation, Schedule};
use ssekit_hub::token::{Signer, make};

use crate::client::{Connection, Request};
use crate::setup::{HUB, TestHub, claims, publication, unix_now};
use crate::stream::Way;

/// A JWKS with one secret of this name.
fn set(name: usize) -> String {
    // 32 bytes of `A`.
    format!(
        "{{\"keys\": [{{\"kty\": \"oct\", \"kid\": \"{name}\", \"k\": \"QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE\"}}]}}"
    )
}

/// A token that grants everything, of the key with this name.
fn token_of(name: usize) -> String {
    let signer = Signer::read(&"A".repeat(32)).unwrap();
    make(&claims(&["*"], &["*"]), &signer, None, Some(&name.to_string())).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_key_that_is_new_is_taken_at_the_first_attempt_by_whatever_way() {
    let keys = Keys::read(&set(0)).unwrap();
    let fetched = Arc::new(AtomicUsize::new(0));
    let hub = TestHub::start(|setup| {
        // Only who misses a key has them fetched. With each fetch the issuer has another key, named after the count.
        let schedule = Schedule {
            every: Duration::from_secs(3600),
            at_least: Duration::ZERO,
            timeout: Duration::from_secs(20),
        };
        let (rotation, renewal) = Rotation::new(keys.clone(), None, schedule);
        let fetched = Arc::clone(&fetched);
        tokio::spawn(rotation.run(move || {
            let name = fetched.fetch_add(1, Ordering::SeqCst);
            async move { Ok::<_, String>(set(name)) }
        }));
        setup.subscriptions = true;
        (setup.access.publishers, setup.access.subscribers) = (keys.clone(), keys.clone());
        setup.access.publishers_renewal = Some(renewal.clone());
        setup.access.subscribers_renewal = Some(renewal);
    })
    .await;
    let all = [
        Request::get(format!("{HUB}/subscriptions")),
        Request::post(HUB, "topic=a&data=x"),
        Request::new("HEAD", format!("{HUB}?topic=a")),
    ];
    for way in Way::ALL {
        for request in &all {
            let name = fetched.load(Ordering::SeqCst).max(1);
            let answer = way.ask(&hub, &request.clone().bearer(&token_of(name))).await;
            assert_eq!(answer.status, 200, "{} by {way:?}: {}", request.target, answer.body);
            assert_eq!(fetched.load(Ordering::SeqCst), name + 1, "the key was fetched for this request");
        }
        let name = fetched.load(Ordering::SeqCst);
        let get = Request::get(format!("{HUB}?topic=a")).bearer(&token_of(name));
        let status = match way {
            Way::Http2 => way.open(&hub, &get).await.status,
            // Not as `Way` does it, which knows a stream of the fan-out's own by its form: who waits for a key is hyper's.
            _ => {
                let mut connection = Connection::open(hub.addr).await;
                connection.send(&get.encode()).await;
                connection.head().await.expect("an answer").status
            }
        };
        assert_eq!((status, fetched.load(Ordering::SeqCst)), (200, name + 1), "by {way:?}");
    }
    // Whose token is of a key that is here, or none, has nothing fetched.
    let fetches = fetched.load(Ordering::SeqCst);
    let here = token_of(fetches - 1);
    for (token, status) in [(&*here, 200), (&here[..here.len() - 8], 401), ("none", 401)] {
        for way in Way::ALL {
            let answer = way.ask(&hub, &all[1].clone().bearer(token)).await;
            assert_eq!(
                (answer.status, fetched.load(Ordering::SeqCst)),
                (status, fetches),
                "{token:?} by {way:?}"
            );
        }
    }
}

/// A publication by hyper whose body has still to come, once its token has been looked at.
async fn begun(hub: &TestHub, publication: &Request) -> (Connection, Vec<u8>) {
    let mut connection = Connection::open(hub.addr).await;
    let mut bytes = publication.clone().with("expect", "100-continue").encode();
    let body = bytes.split_off(bytes.len() - publication.body.as_ref().unwrap().len());
    connection.send(&bytes).await;
    // The body is asked for when it is about to be read.
    assert_eq!(connection.head().await.expect("an answer").status, 100);
    (connection, body)
}

/// It was verified once before the body and once behind it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_token_grants_is_kept_while_the_body_comes() {
    let hub = TestHub::usual().await;
    let (mut connection, body) = begun(&hub, &publication("topic=a&data=x")).await;
    let others = Keys::secret(b"another secret that is long enough: 32 bytes").unwrap();
    hub.access.publishers.replace(&others);
    connection.send(&body).await;
    let answer = connection.answer("POST").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(hub.ask(&publication("topic=a&data=y")).await.status, 401, "the keys are others");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_publishes_with_a_token_that_ends_before_the_body_is_there_is_refused() {
    let hub = TestHub::usual().await;
    let exp = unix_now() as u64 + 3;
    let mut claims = claims(&["*"], &[]);
    claims.exp = Some(exp);
    let request = Request::post(HUB, "topic=a&data=x").bearer(&crate::setup::sign(&claims));
    let (mut connection, body) = begun(&hub, &request).await;
    tokio::time::sleep(Duration::from_secs_f64((exp as f64 - unix_now()).max(0.0) + 0.01)).await;
    connection.send(&body).await;
    let answer = connection.answer("POST").await;
    assert_eq!(answer.status, 401, "{}", answer.body);
    assert_eq!(answer.json()["type"], "urn:ssekit:problem:invalid-token");
    assert!(answer.body.contains("expired"), "{}", answer.body);
    assert_eq!(hub.history().await, []);
}
