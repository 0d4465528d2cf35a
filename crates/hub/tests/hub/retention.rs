//! Readers of the whole history, while publications push records out: each reader gets events, and a notice
//! where some are missing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use ssekit_log::{DurableLog, DurableOptions, Keep, Log, MemoryLog, Position, Record, Retention};
use ssekit_mercure::Ids;
use tokio::time::{MissedTickBehavior, interval};

use crate::client::Request;
use crate::setup::{HUB, Setup, TestHub};
use crate::stream::Way;

/// Number of updates at the start of each case.
const HELD: usize = 500;

/// Makes the record with this number.
fn record(number: usize) -> Record {
    let topic = format!("t/{}", number % 4);
    Record {
        topics: [topic.into()].into(),
        private: false,
        id: None,
        body: format!("data: {number}\n\n").into(),
    }
}

/// Topic of each published position.
type Published = BTreeMap<Position, usize>;

async fn publish(hub: &TestHub, ids: &Ids, numbers: std::ops::Range<usize>, published: &mut Published) {
    let answered = hub.hub.publish(numbers.clone().map(record).collect()).await.unwrap();
    let positions = answered.iter().map(|id| ids.position(id).unwrap());
    published.extend(positions.zip(numbers.map(|number| number % 4)));
}

/// Reads from the earliest update to the end, as `EventSource` does; returns positions, and `None` for each
/// notice of a loss.
async fn read(hub: &TestHub, ids: &Ids, way: Way) -> Vec<Option<Position>> {
    let mut had = Vec::new();
    let mut last = "earliest".to_owned();
    loop {
        let request = Request::get(format!("{HUB}?topic=*")).with("last-event-id", &last);
        let mut stream = way.open(hub, &request).await;
        while let Some(got) = stream.next().await {
            if got.name != "message" {
                had.push(None);
            } else if got.data == "end" {
                return had;
            } else {
                had.push(ids.position(&got.id));
                last = got.id;
            }
        }
        assert!(!stream.is_cut());
    }
}

async fn run(log: Arc<dyn Log>, keep: Keep, rate: usize, time: Duration) {
    let hub = TestHub::over(log, Setup::default()).await;
    let ids = Ids::new(hub.log.epoch());
    let mut published = Published::new();
    publish(&hub, &ids, 0..HELD, &mut published).await;
    let done = AtomicBool::new(false);
    let publishing = async {
        let ticks = usize::try_from(time.as_millis() / 10).unwrap();
        let mut tick = interval(Duration::from_millis(10));
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut next = HELD;
        for number in 0..=ticks {
            tick.tick().await;
            let until = HELD + 1 + rate * number / 100;
            publish(&hub, &ids, next..until.max(next), &mut published).await;
            next = until.max(next);
        }
        // Repeated, because the end may become too old before it is read.
        while !done.load(Ordering::SeqCst) {
            let end = Record { topics: ["end".into()].into(), body: "data: end\n\n".into(), ..record(0) };
            hub.hub.publish(vec![end]).await.unwrap();
            tick.tick().await;
        }
        published
    };
    let reading = async {
        let all = join_all(Way::ALL.map(|way| read(&hub, &ids, way))).await;
        done.store(true, Ordering::SeqCst);
        all
    };
    let (published, all) = tokio::join!(publishing, reading);
    for had in all {
        check(&published, &had, keep, rate);
    }
}

fn check(published: &Published, had: &[Option<Position>], keep: Keep, rate: usize) {
    assert!(had.iter().flatten().count() > 0, "{keep:?} at {rate}: no event");
    for pair in had.windows(2) {
        let [Some(before), Some(next)] = pair else { continue };
        assert!(before < next, "{keep:?} at {rate}: {next} after {before}");
        for (position, topic) in published.range(Position(before.0 + 1)..*next) {
            let replaced = || published.range(Position(position.0 + 1)..).any(|(_, newer)| newer == topic);
            assert!(
                keep.last_per_topic.is_some() && replaced(),
                "{keep:?} at {rate}: {position} is missing between {before} and {next}, without a notice"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_to_all_topics_get_events_and_notices_of_losses_at_any_rate() {
    let time = Duration::from_millis(if std::env::var_os("SSEKIT_SOAK").is_some() { 5000 } else { 150 });
    let keeps = [
        Keep { records: Some(200), ..Keep::ALL },
        Keep { bytes: Some(2000), ..Keep::ALL },
        Keep { age: Some(Duration::from_secs(1)), ..Keep::ALL },
        Keep { last_per_topic: Some(1), ..Keep::ALL },
    ];
    let folder = tempfile::tempdir().unwrap();
    for (case, keep) in keeps.into_iter().enumerate() {
        for rate in [1, 100, 1000, 10_000] {
            let retention = Retention::of_everything(keep).unwrap();
            let memory = MemoryLog::new(retention.clone()).unwrap();
            run(Arc::new(memory), keep, rate, time).await;
            let options = DurableOptions { retention, ..DurableOptions::default() };
            let disk = DurableLog::open(folder.path().join(format!("{case}-{rate}")), options).await.unwrap();
            run(Arc::new(disk), keep, rate, time).await;
        }
    }
}
