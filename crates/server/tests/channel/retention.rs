//! Which events a channel holds, and for how long.

use std::time::Duration;

use ssekit_server::{Channel, Event, First};
use tokio::time::advance;

use crate::subscriber::{Subscriber, id, none};

fn held(channel: &Channel) -> Vec<String> {
    Subscriber::new(channel.first(First::Last(u64::MAX)).subscribe(none())).data()
}

#[test]
fn a_channel_keeps_as_many_events_as_it_is_set_to() {
    for keep in [0, 1, 2, 7] {
        let channel = Channel::builder().keep_last(keep).build();
        for n in 0..20 {
            channel.emit("", n.to_string()).unwrap();
            let expected = (0..=n).rev().take(keep.max(1) as usize).map(|n| n.to_string());
            let mut held = held(&channel);
            held.reverse();
            assert_eq!(held, expected.collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_channel_keeps_as_many_bytes_as_it_is_set_to_and_always_the_newest_event() {
    let channel = Channel::builder().keep_bytes(10_000).build();
    for n in 0..1000 {
        channel.emit("n", format!("{n:0200}")).unwrap();
        let stats = channel.stats();
        assert!(stats.bytes <= 10_000, "{stats:?}");
        assert!(n < 50 || stats.events >= 41, "{stats:?}");
        assert_eq!(held(&channel).len() as u64, stats.events);
    }
    channel.emit("large", "x".repeat(1 << 20)).unwrap();
    assert_eq!((channel.stats().events, held(&channel)[0].len()), (1, 1 << 20));
    channel.emit("small", "x").unwrap();
    assert_eq!(held(&channel), ["x"]);
}

#[tokio::test(start_paused = true)]
async fn a_channel_keeps_events_for_the_time_it_is_set_to() {
    let channel = Channel::builder().keep_for(Duration::from_secs(10)).build();
    let first = channel.emit("", "a").unwrap();
    advance(Duration::from_secs(6)).await;
    channel.emit("", "b").unwrap();
    assert_eq!(held(&channel), ["a", "b"]);
    advance(Duration::from_secs(4)).await;
    assert_eq!(held(&channel), ["b"]);
    let mut back = Subscriber::new(channel.subscribe(id(first)));
    assert_eq!(back.data(), ["b"]);
    advance(Duration::from_secs(6)).await;
    assert_eq!(channel.stats().events, 1, "nobody has looked");
    channel.sweep();
    let stats = channel.stats();
    assert_eq!((stats.events, stats.bytes), (0, 0));
    // Its numbers go on.
    assert_eq!(channel.emit("", "c").unwrap().sequence(), 3);
    assert_eq!(back.data(), ["c"]);
}

#[test]
fn ids_of_events_that_are_gone_are_forgotten() {
    let channel = Channel::builder().keep_last(100).build();
    for n in 0..100_000 {
        channel.try_send(Event::new("").with_id(format!("own {n}")).unwrap()).unwrap();
    }
    let mut known = Subscriber::new(channel.subscribe(id("own 99950")));
    assert_eq!(known.resumed().len(), 49);
    let gone = Subscriber::new(channel.subscribe(id("own 99899")));
    assert_eq!(gone.reset.as_deref(), Some("unknown"));
}

#[test]
fn history_of_many_pieces_is_read_whole() {
    let channel = Channel::builder().keep_last(u64::MAX).first(First::All).build();
    let sizes = [0, 1, 100, 65_000, 70_000, 200_000, 3, 1 << 20, 5];
    for (n, size) in sizes.iter().cycle().take(100).enumerate() {
        channel.emit("n", format!("{n} {}", "x".repeat(*size))).unwrap();
        if channel.stats().bytes > 15 << 20 {
            break;
        }
    }
    let count = channel.stats().events;
    let held = held(&channel);
    assert_eq!(held.len() as u64, count);
    for (n, data) in held.iter().enumerate() {
        let (number, rest) = data.split_once(' ').unwrap();
        assert_eq!((number.parse::<usize>().unwrap(), rest.len()), (n, sizes[n % sizes.len()]));
    }
}
