//! A log that does not say what it holds: now, or at all.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use ssekit_hub::mercure::Origins;
use ssekit_log::{
    AppendError, Appended, Bounds, Entry, Epoch, IdempotencyKey, Keep, Limit, Log, MemoryLog, Page, Position,
    ReadError, Record, Retention,
};
use tokio::sync::watch;

use crate::client::{Request, text};
use crate::setup::{HUB, Setup, TestHub, claims, publication, sign, unix_now, within};
use crate::stream::Way;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Well,
    /// It says that it cannot be read.
    Damaged,
    /// Who asks has to wait.
    Busy,
}

/// A log that answers as it is told to what it holds.
#[derive(Debug)]
struct Moody {
    log: MemoryLog,
    mood: watch::Sender<Mood>,
    /// How many have asked.
    asked: watch::Sender<usize>,
}

impl Moody {
    fn new() -> Arc<Self> {
        let log = MemoryLog::new(Retention::of_everything(Keep::ALL).unwrap()).unwrap();
        Arc::new(Self { log, mood: watch::Sender::new(Mood::Well), asked: watch::Sender::new(0) })
    }
}

impl Log for Moody {
    fn epoch(&self) -> Epoch {
        self.log.epoch()
    }

    fn append(&self, records: Vec<Record>) -> BoxFuture<'_, Result<Vec<Position>, AppendError>> {
        self.log.append(records)
    }

    fn append_once(
        &self,
        key: IdempotencyKey,
        records: Vec<Record>,
    ) -> BoxFuture<'_, Result<Appended, AppendError>> {
        self.log.append_once(key, records)
    }

    fn read(&self, after: Position, limit: Limit) -> BoxFuture<'_, Result<Page, ReadError>> {
        self.log.read(after, limit)
    }

    fn tail(&self, after: Position) -> BoxStream<'static, Result<Vec<Entry>, ReadError>> {
        self.log.tail(after)
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

/// A browser gives up for good on whatever is not 200 (HTML, section 9.2.3), or that its page may not read.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_log_cannot_be_read_a_browser_is_told_when_to_return_and_others_why() {
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
        // Not one event: the first would move the browser's last event ID over what it has missed.
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

/// Finding the place of a last event ID may take a while, and the token may end meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn line_81_nothing_is_delivered_to_who_waited_for_the_log_until_the_token_had_ended() {
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
