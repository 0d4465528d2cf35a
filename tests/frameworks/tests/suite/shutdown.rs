//! Case 107: a server that shuts down while streams are open.

use std::time::{Duration, Instant};

use ssekit::{Event, Produce, StopReason, Streams, produce};
use ssekit_frameworks::{App, Client, End, Framework, Server, Stream, on_each_framework, within};
use tokio::sync::mpsc;

on_each_framework! {
    case_107_shutdown_ends_every_stream_and_then_the_server_stops
    case_107_a_handler_that_forgets_its_streams_does_not_keep_the_server_from_stopping
    case_107_a_client_that_never_reads_does_not_keep_the_server_from_stopping
}

async fn case_107_shutdown_ends_every_stream_and_then_the_server_stops<F: Framework>() {
    case_107::<F>(|produce, streams| produce.within_as(streams, 7)).await;
}

/// The streams are set once, for the whole server.
async fn case_107_a_handler_that_forgets_its_streams_does_not_keep_the_server_from_stopping<F: Framework>() {
    case_107::<F>(|produce, _| produce).await;
}

async fn case_107<F: Framework>(join: fn(Produce, &Streams) -> Produce) {
    let streams = Streams::builder().retry(Duration::from_secs(2)).build();
    let (stopped, mut stops) = mpsc::channel(64);
    let app = {
        let handler = streams.clone();
        App::new(move |_, _| {
            let stopped = stopped.clone();
            let stream = produce(|stream| move || drop(stream))
                .on_stop(move |reason| async move { stopped.try_send(reason).unwrap() });
            join(stream, &handler)
        })
        .within(&streams)
    };
    let server = Server::start::<F>(app).await;
    let address = server.address;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(Client::get(address, "/stream").await);
    }
    assert_eq!(streams.len(), 8, "each is counted once");
    let racing: Vec<_> = (0..8)
        .map(|_| tokio::spawn(async move { Client::get(address, "/stream").await.rest().await }))
        .collect();
    tokio::task::yield_now().await;

    let begin = Instant::now();
    streams.shutdown();
    for client in &mut clients {
        goodbye(client.rest().await);
    }
    // The promise is a tenth of it, on a machine that does nothing else.
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    for client in racing {
        goodbye(client.await.unwrap());
    }
    goodbye(Client::get(address, "/late").await.rest().await);
    within(streams.ended()).await;
    drop(clients);
    server.stop().await;

    let mut count = 0;
    while let Ok(reason) = stops.try_recv() {
        assert!(matches!(reason, StopReason::Shutdown), "{reason:?}");
        count += 1;
    }
    assert_eq!(count, 17);
}

/// Clients get times to come back, and not all at once.
#[track_caller]
fn goodbye((rest, end): (String, End)) {
    let retry = rest.strip_prefix("retry: ").and_then(|rest| rest.trim_end().parse::<u64>().ok());
    assert!(end == End::Complete && retry.is_some_and(|retry| (1_000..=3_000).contains(&retry)), "{rest:?}");
}

async fn case_107_a_client_that_never_reads_does_not_keep_the_server_from_stopping<F: Framework>() {
    let streams = Streams::new();
    let mut stream = {
        let streams = streams.clone();
        Stream::open::<F>(move |produce| produce.within(&streams)).await
    };
    // Until nothing moves any more.
    let send = || stream.emitter.send(Event::new("x".repeat(1000)));
    while let Ok(sent) = tokio::time::timeout(Duration::from_millis(300), send()).await {
        sent.unwrap();
    }
    streams.shutdown();
    stream.server.stop().await;
    within(streams.ended()).await;
    assert!(within(stream.stops.recv()).await.is_some());
    assert!(stream.stops.try_recv().is_err(), "on_stop ran twice");
}
