//! Case 104: how the end of a client is noticed, which differs:
//! [`Known::departure`](ssekit_frameworks::Known).

use std::time::Duration;

use ssekit::{EmitError, Event, Produce, StopReason, produce};
use ssekit_frameworks::{App, Client, Departure, Framework, Server, Stream, on_each_framework, within};
use tokio::sync::{mpsc, oneshot};

on_each_framework! {
    case_104_the_end_of_an_idle_client_is_noticed
    case_104_the_reset_of_an_idle_client_is_noticed
    case_104_a_reset_in_the_middle_of_a_flood_is_noticed
    case_104_the_future_of_start_is_dropped_where_it_waits
}

const PING: Duration = Duration::from_millis(50);

/// Pings where they are needed, and nowhere else.
fn pings(needed: bool) -> impl Fn(Produce) -> Produce + Clone + Send + Sync + 'static {
    move |produce| match needed {
        true => produce.ping(PING),
        false => produce.no_ping(),
    }
}

async fn case_104_the_end_of_an_idle_client_is_noticed<F: Framework>() {
    let mut stream = Stream::open::<F>(pings(F::KNOWN.departure != Departure::AtOnce)).await;
    drop(stream.client);
    assert!(matches!(within(stream.stops.recv()).await, Some(StopReason::Disconnected)));
    within(stream.emitter.closed()).await;
    assert!(matches!(stream.emitter.emit("n", ""), Err(EmitError::Closed)));
    stream.server.stop().await;
    assert!(stream.stops.try_recv().is_err(), "on_stop ran twice");
}

async fn case_104_the_reset_of_an_idle_client_is_noticed<F: Framework>() {
    let mut stream = Stream::open::<F>(pings(F::KNOWN.departure == Departure::AtNextWrite)).await;
    stream.client.reset();
    assert!(matches!(within(stream.stops.recv()).await, Some(StopReason::Disconnected)));
    assert!(matches!(stream.emitter.emit("n", ""), Err(EmitError::Closed)));
    stream.server.stop().await;
    assert!(stream.stops.try_recv().is_err(), "on_stop ran twice");
}

async fn case_104_a_reset_in_the_middle_of_a_flood_is_noticed<F: Framework>() {
    let (stopped, mut stops) = mpsc::channel(8);
    let server = Server::start::<F>(App::new(move |_, _| {
        let stopped = stopped.clone();
        produce(|stream| async move {
            loop {
                stream.send(Event::new("x")).await?;
            }
        })
        .on_stop(move |reason| async move { stopped.try_send(reason).unwrap() })
    }))
    .await;
    let mut client = Client::get(server.address, "/flood").await;
    for _ in 0..5_000 {
        client.expect("event: message\ndata: x\n\n").await;
    }
    client.reset();
    assert!(matches!(within(stops.recv()).await, Some(StopReason::Disconnected)));
    server.stop().await;
    assert!(stops.try_recv().is_err(), "on_stop ran twice");
}

async fn case_104_the_future_of_start_is_dropped_where_it_waits<F: Framework>() {
    let (guards, mut dropped) = mpsc::channel::<oneshot::Receiver<()>>(8);
    let server = Server::start::<F>(App::new(move |_, _| {
        let (guard, is_dropped) = oneshot::channel::<()>();
        guards.try_send(is_dropped).unwrap();
        produce(|stream| async move {
            let _guard = guard;
            stream.emit("n", "1")?;
            std::future::pending().await
        })
        .ping(PING)
    }))
    .await;
    let mut client = Client::get(server.address, "/waits").await;
    client.expect("event: n\ndata: 1\n\n").await;
    drop(client);
    let is_dropped = within(dropped.recv()).await.unwrap();
    assert!(within(is_dropped).await.is_err());
}
