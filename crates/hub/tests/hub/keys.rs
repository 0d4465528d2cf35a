//! Keys that are replaced while requests and streams are open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::StreamExt as _;
use prometheus_client::registry::Registry;
use serde_json::json;
use ssekit_hub::fanout::{Fanout, Interest, Metrics, Subscription};
use ssekit_hub::jwks::{KeyRenewals, Rotation, Schedule};
use ssekit_log::{Keep, MemoryLog, Retention};
use ssekit_mercure::issue::{Signer, make};
use ssekit_mercure::{Keys, Selector};

use crate::client::{Connection, Request};
use crate::setup::{HUB, Setup, TestHub, claims, publication, unix_now, within};
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
async fn a_token_of_a_new_key_is_accepted_at_the_first_attempt_on_every_transport() {
    let keys = Keys::read(&set(0)).unwrap();
    let fetched = Arc::new(AtomicUsize::new(0));
    let hub = TestHub::start(|setup| {
        // Only a request with a missing key starts a fetch. With each fetch the issuer has another key, named
        // after the count.
        let schedule = Schedule {
            every: Duration::from_secs(3600),
            at_least: Duration::ZERO,
            timeout: Duration::from_secs(20),
            ..Schedule::default()
        };
        let (rotation, renewal) = Rotation::new("the issuer", keys.clone(), None, schedule);
        let fetched = Arc::clone(&fetched);
        tokio::spawn(rotation.run(move || {
            let name = fetched.fetch_add(1, Ordering::SeqCst);
            async move { Ok::<_, String>(set(name)) }
        }));
        setup.subscriptions = true;
        (setup.access.publishers, setup.access.subscribers) = (keys.clone(), keys.clone());
        setup.key_renewals = KeyRenewals { publishers: Some(renewal.clone()), subscribers: Some(renewal) };
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
            // `Way` recognizes a stream of the fan-out by its form, but hyper serves requests that wait for a
            // key.
            _ => {
                let mut connection = Connection::open(hub.addr).await;
                connection.send(&get.encode()).await;
                connection.head().await.expect("an answer").status
            }
        };
        assert_eq!((status, fetched.load(Ordering::SeqCst)), (200, name + 1), "by {way:?}");
    }
    // A token with a known key, or no token, starts no fetch.
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

/// A publication on hyper's path whose body is missing, after its token was verified.
async fn begun(hub: &TestHub, publication: &Request) -> (Connection, Vec<u8>) {
    let mut connection = Connection::open(hub.addr).await;
    let mut bytes = publication.clone().with("expect", "100-continue").encode();
    let body = bytes.split_off(bytes.len() - publication.body.as_ref().unwrap().len());
    connection.send(&bytes).await;
    // The server asks for the body when it is about to read it.
    assert_eq!(connection.head().await.expect("an answer").status, 100);
    (connection, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_revoked_during_the_body_publishes_nothing() {
    let hub = TestHub::usual().await;
    let (mut kept, body) = begun(&hub, &publication("topic=a&data=x")).await;
    let (mut revoked, other_body) = begun(&hub, &publication("topic=a&data=y")).await;
    // The same keys, and then others: the grants of the verified token remain.
    assert!(!hub.access.publishers.replace(&crate::setup::keys()));
    kept.send(&body).await;
    assert_eq!(kept.answer("POST").await.status, 200);
    assert!(hub.access.publishers.replace(&other_keys()));
    revoked.send(&other_body).await;
    let answer = revoked.answer("POST").await;
    assert_eq!((answer.status, &answer.json()["type"]), (401, &"urn:ssekit:problem:invalid-token".into()));
    assert!(answer.body.contains("replaced or revoked"), "{}", answer.body);
    assert_eq!(hub.history().await.len(), 1);
}

fn other_keys() -> Keys {
    Keys::secret(b"another secret that is long enough: 32 bytes").unwrap()
}

/// Key set with secrets of these names and first letters.
fn set_of(keys: &[(&str, char)]) -> Keys {
    let keys: Vec<_> = keys
        .iter()
        .map(
            |(name, letter)| json!({"kty": "oct", "kid": name, "k": URL_SAFE_NO_PAD.encode(secret(*letter))}),
        )
        .collect();
    Keys::read_set(&json!({ "keys": keys }).to_string()).unwrap()
}

fn secret(letter: char) -> String {
    letter.to_string().repeat(32)
}

/// Request for all updates, with a token that grants private ones.
fn asked(kid: Option<&str>, letter: char) -> Request {
    let signer = Signer::read(&secret(letter)).unwrap();
    let token = make(&claims(&[], &["*"]), &signer, None, kid).unwrap();
    Request::get(format!("{HUB}?topic=*")).bearer(&token)
}

/// Streams whose key had been revoked used to continue forever.
#[tokio::test(flavor = "multi_thread")]
async fn streams_with_an_invalid_token_end_and_the_others_continue() {
    let hub = TestHub::start(|setup| {
        setup.access.subscribers = set_of(&[("1", 'a'), ("2", 'b'), ("3", 'c')]);
    })
    .await;
    // Whether each stream is still open when key “1” is gone, key “2” has another secret, and there is a new
    // key.
    let requests = [
        (asked(Some("1"), 'a'), false),
        (asked(Some("2"), 'b'), false),
        (asked(Some("3"), 'c'), true),
        (asked(None, 'a'), false),
        (asked(None, 'c'), true),
        (Request::get(format!("{HUB}?topic=*")), true),
    ];
    let mut streams = Vec::new();
    for way in Way::ALL {
        for (request, stays) in &requests {
            streams.push((way.open(&hub, request).await, way, request, *stays));
        }
    }
    hub.publish("topic=a&data=before").await;
    for (stream, ..) in &mut streams {
        assert_eq!(stream.data().await, "before");
    }
    assert!(!hub.access.subscribers.replace(&set_of(&[("3", 'c'), ("2", 'b'), ("1", 'a')])), "the same keys");
    assert!(hub.access.subscribers.replace(&set_of(&[("2", 'd'), ("3", 'c'), ("4", 'e')])));
    hub.until_figure("ssekit_subscriptions_ended_total{reason=\"revoked\"}", 9).await;
    hub.publish("topic=a&data=private&private=on").await;
    hub.publish("topic=a&data=after").await;
    for (stream, way, request, stays) in &mut streams {
        if *stays {
            let anonymous = !request.headers.iter().any(|(name, _)| name == "authorization");
            let wanted: &[&str] = if anonymous { &["after"] } else { &["private", "after"] };
            assert_eq!(stream.datas(wanted.len()).await, wanted, "{way:?} {request:?}");
        } else {
            assert_eq!((stream.next().await, stream.is_cut()), (None, false), "{way:?} {request:?}");
            assert_eq!(way.ask(&hub, request).await.status, 401, "{way:?} {request:?}");
        }
    }
}

/// Keys are replaced between the verification of the token and the thread that serves the stream.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_does_not_begin_after_its_key_was_replaced() {
    let log = Arc::new(MemoryLog::new(Retention::of_everything(Keep::ALL).unwrap()).unwrap());
    let options = Setup::default().fanout;
    let fanout = Fanout::start(log, &options, Metrics::new(&mut Registry::default())).await.unwrap();
    let keys = set_of(&[("1", 'a')]);
    let signer = Signer::read(&secret('a')).unwrap();
    let token = make(&claims(&[], &["*"]), &signer, None, None).unwrap();
    let token = Arc::new(keys.verify(&token, SystemTime::now()).unwrap());
    let subscribe = || {
        let interest = Interest::new(vec![Selector::parse("*").unwrap()], Some(Arc::clone(&token)));
        let first = Bytes::from_static(b":\n");
        let subscription = Subscription { interest, first, start: None, ends: None, guard: None };
        Body::new(fanout.subscribe_body(subscription, None)).into_data_stream()
    };
    let mut open = subscribe();
    keys.replace(&set_of(&[("1", 'b')]));
    let mut late = subscribe();
    assert_eq!(within("its beginning", late.next()).await.unwrap().unwrap(), ":\n");
    assert!(within("its end", late.next()).await.is_none());
    assert_eq!(within("its beginning", open.next()).await.unwrap().unwrap(), ":\n");
    fanout.keys_replaced();
    assert!(within("its end", open.next()).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_before_the_body_is_complete_is_refused() {
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
