//! Runs: a producer lives as long as it needs, whatever its viewers do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ssekit_server::testing::{Received, events};
use ssekit_server::{EmitError, Event, LastEventId, Produce, RunId, RunLimit, RunState, Runs, SseBody};
use tokio::sync::{Notify, oneshot};

use crate::support::within;

fn id(text: &str) -> RunId {
    text.parse().unwrap()
}

/// The names and data of all events of a response that ends.
async fn all(response: http::Response<SseBody>) -> Vec<(String, String)> {
    let events = within(events(response).rest()).await.unwrap();
    events.into_iter().map(|Received { event, data, .. }| (event, data)).collect()
}

async fn read(produce: Produce) -> Vec<(String, String)> {
    all(produce.response()).await
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(event, data)| ((*event).to_owned(), (*data).to_owned())).collect()
}

const FINISHED: (&str, &str) = ("end", "{\"status\":\"finished\"}");

#[tokio::test]
async fn every_viewer_reads_the_whole_run_whenever_it_comes() {
    let runs = Runs::new();
    let go_on = Arc::new(Notify::new());
    let gate = Arc::clone(&go_on);
    let run = runs.start(id("a"), |out| async move {
        out.emit("token", "one")?;
        gate.notified().await;
        out.emit("token", "two")?;
        Ok(())
    });
    let run = run.unwrap();
    let expected = pairs(&[("token", "one"), ("token", "two"), FINISHED]);
    // The first viewer leaves in the middle.
    let mut first = events(run.follow(LastEventId::default()).response());
    let seen = within(first.next()).await.unwrap().unwrap();
    assert_eq!(seen.data, "one");
    drop(first);
    let during = runs.follow("a", LastEventId::default()).response();
    go_on.notify_one();
    assert_eq!(all(during).await, expected);
    assert_eq!(read(runs.follow("a", LastEventId::default())).await, expected);
    // A viewer that returns gets the rest, and then 204.
    let rest = events(runs.follow("a", LastEventId::new(seen.last_event_id).unwrap()).response());
    let rest = within(rest.rest()).await.unwrap();
    assert_eq!(rest.iter().map(|event| event.data.as_str()).collect::<Vec<_>>(), ["two", FINISHED.1]);
    let last = LastEventId::new(rest[1].last_event_id.clone()).unwrap();
    assert_eq!(runs.follow("a", last).response().status(), 204);
    assert_eq!(runs.follow("b", LastEventId::default()).response().status(), 404);
    let status = runs.status("a").unwrap();
    assert_eq!((status.state, status.events, status.bytes), (RunState::Finished, 2, 16));
    assert!(status.ended.unwrap() >= status.started);
}

#[tokio::test]
async fn a_run_that_is_started_again_runs_once() {
    let runs = Runs::new();
    let starts = Arc::new(AtomicUsize::new(0));
    for _ in 0..3 {
        let starts = Arc::clone(&starts);
        let run = runs.start(id("a"), |out| async move {
            starts.fetch_add(1, Ordering::SeqCst);
            out.emit("token", "x").map(drop).map_err(Into::into)
        });
        assert_eq!(
            read(run.unwrap().follow(LastEventId::default())).await,
            pairs(&[("token", "x"), FINISHED])
        );
    }
    assert_eq!(starts.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_end_states_the_error_of_the_producer_and_its_panic() {
    let runs = Runs::builder().end_event("done").build();
    let failed =
        runs.start(id("failed"), |_| async { Err(ssekit_server::Error::new("no \"model\"")) }).unwrap();
    let expected = "{\"status\":\"failed\",\"reason\":\"no \\\"model\\\"\"}";
    assert_eq!(read(failed.follow(LastEventId::default())).await, pairs(&[("done", expected)]));
    for (name, early) in [("early", true), ("late", false)] {
        let run = runs.start(id(name), move |_| {
            assert!(!early, "on purpose");
            async { panic!("on purpose") }
        });
        let expected = "{\"status\":\"failed\",\"reason\":\"panicked: on purpose\"}";
        let run = run.unwrap();
        assert_eq!(read(run.follow(LastEventId::default())).await, pairs(&[("done", expected)]));
        assert_eq!(run.status().state, RunState::Failed { reason: "panicked: on purpose".to_owned() });
    }
}

/// Tells when it is dropped.
struct Dropped(Option<oneshot::Sender<()>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        if let Some(dropped) = self.0.take() {
            let _ = dropped.send(());
        }
    }
}

#[tokio::test]
async fn cancelling_drops_the_future_and_tells_the_viewers() {
    let runs = Runs::new();
    let (sender, dropped) = oneshot::channel();
    let guard = Dropped(Some(sender));
    let run = runs.start(id("a"), |out| async move {
        let _guard = guard;
        out.emit("token", "one")?;
        std::future::pending().await
    });
    let mut viewer = events(run.unwrap().follow(LastEventId::default()).response());
    assert_eq!(within(viewer.next()).await.unwrap().unwrap().data, "one");
    assert!(runs.cancel("a"));
    within(dropped).await.unwrap();
    let rest = within(viewer.rest()).await.unwrap();
    assert_eq!(rest[0].data, "{\"status\":\"cancelled\"}");
    assert!(!runs.cancel("a"));
    assert!(!runs.cancel("b"));
}

#[tokio::test(start_paused = true)]
async fn runs_end_that_are_idle_or_unwatched_for_too_long() {
    let runs = Runs::builder().idle_timeout(Duration::from_secs(10)).build();
    let run = runs.start(id("idle"), |out| async move {
        out.emit("token", "one")?;
        std::future::pending().await
    });
    let events_of = read(run.unwrap().follow(LastEventId::default())).await;
    assert_eq!(events_of[1].1, "{\"status\":\"failed\",\"reason\":\"no event was emitted for 10s\"}");

    let runs = Runs::builder().cancel_unwatched_after(Duration::from_secs(10)).build();
    let run = runs.start(id("unwatched"), |_| std::future::pending()).unwrap();
    let viewer = events(run.follow(LastEventId::default()).response());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(run.status().state, RunState::Running);
    drop(viewer);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(run.status().state, RunState::Running);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(run.status().state, RunState::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn limits_are_errors_and_ended_runs_make_room() {
    let runs = Runs::builder().max_runs(2).max_events(3).max_bytes(20).max_total_bytes(30);
    let runs = runs.keep_finished(Duration::from_secs(60)).build();
    let full = |emitted: Result<_, EmitError>| matches!(emitted, Err(EmitError::RunFull { .. }));
    let run = runs.start(id("bytes"), move |out| async move {
        out.emit("token", "0123456789")?;
        assert!(full(out.emit("token", "0123456789")));
        out.try_send(Event::new("1"))?;
        out.try_send(Event::new("2"))?;
        assert!(full(out.try_send(Event::new("3"))), "three events");
        Ok(())
    });
    assert_eq!(read(run.unwrap().follow(LastEventId::default())).await.len(), 4);
    let run = runs.start(id("total"), move |out| async move {
        out.emit("token", "0123456")?;
        assert!(full(out.emit("", "0123456")), "all runs");
        Ok(())
    });
    assert_eq!(read(run.unwrap().follow(LastEventId::default())).await.len(), 2);
    // The oldest ended run makes room, and its bytes are free.
    let run = runs.start(id("third"), |out| async move {
        out.emit("token", "0123456")?;
        std::future::pending().await
    });
    run.unwrap();
    assert!(runs.get("bytes").is_none());
    assert!(runs.get("total").is_some());
    runs.start(id("fourth"), |_| std::future::pending()).unwrap();
    let refused = runs.start(id("fifth"), |_| std::future::pending());
    assert_eq!(refused.unwrap_err(), RunLimit { limit: 2 });
    assert!(runs.cancel("fourth"));
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert!(runs.get("fourth").is_some());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(runs.get("fourth").is_none());
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_producers_and_interrupts_the_others() {
    let runs = Runs::new();
    let short = runs.start(id("short"), |_| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    });
    let long = runs.start(id("long"), |_| std::future::pending()).unwrap();
    within(runs.shutdown(Duration::from_secs(5))).await;
    assert_eq!(short.unwrap().status().state, RunState::Finished);
    assert_eq!(long.status().state, RunState::Interrupted);
    assert_eq!(read(long.follow(LastEventId::default())).await[0].1, "{\"status\":\"interrupted\"}");
    within(runs.shutdown(Duration::ZERO)).await;
}

#[test]
fn run_ids_differ_and_need_no_encoding_in_a_path() {
    assert_ne!(RunId::random(), RunId::random());
    for invalid in ["", "a b", "a/b", "ü", &"x".repeat(129)] {
        assert!(invalid.parse::<RunId>().is_err(), "{invalid}");
    }
}
