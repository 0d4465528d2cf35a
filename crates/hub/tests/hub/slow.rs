//! Slow subscribers: stalls, overtaking, and memory.

use std::time::Duration;

use ssekit_hub::fanout::Overtaken;
use ssekit_log::Keep;

use crate::client::Request;
use crate::setup::{HUB, Setup, TestHub, encoded, publication};
use crate::stream::{Http2, Stream, Way};

#[tokio::test(flavor = "multi_thread")]
async fn line_20_an_idle_stream_is_sent_comments() {
    let hub = TestHub::start(|setup| setup.fanout.pace.heartbeat = Duration::from_millis(200)).await;
    Way::each(async |way| {
        let mut stream = way.subscribe(&hub, &format!("topic={way:?}")).await;
        stream.until_comments(3).await;
        hub.publish(&format!("topic={way:?}&data=x")).await;
        assert_eq!(stream.data().await, "x", "comments are no events");
        stream.until_comments(5).await;
    })
    .await;
    assert!(hub.figure("ssekit_heartbeats_total").await >= 15);
}

/// Small buffers between hub and reader, so that the hub soon notices a reader that does not read.
fn narrow(setup: &mut Setup) {
    setup.send_buffer = Some(4096);
    setup.fanout.window = 64 << 10;
}

/// Stream of a subscriber that does not read for now.
async fn idle_reader(way: Way, hub: &TestHub) -> Stream {
    way.open_with(hub, &Request::get(format!("{HUB}?topic=a")), Some(4096)).await
}

/// Publishes this number of numbered updates of 2 kB.
async fn publish_much(hub: &TestHub, count: usize) {
    let filler = "x".repeat(2000);
    for first in (0..count).step_by(250) {
        let lines: String = (first..first + 250)
            .map(|n| format!("{{\"topic\": \"a\", \"data\": \"{n} {filler}\"}}\n"))
            .collect();
        let answer = hub.ask(&publication(&lines).with("content-type", "application/x-ndjson")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}

fn number(data: &str) -> usize {
    data.split(' ').next().unwrap().parse().unwrap()
}

/// Far more than the system and the connections buffer between hub and reader.
const MUCH: usize = 4000;

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_overtaken_by_retention_is_closed_and_gets_a_reset_on_return() {
    Way::each(async |way| {
        let hub = TestHub::start(|setup| {
            narrow(setup);
            setup.keep = Keep { records: Some(100), ..Keep::ALL };
        })
        .await;
        let mut slow = idle_reader(way, &hub).await;
        publish_much(&hub, MUCH).await;
        let got = slow.rest().await;
        assert!(!slow.is_cut(), "a stream that the hub ends has its last chunk");
        for (wanted, got) in got.iter().enumerate() {
            assert_eq!(number(&got.data), wanted, "what it is given has no gap");
        }
        assert!(!got.is_empty() && got.len() < MUCH - 100, "{} events", got.len());
        hub.until_figure("ssekit_subscriptions_ended_total{reason=\"overtaken\"}", 1).await;
        let last = &got[got.len() - 1].id;
        let mut back = way.subscribe(&hub, &format!("topic=a&lastEventID={}", encoded(last))).await;
        assert_eq!(back.header("ssekit-reset"), Some("expired"));
        assert_eq!(back.event().await.name, "reset");
        for wanted in MUCH - 100..MUCH {
            assert_eq!(number(&back.data().await), wanted);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_overtaken_by_retention_continues_after_a_gap_if_configured() {
    Way::each(async |way| {
        let hub = TestHub::start(|setup| {
            narrow(setup);
            setup.fanout.pace.overtaken = Overtaken::Skip;
            setup.keep = Keep { records: Some(100), ..Keep::ALL };
        })
        .await;
        let mut slow = idle_reader(way, &hub).await;
        publish_much(&hub, MUCH).await;
        hub.publish("topic=a&data=end").await;
        let got = slow.until("end").await;
        let mut next = Some(0);
        let mut gaps = 0;
        for got in &got {
            if got.name == "gap" {
                assert_eq!(got.data, "{\"reason\":\"overtaken\"}");
                gaps += 1;
                next = None;
                continue;
            }
            let number = number(&got.data);
            match next {
                Some(next) => assert_eq!(number, next, "nothing is missing that was not told of"),
                None => assert!(number > 0),
            }
            next = Some(number + 1);
        }
        assert!(gaps >= 1 && got.len() < MUCH, "{gaps} gaps, {} events", got.len());
        assert_eq!(next, Some(MUCH), "it has the newest");
        assert_eq!(hub.figure("ssekit_gaps_total").await, gaps);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_does_not_read_delays_no_other_and_loses_no_kept_update() {
    Way::each(async |way| {
        let hub = TestHub::start(narrow).await;
        let mut slow = idle_reader(way, &hub).await;
        let mut others = Vec::new();
        for other in Way::ALL {
            others.push(other.subscribe(&hub, "topic=a").await);
        }
        let read = async {
            for other in &mut others {
                for wanted in 0..MUCH {
                    assert_eq!(number(&other.data().await), wanted);
                }
            }
        };
        tokio::join!(publish_much(&hub, MUCH), read);
        assert!(hub.figure("ssekit_subscribers_blocked_total").await >= 1);
        hub.until_figure("ssekit_subscribers_behind", 1).await;
        hub.until_figure("ssekit_lag_events", 0).await;
        for wanted in 0..MUCH {
            assert_eq!(number(&slow.data().await), wanted);
        }
        hub.until_figure("ssekit_subscribers_behind", 0).await;
    })
    .await;
}

/// The time in which a subscriber must read begins with its subscription, even if the hub has run for longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_subscriber_that_was_sent_nothing_yet_has_not_stalled() {
    let hub = TestHub::start(|setup| {
        setup.fanout.threads = 1;
        setup.fanout.pace.heartbeat = Duration::from_millis(100);
        setup.fanout.pace.stall = Duration::from_secs(4);
    })
    .await;
    publish_much(&hub, MUCH).await;
    // The comments of this stream show the time of the fan-out thread.
    let mut clock = Way::Socket.subscribe(&hub, "topic=other").await;
    clock.until_comments(45).await;
    let connection = Http2::connect_with(&hub, 65_535).await;
    let history = Request::get(format!("{HUB}?topic=a&lastEventID=earliest"));
    let unread = connection.send(&history).await;
    clock.until_comments(clock.comments + 3).await;
    // The unread stream has taken all memory that may wait for the connection.
    let mut stream = connection.send(&history).await;
    clock.until_comments(clock.comments + 5).await;
    assert_eq!(hub.figure("ssekit_subscriptions_ended_total{reason=\"stalled\"}").await, 0);
    drop(unread);
    for wanted in 0..MUCH {
        assert_eq!(number(&stream.data().await), wanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_reads_nothing_for_too_long_is_closed() {
    Way::each(async |way| {
        let hub = TestHub::start(|setup| {
            narrow(setup);
            setup.fanout.pace.stall = Duration::from_secs(1);
        })
        .await;
        let mut slow = idle_reader(way, &hub).await;
        publish_much(&hub, MUCH).await;
        hub.until_figure("ssekit_subscriptions_ended_total{reason=\"stalled\"}", 1).await;
        hub.until_figure("ssekit_subscribers", 0).await;
        let got = slow.rest().await;
        // The buffers between the fan-out and a reader are limited, over every transport.
        assert!(got.len() < 600, "{} events of 2 kB", got.len());
        // It resumes where it was.
        let after = got.last().map_or("earliest", |got| &got.id);
        let mut back = way.subscribe(&hub, &format!("topic=a&lastEventID={}", encoded(after))).await;
        for wanted in got.len()..got.len() + 100 {
            assert_eq!(number(&back.data().await), wanted);
        }
    })
    .await;
}
