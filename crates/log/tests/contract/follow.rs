//! A tail yields the existing records and then the new ones, without a gap and without a repetition.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::StreamExt;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use ssekit_log::{AppendError, Keep, Limit, Log, Position, ReadError, Record};
use tokio::time::timeout;

use crate::factory::{DEADLINE, Factory, MANY, are_many, held_after, many, record, records, take};

pub(crate) async fn a_tail_gives_what_is_there_and_what_comes(factory: &impl Factory) {
    let log = factory.open_keeping(Keep::ALL).await;
    log.append(records(0..3)).await.unwrap();
    let mut tail = log.tail(Position::START);
    let mut got = take(&mut tail, 3).await;
    for number in 3..10 {
        log.append(records([number])).await.unwrap();
        got.extend(take(&mut tail, 1).await);
    }
    assert_eq!(got, held_after(&*log, Position::START).await);
    let mut later = log.tail(got[6].position);
    assert_eq!(take(&mut later, 3).await, got[7..]);
}

pub(crate) async fn a_slow_tail_gets_all_of_it(factory: &impl Factory) {
    let log = factory.open_keeping(Keep::ALL).await;
    let mut tail = log.tail(Position::START);
    for append in many() {
        log.append(append).await.unwrap();
    }
    assert!(are_many(&take(&mut tail, MANY).await));
}

pub(crate) async fn a_tail_ends_with_its_log(factory: &impl Factory) {
    let log = factory.open_keeping(Keep::ALL).await;
    let mut behind = log.tail(Position::START);
    for append in many() {
        log.append(append).await.unwrap();
    }
    let mut waiting = log.tail(log.bounds().await.unwrap().last);
    let waits = tokio::spawn(async move { waiting.next().await.is_none() });
    log.close().await.unwrap();
    assert!(timeout(DEADLINE, waits).await.expect("its end").unwrap());
    assert!(matches!(log.append(records(["late"])).await, Err(AppendError::Closed)));
    assert!(are_many(&take(&mut behind, MANY).await));
    assert!(timeout(DEADLINE, behind.next()).await.expect("its end").is_none());
    log.close().await.unwrap();
}

pub(crate) async fn a_tail_from_the_end_waits(factory: &impl Factory) {
    let log = factory.open_keeping(Keep::ALL).await;
    let kept = log.append(records(0..3)).await.unwrap();
    let mut tail = log.tail(kept[2]);
    assert!(timeout(Duration::ZERO, tail.next()).await.is_err());
    // A position that does not exist yet: records up to it are not asked for.
    let mut ahead = log.tail(Position(kept[2].0 + 1));
    let next = log.append(records([3, 4])).await.unwrap();
    assert_eq!(take(&mut tail, 2).await.iter().map(|entry| entry.position).collect::<Vec<_>>(), next);
    let ahead = take(&mut ahead, 1).await;
    assert!(ahead.iter().all(|entry| entry.position.0 > kept[2].0 + 1));
}

pub(crate) async fn a_tail_is_told_what_it_missed(factory: &impl Factory) {
    let log = factory.open_keeping(Keep { records: Some(10), ..Keep::ALL }).await;
    // From the start of an empty log, of one that holds records, and after the first of them.
    let mut empty = log.tail(Position::START);
    let first = log.append(records(0..2)).await.unwrap();
    let mut fresh = log.tail(Position::START);
    let mut behind = log.tail(first[0]);
    exceed_the_window(&*log).await;
    let bounds = log.bounds().await.unwrap();
    let kept = held_after(&*log, Position::START).await;
    assert_eq!(kept.len(), 10);
    for (tail, start) in
        [(&mut empty, Position::START), (&mut fresh, Position::START), (&mut behind, first[0])]
    {
        let missed = timeout(DEADLINE, tail.next()).await.expect("an item").expect("the log goes on");
        let Err(ReadError::Missed { after, horizon }) = missed else { panic!("{missed:?}") };
        assert_eq!((after, horizon), (start, bounds.horizon));
        assert_eq!(take(tail, 10).await, kept);
    }
    // A tail from the start does not ask for records that were gone before it was opened.
    let mut later = log.tail(Position::START);
    assert_eq!(take(&mut later, 10).await, kept);
    let page = log.read(first[0], Limit { records: 1, bytes: 1 }).await.unwrap();
    assert_eq!(page.horizon, bounds.horizon);
}

/// Appends more than any tail finds in memory.
async fn exceed_the_window(log: &dyn Log) {
    let most = Record::BATCH_WEIGHT / record("topic", "").weight();
    for first in (0..=most).step_by(Record::BATCH) {
        log.append(records(first..first + Record::BATCH)).await.unwrap();
    }
}

pub(crate) async fn a_burst_reaches_a_tail_though_less_is_kept(factory: &impl Factory) {
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
            let got = take(&mut tail, burst.len()).await;
            assert!(got.iter().map(|entry| &entry.record).eq(&burst), "{keep:?}");
        }
        log.close().await.unwrap();
    }
}

pub(crate) async fn any_readers_and_pauses_see_one_log(factory: &impl Factory) {
    let mut runner = TestRunner::deterministic();
    let batches = prop::collection::vec((0usize..20, 0usize..400, any::<bool>()), 1..60);
    for _ in 0..12 {
        let plan = batches.new_tree(&mut runner).unwrap().current();
        // The log of the case before may be the same: its records are read, too.
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
        let kept = held_after(&*log, Position::START).await;
        assert_eq!(kept.len(), total);
        for reader in readers {
            assert_eq!(timeout(DEADLINE, reader).await.expect("all of it").unwrap(), kept);
        }
        log.close().await.unwrap();
    }
}

/// Reads so many: some by pages and then by a tail, some now and then a tail anew.
async fn follow(log: &dyn Log, total: usize, reader: usize) -> Vec<ssekit_log::Entry> {
    let mut got = Vec::new();
    let mut after = Position::START;
    if reader % 2 == 1 {
        loop {
            let page = log.read(after, Limit { records: 7 * reader, bytes: 2000 }).await.unwrap();
            after = page.through;
            got.extend(page.entries);
            if page.end {
                break;
            }
        }
    }
    let mut tail = log.tail(after);
    while got.len() < total {
        got.extend(tail.next().await.expect("the log goes on").unwrap());
        if reader >= 2 {
            tokio::task::yield_now().await;
            tail = log.tail(got.last().map_or(Position::START, |entry| entry.position));
        }
    }
    got
}
