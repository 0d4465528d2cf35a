//! Contract of retention: the log holds the records that the rules keep, and no others.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use ssekit_log::{Keep, Position, Record, Retention, RetentionError, Rule};

use crate::factory::{ANY, Factory, bodies, body, held_after, record, records, with_id};

pub(crate) async fn the_oldest_records_beyond_the_count_are_dropped(factory: &impl Factory) {
    let log = factory.open_keeping(Keep { records: Some(3), ..Keep::ALL }).await;
    let first = log.append(records(0..2)).await.unwrap();
    assert_eq!(log.bounds().await.unwrap().horizons.of_all(), Position::START);
    let second = log.append(records(2..4)).await.unwrap();
    assert_eq!(bodies(&*log).await, ["1", "2", "3"]);
    let bounds = log.bounds().await.unwrap();
    assert_eq!(
        (bounds.horizons.of_all(), bounds.last, bounds.records, bounds.bytes),
        (first[0], second[1], 3, 18)
    );
    let all = log.append(records(4..14)).await.unwrap();
    assert_eq!(bodies(&*log).await, ["11", "12", "13"]);
    assert_eq!(log.bounds().await.unwrap().horizons.of_all(), all[6]);
}

pub(crate) async fn the_oldest_records_beyond_the_bytes_are_dropped(factory: &impl Factory) {
    let log = factory.open_keeping(Keep { bytes: Some(20), ..Keep::ALL }).await;
    log.append(records(0..3)).await.unwrap();
    assert_eq!(bodies(&*log).await, ["0", "1", "2"]);
    log.append(records(["1234"])).await.unwrap();
    assert_eq!(bodies(&*log).await, ["2", "1234"]);
    // A record larger than the limit is dropped at once, and so are all before it.
    let last = log.append(records(["x".repeat(20)])).await.unwrap();
    let bounds = log.bounds().await.unwrap();
    assert_eq!(
        (bounds.horizons.of_all(), bounds.last, bounds.records, bounds.bytes),
        (last[0], last[0], 0, 0)
    );
}

pub(crate) async fn records_beyond_the_age_are_dropped(factory: &impl Factory) {
    let log = factory.open_keeping(Keep { age: Some(Duration::from_secs(60)), ..Keep::ALL }).await;
    let first = log.append(records(0..2)).await.unwrap();
    factory.time().pass(Duration::from_secs(60));
    log.append(records(2..3)).await.unwrap();
    assert_eq!(bodies(&*log).await, ["0", "1", "2"]);
    factory.time().pass(Duration::from_millis(1));
    log.append(records(3..4)).await.unwrap();
    assert_eq!(bodies(&*log).await, ["2", "3"]);
    assert_eq!(log.bounds().await.unwrap().horizons.of_all(), first[1]);
}

pub(crate) async fn older_records_of_a_topic_are_replaced(factory: &impl Factory) {
    let log = factory.open_keeping(Keep { last_per_topic: Some(2), ..Keep::ALL }).await;
    let topics = ["a", "b", "a", "a", "c", "a", "b", "b"];
    let batch = topics.iter().enumerate().map(|(number, topic)| record(topic, number));
    for record in batch {
        log.append(vec![record]).await.unwrap();
    }
    assert_eq!(bodies(&*log).await, ["3", "4", "5", "6", "7"]);
    // Replaced records do not move the horizon.
    let bounds = log.bounds().await.unwrap();
    assert_eq!((bounds.horizons.of_all(), bounds.records), (Position::START, 5));
    // Records of one batch replace each other, and only canonical topics count.
    let alternate = Record { topics: ["d".into(), "c".into()].into(), ..record("", "alternate") };
    log.append(vec![record("c", 8), record("c", 9), record("c", 10), alternate]).await.unwrap();
    assert_eq!(bodies(&*log).await, ["3", "5", "6", "7", "9", "10", "alternate"]);
    assert_eq!(log.bounds().await.unwrap().records, 7);
}

pub(crate) async fn the_first_matching_rule_applies(factory: &impl Factory) {
    let rules = vec![
        Rule::new(
            "prices",
            |topic| topic.starts_with("price"),
            Keep { last_per_topic: Some(1), ..Keep::ALL },
        ),
        Rule::new("all of p", |topic| topic.starts_with('p'), Keep { records: Some(1), ..Keep::ALL }),
    ];
    let log = factory.open(Retention::new(rules, Keep { records: Some(2), ..Keep::ALL }).unwrap()).await;
    let topics =
        ["price 1", "post", "other", "price 2", "post", "other", "price 1", "post", "other", "price 2"];
    for (number, topic) in topics.iter().enumerate() {
        log.append(vec![record(topic, number)]).await.unwrap();
    }
    assert_eq!(bodies(&*log).await, ["5", "6", "7", "8", "9"]);
}

/// A reader of a topic misses nothing when the log drops records of other rules.
pub(crate) async fn a_dropped_record_moves_the_horizons_of_its_topics(factory: &impl Factory) {
    let newest = Keep { records: Some(1), ..Keep::ALL };
    let rules = vec![
        Rule::new("short", |topic| topic.starts_with("short"), newest),
        Rule::new("long", |topic| topic.starts_with("long"), Keep::ALL),
    ];
    let log = factory.open(Retention::new(rules, Keep::ALL).unwrap()).await;
    let expect = async |short: Position, long: Position| {
        let bounds = log.bounds().await.unwrap();
        let page = log.read(Position::START, ANY).await.unwrap();
        for horizons in [bounds.horizons, page.horizons] {
            let of = |topic| horizons.of(log.retention().rules_of(topic));
            assert_eq!((of("short"), of("long"), of("other")), (short, long, Position::START));
            assert_eq!(horizons.of_all(), short);
            let both = log.retention().rules_of("other") | log.retention().rule_named("long");
            assert_eq!(horizons.of(both), long);
        }
    };
    let first = log.append(vec![record("short", 0), record("long", 1), record("other", 2)]).await.unwrap();
    expect(Position::START, Position::START).await;
    let alternate = Record { topics: ["short".into(), "long".into()].into(), ..record("", 3) };
    let second = log.append(vec![alternate]).await.unwrap();
    expect(first[0], Position::START).await;
    // The reader of the topic “long” has missed the record with both topics.
    log.append(vec![record("short", 4)]).await.unwrap();
    expect(second[0], second[0]).await;
    assert_eq!(bodies(&*log).await, ["1", "2", "4"]);
}

pub(crate) async fn a_dropped_record_is_not_found_by_its_id(factory: &impl Factory) {
    let log = factory.open_keeping(Keep { records: Some(2), ..Keep::ALL }).await;
    log.append(vec![with_id("a", 0)]).await.unwrap();
    let later = log.append(vec![with_id("a", 1)]).await.unwrap();
    let last = log.append(vec![with_id("b", 2)]).await.unwrap();
    assert_eq!(log.find("a").await.unwrap(), Some(later[0]));
    log.append(vec![with_id("c", 3)]).await.unwrap();
    assert_eq!(log.find("a").await.unwrap(), None);
    assert_eq!(log.find("b").await.unwrap(), Some(last[0]));
}

pub(crate) async fn an_id_of_a_replaced_record_finds_the_remaining_one(factory: &impl Factory) {
    let log = factory.open_keeping(Keep { last_per_topic: Some(1), ..Keep::ALL }).await;
    log.append(vec![with_id("a", 0)]).await.unwrap();
    let second = log.append(vec![with_id("a", 1), with_id("a", 2)]).await.unwrap();
    assert_eq!(log.find("a").await.unwrap(), Some(second[1]));
}

pub(crate) async fn rules_outside_of_their_limits_are_refused(_: &impl Factory) {
    let rule = |name: &str| Rule::new(name, |_| true, Keep::ALL);
    let last = |last| Keep { last_per_topic: Some(last), ..Keep::ALL };
    let refused = |rules, rest| Retention::new(rules, rest).unwrap_err();
    assert!(matches!(
        refused((0..66).map(|n| rule(&n.to_string())).collect(), Keep::ALL),
        RetentionError::Rules(66)
    ));
    assert!(matches!(refused(vec![rule("")], Keep::ALL), RetentionError::Name(_)));
    assert!(matches!(refused(vec![rule("a"), rule("a")], Keep::ALL), RetentionError::Twice(_)));
    assert!(matches!(refused(Vec::new(), last(0)), RetentionError::LastPerTopic(_)));
    assert!(matches!(
        refused(vec![Rule::new("a", |_| true, last(1001))], Keep::ALL),
        RetentionError::LastPerTopic(_)
    ));
    assert!(Retention::new((0..64).map(|n| rule(&n.to_string())).collect(), last(1000)).is_ok());
}

/// The age of a record with a future time counts from the moment at which the log notices it.
///
/// Such a record does not keep later records from expiring.
pub(crate) async fn records_with_future_times_expire(factory: &impl Factory) {
    let log = factory.open_keeping(Keep { age: Some(Duration::from_secs(10)), ..Keep::ALL }).await;
    let year = Duration::from_secs(365 * 86_400);
    factory.time().pass(year);
    log.append(records(["future", "future, too"])).await.unwrap();
    factory.time().back(year);
    log.append(records(["right"])).await.unwrap();
    assert_eq!(bodies(&*log).await, ["future", "future, too", "right"]);
    factory.time().pass(Duration::from_secs(11));
    log.append(records(["later"])).await.unwrap();
    assert_eq!(bodies(&*log).await, ["later"]);
}

/// Compares the log with a simple model of retention, for random rules and records.
pub(crate) async fn random_rules_keep_the_records_of_a_model(factory: &impl Factory) {
    let keep = (
        prop::option::of(1u64..8),
        prop::option::of(1u64..80),
        prop::option::of(1u64..10),
        prop::option::of(1usize..3),
    )
        .prop_map(|(records, bytes, age, last_per_topic)| Keep {
            records,
            bytes,
            age: age.map(Duration::from_secs),
            last_per_topic,
        });
    let step = (prop::collection::vec((0u8..6, 0usize..12, prop::option::of(0u8..4)), 1..8), 0u64..3);
    let plans = (prop::collection::vec(keep, 3), prop::collection::vec(step, 1..30));
    let mut runner = TestRunner::deterministic();
    for round in 0..20 {
        let (keeps, steps) = plans.new_tree(&mut runner).unwrap().current();
        let topic = |topic: u8| format!("{round} {topic}");
        // The log may hold records of earlier rounds and their rules, which the comparison leaves out.
        let prefix = format!("{round} ");
        let of = |number: &'static str| move |topic: &str| topic.ends_with(number);
        let rules = vec![
            Rule::new(format!("{round} zero"), of("0"), keeps[0]),
            Rule::new(format!("{round} one"), of("1"), keeps[1]),
        ];
        let log = factory.open(Retention::new(rules, keeps[2]).unwrap()).await;
        let mut model: Vec<Vec<Modelled>> = vec![Vec::new(); 3];
        let mut horizon = Position::START;
        let mut now = 0;
        for (batch, pause) in steps {
            factory.time().pass(Duration::from_secs(pause));
            now += pause;
            let sent: Vec<_> = batch
                .iter()
                .map(|(number, size, id)| {
                    let id = id.map(|id| format!("{round} {id}").into());
                    Record { id, ..record(&topic(*number), "x".repeat(*size)) }
                })
                .collect();
            let positions = log.append(sent.clone()).await.unwrap();
            for ((position, sent), (number, ..)) in positions.iter().zip(sent).zip(&batch) {
                let rule = usize::from(*number).min(2);
                let modelled = &mut model[rule];
                modelled.push(Modelled {
                    position: *position,
                    time: now,
                    number: *number,
                    size: sent.size() as u64,
                    id: sent.id,
                });
                if let Some(last) = keeps[rule].last_per_topic {
                    let of_topic: Vec<_> = modelled
                        .iter()
                        .filter(|entry| entry.number == *number)
                        .map(|entry| entry.position)
                        .collect();
                    let replaced: HashSet<_> =
                        of_topic[..of_topic.len().saturating_sub(last)].iter().copied().collect();
                    modelled.retain(|entry| !replaced.contains(&entry.position));
                }
            }
            for (modelled, keep) in model.iter_mut().zip(&keeps) {
                while let Some(oldest) = modelled.first()
                    && (keep.records.is_some_and(|limit| modelled.len() as u64 > limit)
                        || keep.bytes.is_some_and(|limit| {
                            modelled.iter().map(|entry| entry.size).sum::<u64>() > limit
                        })
                        || keep.age.is_some_and(|age| now - oldest.time > age.as_secs()))
                {
                    horizon = horizon.max(oldest.position);
                    modelled.remove(0);
                }
            }
            let held: Vec<_> = held_after(&*log, Position::START).await;
            let held: Vec<_> =
                held.iter().filter(|entry| entry.record.topics[0].starts_with(&prefix)).collect();
            let mut expected: Vec<_> = model.iter().flatten().collect();
            expected.sort_by_key(|entry| entry.position);
            let positions = |entry: &&ssekit_log::Entry| (entry.position, body(entry).len());
            let of_model = |entry: &&Modelled| {
                (
                    entry.position,
                    entry.size as usize
                        - topic(entry.number).len()
                        - entry.id.as_ref().map_or(0, |id| id.len()),
                )
            };
            assert_eq!(
                held.iter().map(positions).collect::<Vec<_>>(),
                expected.iter().map(of_model).collect::<Vec<_>>(),
                "{keeps:?}"
            );
            let mut ids = HashMap::new();
            for entry in expected.iter().rev() {
                entry.id.as_ref().map(|id| ids.insert(id.clone(), entry.position));
            }
            for id in 0..4 {
                let id = format!("{round} {id}");
                assert_eq!(log.find(&id).await.unwrap(), ids.get(&*id).copied(), "{id}");
            }
            let bounds = log.bounds().await.unwrap();
            if round == 0 {
                assert_eq!(bounds.horizons.of_all(), horizon);
                assert_eq!(bounds.records, expected.len() as u64);
                assert_eq!(bounds.bytes, expected.iter().map(|entry| entry.size).sum::<u64>());
            }
        }
        log.close().await.unwrap();
    }
}

/// A record of the model.
#[derive(Clone)]
struct Modelled {
    position: Position,
    time: u64,
    number: u8,
    size: u64,
    id: Option<Box<str>>,
}
