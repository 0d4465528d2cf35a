//! Contract of appends and reads: records keep their order and content, and batches are atomic.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ssekit_log::{AppendError, Keep, Limit, Position, Record};

use crate::factory::{Factory, bodies, body, held_after, record, records, with_id};

pub(crate) async fn positions_grow_in_the_order_of_a_batch(factory: &impl Factory) {
    let log = factory.open_keeping(Keep::ALL).await;
    let first = log.append(records(0..3)).await.unwrap();
    let second = log.append(records(3..5)).await.unwrap();
    let positions: Vec<_> = first.into_iter().chain(second).collect();
    assert!(positions.is_sorted_by(|a, b| a < b), "{positions:?}");
    assert!(positions[0] > Position::START);
    let entries = held_after(&*log, Position::START).await;
    assert_eq!(entries.iter().map(|entry| entry.position).collect::<Vec<_>>(), positions);
    assert_eq!(entries.iter().map(body).collect::<Vec<_>>(), ["0", "1", "2", "3", "4"]);
    let bounds = log.bounds().await.unwrap();
    assert_eq!(
        (bounds.last, bounds.horizons.of_all(), bounds.records, bounds.bytes),
        (positions[4], Position::START, 5, 5 * 6)
    );
}

pub(crate) async fn concurrent_appends_keep_the_order_of_each_publisher(factory: &impl Factory) {
    let log = factory.open_keeping(Keep::ALL).await;
    let publishers: Vec<_> = (0..8)
        .map(|publisher| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let mut positions = Vec::new();
                for number in 0..50 {
                    let batch = records((0..3).map(|part| format!("{publisher} {number} {part}")));
                    positions.extend(log.append(batch).await.unwrap());
                }
                positions
            })
        })
        .collect();
    let mut answered = HashMap::new();
    for (publisher, task) in publishers.into_iter().enumerate() {
        for (index, position) in task.await.unwrap().into_iter().enumerate() {
            answered.insert(position, format!("{publisher} {} {}", index / 3, index % 3));
        }
    }
    let entries = held_after(&*log, Position::START).await;
    assert_eq!(entries.len(), 8 * 50 * 3);
    for entry in &entries {
        assert_eq!(answered.get(&entry.position), Some(&body(entry)));
    }
    for publisher in 0..8 {
        let published: Vec<_> =
            entries.iter().map(body).filter(|body| body.starts_with(&format!("{publisher} "))).collect();
        let sent: Vec<_> = (0..150).map(|index| format!("{publisher} {} {}", index / 3, index % 3)).collect();
        assert_eq!(published, sent);
    }
}

pub(crate) async fn a_refused_batch_appends_no_record(factory: &impl Factory) {
    let log = factory.open_keeping(Keep::ALL).await;
    log.append(records(["before"])).await.unwrap();
    let large = || Record { body: Bytes::from(vec![b'x'; Record::SIZE]), ..record("a topic", "") };
    let without_topic = Record { topics: [].into(), ..record("", "") };
    let with_many = Record { topics: vec!["topic".into(); Record::TOPICS + 1].into(), ..record("", "") };
    let half = || Record { body: Bytes::from(vec![b'x'; Record::SIZE - 10]), ..record("topic", "") };
    for batch in [
        vec![record("topic", "good"), without_topic],
        vec![record("topic", "good"), with_many],
        vec![record("topic", "good"), large()],
        vec![half(), half(), half()],
        records(0..=Record::BATCH),
    ] {
        let refused = log.append(batch).await;
        assert!(matches!(refused, Err(AppendError::Invalid(_))), "{refused:?}");
    }
    log.append(records(["after"])).await.unwrap();
    assert_eq!(bodies(&*log).await, ["before", "after"]);
}

pub(crate) async fn an_empty_append_adds_no_record(factory: &impl Factory) {
    let log = factory.open_keeping(Keep::ALL).await;
    assert_eq!(log.append(Vec::new()).await.unwrap(), []);
    let page = log.read(Position::START, Limit { records: 0, bytes: 0 }).await.unwrap();
    assert!(page.end && page.entries.is_empty());
    assert_eq!(page.through, Position::START);
    let bounds = log.bounds().await.unwrap();
    assert_eq!(
        (bounds.last, bounds.horizons.of_all(), bounds.records, bounds.bytes),
        (Position::START, Position::START, 0, 0)
    );
}

pub(crate) async fn pages_respect_their_limits(factory: &impl Factory) {
    let log = factory.open_keeping(Keep::ALL).await;
    // Each record has 5 bytes of topic and 10 of body.
    let batch = (0..10).map(|number| format!("{number:010}"));
    log.append(records(batch)).await.unwrap();
    for (limit, pages) in [
        (Limit { records: 4, bytes: usize::MAX }, vec![4, 4, 2]),
        (Limit { records: usize::MAX, bytes: 45 }, vec![3, 3, 3, 1]),
        (Limit { records: usize::MAX, bytes: 44 }, vec![2, 2, 2, 2, 2]),
        (Limit { records: 5, bytes: 1000 }, vec![5, 5]),
        (Limit { records: 0, bytes: 1000 }, vec![1; 10]),
        (Limit { records: 10, bytes: 0 }, vec![1; 10]),
    ] {
        let mut after = Position::START;
        let mut read = Vec::new();
        let mut sizes = Vec::new();
        loop {
            let page = log.read(after, limit).await.unwrap();
            sizes.push(page.entries.len());
            assert!(page.through >= after);
            after = page.through;
            read.extend(page.entries);
            if page.end {
                break;
            }
            assert_eq!(Some(page.through), read.last().map(|entry| entry.position));
        }
        // A log may return an empty page after a full one that was the last.
        if sizes.last() == Some(&0) {
            sizes.pop();
        }
        assert_eq!(sizes, pages, "{limit:?}");
        assert_eq!(read.iter().map(body).collect::<Vec<_>>(), bodies(&*log).await);
        assert_eq!(after, log.bounds().await.unwrap().last);
    }
}

pub(crate) async fn records_are_read_unchanged(factory: &impl Factory) {
    let log = factory.open_keeping(Keep::ALL).await;
    let plain = record("topic", "");
    let full = Record {
        topics: ["https://example.com/ä".into(), "".into(), "x".repeat(70_000).into()].into(),
        private: true,
        id: Some("urn:uuid:1 ä".into()),
        body: Bytes::from_iter((0..=255).cycle().take(100_000)),
    };
    let empty_id = Record { id: Some("".into()), private: true, ..record("topic", "data: x\n\n") };
    let sent = [plain, full, empty_id];
    log.append(sent.to_vec()).await.unwrap();
    factory.time().pass(Duration::from_millis(1));
    let entries = held_after(&*log, Position::START).await;
    assert_eq!(
        entries.iter().map(|entry| &entry.record).collect::<Vec<_>>(),
        sent.iter().collect::<Vec<_>>()
    );
    let later = log.append(records(["later"])).await.unwrap()[0];
    let entries = held_after(&*log, Position::START).await;
    assert_eq!(entries.last().map(|entry| entry.position), Some(later));
    let difference = entries[3].time.duration_since(entries[0].time).unwrap();
    assert_eq!(difference, Duration::from_millis(1));
}

pub(crate) async fn a_read_after_a_dropped_or_future_position_finds_later_records(factory: &impl Factory) {
    let log = factory.open_keeping(Keep { last_per_topic: Some(1), ..Keep::ALL }).await;
    let positions = log.append(vec![record("a", 1), record("b", 2), record("a", 3)]).await.unwrap();
    let after_dropped = held_after(&*log, positions[0]).await;
    assert_eq!(after_dropped.iter().map(body).collect::<Vec<_>>(), ["2", "3"]);
    let future = Position(positions[2].0 + 1000);
    let page = log.read(future, crate::factory::ANY).await.unwrap();
    assert!(page.entries.is_empty() && page.end);
    assert_eq!(page.through, future);
    assert!(held_after(&*log, Position(u64::MAX)).await.is_empty());
}

pub(crate) async fn an_id_finds_its_oldest_record(factory: &impl Factory) {
    let log = factory.open_keeping(Keep::ALL).await;
    assert_eq!(log.find("a").await.unwrap(), None);
    let batch = vec![record("topic", 0), with_id("a", 1), with_id("b", 2), with_id("a", 3), with_id("", 4)];
    let positions = log.append(batch).await.unwrap();
    log.append(vec![with_id("a", 5)]).await.unwrap();
    for (id, index) in [("a", Some(1)), ("b", Some(2)), ("", Some(4)), ("c", None), ("aa", None)] {
        assert_eq!(log.find(id).await.unwrap(), index.map(|index: usize| positions[index]), "{id:?}");
    }
}
