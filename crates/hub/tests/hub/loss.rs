//! Loss is never silent: a subscriber gets every event, or a notice that events are missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::{self, BoxStream};
use prometheus_client::registry::Registry;
use ssekit_hub::fanout::{Fanout, Metrics, Overtaken};
use ssekit_log::{
    AppendError, Appended, Bounds, DurableLog, DurableOptions, Entry, Epoch, IdempotencyKey, Keep, Limit,
    Log, MemoryLog, Page, Position, ReadError, Record, Retention, Rule,
};
use tokio::sync::watch;

use crate::client::Request;
use crate::setup::{HUB, Setup, TestHub, encoded, publication, within};
use crate::stream::{Stream, Way};

/// Log in memory whose tail can be held up, and to which records are appended before each of the next reads.
#[derive(Debug)]
struct Contended {
    log: MemoryLog,
    held_up: watch::Sender<bool>,
    races: AtomicUsize,
    next: AtomicUsize,
}

impl Contended {
    fn keeping(keep: Keep) -> Arc<Self> {
        let log = MemoryLog::new(Retention::of_everything(keep).unwrap()).unwrap();
        let held_up = watch::Sender::new(false);
        Arc::new(Self { log, held_up, races: AtomicUsize::new(0), next: AtomicUsize::new(0) })
    }

    /// Appends this number of records of topic a, past the hub; their data are numbers from 0 on.
    async fn fill(&self, count: usize, size: usize) {
        for _ in 0..count {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            self.log.append(vec![record(number, size)]).await.unwrap();
        }
    }
}

fn record(number: usize, size: usize) -> Record {
    let body = format!("data: {number} {}\n\n", "x".repeat(size));
    Record { topics: ["a".into()].into(), private: false, id: None, body: body.into() }
}

impl Log for Contended {
    fn epoch(&self) -> Epoch {
        self.log.epoch()
    }

    fn retention(&self) -> &Retention {
        self.log.retention()
    }

    fn append_with_key(
        &self,
        key: Option<IdempotencyKey>,
        records: Vec<Record>,
    ) -> BoxFuture<'_, Result<Appended, AppendError>> {
        self.log.append_with_key(key, records)
    }

    fn read(&self, after: Position, limit: Limit) -> BoxFuture<'_, Result<Page, ReadError>> {
        Box::pin(async move {
            let race = |races: usize| races.checked_sub(1);
            if self.races.fetch_update(Ordering::SeqCst, Ordering::SeqCst, race).is_ok() {
                self.fill(60, 10).await;
            }
            self.log.read(after, limit).await
        })
    }

    fn tail(&self, after: Position) -> BoxStream<'static, Result<Vec<Entry>, ReadError>> {
        let held_up = self.held_up.subscribe();
        let tail = self.log.tail(after);
        let released = stream::unfold((tail, held_up), |(mut tail, mut held_up)| async {
            let next = tail.next().await?;
            drop(held_up.wait_for(|held_up| !held_up).await);
            Some((next, (tail, held_up)))
        });
        released.boxed()
    }

    fn find<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Position>, ReadError>> {
        self.log.find(id)
    }

    fn bounds(&self) -> BoxFuture<'_, Result<Bounds, ReadError>> {
        self.log.bounds()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        self.log.close()
    }
}

fn number(data: &str) -> usize {
    data.split(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{data} is no number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_reaches_every_live_subscriber_however_little_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let keeps = [
        Keep { records: Some(1000), ..Keep::ALL },
        Keep { bytes: Some(10_000), ..Keep::ALL },
        Keep { last_per_topic: Some(1), ..Keep::ALL },
    ];
    for (case, keep) in keeps.into_iter().enumerate() {
        let retention = Retention::of_everything(keep).unwrap();
        let options = DurableOptions { retention: retention.clone(), ..DurableOptions::default() };
        let disk = DurableLog::open(folder.path().join(case.to_string()), options).await.unwrap();
        let logs: [Arc<dyn Log>; 2] = [Arc::new(MemoryLog::new(retention).unwrap()), Arc::new(disk)];
        for log in logs {
            let hub = TestHub::over(log, Setup::default()).await;
            let mut streams = join_all(Way::ALL.map(|way| way.subscribe(&hub, "topic=a"))).await;
            let publish = async {
                for first in [0, 10_000] {
                    let line = |number| format!("{{\"topic\":\"a\",\"data\":\"{number}\"}}\n");
                    let lines: String = (first..first + 10_000).map(line).collect();
                    let batch = publication(&lines).with("content-type", "application/x-ndjson");
                    assert_eq!(hub.ask(&batch).await.status, 200);
                }
            };
            let read = join_all(streams.iter_mut().map(async |stream| {
                for wanted in 0..20_000 {
                    assert_eq!(number(&stream.data().await), wanted, "{keep:?}");
                }
            }));
            tokio::join!(publish, read);
        }
    }
}

/// As much is appended as the log's tail keeps in memory, while nobody reads the tail; then publishers wait.
#[tokio::test(flavor = "multi_thread")]
async fn publishers_wait_for_the_tail_of_the_log() {
    let log = Contended::keeping(Keep { records: Some(1), ..Keep::ALL });
    let mut setup = Setup::default();
    setup.fanout.window = 128 << 20;
    let hub = TestHub::over(Arc::clone(&log) as Arc<dyn Log>, setup).await;
    let mut stream = Way::Socket.subscribe(&hub, "topic=a").await;
    let size = 900_000;
    let fits = Record::BATCH_WEIGHT / record(10, size).weight();
    log.held_up.send_replace(true);
    let publish = join_all((10..70).map(|number| hub.hub.publish(vec![record(number, size)])));
    let release = async {
        let mut appended = Position::START;
        let full = async {
            while appended.0 < fits as u64 {
                appended = log.bounds().await.unwrap().last;
                tokio::task::yield_now().await;
            }
        };
        within("the log's window is full", full).await;
        assert_eq!(appended.0, fits as u64);
        log.held_up.send_replace(false);
    };
    let read = async {
        let mut numbers: Vec<_> = stream.datas(60).await.iter().map(|data| number(data)).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(10..70));
    };
    let (answers, (), ()) = tokio::join!(publish, release, read);
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(hub.figure("ssekit_tail_gaps_total").await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_waits_too_long_for_the_tail_is_refused_and_nothing_is_appended() {
    let log = Contended::keeping(Keep::ALL);
    let figures = Metrics::new(&mut Registry::default());
    let fanout = Fanout::start(log.clone(), &Setup::default().fanout, figures).await.unwrap();
    log.held_up.send_replace(true);
    let large = || vec![record(0, 7 << 20); 4];
    fanout.log().append(large()).await.unwrap();
    let refused = fanout.log().append(large()).await.unwrap_err();
    assert!(matches!(refused, AppendError::Busy(_)), "{refused}");
    assert_eq!(log.bounds().await.unwrap().records, 4);
    // An append that no log accepts is refused at once, and takes no room from others.
    let invalid = fanout.log().append(vec![record(0, 7 << 20); 6]).await.unwrap_err();
    assert!(matches!(invalid, AppendError::Invalid(_)), "{invalid}");
    log.held_up.send_replace(false);
    fanout.passed(Position(4)).await;
    fanout.log().append(large()).await.unwrap();
}

/// Reads events numbered from one on, up to a gap or the end; the numbers are consecutive.
async fn numbers(stream: &mut Stream, first: Option<usize>) -> (Option<usize>, Option<&'static str>) {
    let mut last = first;
    loop {
        let Some(got) = stream.next().await else { return (last, None) };
        if got.name != "message" {
            let names = ["gap", "reset"];
            return (last, Some(names.into_iter().find(|name| *name == got.name).expect("a notice")));
        }
        let number = number(&got.data);
        assert!(last.is_none_or(|last| number == last + 1), "{number} after {last:?} without a notice");
        last = Some(number);
    }
}

/// The log's tail reads 10 of 400 records that were appended past the hub, as by another hub on the same log.
/// The others are gone.
#[tokio::test(flavor = "multi_thread")]
async fn records_that_the_tail_missed_are_reported_to_every_subscriber() {
    for overtaken in [Overtaken::Close, Overtaken::Skip] {
        Way::each(async |way| {
            let log = Contended::keeping(Keep { records: Some(10), ..Keep::ALL });
            let mut setup = Setup::default();
            setup.fanout.pace.overtaken = overtaken;
            let hub = TestHub::over(Arc::clone(&log) as Arc<dyn Log>, setup).await;
            let mut reader = way.subscribe(&hub, "topic=a").await;
            let mut fresh = way.subscribe(&hub, "topic=b").await;
            log.fill(1, 0).await;
            let first = reader.event().await;
            log.held_up.send_replace(true);
            log.fill(400, 100_000).await;
            log.held_up.send_replace(false);

            let (last, notice) = numbers(&mut reader, Some(number(&first.data))).await;
            let after_gap = async |stream: &mut Stream, notice| {
                assert_eq!(notice, Some(if overtaken == Overtaken::Close { "reset" } else { "gap" }));
                for wanted in 391..=400 {
                    assert_eq!(number(&stream.data().await), wanted);
                }
            };
            if overtaken == Overtaken::Skip {
                assert!(last < Some(390), "{last:?}");
                after_gap(&mut reader, notice).await;
                hub.publish("topic=a&data=401").await;
                assert_eq!(reader.data().await, "401");
            } else {
                assert_eq!(notice, None, "it ends");
                assert!(!reader.is_cut(), "with the last chunk");
                hub.until_figure("ssekit_subscriptions_ended_total{reason=\"overtaken\"}", 1).await;
                let query = format!("topic=a&lastEventID={}", encoded(&first.id));
                let mut back = way.subscribe(&hub, &query).await;
                let reset = back.event().await.name;
                assert_eq!(reset, "reset");
                after_gap(&mut back, Some("reset")).await;
            }
            // This subscriber has had no event and could not resume, so it gets a notice and continues.
            assert_eq!(fresh.event().await.name, "gap");
            hub.publish("topic=b&data=here").await;
            assert_eq!(fresh.data().await, "here");
            assert_eq!(hub.figure("ssekit_tail_gaps_total").await, 1);
        })
        .await;
    }
}

/// Retention drops all records before each page of the log is read.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_races_with_retention_gets_events_each_time() {
    for overtaken in [Overtaken::Close, Overtaken::Skip] {
        Way::each(async |way| {
            let log = Contended::keeping(Keep { records: Some(50), ..Keep::ALL });
            let mut setup = Setup::default();
            setup.fanout.window = 1;
            setup.fanout.pace.overtaken = overtaken;
            let hub = TestHub::over(Arc::clone(&log) as Arc<dyn Log>, setup).await;
            let mut request = Request::get(format!("{HUB}?topic=a&lastEventID=earliest"));
            let mut had = None;
            for round in 0..5 {
                log.fill(100, 10).await;
                log.races.store(3, Ordering::SeqCst);
                let mut stream = way.open(&hub, &request).await;
                let mut id = String::new();
                let mut events = 0;
                while events < 10 {
                    let got = stream.event().await;
                    if got.name == "message" {
                        let number = number(&got.data);
                        assert!(had < Some(number), "{number} after {had:?}");
                        (had, id) = (Some(number), got.id);
                        events += 1;
                    } else if round == 0 {
                        assert!(
                            events > 0,
                            "the earliest that is held when it is read, misses nothing before it"
                        );
                    }
                }
                request = Request::get(format!("{HUB}?topic=a&lastEventID={}", encoded(&id)));
            }
        })
        .await;
    }
}

/// The record of its id is in the log when it is looked up, and gone when the log is read.
#[tokio::test(flavor = "multi_thread")]
async fn a_resume_whose_position_is_dropped_while_it_begins_gets_a_gap_and_continues() {
    for overtaken in [Overtaken::Close, Overtaken::Skip] {
        Way::each(async |way| {
            let log = Contended::keeping(Keep { records: Some(50), ..Keep::ALL });
            let mut setup = Setup::default();
            setup.fanout.window = 1;
            setup.fanout.pace.overtaken = overtaken;
            let hub = TestHub::over(Arc::clone(&log) as Arc<dyn Log>, setup).await;
            let id = hub.publish("topic=a&data=known").await;
            log.fill(20, 10).await;
            hub.until_figure("ssekit_lag_events", 0).await;
            log.races.store(1, Ordering::SeqCst);
            let mut stream = way.subscribe(&hub, &format!("topic=a&lastEventID={}", encoded(&id))).await;
            assert_eq!(stream.header("ssekit-reset"), None);
            let mut event = stream.event().await;
            assert_eq!(event.name, "gap");
            // The page that was read first ends before the loss does. If the window has lost the next record,
            // the next page reports the rest of the loss.
            while event.name == "gap" {
                event = stream.event().await;
            }
            // The log has the records from 30 on. The window may have earlier ones, from 20 on.
            let first = number(&event.data);
            assert!((20..=30).contains(&first), "{first}");
            for wanted in first + 1..80 {
                assert_eq!(number(&stream.data().await), wanted);
            }
        })
        .await;
    }
}

/// Retention drops updates of another topic only.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_misses_nothing_when_updates_of_other_rules_are_dropped() {
    let busy = Rule::new("busy", |topic| topic == "busy", Keep { records: Some(5), ..Keep::ALL });
    let retention = Retention::new(vec![busy], Keep::ALL).unwrap();
    let log = Arc::new(MemoryLog::new(retention).unwrap());
    let hub = TestHub::over(log, Setup::default()).await;
    let id = hub.publish("topic=a&data=1").await;
    for number in 0..20 {
        hub.publish(&format!("topic=busy&data={number}")).await;
    }
    hub.publish("topic=a&data=2").await;
    Way::each(async |way| {
        let resume =
            async |query: &str| way.subscribe(&hub, &format!("{query}&lastEventID={}", encoded(&id))).await;
        let mut stream = resume("topic=a").await;
        assert_eq!(stream.header("ssekit-reset"), None);
        assert_eq!(stream.data().await, "2");
        let template = format!("topic={}", encoded("{any}"));
        for query in ["topic=a&topic=busy", "topic=*", &template] {
            let mut stream = resume(query).await;
            assert_eq!(stream.header("ssekit-reset"), Some("expired"), "{query}");
            assert_eq!(stream.event().await.name, "reset");
        }
    })
    .await;
}
