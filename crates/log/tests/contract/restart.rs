//! Contract of logs that outlive their process: a reopened log is the same log.

use ssekit_log::{Keep, Position, Retention, Rule};

use crate::factory::{
    ANY, Factory, MANY, are_many, bodies, held_after, many, record, records, take, with_id,
};

pub(crate) async fn a_reopened_log_has_the_same_records(factory: &impl Factory) {
    let retention = || {
        let prices = Rule::new(
            "prices",
            |topic| topic.starts_with("price"),
            Keep { last_per_topic: Some(1), ..Keep::ALL },
        );
        Retention::new(vec![prices], Keep { records: Some(4), ..Keep::ALL }).unwrap()
    };
    let mut log = factory.open(retention()).await;
    let epoch = log.epoch();
    log.append(vec![record("price 1", 0), with_id("a", 1), with_id("a", 2), record("price 1", 3)])
        .await
        .unwrap();
    let mut last = log.append(records(4..7)).await.unwrap()[2];
    for (next, held) in [
        (record("topic", 7), ["3", "4", "5", "6", "7"]),
        (record("price 1", 8), ["4", "5", "6", "7", "8"]),
        (record("price 1", 9), ["4", "5", "6", "7", "9"]),
    ] {
        let entries = held_after(&*log, Position::START).await;
        let bounds = log.bounds().await.unwrap();
        let found = log.find("a").await.unwrap();
        log.close().await.unwrap();
        drop(log);

        log = factory.open(retention()).await;
        assert_eq!(log.epoch(), epoch);
        assert_eq!(held_after(&*log, Position::START).await, entries);
        assert_eq!(log.bounds().await.unwrap(), bounds);
        assert_eq!(log.find("a").await.unwrap(), found);
        let mut tail = log.tail(last);
        let position = log.append(vec![next]).await.unwrap()[0];
        assert!(position > last);
        assert_eq!(take(&mut tail, 1).await[0].position, position);
        assert_eq!(bodies(&*log).await, held);
        last = position;
    }
}

/// An open tail keeps the store open after the log is closed; after its end, the log can be reopened.
pub(crate) async fn an_open_tail_reads_all_records_after_close(factory: &impl Factory) {
    let log = factory.open_keeping(Keep::ALL).await;
    let mut tail = log.tail(Position::START);
    for append in many() {
        log.append(append).await.unwrap();
    }
    log.close().await.unwrap();
    drop(log);
    assert!(are_many(&take(&mut tail, MANY).await));
    drop(tail);
    let log = factory.open_keeping(Keep::ALL).await;
    assert_eq!(held_after(&*log, Position::START).await.len(), MANY);
}

/// Records of former rules stay, and the limits of the new retention apply to them.
pub(crate) async fn changed_rules_apply_after_a_restart(factory: &impl Factory) {
    let topics = ["a", "b", "a"];
    let log = factory.open_keeping(Keep::ALL).await;
    let first =
        log.append(topics.iter().zip(0..).map(|(topic, body)| record(topic, body)).collect()).await.unwrap();
    log.close().await.unwrap();
    drop(log);

    let log = factory.open_keeping(Keep { last_per_topic: Some(1), ..Keep::ALL }).await;
    log.append(vec![record("a", 3), record("a", 4)]).await.unwrap();
    assert_eq!(bodies(&*log).await, ["0", "1", "2", "4"]);
    log.close().await.unwrap();
    drop(log);

    for (next, held) in [("5", ["2", "4", "5"]), ("6", ["4", "5", "6"])] {
        let log = factory.open_keeping(Keep { records: Some(3), ..Keep::ALL }).await;
        log.append(vec![record("b", next)]).await.unwrap();
        assert_eq!(bodies(&*log).await, held);
        let after = held_after(&*log, first[0]).await;
        assert_eq!(after.len(), 3);
        log.close().await.unwrap();
        drop(log);
    }
}

/// With other rules, a topic may have another rule than its records, so every rule has the greatest horizon.
pub(crate) async fn horizons_survive_a_restart_with_the_same_rules(factory: &impl Factory) {
    let rule = |name: &'static str| {
        let keep = Keep { records: Some(1), ..Keep::ALL };
        Rule::new(name, move |topic| topic.starts_with(name), keep)
    };
    let retention = |names: &[&'static str]| {
        Retention::new(names.iter().map(|name| rule(name)).collect(), Keep::ALL).unwrap()
    };
    let mut horizons = Vec::new();
    for names in [["a", "b"], ["a", "b"], ["b", "a"], ["b", "a"]] {
        let log = factory.open(retention(&names)).await;
        let of = async |topic: &str| {
            let bounds = log.bounds().await.unwrap().horizons;
            let page = log.read(Position::START, ANY).await.unwrap().horizons;
            let rules = log.retention().rules_of(topic);
            assert_eq!(bounds.of(rules), page.of(rules));
            bounds.of(rules)
        };
        if horizons.is_empty() {
            log.append(["a", "a", "b"].map(|topic| record(topic, topic)).into()).await.unwrap();
        }
        horizons.push((of("a").await, of("b").await, of("c").await));
        log.close().await.unwrap();
        drop(log);
    }
    let (a, b, c) = horizons[0];
    assert!(a > Position::START);
    assert_eq!((b, c), (Position::START, Position::START));
    assert_eq!(horizons[1], horizons[0]);
    assert_eq!(horizons[2], (a, a, a));
    assert_eq!(horizons[3], (a, a, a));
}
