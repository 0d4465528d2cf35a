//! Ends of streams: tokens that expire, maximum lifetimes, and the shutdown of the hub.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use ssekit_log::{DurableLog, DurableOptions, Log, OpenError};

use crate::client::{Connection, Request};
use crate::setup::{HUB, Setup, TestHub, claims, encoded, publication, sign, unix_now, within};
use crate::stream::Way;

#[tokio::test(flavor = "multi_thread")]
async fn line_81_a_stream_ends_no_later_than_its_token() {
    let hub = TestHub::usual().await;
    let publisher = async {
        let mut connection = Connection::open(hub.addr).await;
        let from = unix_now();
        while unix_now() < from + 4.0 {
            let form = format!("topic=a&private=on&data={}", unix_now());
            assert_eq!(connection.ask(&publication(&form)).await.status, 200);
        }
    };
    let readers = Way::each(async |way| {
        let mut streams = Vec::new();
        for carrier in ["header", "query", "cookie"] {
            let mut claims = claims(&[], &["a"]);
            let exp = unix_now() as u64 + 2;
            claims.exp = Some(exp);
            let token = sign(&claims);
            let get = Request::get(format!("{HUB}?topic=a"));
            let request = match carrier {
                "header" => get.bearer(&token),
                "query" => Request::get(format!("{HUB}?topic=a&authorization={token}")),
                _ => get.with("cookie", &format!("mercureAuthorization={token}")),
            };
            streams.push((way.open(&hub, &request).await, request, exp as f64));
        }
        join_all(streams.into_iter().map(async |(mut stream, request, exp)| {
            let got = stream.rest().await;
            let ended = unix_now();
            assert!((exp - 0.5..exp + 1.0).contains(&ended), "it ended {} s after exp", ended - exp);
            assert!(!stream.is_cut());
            assert!(!got.is_empty(), "it was granted until then");
            for got in got {
                let published: f64 = got.data.parse().unwrap();
                assert!(
                    published <= exp,
                    "something published {} s after exp was delivered",
                    published - exp
                );
            }
            // After its last second, the token is refused.
            if ended >= exp {
                assert_eq!(way.ask(&hub, &request).await.status, 401);
            }
        }))
        .await;
    });
    tokio::join!(publisher, readers);
    hub.until_figure("ssekit_subscriptions_ended_total{reason=\"expired\"}", 9).await;
}

/// Streams end at the ticks of a clock, and a token may end before the first tick.
#[tokio::test(flavor = "multi_thread")]
async fn line_81_a_token_that_is_about_to_end_delivers_nothing_later() {
    let hub = TestHub::usual().await;
    let over = AtomicBool::new(false);
    let publisher = async {
        let mut connection = Connection::open(hub.addr).await;
        while !over.load(Ordering::Relaxed) {
            let form = format!("topic=a&private=on&data={}", unix_now());
            assert_eq!(connection.ask(&publication(&form)).await.status, 200);
        }
    };
    let readers = async {
        for left in [0.03, 0.1, 0.17, 0.24, 0.31, 0.4] {
            Way::each(async |way| {
                let exp = (unix_now() + left).ceil();
                let mut claims = claims(&[], &["a"]);
                claims.exp = Some(exp as u64);
                let get = Request::get(format!("{HUB}?topic=a")).bearer(&sign(&claims));
                tokio::time::sleep(Duration::from_secs_f64((exp - left - unix_now()).max(0.0))).await;
                let answer = way.ask(&hub, &get).await;
                if answer.status != 200 {
                    assert_eq!(answer.status, 401, "{}", answer.body);
                    return;
                }
                let delivered = answer.body.lines().filter_map(|line| line.strip_prefix("data: "));
                for published in delivered.map(|data| data.parse::<f64>().unwrap()) {
                    assert!(published <= exp, "{} s after its end, with {left} s left", published - exp);
                }
            })
            .await;
        }
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(publisher, readers);
}

#[tokio::test(flavor = "multi_thread")]
async fn line_82_every_stream_ends_after_the_longest_life() {
    let life = Duration::from_millis(600);
    let hub = TestHub::start(|setup| setup.max_lifetime = Some(life)).await;
    Way::each(async |way| {
        let asked = Instant::now();
        let mut stream = way.subscribe(&hub, "topic=a").await;
        let began = Instant::now();
        assert_eq!(stream.rest().await, []);
        assert!(asked.elapsed() >= life - Duration::from_millis(150), "{:?}", asked.elapsed());
        assert!(began.elapsed() < life + Duration::from_secs(2), "{:?}", began.elapsed());
        assert!(!stream.is_cut());
        assert!(stream.retry().await >= Duration::from_secs(1), "it was told when to come back");
    })
    .await;
    hub.until_figure("ssekit_subscriptions_ended_total{reason=\"expired\"}", 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_shutdown_streams_end_one_after_the_other_with_a_reconnection_time() {
    let mut hub = TestHub::usual().await;
    let mut streams = Vec::new();
    for way in Way::ALL {
        for _ in 0..12 {
            streams.push(way.subscribe(&hub, "topic=a").await);
        }
    }
    for stream in &mut streams {
        stream.retry().await;
        stream.bytes = Some(Vec::new());
    }
    let mut kept = [Connection::open(hub.addr).await, Connection::open(hub.addr).await];
    for connection in &mut kept {
        assert_eq!(connection.ask(&Request::get("/readyz")).await.status, 200);
    }
    let over = Duration::from_millis(1200);
    let ended = async {
        join_all(streams.iter_mut().map(async |stream| {
            assert_eq!(stream.rest().await, []);
            assert!(!stream.is_cut());
            let text = String::from_utf8(stream.bytes.take().unwrap()).unwrap();
            assert!(text.starts_with("retry: ") && text.ends_with("\n\n"), "{text:?}");
            (Instant::now(), stream.retry().await)
        }))
        .await
    };
    let latecomers = async {
        let [publisher, subscriber] = &mut kept;
        within("the end's beginning", async {
            while publisher.ask(&Request::get("/readyz")).await.status == 200 {}
        })
        .await;
        let refused = publisher.ask(&publication("topic=a&data=late")).await;
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{}", refused.body);
        // Browsers give up on any status but 200.
        let answer = subscriber.ask(&Request::get(format!("{HUB}?topic=a"))).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
        assert!(answer.body.starts_with("retry: ") && answer.body.ends_with("\n\n"), "{:?}", answer.body);
    };
    let begun = Instant::now();
    let (ended, (), ()) = tokio::join!(ended, latecomers, hub.end(over));
    let took = |at: &Instant| at.duration_since(begun);
    let first = ended.iter().map(|(at, _)| took(at)).min().unwrap();
    let last = ended.iter().map(|(at, _)| took(at)).max().unwrap();
    assert!(last - first > over / 2, "paced: from {first:?} to {last:?}");
    assert!(last < over + Duration::from_secs(2), "{last:?}");
    let times: std::collections::HashSet<_> = ended.iter().map(|(_, retry)| *retry).collect();
    assert!(times.len() > 10, "they would come back together: {times:?}");
    for retry in times {
        assert!((1000..=2000).contains(&retry.as_millis()), "{retry:?}");
    }
    assert_eq!(hub.history().await, [], "what was refused was not published");
}

/// Opens the log in a folder, once the previous hub has closed it.
async fn open(folder: &Path) -> Arc<dyn Log> {
    within("the log's folder", async {
        loop {
            match DurableLog::open(folder, DurableOptions::default()).await {
                Ok(log) => return Arc::new(log),
                Err(OpenError::InUse(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_over_a_durable_log_loses_nothing_and_repeats_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("data");
    let mut readers: Vec<(Way, Vec<String>)> = Vec::new();
    for way in Way::ALL {
        readers.extend([(way, Vec::new()), (way, Vec::new())]);
    }
    let mut published = Vec::new();
    for hub_number in 0..3 {
        let mut hub = TestHub::over(open(&folder).await, Setup::default()).await;
        let mut streams = Vec::new();
        for (way, ids) in &readers {
            let mut request = Request::get(format!("{HUB}?topic=a"));
            if let Some(last) = ids.last() {
                request = request.with("last-event-id", last);
            }
            streams.push(way.open(&hub, &request).await);
        }
        // Publishes until the hub begins to shut down, and a little longer.
        let mut connection = Connection::open(hub.addr).await;
        let mut ids = Vec::new();
        let publish = async {
            for number in 0.. {
                let own =
                    if number % 3 == 0 { format!("&id=own-{hub_number}-{number}") } else { String::new() };
                let answer = connection.ask(&publication(&format!("topic=a&data={number}{own}"))).await;
                match answer.status {
                    200 => ids.push(answer.body),
                    503 => return,
                    status => panic!("{status}: {}", answer.body),
                }
            }
        };
        let read = join_all(streams.iter_mut().map(async |stream| {
            let got = stream.rest().await;
            got.into_iter().map(|got| got.id).collect::<Vec<_>>()
        }));
        let end = async {
            // One subscriber has received events, so the shutdown does not come before the start.
            let mut one = Way::Socket.subscribe(&hub, "topic=a&lastEventID=earliest").await;
            one.datas(100).await;
            hub.end(Duration::from_millis(300)).await;
        };
        let ((), got, ()) = tokio::join!(publish, read, end);
        for ((_, ids), got) in readers.iter_mut().zip(got) {
            assert_eq!(got.iter().find(|id| ids.contains(id)), None, "repeated");
            ids.extend(got);
        }
        published.append(&mut ids);
        assert_eq!(hub.history().await.into_iter().map(|(id, _)| id).collect::<Vec<_>>(), published);
        hub.log.close().await.unwrap();
    }
    // The last hub, which does not end a stream before it has sent everything.
    let hub = TestHub::over(open(&folder).await, Setup::default()).await;
    hub.publish("topic=a&data=end").await;
    for (way, mut ids) in readers {
        let after = encoded(ids.last().unwrap());
        let mut stream = way.subscribe(&hub, &format!("topic=a&lastEventID={after}")).await;
        assert_eq!(stream.header("ssekit-reset"), None);
        ids.extend(stream.until("end").await.into_iter().map(|got| got.id));
        assert!(ids == published, "{way:?}: {} events of {}", ids.len(), published.len());
    }
}
