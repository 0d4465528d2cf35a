//! Readers of a history that grows meanwhile get every update once, in order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use fastrand::Rng;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use prometheus_client::registry::Registry;
use ssekit_hub::fanout::{Fanout, Interest, Metrics, Subscription};
use ssekit_log::{Keep, Log as _, MemoryLog, Position, Record, Retention};
use ssekit_mercure::Selector;
use tokio::sync::{Semaphore, watch};

use crate::client::{Connection, Request};
use crate::setup::{HUB, Setup, TestHub, cases, encoded, publication, within};
use crate::stream::{Got, Way};

/// Selectors, and the topics t/0 to t/4 that each selects; all get the end.
const SELECTORS: [(&str, &[usize]); 5] =
    [("t/0", &[0]), ("t/1", &[1]), ("t/4", &[4]), ("t/{n}", &[0, 1, 2, 3, 4]), ("*", &[0, 1, 2, 3, 4])];

#[derive(Debug)]
struct Reader {
    way: Way,
    selectors: Vec<usize>,
    /// Its start, once this number of updates is published.
    from: From,
    joins: usize,
    /// It leaves after each of these numbers of events, and returns at once.
    leaves: Vec<usize>,
    /// Size of its receive buffer in bytes.
    room: Option<u32>,
    /// After every few events it waits until this number of further updates is published.
    lag: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Now,
    Earliest,
    /// The update with this number, among those published so far.
    Known(u64),
}

/// Events of a reader, and the position from which it must have all of them.
struct Had {
    /// Id after which its stream began, if its request had one.
    after: Option<String>,
    /// Everything behind this position was published when it had its answer.
    floor: Position,
    got: Vec<Got>,
}

struct Run {
    hub: TestHub,
    /// Topics and data of each published id.
    published: Mutex<HashMap<String, (Vec<usize>, String)>>,
    /// Ids in the order of their answers.
    ids: Mutex<Vec<String>>,
    progress: watch::Sender<usize>,
    total: usize,
    /// One permit for each reader that has its first answer.
    joined: Semaphore,
}

impl Run {
    async fn publish(&self, name: usize, count: usize, mut rng: Rng) {
        let mut connection = Connection::open(self.hub.addr).await;
        let mut number = 0;
        while number < count {
            let size = if rng.u8(..4) == 0 { rng.usize(1..12).min(count - number) } else { 1 };
            let updates: Vec<(Vec<usize>, String)> = (number..number + size)
                .map(|number| {
                    let topics = (0..rng.usize(1..3)).map(|_| rng.usize(..5)).collect();
                    let filler = if rng.u8(..8) == 0 { rng.usize(..20_000) } else { rng.usize(..50) };
                    (topics, format!("{name}:{number} {}", "x".repeat(filler)))
                })
                .collect();
            let lines: String = updates
                .iter()
                .map(|(topics, data)| {
                    let topics: Vec<_> = topics.iter().map(|topic| format!("t/{topic}")).collect();
                    serde_json::json!({"topic": topics, "data": data}).to_string() + "\n"
                })
                .collect();
            let request = publication(&lines).with("content-type", "application/x-ndjson");
            let answer = connection.ask(&request).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            let ids: Vec<String> = answer.body.lines().map(str::to_owned).collect();
            assert_eq!(ids.len(), size);
            self.published.lock().unwrap().extend(ids.iter().cloned().zip(updates));
            self.ids.lock().unwrap().extend(ids);
            self.progress.send_modify(|progress| *progress += size);
            number += size;
        }
    }

    async fn read(&self, reader: &Reader) -> Had {
        let Reader { way, selectors, from, joins, leaves, room, lag } = reader;
        let mut progress = self.progress.subscribe();
        drop(within("publications", progress.wait_for(|published| published >= joins)).await.unwrap());
        let topics: String =
            selectors.iter().map(|&one| format!("topic={}&", encoded(SELECTORS[one].0))).collect();
        let mut last = match from {
            From::Now => None,
            From::Earliest => Some("earliest".to_owned()),
            From::Known(which) => {
                let ids = self.ids.lock().unwrap();
                // Before the first publication, no id is known.
                Some(if ids.is_empty() {
                    "earliest".to_owned()
                } else {
                    ids[*which as usize % ids.len()].clone()
                })
            }
        };
        let mut had = Had { after: last.clone(), floor: Position::START, got: Vec::new() };
        let mut leaves = leaves.iter();
        loop {
            let mut request = Request::get(format!("{HUB}?{topics}topic=end"));
            if let Some(last) = &last {
                request = request.with("last-event-id", last);
            }
            let mut stream = way.open_with(&self.hub, &request, *room).await;
            if had.after.is_none() && had.got.is_empty() {
                had.floor = self.hub.log.bounds().await.unwrap().last;
            }
            self.joined.add_permits(usize::from(had.got.is_empty()));
            let mut left = leaves.next().copied().unwrap_or(usize::MAX);
            while left > 0 {
                let Ok(got) = tokio::time::timeout(Duration::from_secs(20), stream.event()).await else {
                    let figures = self.hub.ask(&Request::get("/metrics")).await.body;
                    panic!("{reader:?} has had {} events, and waits: {figures}", had.got.len());
                };
                assert_ne!(got.name, "reset", "{reader:?} was told of a loss");
                if got.data == "end" {
                    return had;
                }
                last = Some(got.id.clone());
                had.got.push(got);
                left -= 1;
                if *lag > 0 && had.got.len().is_multiple_of(16) {
                    let until = (*progress.borrow() + lag).min(self.total);
                    drop(within("publications", progress.wait_for(|now| *now >= until)).await.unwrap());
                }
            }
        }
    }

    /// Compares the events of a reader with the published updates.
    async fn check(&self, reader: &Reader, had: Had, history: &[(String, Position)]) {
        let published = self.published.lock().unwrap();
        let wanted: Vec<(&String, Position)> = history
            .iter()
            .filter(|(id, _)| {
                let Some((topics, _)) = published.get(id) else { return false };
                let selects = |&one: &usize| topics.iter().any(|topic| SELECTORS[one].1.contains(topic));
                reader.selectors.iter().any(selects)
            })
            .map(|(id, position)| (id, *position))
            .collect();
        let place = |id: &str| history.iter().find(|(found, _)| found == id).unwrap().1;
        let wanted: Vec<_> = match had.after.as_deref() {
            None => {
                let least = wanted.iter().filter(|(_, position)| *position > had.floor).count();
                assert!(had.got.len() >= least, "{reader:?} has had {} of {least}", had.got.len());
                wanted[wanted.len().saturating_sub(had.got.len())..].to_vec()
            }
            Some("earliest") => wanted,
            Some(id) => wanted.into_iter().filter(|(_, position)| *position > place(id)).collect(),
        };
        let got: Vec<&String> = had.got.iter().map(|got| &got.id).collect();
        let wanted: Vec<&String> = wanted.into_iter().map(|(id, _)| id).collect();
        if let Some(at) = (0..got.len().max(wanted.len())).find(|&at| got.get(at) != wanted.get(at)) {
            let shown =
                |id: Option<&&String>| id.map(|id| published[*id].1.chars().take(20).collect::<String>());
            panic!(
                "{reader:?}: as event {at} of {}, {:?} and not {:?}",
                wanted.len(),
                shown(got.get(at)),
                shown(wanted.get(at))
            );
        }
        for got in &had.got {
            assert!(got.data == published[&got.id].1, "{reader:?}: the data of {}", got.id);
        }
    }
}

const READERS: u32 = 12;

async fn run(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let mut setup = Setup::default();
    setup.fanout.threads = rng.usize(1..=3);
    setup.fanout.window = [1, 8 << 10, 64 << 10, 1 << 20][rng.usize(..4)];
    setup.fanout.pending_memory = [1, 1 << 20][rng.usize(..2)];
    setup.send_buffer = [None, Some(4096)][rng.usize(..2)];
    let log = Arc::new(MemoryLog::new(Retention::of_everything(Keep::ALL).unwrap()).unwrap());
    let publishers = rng.usize(1..=3);
    let each = rng.usize(50..200);
    let run = Run {
        hub: TestHub::over(log, setup).await,
        published: Mutex::default(),
        ids: Mutex::default(),
        progress: watch::Sender::new(0),
        total: publishers * each,
        joined: Semaphore::new(0),
    };
    let readers: Vec<Reader> = (0..READERS)
        .map(|_| Reader {
            way: Way::ALL[rng.usize(..3)],
            selectors: (0..rng.usize(1..3)).map(|_| rng.usize(..SELECTORS.len())).collect(),
            from: [From::Now, From::Earliest, From::Known(rng.u64(..))][rng.usize(..3)],
            joins: if rng.bool() { 0 } else { rng.usize(..run.total) },
            leaves: (0..rng.usize(..4)).map(|_| rng.usize(1..40)).collect(),
            room: rng.bool().then_some(4096),
            lag: if rng.u8(..3) == 0 { rng.usize(1..100) } else { 0 },
        })
        .collect();
    let publish = async {
        join_all((0..publishers).map(|name| run.publish(name, each, rng.fork()))).await;
        // A reader that joined later would wait for the end forever.
        drop(within("all readers", run.joined.acquire_many(READERS)).await.unwrap());
        run.hub.publish("topic=end&data=end").await;
    };
    let ((), all) = tokio::join!(publish, join_all(readers.iter().map(|reader| run.read(reader))));
    let history = run.hub.history().await;
    assert_eq!(history.len(), run.total + 1);
    for (reader, had) in readers.iter().zip(all) {
        run.check(reader, had, &history).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_joins_leaves_and_reads_slowly_gets_everything_once_and_in_order() {
    for seed in cases(4, 500) {
        if let Err(panic) = tokio::spawn(run(seed)).await {
            panic!("SSEKIT_SEED={seed}: {panic}");
        }
    }
}

/// The client may have the head of a response before the fan-out knows the subscriber: the updates after that
/// must be delivered all the same.
#[tokio::test(flavor = "multi_thread")]
async fn updates_published_after_the_response_of_a_subscription_are_delivered() {
    let log = Arc::new(MemoryLog::new(Retention::of_everything(Keep::ALL).unwrap()).unwrap());
    let mut options = Setup::default().fanout;
    options.threads = 1;
    let fanout = Fanout::start(log.clone(), &options, Metrics::new(&mut Registry::default())).await.unwrap();
    let subscribe = |selector: &str| {
        let interest = Interest::new(vec![Selector::parse(selector).unwrap()], None);
        fanout.subscribe_body(
            Subscription { interest, first: Bytes::new(), start: None, ends: None, guard: None },
            None,
        )
    };
    let record = |topic: &str| Record {
        topics: [topic.into()].into(),
        private: false,
        id: None,
        body: format!("data: {topic}\n\n").into(),
    };
    // Many templates keep the thread busy with deliveries most of the time.
    let _busy: Vec<_> = (0..200).map(|number| subscribe(&format!("{{a}}-{{b}}-{number}"))).collect();
    let noise = async {
        loop {
            let positions = log.append(vec![record("some-noise-or-other"); 8]).await.unwrap();
            fanout.passed(positions[7]).await;
        }
    };
    let newcomers = async {
        for number in 0..100 {
            let topic = format!("once/{number}");
            let mut body = Body::new(subscribe(&topic)).into_data_stream();
            log.append(vec![record(&topic)]).await.unwrap();
            let got = tokio::time::timeout(Duration::from_secs(10), body.next()).await;
            let got = got.unwrap_or_else(|_| panic!("subscriber {number} was not told")).unwrap().unwrap();
            assert!(got.ends_with(format!("data: {topic}\n\n").as_bytes()), "{got:?}");
        }
    };
    tokio::select! {
        () = noise => unreachable!("it goes on"),
        () = newcomers => {}
    }
}
