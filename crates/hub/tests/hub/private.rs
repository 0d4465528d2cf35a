//! Private updates reach no client without the grant, on any path.
//!
//! Updates, grants and subscribers are random. The test decides access a second time, in the simplest way.
//! Private data contains a mark, which exactly the granted subscribers must see; it must not occur anywhere
//! else: not in the API, the metrics, the texts of problems or the log.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Mutex, Once, PoisonError};

use fastrand::Rng;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::client::Request;
use crate::setup::{HUB, TestHub, cases, claims_with_payload, encoded, publication, sign, sign_with};
use crate::stream::{Got, Stream, Way};

const API: &str = "/.well-known/mercure/subscriptions";
/// Beginning of the data of private updates.
const SECRET: &str = "s3cr3t-mark-";
/// Beginning of the payload of a token, which only clients with access to its subscriptions may see.
const PAYLOAD: &str = "p4yl04d-mark-";

/// Selectors of subscriptions and grants.
const SELECTORS: [&str; 11] = [
    "t/0",
    "t/1",
    "t/2",
    "https://example.com/t/3",
    "t/{n}",
    "https://example.com/{a}/{b}",
    "*",
    "/.well-known/mercure/subscriptions",
    "/.well-known/mercure/subscriptions/{topic}",
    "/.well-known/mercure/subscriptions/{topic}/{subscriber}",
    "/.well-known/mercure/subscriptions/t%2F0/{subscriber}",
];
const TOPICS: [&str; 6] =
    ["t/0", "t/1", "t/2", "https://example.com/t/3", "https://example.com/t/4", "t/{n}"];

/// Whether a selector selects a topic: the values of a template's variables have no slash, and no topic has
/// another character that would end a value.
fn selects(selector: &str, topic: &str) -> bool {
    if selector == "*" || selector == topic {
        return true;
    }
    let mut parts = selector.split('{');
    let Some(mut rest) = topic.strip_prefix(parts.next().unwrap()) else { return false };
    let mut any = false;
    for part in parts {
        any = true;
        let (_, literal) = part.split_once('}').unwrap();
        let end = rest.find(['/', '{', ':', '?']).unwrap_or(rest.len());
        let Some(left) = rest[end..].strip_prefix(literal) else { return false };
        rest = left;
    }
    any && rest.is_empty()
}

#[test]
fn the_reference_implements_selectors() {
    let template = "https://example.com/{a}/{b}";
    for (selector, topic, wanted) in [
        ("t/0", "t/0", true),
        ("t/0", "t/01", false),
        ("t/{n}", "t/4", true),
        ("t/{n}", "t/{n}", true),
        ("t/{n}", "t/4/5", false),
        ("t/{n}", "https://example.com/t/4", false),
        (template, "https://example.com/t/4", true),
        (template, "https://example.com/t", false),
        (SELECTORS[10], "/.well-known/mercure/subscriptions/t%2F0/urn%3Auuid%3A0", true),
        (SELECTORS[10], "/.well-known/mercure/subscriptions/t%2F1/urn%3Auuid%3A0", false),
    ] {
        assert_eq!(selects(selector, topic), wanted, "{selector} and {topic}");
    }
}

#[derive(Clone, Debug)]
struct Update {
    topics: Vec<String>,
    private: bool,
    data: String,
}

#[derive(Debug)]
struct Subscriber {
    way: Way,
    selectors: Vec<&'static str>,
    /// Claim of its token; `None` for no token.
    grants: Option<Vec<&'static str>>,
    token: Option<String>,
}

impl Subscriber {
    fn random(rng: &mut Rng, number: usize) -> Self {
        let some = |rng: &mut Rng, least: usize| -> Vec<&'static str> {
            (0..rng.usize(least..4)).map(|_| SELECTORS[rng.usize(..SELECTORS.len())]).collect()
        };
        let grants = (rng.u8(..5) > 0).then(|| some(rng, 0));
        let token = grants
            .as_ref()
            .map(|grants| sign(&claims_with_payload(grants, json!({"mark": format!("{PAYLOAD}{number}-")}))));
        Self { way: Way::ALL[rng.usize(..3)], selectors: some(rng, 1), grants, token }
    }

    fn granted(&self, topic: &str) -> bool {
        self.grants.as_ref().is_some_and(|grants| grants.iter().any(|grant| selects(grant, topic)))
    }

    fn may_see(&self, update: &Update) -> bool {
        let asked = update.topics.iter().any(|topic| self.selectors.iter().any(|one| selects(one, topic)));
        asked && (!update.private || update.topics.iter().any(|topic| self.granted(topic)))
    }

    fn request(&self, target: &str) -> Request {
        let request = Request::get(target);
        match &self.token {
            Some(token) => request.bearer(token),
            None => request,
        }
    }

    async fn subscribe(&self, hub: &TestHub, after: Option<&str>) -> Stream {
        let topics: String = self.selectors.iter().map(|one| format!("topic={}&", encoded(one))).collect();
        let mut request = self.request(&format!("{HUB}?{topics}topic=end"));
        if let Some(after) = after {
            request = request.with("last-event-id", after);
        }
        self.way.open(hub, &request).await
    }
}

/// All texts of the hub, each with a description of its origin.
#[derive(Default)]
struct Texts(Vec<(String, String)>);

impl Texts {
    fn add(&mut self, what: impl Into<String>, text: impl Into<String>) {
        self.0.push((what.into(), text.into()));
    }

    fn check(&self, marks: &[&str]) {
        for (what, text) in &self.0 {
            for mark in marks {
                assert!(!text.contains(mark), "{mark} in {what}: {text}");
            }
        }
    }
}

/// The updates among the received events, without subscription events.
fn updates(got: &[Got]) -> Vec<&str> {
    got.iter().filter(|got| !got.data.contains("@context")).map(|got| &*got.data).collect()
}

async fn run(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let window = [1, 4 << 10, 4 << 20][rng.usize(..3)];
    let hub = TestHub::start(|setup| {
        setup.subscriptions = true;
        setup.fanout.window = window;
    })
    .await;
    let subscribers: Vec<_> = (0..16).map(|number| Subscriber::random(&mut rng, number)).collect();
    let mut live = Vec::new();
    for subscriber in &subscribers {
        live.push(subscriber.subscribe(&hub, None).await);
    }
    let mut published = Vec::new();
    let mut ids = Vec::new();
    for number in 0..40 {
        let private = rng.bool();
        let kind = if private { SECRET } else { "public-" };
        let topics = (0..rng.usize(1..4)).map(|_| TOPICS[rng.usize(..TOPICS.len())].to_owned()).collect();
        let update = Update { topics, private, data: format!("{kind}{number}") };
        let mut form: String =
            update.topics.iter().map(|topic| format!("topic={}&", encoded(topic))).collect();
        form += &format!("data={}", update.data);
        if private {
            form += "&private=on";
        }
        if rng.u8(..4) == 0 {
            form += &format!("&id=own-{number}");
        }
        ids.push(hub.publish(&form).await);
        published.push(update);
    }
    hub.publish("topic=end&data=end").await;

    let mut texts = Texts::default();
    // Live events, and the subscription events that each subscriber gets.
    let paths = subscription_paths(&hub, &subscribers).await;
    for (number, subscriber) in subscribers.iter().enumerate() {
        let got = live[number].until("end").await;
        let wanted: Vec<_> =
            published.iter().filter(|one| subscriber.may_see(one)).map(|one| &*one.data).collect();
        assert_eq!(updates(&got), wanted, "live, {subscriber:?}");
        check_told(subscriber, &got, &paths);
    }
    // Replays, with every token and from any position.
    for subscriber in &subscribers {
        let from = rng.usize(..=published.len());
        let after = if from == 0 { "earliest" } else { &*ids[from - 1] };
        let got = subscriber.subscribe(&hub, Some(after)).await.until("end").await;
        let wanted: Vec<_> =
            published[from..].iter().filter(|one| subscriber.may_see(one)).map(|one| &*one.data).collect();
        assert_eq!(updates(&got), wanted, "replayed after {from}, {subscriber:?}");
        let paths = subscription_paths(&hub, &subscribers).await;
        check_told(subscriber, &got, &paths);
    }
    api(&hub, &subscribers, &mut texts).await;
    refusals(&hub, &mut rng, &mut texts).await;
    for path in ["/metrics", "/healthz", "/readyz", "/"] {
        texts.add(path, hub.ask(&Request::get(path)).await.body);
    }
    texts.check(&[SECRET, PAYLOAD]);
    // If a subscriber had missed an update, it would come here.
    hub.publish("topic=end&data=done").await;
    for (stream, subscriber) in live.iter_mut().zip(&subscribers) {
        let got = stream.until("done").await;
        assert_eq!(updates(&got), Vec::<&str>::new(), "{subscriber:?}");
    }
}

/// Path of each current or earlier subscription, with the mark of its payload, from the view of a subscriber
/// that may read everything.
async fn subscription_paths(hub: &TestHub, subscribers: &[Subscriber]) -> BTreeMap<String, Option<String>> {
    let token = sign(&claims_with_payload(&["*"], json!(null)));
    let every = "/.well-known/mercure/subscriptions/{topic}/{subscriber}";
    let request = Request::get(format!("{HUB}?topic={}&topic=end", encoded(every)))
        .bearer(&token)
        .with("last-event-id", "earliest");
    let got = Way::Socket.open(hub, &request).await.until("end").await;
    let mut paths = BTreeMap::new();
    for got in got {
        let document: serde_json::Value = serde_json::from_str(&got.data).unwrap();
        let mark = document["payload"]["mark"].as_str().map(str::to_owned);
        paths.insert(document["id"].as_str().unwrap().to_owned(), mark);
    }
    let marks: BTreeSet<_> = paths.values().flatten().cloned().collect();
    assert!(marks.len() <= subscribers.len());
    paths
}

/// A subscriber that gets a subscription event may read it and its payload.
fn check_told(subscriber: &Subscriber, got: &[Got], paths: &BTreeMap<String, Option<String>>) {
    for got in got.iter().filter(|got| got.data.contains("@context") || got.data.contains(PAYLOAD)) {
        let document: serde_json::Value = serde_json::from_str(&got.data).unwrap();
        let path = document["id"].as_str().unwrap();
        assert!(subscriber.granted(path), "{subscriber:?} is told of {path}");
        assert!(subscriber.selectors.iter().any(|one| selects(one, path)), "{subscriber:?} asked for {path}");
        if let Some(mark) = paths.get(path) {
            assert_eq!(document["payload"]["mark"].as_str(), mark.as_deref());
        }
    }
}

/// Every path of the API, with every token.
async fn api(hub: &TestHub, subscribers: &[Subscriber], texts: &mut Texts) {
    let all = sign(&claims_with_payload(&["*"], json!(null)));
    // Subscribers that are still there; the hub may notice late that one has left.
    hub.until_figure("ssekit_subscribers", subscribers.len() as u64).await;
    let list = hub.ask(&Request::get(API).bearer(&all)).await;
    assert!(!list.body.contains(SECRET), "{}", list.body);
    let single = list.json()["subscriptions"][0]["id"].as_str().unwrap().to_owned();
    for subscriber in subscribers {
        for path in [API, &format!("{API}/t%2F0"), &format!("{API}/{}", encoded("t/{n}")), &single] {
            let answer = subscriber.way.ask(hub, &subscriber.request(path)).await;
            if subscriber.granted(path) {
                assert_eq!(answer.status, 200, "{path} for {subscriber:?}");
                assert!(!answer.body.contains(SECRET), "{}", answer.body);
            } else {
                let wanted = if subscriber.grants.is_some() { 403 } else { 401 };
                assert_eq!(answer.status, wanted, "{path} for {subscriber:?}");
                texts.add(path, format!("{} {:?}", answer.body, answer.headers));
            }
        }
    }
}

/// Invalid tokens that grant everything, and requests that quote private data.
async fn refusals(hub: &TestHub, rng: &mut Rng, texts: &mut Texts) {
    let mut expired = claims_with_payload(&["*"], json!({"mark": format!("{PAYLOAD}expired-")}));
    expired.exp = Some(1);
    let forged =
        sign_with(&claims_with_payload(&["*"], json!(null)), "another secret that is long enough for it");
    let way = Way::ALL[rng.usize(..3)];
    for token in [&*sign(&expired), &forged] {
        for path in [&format!("{HUB}?topic=*&lastEventID=earliest"), API] {
            let answer = way.ask(hub, &Request::get(path).bearer(token)).await;
            assert_eq!(answer.status, 401, "{}", answer.body);
            texts.add(path, format!("{} {:?}", answer.body, answer.headers));
        }
    }
    // Invalid publications with private data.
    let data = format!("data={SECRET}refused&private=on");
    let bad = [
        "",
        "topic=*&",
        "topic=t/0&id=%23&",
        "topic=t/0&retry=x&",
        "topic=t/0&type=mercure&",
        "topic=t/0&data=1&",
    ];
    for fault in bad {
        let answer = hub.ask(&publication(&format!("{fault}{data}"))).await;
        assert_eq!(answer.status, 400, "{fault}: {}", answer.body);
        texts.add(fault, answer.body);
    }
    let unauthorised = hub.ask(&Request::post(HUB, format!("topic=t/0&{data}"))).await;
    assert_eq!(unauthorised.status, 401);
    texts.add("without a token", unauthorised.body);
    let lines = format!("{{\"topic\": \"t/0\", \"private\": true, \"data\": \"{SECRET}batch\"}}\nno JSON");
    let answer = hub.ask(&publication(&lines).with("content-type", "application/x-ndjson")).await;
    assert_eq!(answer.status, 400);
    texts.add("a batch", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn line_2_line_18_private_updates_reach_exactly_the_authorized_subscribers() {
    listen_to_the_log();
    for seed in cases(4, 400) {
        if let Err(panic) = tokio::spawn(run(seed)).await {
            panic!("SSEKIT_SEED={seed}: {panic}");
        }
        let spoilt = SPOILT.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert_eq!(spoilt, None, "SSEKIT_SEED={seed}: logged");
    }
    assert!(*LINES.lock().unwrap() > 0, "nothing was logged, so nothing was looked at");
}

/// First log line with a mark.
static SPOILT: Mutex<Option<String>> = Mutex::new(None);
static LINES: Mutex<usize> = Mutex::new(0);
/// Lines at level `ERROR`.
static ERRORS: Mutex<Vec<String>> = Mutex::new(Vec::new());

pub(crate) fn errors() -> Vec<String> {
    ERRORS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Examines everything that this process logs, at every level.
pub(crate) fn listen_to_the_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let log = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(Listener);
        log.init();
        tracing::info!("the log is looked at");
    });
}

#[derive(Clone, Copy)]
struct Listener;

impl io::Write for Listener {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        *LINES.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        let error = line.contains("ERROR").then(|| line.clone().into_owned());
        ERRORS.lock().unwrap_or_else(PoisonError::into_inner).extend(error);
        if [SECRET, PAYLOAD].iter().any(|mark| line.contains(mark)) {
            SPOILT.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| line.into_owned());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Listener {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

/// A proxy that asks for a password passes its header on, and the token comes elsewhere; such requests used
/// to be refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_found_beside_other_credentials() {
    let hub = TestHub::usual().await;
    let token = sign(&claims_with_payload(&["*"], json!(null)));
    let cookie = format!("mercureAuthorization=; mercureAuthorization={token}");
    Way::each(async |way| {
        for authorization in ["Basic dXNlcjpwYXNz", "Bearer ", "Bearer"] {
            for (query, cookie) in
                [(format!("authorization={token}"), ""), ("authorization=".to_owned(), &*cookie)]
            {
                let request = Request::get(format!("{HUB}?topic={way:?}&{query}"));
                let request = request.with("authorization", authorization).with("cookie", cookie);
                let mut stream = way.open(&hub, &request).await;
                hub.publish(&format!("topic={way:?}&data=x&private=on")).await;
                assert_eq!(stream.data().await, "x", "{authorization:?} {query} by {way:?}");
            }
        }
    })
    .await;
}
