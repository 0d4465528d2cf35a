//! Case 108: clients that do not read. How they are found differs:
//! [`Known::stall`](ssekit_frameworks::Known).

use std::time::Duration;

use ssekit::{EmitError, Event, StopReason, produce};
use ssekit_frameworks::{App, Client, End, Framework, Server, Stall, Stream, on_each_framework, within};
use tokio::sync::mpsc;

on_each_framework! {
    case_108_a_client_that_never_reads_costs_bounded_memory_and_delays_nobody
    case_104_a_client_that_never_reads_is_disconnected
    a_client_that_reads_again_gets_everything
}

async fn case_108_a_client_that_never_reads_costs_bounded_memory_and_delays_nobody<F: Framework>() {
    let (started, mut starts) = mpsc::channel(8);
    let server = Server::start::<F>(App::new(move |_, _| {
        let started = started.clone();
        produce(move |stream| started.try_send(stream).unwrap())
    }))
    .await;
    let _slow = Client::get(server.address, "/slow").await;
    let slow = within(starts.recv()).await.unwrap();
    let mut quick = Client::get(server.address, "/quick").await;
    let emitter = within(starts.recv()).await.unwrap();
    let mut taken = 0;
    let mut refused = 0;
    for n in 0..50 {
        // A megabyte for the slow one each time.
        for _ in 0..1000 {
            match slow.emit("n", "x".repeat(1000)) {
                Ok(()) => taken += 1020,
                Err(EmitError::Full { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        emitter.emit("n", n.to_string()).unwrap();
        quick.expect(&format!("event: n\ndata: {n}\n\n")).await;
    }
    // The stream's buffers, the framework's and the system's, which are large where a framework makes its own
    // listener.
    assert!(taken < 8 << 20, "{taken} bytes were taken");
    assert!(refused > 40_000, "{refused}");
}

async fn case_104_a_client_that_never_reads_is_disconnected<F: Framework>() {
    let flood = |stall| {
        let (stopped, stops) = mpsc::channel(8);
        let app = App::new(move |_, _| {
            let stopped = stopped.clone();
            produce(|stream| async move {
                loop {
                    stream.send(Event::new("x".repeat(1000))).await?;
                }
            })
            .stall_timeout(stall)
            .on_stop(move |reason| async move { stopped.try_send(reason).unwrap() })
        });
        (app, stops)
    };
    match F::KNOWN.stall {
        Stall::StallTimeout => {
            let (app, mut stops) = flood(Duration::from_millis(500));
            let server = Server::start::<F>(app).await;
            let mut client = Client::get(server.address, "/flood").await;
            assert!(matches!(within(stops.recv()).await, Some(StopReason::Stalled { .. })));
            assert_eq!(client.rest().await.1, F::KNOWN.failure);
        }
        Stall::WatchPeer(_) => {
            let (app, mut stops) = flood(Duration::from_millis(500));
            let server = Server::start::<F>(app).await;
            let mut client = Client::get(server.address, "/flood").await;
            assert!(matches!(within(stops.recv()).await, Some(StopReason::Disconnected)));
            assert_eq!(client.rest().await.1, End::Cut);
        }
        // It goes by itself.
        Stall::Never => {
            let (app, mut stops) = flood(Duration::from_millis(500));
            let server = Server::start::<F>(app).await;
            let client = Client::get(server.address, "/flood").await;
            client.reset();
            assert!(matches!(within(stops.recv()).await, Some(StopReason::Disconnected)));
        }
    }
}

async fn a_client_that_reads_again_gets_everything<F: Framework>() {
    let mut stream = Stream::open::<F>(|produce| produce.ids_from(0)).await;
    let mut taken = 0;
    while stream.emitter.emit("n", "x".repeat(1000)).is_ok() {
        taken += 1;
        tokio::task::yield_now().await;
    }
    let lock = stream.emitter.lock();
    let sender = tokio::spawn(async move {
        for _ in 0..1000 {
            stream.emitter.send(Event::new("y".repeat(1000))).await.unwrap();
        }
        lock.set(false);
    });
    let (text, end) = within(stream.client.rest()).await;
    within(sender).await.unwrap();
    let ids: Vec<usize> = text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect();
    assert_eq!(ids, (0..taken + 1000).collect::<Vec<_>>());
    assert_eq!(end, End::Complete);
}
