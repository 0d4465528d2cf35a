//! Contract of tails: existing and new records, without a gap and without a repetition.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::StreamExt;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use ssekit_log::{AppendError, Keep, Limit, Log, Position, ReadError, Record};
use tokio::time::timeout;

use crate::factory::{DEADLINE, Factory, MANY, are_many, held_after, many, record, records, take};

pub(crate) async fn a_tail_reads_existing_and_new_records(factory: &impl Factory) {
    let log = factory.open_keeping(Keep::ALL).await;
    log.append(records(0..3)).await.unwrap();
    let mut tail = log.tail(Position::START);
    let mut read = take(&mut tail, 3).await;
    for number in 3..10 {
        log.append(records([number])).await.unwrap();
        read.extend(take(&mut tail, 1).await);
    }
    assert_eq!(read, held_after(&*log, Position::START).await);
    let mut later = log.tail(read[6].position);
    assert_eq!(take(&mut later, 3).await, read[7..]);
}

pub(crate) async fn a_slow_tail_reads_all_records(factory: &impl Factory) {
    let log = factory.open_keeping(Keep::ALL).await;
    let mut tail = log.tail(Position::START);
    for append in many() {
        log.append(append).await.unwrap();
    }
    assert!(are_many(&take(&mut tail, MANY).await));
}

pub(crate) async fn a_tail_ends_after_its_log_is_closed(factory: &impl Factory) {
    let log = factory.open_keeping(Keep::ALL).await;
    let mut slow = log.tail(Position::START);
    for append in many() {
        log.append(append).await.unwrap();
    }
    let mut waiting = log.tail(log.bounds().await.unwrap().last);
    let ended = tokio::spawn(async move { waiting.next().await.is_none() });
    log.close().await.unwrap();
    assert!(timeout(DEADLINE, ended).await.expect("the tail ends in time").unwrap());
    assert!(matches!(log.append(records(["late"])).await, Err(AppendError::Closed)));
    assert!(are_many(&take(&mut slow, MANY).await));
    assert!(timeout(DEADLINE, slow.next()).await.expect("the tail ends in time").is_none());
    log.close().await.unwrap();
}

pub(crate) async fn a_tail_from_the_last_position_waits_for_new_records(factory: &impl Factory) {
    let log = factory.open_keeping(Keep::ALL).await;
    let positions = log.append(records(0..3)).await.unwrap();
    let mut tail = log.tail(positions[2]);
    assert!(timeout(Duration::ZERO, tail.next()).await.is_err());
    // A tail from a future position does not ask for records up to it.
    let mut future = log.tail(Position(positions[2].0 + 1));
    let next = log.append(records([3, 4])).await.unwrap();
    assert_eq!(take(&mut tail, 2).await.iter().map(|entry| entry.position).collect::<Vec<_>>(), next);
    let future = take(&mut future, 1).await;
    assert!(future.iter().all(|entry| entry.position.0 > positions[2].0 + 1));
}

pub(crate) async fn a_tail_reports_dropped_records(factory: &impl Factory) {
    let log = factory.open_keeping(Keep { records: Some(10), ..Keep::ALL }).await;
    // Tails from the start of an empty log, from the start of one with records, and from its first record.
    let mut empty = log.tail(Position::START);
    let first = log.append(records(0..2)).await.unwrap();
    let mut from_start = log.tail(Position::START);
    let mut slow = log.tail(first[0]);
    exceed_the_window(&*log).await;
    let bounds = log.bounds().await.unwrap();
    let held = held_after(&*log, Position::START).await;
    assert_eq!(held.len(), 10);
    for (tail, start) in
        [(&mut empty, Position::START), (&mut from_start, Position::START), (&mut slow, first[0])]
    {
        let missed =
            timeout(DEADLINE, tail.next()).await.expect("an item in time").expect("the tail continues");
        let Err(ReadError::Missed { after, horizon }) = missed else { panic!("{missed:?}") };
        assert_eq!((after, horizon), (start, bounds.horizons.of_all()));
        assert_eq!(take(tail, 10).await, held);
    }
    // A tail from the start does not ask for records that were dropped before it was opened.
    let mut later = log.tail(Position::START);
    assert_eq!(take(&mut later, 10).await, held);
    let page = log.read(first[0], Limit { records: 1, bytes: 1 }).await.unwrap();
    assert_eq!(page.horizons.of_all(), bounds.horizons.of_all());
}

/// Appends more records than a tail finds in memory.
async fn exceed_the_window(log: &dyn Log) {
    let most = Record::BATCH_WEIGHT / record("topic", "").weight();
    for first in (0..=most).step_by(Record::BATCH) {
        log.append(records(first..first + Record::BATCH)).await.unwrap();
    }
}

pub(crate) async fn a_tail_reads_a_burst_that_retention_drops(factory: &impl Factory) {
    let keeps = [
        Keep { records: Some(1), ..Keep::ALL },
        Keep { bytes: Some(1), ..Keep::ALL },
        Keep { last_per_topic: Some(1), ..Keep::ALL },
        Keep { records: Some(1), last_per_topic: Some(1), ..Keep::ALL },
        Keep { age: Some(Duration::from_secs(1)), ..Keep::ALL },
    ];
    let large = Record::BATCH_SIZE / 8;
    for keep in keeps {
        let log = factory.open_keeping(keep).await;
        let before = log.append(records(["before"])).await.unwrap();
        let mut tail = log.tail(before[0]);
        // The most records that an append may have, and the most bytes.
        for burst in [records(0..Record::BATCH), vec![record("topic", "x".repeat(large - 5)); 8]] {
            log.append(burst.clone()).await.unwrap();
            factory.time().pass(Duration::from_secs(2));
            let read = take(&mut tail, burst.len()).await;
            assert!(read.iter().map(|entry| &entry.record).eq(&burst), "{keep:?}");
        }
        log.close().await.unwrap();
    }
}

pub(crate) async fn concurrent_readers_read_the_same_records(factory: &impl Factory) {
    let mut runner = TestRunner::deterministic();
    let batches = prop::collection::vec((0usize..20, 0usize..400, any::<bool>()), 1..60);
    for _ in 0..12 {
        let plan = batches.new_tree(&mut runner).unwrap().current();
        // The factory may return the log of the previous case, whose records are read, too.
        let log = factory.open_keeping(Keep::ALL).await;
        let start = held_after(&*log, Position::START).await.len();
        let total = start + plan.iter().map(|(count, ..)| count).sum::<usize>();
        let readers: Vec<_> = (0..4)
            .map(|reader| {
                let log = Arc::clone(&log);
                tokio::spawn(async move { follow(&*log, total, reader).await })
            })
            .collect();
        for (index, (count, size, pause)) in plan.iter().enumerate() {
            let batch: Vec<Record> = (0..*count)
                .map(|number| record("topic", format!("{index} {number} {}", "x".repeat(*size))))
                .collect();
            log.append(batch).await.unwrap();
            if *pause {
                tokio::task::yield_now().await;
            }
        }
        let held = held_after(&*log, Position::START).await;
        assert_eq!(held.len(), total);
        for reader in readers {
            assert_eq!(timeout(DEADLINE, reader).await.expect("all records in time").unwrap(), held);
        }
        log.close().await.unwrap();
    }
}

/// Reads this number of records.
///
/// Readers with odd numbers read pages first, and then a tail; readers from 2 on reopen their tail again and
/// again.
async fn follow(log: &dyn Log, total: usize, reader: usize) -> Vec<ssekit_log::Entry> {
    let mut read = Vec::new();
    let mut after = Position::START;
    if reader % 2 == 1 {
        loop {
            let page = log.read(after, Limit { records: 7 * reader, bytes: 2000 }).await.unwrap();
            after = page.through;
            read.extend(page.entries);
            if page.end {
                break;
            }
        }
    }
    let mut tail = log.tail(after);
    while read.len() < total {
        read.extend(tail.next().await.expect("the tail continues").unwrap());
        if reader >= 2 {
            tokio::task::yield_now().await;
            tail = log.tail(read.last().map_or(Position::START, |entry| entry.position));
        }
    }
    read
}
