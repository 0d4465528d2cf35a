//! Replays: the start of a stream, resets, and paged reads of the log.

use std::sync::Arc;

use futures_util::future::join_all;
use ssekit_log::{Keep, MemoryLog, Retention};

use crate::client::Request;
use crate::setup::{HUB, Setup, TestHub, encoded, publication, token};
use crate::stream::{Stream, Way};

/// Publishes updates 1, 2 and so on to a topic; returns their ids.
async fn publish(hub: &TestHub, topic: &str, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 1..=count {
        ids.push(hub.publish(&format!("topic={topic}&data={number}")).await);
    }
    ids
}

/// Last event ID of the answer, which both headers give.
fn begins_after(stream: &Stream) -> Option<&str> {
    assert_eq!(stream.header("last-event-id"), stream.header("mercure-last-event-id"));
    stream.header("mercure-last-event-id")
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_and_replayed_events_are_counted() {
    let hub = TestHub::usual().await;
    publish(&hub, "a", 6).await;
    publish(&hub, "b", 4).await;
    assert_eq!(hub.figure("ssekit_log_events").await, 10);
    assert!(hub.figure("ssekit_log_bytes").await > 10);
    for (topic, count) in [("a", 6), ("b", 4), ("c", 0)] {
        let mut stream = Way::Socket.subscribe(&hub, &format!("topic={topic}&lastEventID=earliest")).await;
        stream.datas(count).await;
        hub.until_figure("ssekit_subscribers_behind", 0).await;
    }
    // A subscriber without matching updates gets no replay.
    hub.until_figure("ssekit_replay_events_count", 2).await;
    hub.until_figure("ssekit_events_replayed_total", 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn line_88_the_last_event_id_is_read_from_the_header_first_and_from_the_query() {
    let hub = TestHub::usual().await;
    let ids = publish(&hub, "a", 6).await;
    let id = |number: usize| encoded(&ids[number - 1]);
    Way::each(async |way| {
        let cases = [
            (format!("lastEventID={}", id(2)), None, "3"),
            (format!("Last-Event-ID={}", id(3)), None, "4"),
            (format!("last_event_id={}", id(4)), None, "5"),
            (String::new(), Some(&ids[4]), "6"),
            (format!("lastEventID={}&last_event_id={}", id(1), id(2)), Some(&ids[2]), "4"),
            (format!("last_event_id={}&lastEventID={}", id(1), id(4)), None, "5"),
            (format!("lastEventID=&last_event_id={}", id(2)), None, "3"),
        ];
        for (query, header, next) in cases {
            let mut request = Request::get(format!("{HUB}?topic=a&{query}"));
            if let Some(header) = header {
                request = request.with("last-event-id", header);
            }
            assert_eq!(way.open(&hub, &request).await.data().await, next, "{query} {header:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn line_89_all_events_after_the_id_are_replayed_before_live_ones() {
    // The window has only the newest frame, or everything: log and memory give the same events.
    for window in [1, 4 << 20] {
        let hub = TestHub::start(|setup| setup.fanout.window = window).await;
        let ids = publish(&hub, "a", 50).await;
        Way::each(async |way| {
            for had in [1, 2, 49, 50] {
                let query = format!("topic=a&topic={way:?}{had}&lastEventID={}", encoded(&ids[had - 1]));
                let mut stream = way.subscribe(&hub, &query).await;
                assert_eq!(begins_after(&stream), Some(&*ids[had - 1]));
                hub.publish(&format!("topic={way:?}{had}&data=live")).await;
                let got = stream.until("live").await;
                assert_eq!(got.iter().map(|got| &*got.id).collect::<Vec<_>>(), ids[had..]);
                let data: Vec<_> = got.into_iter().map(|got| got.data).collect();
                assert_eq!(data, (had + 1..=50).map(|number| number.to_string()).collect::<Vec<_>>());
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn line_90_replayed_events_are_authorized_by_the_present_token() {
    for window in [1, 4 << 20] {
        let hub = TestHub::start(|setup| setup.fanout.window = window).await;
        for (topic, data) in [("a", "1"), ("b", "2"), ("a", "3"), ("b", "4"), ("a&topic=b", "5")] {
            hub.publish(&format!("topic={topic}&data={data}&private=on")).await;
        }
        let last = hub.publish("topic=a&data=end").await;
        Way::each(async |way| {
            let get = |after: &str| Request::get(format!("{HUB}?topic=*&lastEventID={}", encoded(after)));
            let cases: [(&[&str], &[&str]); 5] = [
                (&["a"], &["1", "3", "5"]),
                (&["b"], &["2", "4", "5"]),
                (&["*"], &["1", "2", "3", "4", "5"]),
                (&["c", "{x}"], &["1", "2", "3", "4", "5"]),
                (&[], &[]),
            ];
            for (granted, wanted) in cases {
                let mut stream = way.open(&hub, &get("earliest").bearer(&token(&[], granted))).await;
                let got: Vec<_> = stream.until("end").await.into_iter().map(|got| got.data).collect();
                assert_eq!(got, wanted, "granted {granted:?}");
            }
            let mut anonymous = way.open(&hub, &get("earliest")).await;
            assert_eq!(anonymous.data().await, "end");
            assert_eq!(begins_after(&way.open(&hub, &get(&last)).await), Some(&*last));
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn line_91_earliest_is_everything() {
    Way::each(async |way| {
        let hub = TestHub::usual().await;
        let mut first = way.subscribe(&hub, "topic=a&lastEventID=earliest").await;
        assert_eq!(begins_after(&first), Some("earliest"), "of an empty history");
        publish(&hub, "a", 3).await;
        let request = Request::get(format!("{HUB}?topic=a")).with("last-event-id", "earliest");
        let mut second = way.open(&hub, &request).await;
        assert_eq!(begins_after(&second), Some("earliest"));
        for stream in [&mut first, &mut second] {
            assert_eq!(stream.header("ssekit-reset"), None);
            assert_eq!(stream.datas(3).await, ["1", "2", "3"], "and no reset event before them");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn line_92_a_repeated_id_means_its_first_event() {
    let hub = TestHub::usual().await;
    for (number, id) in ["x", "same", "y", "same", "z"].iter().enumerate() {
        hub.publish(&format!("topic=a&data={number}&id={id}")).await;
    }
    Way::each(async |way| {
        let mut stream = way.subscribe(&hub, "topic=a&lastEventID=same").await;
        assert_eq!(begins_after(&stream), Some("same"));
        let got = [stream.event().await, stream.event().await, stream.event().await];
        assert_eq!(got.map(|got| (got.data, got.id)).map(|(data, id)| data + &id), ["2y", "3same", "4z"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn line_93_the_response_names_the_event_after_which_it_begins_and_the_reason_of_another() {
    let retention = || Retention::of_everything(Keep { records: Some(3), ..Keep::ALL }).unwrap();
    let other = TestHub::usual().await;
    let foreign = other.publish("topic=a&data=of another log").await;
    Way::each(async |way| {
        let log = Arc::new(MemoryLog::new(retention()).unwrap());
        let hub = TestHub::over(log, Setup::default()).await;
        let ids = publish(&hub, "a", 6).await;
        let cases = [
            (&*ids[5], &*ids[5], None, ""),
            (&ids[3], &ids[3], None, "56"),
            // The position after which nothing was dropped.
            (&ids[2], &ids[2], None, "456"),
            (&ids[1], "earliest", Some("expired"), "456"),
            ("never-published", "earliest", Some("unknown"), "456"),
            (&foreign, "earliest", Some("unknown"), "456"),
            ("urn:ssekit:AAAAAAAAAAAAAAAAAAAAAA", "earliest", Some("unknown"), "456"),
            ("urn:ssekit:", "earliest", Some("unknown"), "456"),
        ];
        for (asked, answered, reset, data) in cases {
            let mut stream =
                way.subscribe(&hub, &format!("topic=a&topic=b&lastEventID={}", encoded(asked))).await;
            assert_eq!(begins_after(&stream), Some(answered), "after {asked}");
            assert_eq!(stream.header("ssekit-reset"), reset, "after {asked}");
            if let Some(reason) = reset {
                let event = stream.event().await;
                assert_eq!((&*event.name, event.data), ("reset", format!("{{\"reason\":\"{reason}\"}}")));
                assert_eq!(event.id, "", "a reset moves no cursor");
            }
            let mut got = String::new();
            for _ in 0..data.len() {
                got += &stream.data().await;
            }
            assert_eq!(got, data, "after {asked}");
        }
        let none = way.subscribe(&hub, "topic=a").await;
        assert_eq!(begins_after(&none), None, "who has sent none is told none");
    })
    .await;
}

/// A server may give a page the id of an update that the page's user cannot read, to continue after it.
///
/// See `Hub::position`.
#[tokio::test(flavor = "multi_thread")]
async fn the_id_of_an_unreadable_update_resumes_and_shows_nothing_of_it() {
    let hub = TestHub::usual().await;
    hub.publish("topic=a&data=before").await;
    let given = hub.publish("topic=secret&data=hidden&private=on").await;
    let chosen = hub.publish("topic=secret&data=hidden&private=on&id=urn:chosen").await;
    hub.publish("topic=a&data=after").await;
    Way::each(async |way| {
        for id in [&given, &chosen] {
            let mut stream = way.subscribe(&hub, &format!("topic=*&lastEventID={}", encoded(id))).await;
            assert_eq!((begins_after(&stream), stream.header("ssekit-reset")), (Some(&**id), None));
            assert_eq!(stream.data().await, "after");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn line_93_an_empty_last_event_id_is_answered_with_the_newest_and_nothing_is_replayed() {
    Way::each(async |way| {
        let hub = TestHub::usual().await;
        let empty = way.subscribe(&hub, "topic=a&lastEventID=").await;
        assert_eq!(begins_after(&empty), Some("earliest"), "of an empty history");
        publish(&hub, "a", 3).await;
        let by_header = Request::get(format!("{HUB}?topic=a")).with("last-event-id", "");
        for request in [Request::get(format!("{HUB}?topic=a&lastEventID=")), by_header] {
            let mut stream = way.open(&hub, &request).await;
            let cursor = begins_after(&stream).expect("a place").to_owned();
            hub.publish("topic=a&data=live").await;
            assert_eq!(stream.data().await, "live");
            assert_eq!(stream.header("ssekit-reset"), None);
            // From the position that it names, there is nothing else to read.
            let mut again = way.subscribe(&hub, &format!("topic=a&lastEventID={}", encoded(&cursor))).await;
            assert_eq!(again.data().await, "live");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_history_is_replayed_to_many_within_a_small_budget_of_memory() {
    let hub =
        TestHub::start(|setup| (setup.fanout.window, setup.fanout.pending_memory) = (64 << 10, 1)).await;
    let filler = "x".repeat(2000);
    for part in 0..4 {
        let line = |n: usize| {
            let topic = if n % 100 == 7 { "rare" } else { "often" };
            format!("{{\"topic\": \"{topic}\", \"data\": \"{n} {filler}\"}}\n")
        };
        let lines: String = (part * 400..(part + 1) * 400).map(line).collect();
        let answer = hub.ask(&publication(&lines).with("content-type", "application/x-ndjson")).await;
        assert_eq!(answer.status, 200);
    }
    let number = |data: &str| data.split(' ').next().unwrap().parse::<usize>().unwrap();
    Way::each(async |way| {
        let mut streams = Vec::new();
        for _ in 0..3 {
            streams.push(way.subscribe(&hub, "topic=rare&topic=often&lastEventID=earliest").await);
        }
        let mut rare = way.subscribe(&hub, "topic=rare&lastEventID=earliest").await;
        let seldom = async {
            for n in (7..1600).step_by(100) {
                assert_eq!(number(&rare.data().await), n);
            }
        };
        // All at the same time: one that does not read keeps its part of the budget from the others until it
        // stalls.
        let often = join_all(streams.iter_mut().map(async |stream| {
            for n in 0..1600 {
                assert_eq!(number(&stream.data().await), n);
            }
        }));
        tokio::join!(seldom, often);
    })
    .await;
}

/// A late subscriber does not get an update that a newer one of its topic has replaced, even while the update
/// is still in memory for others.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_the_whole_history_has_all_kept_events() {
    for window in [1, 4 << 20] {
        let hub = TestHub::start(|setup| {
            setup.fanout.window = window;
            setup.keep = Keep { last_per_topic: Some(1), ..Keep::ALL };
        })
        .await;
        for (topic, data) in [("a", "old"), ("b", "other"), ("a", "older"), ("a", "newest")] {
            hub.publish(&format!("topic={topic}&data={data}")).await;
        }
        Way::each(async |way| {
            for after in ["earliest", "never-published"] {
                let query = format!("topic=a&topic=b&topic={way:?}{after}&lastEventID={after}");
                let mut stream = way.subscribe(&hub, &query).await;
                hub.publish(&format!("topic={way:?}{after}&data=live")).await;
                let got = stream.until("live").await;
                let data: Vec<_> =
                    got.iter().filter(|got| got.name != "reset").map(|got| &*got.data).collect();
                assert_eq!(data, ["other", "newest"], "after {after}");
            }
        })
        .await;
    }
}

/// Subscribers that write the name as scripts do used to lose the missed updates silently.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_id_is_read_however_its_parameter_is_written() {
    let hub = TestHub::usual().await;
    let first = hub.publish("topic=a&data=1").await;
    hub.publish("topic=a&data=2").await;
    Way::each(async |way| {
        for name in ["lastEventID", "lastEventId", "last-event-id", "last_event_id", "LastEventID"] {
            let mut stream = way.subscribe(&hub, &format!("topic=a&{name}={}", encoded(&first))).await;
            assert_eq!(stream.data().await, "2", "{name} by {way:?}");
        }
    })
    .await;
}
