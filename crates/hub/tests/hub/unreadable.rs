//! A log that cannot be read, for a time or in part.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use ssekit_log::{
    AppendError, Appended, Bounds, DurableLog, DurableOptions, Entry, Epoch, IdempotencyKey, Keep, Limit,
    Log, MemoryLog, Page, Position, ReadError, Record, Retention,
};
use ssekit_mercure::Origins;
use tokio::sync::watch;

use crate::client::{Request, text};
use crate::private::{errors, listen_to_the_log};
use crate::setup::{HUB, Setup, TestHub, claims, encoded, publication, sign, unix_now, within};
use crate::stream::Way;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Well,
    /// It answers that it cannot be read.
    Damaged,
    /// Its readers have to wait.
    Busy,
    /// Reading it panics.
    Broken,
}

/// Log that answers reads as the test decides.
#[derive(Debug)]
struct Moody {
    log: MemoryLog,
    mood: watch::Sender<Mood>,
    /// Number of reads.
    asked: watch::Sender<usize>,
    /// Number of panics of its tail.
    panics: watch::Sender<usize>,
}

impl Moody {
    fn new() -> Arc<Self> {
        let log = MemoryLog::new(Retention::of_everything(Keep::ALL).unwrap()).unwrap();
        let mood = watch::Sender::new(Mood::Well);
        Arc::new(Self { log, mood, asked: watch::Sender::new(0), panics: watch::Sender::new(0) })
    }
}

impl Log for Moody {
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
            assert_ne!(*self.mood.borrow(), Mood::Broken, "what a read of a broken log says");
            self.log.read(after, limit).await
        })
    }

    fn tail(&self, after: Position) -> BoxStream<'static, Result<Vec<Entry>, ReadError>> {
        let (mood, panics) = (self.mood.clone(), self.panics.clone());
        let look = move |next| {
            if *mood.borrow() == Mood::Broken {
                panics.send_modify(|panics| *panics += 1);
                panic!("what the tail of a broken log says");
            }
            next
        };
        self.log.tail(after).map(look).boxed()
    }

    fn find<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Position>, ReadError>> {
        self.log.find(id)
    }

    fn bounds(&self) -> BoxFuture<'_, Result<Bounds, ReadError>> {
        Box::pin(async {
            self.asked.send_modify(|asked| *asked += 1);
            let mut mood = self.mood.subscribe();
            let mood = *mood.wait_for(|mood| *mood != Mood::Busy).await.unwrap();
            match mood {
                Mood::Damaged => Err(ReadError::Damaged("a page is torn".to_owned())),
                _ => self.log.bounds().await,
            }
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        self.log.close()
    }
}

const PAGE: &str = "https://app.example";

/// A browser gives up for good on any status but 200 (HTML, section 9.2.3), and on an answer that its page
/// may not read.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_log_cannot_be_read_browsers_get_a_retry_and_others_the_reason() {
    let log = Moody::new();
    let mut setup = Setup::default();
    setup.access.cors_origins = Origins::parse([PAGE]).unwrap();
    let hub = TestHub::over(Arc::clone(&log) as Arc<dyn Log>, setup).await;
    let missed = hub.publish("topic=a&data=missed").await;
    log.mood.send_replace(Mood::Damaged);
    let get = Request::get(format!("{HUB}?topic=a&lastEventID=earliest"));
    Way::each(async |way| {
        let browser = get.clone().with("accept", "text/event-stream").with("origin", PAGE);
        let mut stream = way.open(&hub, &browser).await;
        assert_eq!(text(&stream.headers, "access-control-allow-origin"), Some(PAGE));
        // No event at all: the first one would move the browser's last event ID beyond the missed ones.
        hub.publish("topic=a&data=meanwhile").await;
        assert_eq!(stream.rest().await, []);
        assert!(!stream.is_cut());
        assert!((1000..=2000).contains(&stream.retry().await.as_millis()));
        for other in [get.clone(), get.clone().with("accept", "*/*")] {
            let answer = way.ask(&hub, &other).await;
            assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true));
            assert_eq!(answer.json()["detail"], "the log is damaged: a page is torn");
        }
    })
    .await;
    log.mood.send_replace(Mood::Well);
    let mut stream = Way::Socket.open(&hub, &get).await;
    assert_eq!(stream.event().await.id, missed, "it is only now that it is told");
}

/// The search for a last event ID may take a while, and the token may expire meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn line_81_a_token_that_ends_while_the_log_is_read_delivers_nothing() {
    let log = Moody::new();
    let hub = TestHub::over(Arc::clone(&log) as Arc<dyn Log>, Setup::default()).await;
    hub.publish("topic=a&data=secret&private=on").await;
    let exp = unix_now() as u64 + 3;
    let mut claims = claims(&[], &["a"]);
    claims.exp = Some(exp);
    let get = Request::get(format!("{HUB}?topic=a&lastEventID=earliest")).bearer(&sign(&claims));
    let before = *log.asked.borrow();
    log.mood.send_replace(Mood::Busy);
    let release = async {
        let mut asked = log.asked.subscribe();
        within("all have asked", asked.wait_for(|asked| *asked == before + Way::ALL.len())).await.unwrap();
        let left = (exp as f64 - unix_now()).max(0.0) + 0.01;
        tokio::time::sleep(std::time::Duration::from_secs_f64(left)).await;
        log.mood.send_replace(Mood::Well);
        hub.ask(&publication("topic=a&data=later&private=on")).await
    };
    let readers = Way::each(async |way| {
        let answer = way.ask(&hub, &get).await;
        assert_eq!(answer.status, 401, "{way:?}: {}", answer.body);
        assert!(answer.body.contains("expired"), "{}", answer.body);
    });
    let (published, ()) = tokio::join!(release, readers);
    assert_eq!(published.status, 200);
}

/// A subscriber that is behind must not wait forever for a page of a log that has panicked.
#[tokio::test(flavor = "multi_thread")]
async fn when_reading_the_log_panics_streams_that_are_behind_end_and_resume() {
    listen_to_the_log();
    let log = Moody::new();
    let mut setup = Setup::default();
    setup.fanout.window = 1;
    let hub = TestHub::over(Arc::clone(&log) as Arc<dyn Log>, setup).await;
    let data: Vec<_> = (0..3).map(|number| format!("topic=broken&data={number}")).collect();
    for data in &data {
        hub.publish(data).await;
    }
    Way::each(async |way| {
        log.mood.send_replace(Mood::Broken);
        let get = format!("topic=broken&topic=b1&topic=b2&topic={way:?}&lastEventID=earliest");
        let mut stream = way.subscribe(&hub, &get).await;
        assert_eq!(stream.rest().await, []);
        assert!(!stream.is_cut(), "its client comes back and resumes");
    })
    .await;
    hub.until_figure("ssekit_subscriptions_ended_total{reason=\"failed\"}", 3).await;
    hub.until_figure("ssekit_replays", 0).await;
    let lines = errors();
    let line = lines.iter().find(|line| line.contains("“broken”")).unwrap_or_else(|| panic!("{lines:?}"));
    assert!(line.contains("“b1”, “b2” and 1 more") && line.contains("panicked"), "{line}");

    log.mood.send_replace(Mood::Well);
    let mut stream = Way::Socket.subscribe(&hub, "topic=broken&lastEventID=earliest").await;
    for number in 0..3 {
        assert_eq!(stream.data().await, number.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_panic_in_the_tail_of_the_log_the_hub_continues_at_the_same_position() {
    let log = Moody::new();
    let hub = TestHub::over(Arc::clone(&log) as Arc<dyn Log>, Setup::default()).await;
    let mut stream = Way::Socket.subscribe(&hub, "topic=a").await;
    hub.publish("topic=a&data=before").await;
    assert_eq!(stream.data().await, "before");
    log.mood.send_replace(Mood::Broken);
    hub.publish("topic=a&data=meanwhile").await;
    let mut panics = log.panics.subscribe();
    within("the tail panics", panics.wait_for(|panics| *panics > 0)).await.unwrap();
    log.mood.send_replace(Mood::Well);
    hub.publish("topic=a&data=after").await;
    assert_eq!(stream.data().await, "meanwhile");
    assert_eq!(stream.data().await, "after");
}

/// Returns the largest file below a folder.
fn largest(folder: &Path) -> PathBuf {
    let (mut folders, mut files) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for file in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let kind = if file.file_type().unwrap().is_dir() { &mut folders } else { &mut files };
            kind.push(file.path());
        }
    }
    files.into_iter().max_by_key(|file| fs::metadata(file).unwrap().len()).unwrap()
}

/// One byte of a table is changed, which loses the records around it.
#[tokio::test(flavor = "multi_thread")]
async fn readyz_reports_damage_that_a_reader_has_found_and_the_hub_serves_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let log = DurableLog::open(folder.path(), DurableOptions::default()).await.unwrap();
    let record = |number: usize| {
        let body = format!("data: {number} {}\n\n", "x".repeat(500)).into();
        Record { topics: ["a".into()].into(), private: false, id: None, body }
    };
    log.append((0..3000).map(record).collect()).await.unwrap();
    log.close().await.unwrap();
    drop(log);
    let table =
        fs::OpenOptions::new().read(true).write(true).open(largest(&folder.path().join("store/keyspaces")));
    let table = table.unwrap();
    let (middle, mut byte) = (table.metadata().unwrap().len() / 2, [0]);
    table.read_exact_at(&mut byte, middle).unwrap();
    table.write_all_at(&[byte[0] ^ 1], middle).unwrap();

    let log = DurableLog::open(folder.path(), DurableOptions::default()).await.unwrap();
    let hub = TestHub::over(Arc::new(log), Setup::default()).await;
    let readyz = Request::get("/readyz");
    assert_eq!(hub.ask(&readyz).await.status, 200, "nobody has read the damaged records yet");
    Way::each(async |way| {
        let mut stream = way.subscribe(&hub, "topic=a&lastEventID=earliest").await;
        let (mut next, mut noticed, mut notices) = (0, false, 0);
        while next < 3000 {
            let got = stream.event().await;
            if got.name == "gap" {
                (noticed, notices) = (true, notices + 1);
                continue;
            }
            let number: usize = got.data.split(' ').next().unwrap().parse().unwrap();
            assert!(number == next || noticed && number > next, "{number} and not {next}");
            (next, noticed) = (number + 1, false);
        }
        assert_eq!(notices, 1);
    })
    .await;
    let answer = hub.ask(&readyz).await;
    assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true), "{}", answer.body);
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with("the log is damaged: records up to "), "{detail}");
    assert_eq!(hub.ask(&Request::get("/healthz")).await.status, 200);

    // The hub continues: it takes updates, delivers them, and resumes streams behind the damage.
    let mut live = Way::Socket.subscribe(&hub, "topic=a").await;
    let id = hub.publish("topic=a&data=later").await;
    assert_eq!(live.data().await, "later");
    hub.publish("topic=a&data=last").await;
    let mut resumed = Way::Socket.subscribe(&hub, &format!("topic=a&lastEventID={}", encoded(&id))).await;
    assert_eq!(resumed.header("ssekit-reset"), None);
    assert_eq!(resumed.data().await, "last");
}
