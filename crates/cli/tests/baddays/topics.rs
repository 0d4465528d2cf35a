//! Many topics.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::hub::{Hub, many_descriptors, scaled, subscribe};
use crate::stream::{Next, Stream};

/// Subscribers with this number of selectors, a hundred each, made of their numbers.
fn subscribers(hub: &Hub, selectors: usize, selector: impl Fn(usize) -> String) -> Vec<TcpStream> {
    let sockets: Vec<_> = (0..selectors / 100)
        .map(|number| {
            let of_one = number * 100..(number + 1) * 100;
            let query: Vec<_> = of_one.map(|number| format!("topic={}", selector(number))).collect();
            let mut socket = hub.connect();
            socket.write_all(subscribe(&query.join("&")).as_bytes()).expect("the hub reads");
            socket
        })
        .collect();
    hub.expect_figure("ssekit_subscribers", |now| now >= sockets.len() as u64);
    sockets
}

/// CPU time of the hub for some publications, each with a subscriber.
fn cost(hub: &Hub, topic: &str) -> Duration {
    let mut stream = Stream::open(hub, &format!("topic={topic}"));
    hub.publish(topic, "first");
    stream.next();
    let before = hub.processor();
    for _ in 0..10 {
        // In batches, without the cost of a request for each.
        hub.fill(topic, 200, 10);
        for _ in 0..200 {
            stream.next();
        }
    }
    hub.processor() - before
}

#[test]
fn a_hundred_thousand_topics_cost_little_memory_and_publishing_to_one_costs_no_more() {
    many_descriptors(2000);
    let hub = Hub::start(&[]);
    let few = {
        let _few = subscribers(&hub, 1000, |number| format!("https://example.com/books/{number}"));
        cost(&hub, "https://example.com/books/7")
    };
    let before = hub.memory();
    let many = scaled(100_000, 1_000_000);
    let _many = subscribers(&hub, many, |number| format!("https://example.com/books/{number}"));
    let taken = hub.memory() - before;
    assert!(taken / (many as u64) < 1024, "{} bytes for each topic", taken / many as u64);
    let all = cost(&hub, "https://example.com/books/7");
    println!("exact: {few:?} with 1,000 topics, {all:?} with {many}; {} bytes each", taken / many as u64);
    assert!(all < few * 2 + Duration::from_millis(100), "{few:?} with a few, {all:?} with all");
}

#[test]
fn a_hundred_thousand_templates_that_begin_otherwise_cost_no_more_either() {
    many_descriptors(2000);
    let hub = Hub::start(&[]);
    let template = |number| format!("https://example.com/users/{number}/%7Bthing%7D");
    let few = {
        let _few = subscribers(&hub, 1000, template);
        cost(&hub, "https://example.com/users/7/alarm")
    };
    let before = hub.memory();
    let many = 100_000;
    let _many = subscribers(&hub, many, template);
    let taken = hub.memory() - before;
    assert!(taken / (many as u64) < 2048, "{} bytes for each template", taken / many as u64);
    let all = cost(&hub, "https://example.com/users/7/alarm");
    println!("templates: {few:?} with 1,000, {all:?} with {many}; {} bytes each", taken / many as u64);
    assert!(all < few * 2 + Duration::from_millis(100), "{few:?} with a few, {all:?} with all");
}

#[test]
fn an_update_of_many_topics_is_delivered_once_and_of_too_many_refused() {
    let hub = Hub::start(&[]);
    let mut every = Stream::open(&hub, "topic=*&topic=t1&topic=t999&topic=%7Bname%7D");
    let topics = |count: usize| (0..count).map(|number| format!("topic=t{number}&")).collect::<String>();
    assert_eq!(hub.post(&format!("{}data=all", topics(1000))).status, 200);
    let refused = hub.post(&format!("{}data=more", topics(1001)));
    assert_eq!(refused.status, 413, "{refused:?}");
    assert!(refused.body.contains("1001") && refused.body.contains("1000"), "{refused:?}");
    hub.publish("t5", "next");
    assert_eq!(every.next().data, "all");
    assert_eq!(every.next().data, "next");
    assert_eq!(every.wait(Duration::from_millis(50)), Next::Silence);
}

#[test]
fn closed_subscribers_leave_no_memory_behind() {
    let hub = Hub::start(&[]);
    let round = |round: usize| {
        let sockets = subscribers(&hub, 10_000, |number| format!("https://example.com/{round}/{number}"));
        drop(sockets);
        hub.expect_figure("ssekit_subscribers", |now| now == 0);
        hub.memory()
    };
    let rounds = scaled(6, 100);
    let first = (0..3).map(round).max().expect("some");
    let begun = Instant::now();
    let last = (3..3 + rounds).fold(first, |_, number| round(number));
    println!("{rounds} rounds of 10,000 topics in {:?}: {first} bytes, then {last}", begun.elapsed());
    assert!(last < first + (8 << 20), "{first} bytes at first, {last} in the end");
}
