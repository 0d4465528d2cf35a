//! Limits of the cost of templates, and the answers beyond them.

use ssekit_mercure::ProblemKind;

use crate::client::Request;
use crate::setup::{HUB, TestHub, encoded, publication, token};
use crate::stream::{Stream, Way};

const ORDINARY: &str = "https://example.com/books/1234567890?page=12&of=34";

/// Starts a hub with this number of subscribers, each with eight templates.
async fn crowded(subscribers: usize, template: impl Fn(usize, usize) -> String) -> (TestHub, Vec<Stream>) {
    let hub = TestHub::start(|setup| setup.server.connections = subscribers + 100).await;
    let mut streams = Vec::new();
    for subscriber in 0..subscribers {
        let query: Vec<_> =
            (0..8).map(|number| format!("topic={}", encoded(&template(subscriber, number)))).collect();
        let request = Request::get(format!("{HUB}?{}", query.join("&"))).with("accept", "text/event-stream");
        streams.push(Way::KeptAlive.open(&hub, &request).await);
    }
    (hub, streams)
}

fn variables(spec: impl Fn(usize) -> String) -> String {
    (0..32).map(|number| format!("{{{}}}", spec(number))).collect()
}

/// Steps of matching that a publication takes in both threads.
async fn steps(hub: &TestHub, form: &str) -> u64 {
    let mut witness = Way::Socket.subscribe(hub, &format!("topic={}", encoded(ORDINARY))).await;
    let before = hub.figure("ssekit_matching_steps_total").await;
    hub.publish(form).await;
    witness.event().await;
    // When nothing lags behind, all threads have delivered it.
    hub.until_figure("ssekit_lag_events", 0).await;
    hub.figure("ssekit_matching_steps_total").await - before
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_subscribers_with_templates_of_32_variables_that_differ_in_names_cost_one_template() {
    let (hub, streams) = crowded(1000, |subscriber, number| {
        variables(|variable| format!("+v{subscriber}_{number}_{variable}"))
    })
    .await;
    hub.until_figure("ssekit_subscribers", 1000).await;
    assert!(hub.figure("ssekit_template_variables").await < 100);
    let form = format!("topic={}&data=x", encoded(ORDINARY));
    // Eight entries for each, and two threads that try the template.
    let steps = steps(&hub, &form).await;
    assert!(steps < 8 * 1000 + 2 * 1000, "{steps} steps");
    drop(streams);
    hub.until_figure("ssekit_template_variables", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_subscribers_with_templates_of_their_own_cost_no_more_than_the_hub_has_for_all() {
    let (hub, mut streams) = crowded(1000, |subscriber, number| {
        format!("{}#{subscriber}.{number}!", variables(|variable| format!("v{variable}:9999")))
    })
    .await;
    let held = hub.figure("ssekit_template_variables").await;
    assert!((3000..=4096).contains(&held), "{held} variables");
    let here = hub.figure("ssekit_subscribers").await;
    let refused = hub.figure("ssekit_template_subscriptions_refused_total").await;
    assert_eq!((here + refused, here < 5), (1000, true), "{here} are here");
    let steps = steps(&hub, &format!("topic={}&data=x", encoded(ORDINARY))).await;
    assert!(steps < 1000, "{steps} steps: all of them lack a literal");
    // A browser would give up for good on a refusal; it gets a reconnection time.
    let told = streams.pop().unwrap().retry().await;
    assert!((1000..=2000).contains(&told.as_millis()), "{told:?}");
    assert_eq!(streams.pop().unwrap().rest().await, []);
    let query = format!("topic={}", encoded("{a}x{b}"));
    let asked = Request::get(format!("{HUB}?{query}"));
    let plain = Way::KeptAlive.ask(&hub, &asked.clone().with("accept", "application/json")).await;
    assert_eq!(plain.status, 503, "{}", plain.body);
    assert_eq!(plain.json()["type"], format!("urn:ssekit:problem:{}", ProblemKind::Unavailable.name()));
    assert!(plain.body.contains("4096") && plain.header("retry-after").is_some(), "{}", plain.body);
    // Subscribers with a token, with topics or with other prefixes are not affected.
    let mut with_token = Way::Socket.open(&hub, &asked.clone().bearer(&token(&[], &["*"]))).await;
    let mut others = vec![Way::Socket.subscribe(&hub, "topic=axb").await];
    hub.publish("topic=axb&data=there").await;
    assert_eq!(with_token.data().await, "there");
    assert_eq!(others.pop().unwrap().data().await, "there");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_of_topics_that_cost_too_much_to_match_is_refused_and_others_are_not() {
    // Without literals, and each of another shape.
    let shape = |subscriber: usize, number: usize| {
        let bits = subscriber * 8 + number;
        (0..32).map(|bit| if bits >> bit & 1 == 1 { "{+v*}" } else { "{v}" }).collect::<String>()
    };
    let (hub, _streams) = crowded(100, shape).await;
    let held = hub.figure("ssekit_template_variables").await;
    assert!((3000..=4096).contains(&held), "{held} variables");
    let long: String = (0..900).map(|number| format!("topic={number}{}&", "x".repeat(997))).collect();
    let refused = hub.ask(&publication(&format!("{long}data=x"))).await;
    assert_eq!(refused.status, 413, "{}", refused.body);
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("fewer topics") && detail.contains("4194304"), "{detail}");
    // In a batch as well; then none of its updates is taken.
    let topics: Vec<_> = (0..900).map(|number| format!("{number}{}", "x".repeat(997))).collect();
    let lines = format!(
        "{}\n{}\n",
        serde_json::json!({"topic": "a", "data": "first"}),
        serde_json::json!({"topic": topics, "data": "second"})
    );
    let batch = Request::post(HUB, lines).bearer(&token(&["*"], &[]));
    let batch = hub.ask(&batch.with("content-type", "application/x-ndjson")).await;
    assert_eq!(batch.status, 413, "{}", batch.body);
    assert_eq!(hub.history().await, []);
    // Topics of ordinary length are accepted, at a cost within the limit.
    let usual: String = (0..100).map(|number| format!("topic=/books/{number}&")).collect();
    let took = steps(&hub, &format!("topic={}&{usual}data=x", encoded(ORDINARY))).await;
    assert!(took < 2 * 101 * 4096 * 12, "{took} steps");
}
