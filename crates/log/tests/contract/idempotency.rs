//! Contract of idempotency keys: a repeated append adds no record.

use std::time::Duration;

use futures_util::future::join_all;
use ssekit_log::{AppendError, Appended, IdempotencyKey, Keep, Log, Position, Record};

use crate::factory::{Factory, bodies, record, records, take};

/// A key of one of four publishers.
pub(crate) fn key(number: u32, content: u8) -> IdempotencyKey {
    let mut hash = [0; 16];
    hash[..4].copy_from_slice(&number.to_be_bytes());
    IdempotencyKey { hash, publisher: u64::from(number % 4).to_be_bytes(), content: [content; 16] }
}

/// A key of a publisher that has no other keys.
fn key_of(publisher: &[u8; 8], number: u32) -> IdempotencyKey {
    IdempotencyKey { publisher: *publisher, ..key(number, 0) }
}

/// Appends a record with a new key.
async fn add(log: &dyn Log, number: u32) -> Vec<Position> {
    let appended = log.append_with_key(Some(key(number, 0)), records([number])).await.unwrap();
    assert!(!appended.repeated, "key {number}");
    appended.positions
}

/// Repeats an append with a used key, which adds nothing.
async fn repeat(log: &dyn Log, number: u32) -> Vec<Position> {
    let appended = log.append_with_key(Some(key(number, 0)), records([number])).await.unwrap();
    assert!(appended.repeated, "key {number}");
    appended.positions
}

pub(crate) async fn a_repeated_append_adds_nothing_and_returns_the_first_positions(factory: &impl Factory) {
    let log = factory.open_keeping(Keep::ALL).await;
    let mut tail = log.tail(Position::START);
    log.append(records(["before"])).await.unwrap();
    let first = log.append_with_key(Some(key(1, 0)), records(["a", "b", "c"])).await.unwrap();
    assert!(!first.repeated);
    log.append(records(["between"])).await.unwrap();
    let bounds = log.bounds().await.unwrap();
    for _ in 0..2 {
        let again = log.append_with_key(Some(key(1, 0)), records(["a", "b", "c"])).await.unwrap();
        assert_eq!(again, Appended { repeated: true, ..first.clone() });
    }
    assert_eq!(log.bounds().await.unwrap(), bounds);
    let last = log.append(records(["after"])).await.unwrap()[0];
    assert_eq!(bodies(&*log).await, ["before", "a", "b", "c", "between", "after"]);
    let entries = take(&mut tail, 6).await;
    assert_eq!((entries[1].position, entries[5].position), (first.positions[0], last));
}

pub(crate) async fn a_key_with_other_content_is_refused_and_adds_nothing(factory: &impl Factory) {
    let log = factory.open_keeping(Keep::ALL).await;
    let first = add(&*log, 1).await;
    let other = log.append_with_key(Some(key(1, 9)), records(["other"])).await;
    assert!(matches!(other, Err(AppendError::KeyReused)), "{other:?}");
    assert_eq!(repeat(&*log, 1).await, first);
    assert_eq!(bodies(&*log).await, ["1"]);
}

pub(crate) async fn keys_are_independent_of_each_other_and_of_appends_without(factory: &impl Factory) {
    let log = factory.open_keeping(Keep::ALL).await;
    for number in 0..3 {
        add(&*log, number).await;
        log.append(records([number])).await.unwrap();
    }
    assert_eq!(bodies(&*log).await, ["0", "0", "1", "1", "2", "2"]);
}

pub(crate) async fn of_concurrent_appends_with_one_key_one_adds_its_records(factory: &impl Factory) {
    let log = factory.open_keeping(Keep::ALL).await;
    for number in 0..20 {
        // The futures are polled at the same time, so that the log finds several of them in one write.
        let appends = (0..20).map(|_| log.append_with_key(Some(key(number, 0)), records([number, number])));
        let answers: Vec<_> = join_all(appends).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers.iter().filter(|answer| !answer.repeated).count(), 1);
        assert!(answers.iter().all(|answer| answer.positions == answers[0].positions), "{answers:?}");
    }
    assert_eq!(bodies(&*log).await.len(), 40);
}

pub(crate) async fn a_refused_append_does_not_use_up_its_key(factory: &impl Factory) {
    let log = factory.open_keeping(Keep::ALL).await;
    let invalid = Record { topics: [].into(), ..record("topic", "x") };
    let refused = log.append_with_key(Some(key(1, 0)), vec![invalid]).await;
    assert!(matches!(refused, Err(AppendError::Invalid(_))), "{refused:?}");
    let none = log.append_with_key(Some(key(1, 0)), Vec::new()).await.unwrap();
    assert_eq!(none, Appended { positions: Vec::new(), repeated: false });
    add(&*log, 1).await;
    log.close().await.unwrap();
    let closed = log.append_with_key(Some(key(2, 0)), records(["x"])).await;
    assert!(matches!(closed, Err(AppendError::Closed)), "{closed:?}");
}

pub(crate) async fn a_key_outlives_its_records(factory: &impl Factory) {
    let log = factory.open_keeping(Keep { records: Some(1), ..Keep::ALL }).await;
    let first = add(&*log, 1).await;
    log.append(records(["newer"])).await.unwrap();
    assert_eq!(bodies(&*log).await, ["newer"]);
    assert_eq!(repeat(&*log, 1).await, first);
    assert_eq!(bodies(&*log).await, ["newer"]);
}

pub(crate) async fn keys_are_forgotten_by_age(factory: &impl Factory) {
    let log = factory.open_keeping(Keep::ALL).await;
    let half = IdempotencyKey::LIFETIME / 2;
    add(&*log, 1).await;
    factory.time().pass(half);
    add(&*log, 2).await;
    factory.time().pass(half - Duration::from_millis(1));
    repeat(&*log, 1).await;
    factory.time().pass(Duration::from_millis(1));
    repeat(&*log, 2).await;
    add(&*log, 1).await;
    // No key is forgotten after the clock is set back.
    factory.time().back(IdempotencyKey::LIFETIME);
    repeat(&*log, 1).await;
}

pub(crate) async fn the_oldest_keys_are_forgotten_by_count(factory: &impl Factory) {
    let log = factory.open_keeping(Keep { records: Some(10), ..Keep::ALL }).await;
    add_many(&*log, 0..MOST).await;
    repeat(&*log, 0).await;
    repeat(&*log, MOST - 1).await;
    // The publisher of each further key has the most keys, and loses its oldest.
    add(&*log, MOST).await;
    repeat(&*log, 1).await;
    add(&*log, 0).await;
    add(&*log, 4).await;
    repeat(&*log, 3).await;
}

/// Publishers that use more keys than a log remembers lose their own, and no key of another publisher.
pub(crate) async fn publishers_with_many_keys_lose_only_their_own(factory: &impl Factory) {
    let log = factory.open_keeping(Keep { records: Some(10), ..Keep::ALL }).await;
    let seldom = key_of(b"seldom..", MOST + 1);
    let first = log.append_with_key(Some(seldom), records(["x"])).await.unwrap();
    let often = |number| key_of(&u64::from(number % 3).to_be_bytes(), number);
    add_all(&*log, (0..=MOST).map(often)).await;
    let again = log.append_with_key(Some(seldom), records(["x"])).await.unwrap();
    assert_eq!(again, Appended { repeated: true, ..first });
    for (number, is_remembered) in [(MOST, true), (2, true), (1, false)] {
        let answer = log.append_with_key(Some(often(number)), records([number])).await.unwrap();
        assert_eq!(answer.repeated, is_remembered, "key {number}");
    }
}

/// Appends a record with each of these keys, in their order.
pub(crate) async fn add_many(log: &dyn Log, numbers: std::ops::Range<u32>) {
    add_all(log, numbers.map(|number| key(number, 0))).await;
}

async fn add_all(log: &dyn Log, keys: impl Iterator<Item = IdempotencyKey>) {
    let mut keys = keys.peekable();
    while keys.peek().is_some() {
        let batch = keys.by_ref().take(1_000);
        let answers = join_all(batch.map(|key| log.append_with_key(Some(key), records(["x"])))).await;
        assert!(answers.into_iter().all(|answer| !answer.unwrap().repeated));
    }
}

/// The most keys that a log remembers.
pub(crate) const MOST: u32 = 100_000;
const _: () = assert!(MOST as usize == IdempotencyKey::COUNT);

pub(crate) async fn keys_survive_a_restart(factory: &impl Factory) {
    let mut log = factory.open_keeping(Keep { records: Some(10), ..Keep::ALL }).await;
    let first = add(&*log, 1).await;
    factory.time().pass(IdempotencyKey::LIFETIME / 2);
    let batch = log.append_with_key(Some(key(2, 0)), records(["a", "b"])).await.unwrap();
    for _ in 0..2 {
        log.close().await.unwrap();
        drop(log);
        log = factory.open_keeping(Keep { records: Some(10), ..Keep::ALL }).await;
        assert_eq!(repeat(&*log, 1).await, first);
        let again = log.append_with_key(Some(key(2, 0)), records(["a", "b"])).await.unwrap();
        assert_eq!(again, Appended { repeated: true, ..batch.clone() });
        let other = log.append_with_key(Some(key(1, 9)), records(["other"])).await;
        assert!(matches!(other, Err(AppendError::KeyReused)), "{other:?}");
    }
    factory.time().pass(IdempotencyKey::LIFETIME / 2);
    log.close().await.unwrap();
    drop(log);
    log = factory.open_keeping(Keep { records: Some(10), ..Keep::ALL }).await;
    assert_eq!(
        log.append_with_key(Some(key(2, 0)), records(["a", "b"])).await.unwrap().positions,
        batch.positions
    );
    assert_ne!(add(&*log, 1).await, first);
}

/// Keys that were forgotten by count stay forgotten; a forgotten key that was used again is remembered.
pub(crate) async fn a_restart_remembers_the_newest_keys(factory: &impl Factory) {
    let log = factory.open_keeping(Keep { records: Some(10), ..Keep::ALL }).await;
    add_many(&*log, 0..MOST + 10).await;
    add(&*log, 0).await;
    log.close().await.unwrap();
    drop(log);
    let log = factory.open_keeping(Keep { records: Some(10), ..Keep::ALL }).await;
    repeat(&*log, 0).await;
    repeat(&*log, 10).await;
    repeat(&*log, 11).await;
    add(&*log, 12).await;
}

/// The same for the keys of one publisher, also if one write stored keys of several publishers.
pub(crate) async fn a_restart_remembers_the_newest_keys_of_each_publisher(factory: &impl Factory) {
    let log = factory.open_keeping(Keep { records: Some(10), ..Keep::ALL }).await;
    let often = |number| key_of(b"often...", number);
    // Every hundredth key is another publisher's.
    let seldom = |number| key_of(b"seldom..", MOST + number);
    add_all(
        &*log,
        (0..MOST).flat_map(|number| {
            let other = (number % 100 == 5).then(|| seldom(number));
            [Some(often(number)), other].into_iter().flatten()
        }),
    )
    .await;
    log.close().await.unwrap();
    drop(log);
    let log = factory.open_keeping(Keep { records: Some(10), ..Keep::ALL }).await;
    for (key, is_remembered) in [
        (seldom(5), true),
        (often(1000), true),
        (often(999), false),
        (often(1000), false),
        (often(1002), true),
    ] {
        let answer = log.append_with_key(Some(key), records(["x"])).await.unwrap();
        assert_eq!(answer.repeated, is_remembered, "{key:?}");
    }
}
