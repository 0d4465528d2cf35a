//! Case 104: how the end of a client is noticed.

use std::time::Duration;

use ssekit_server::{EmitError, StopReason, produce};
use tokio::sync::mpsc;

use crate::support::{Client, Server, Stream, dropped, reporting, within};

/// No pings: that the connection has gone is noticed without writing to it.
#[tokio::test]
async fn case_104_the_end_of_an_idle_connection_is_noticed_at_once() {
    for server in Server::ALL {
        let mut stream = Stream::open(server, |produce| produce.no_ping()).await;
        drop(stream.client);
        assert!(matches!(within(stream.stop.recv()).await, Some(StopReason::Disconnected)));
        within(stream.emitter.closed()).await;
        assert!(matches!(stream.emitter.emit("n", ""), Err(EmitError::Closed)));
        assert!(stream.stop.try_recv().is_err());
    }
}

#[tokio::test]
async fn case_104_the_reset_of_an_idle_connection_is_noticed_at_once() {
    for server in Server::ALL {
        let mut stream = Stream::open(server, |produce| produce.no_ping()).await;
        stream.client.reset();
        assert!(matches!(within(stream.stop.recv()).await, Some(StopReason::Disconnected)));
        assert!(matches!(stream.emitter.emit("n", ""), Err(EmitError::Closed)));
    }
}

#[tokio::test]
async fn case_104_a_reset_in_the_middle_of_a_flood_is_noticed() {
    for server in Server::ALL {
        let (stopped, mut stop) = mpsc::channel(8);
        let addr = server.run(move || {
            produce(|stream| async move {
                loop {
                    stream.send(ssekit_server::Event::new("x")).await?;
                }
            })
            .on_stop(reporting(stopped.clone()))
        });
        let mut client = Client::get(addr).await;
        client.at_least(100_000).await;
        client.reset();
        assert!(matches!(within(stop.recv()).await, Some(StopReason::Disconnected)));
    }
}

#[tokio::test]
async fn case_104_the_future_of_start_is_dropped_where_it_waits() {
    let (guard, is_dropped) = dropped();
    let guard = std::sync::Mutex::new(Some(guard));
    let guard = std::sync::Arc::new(guard);
    let addr = Server::Hyper.run(move || {
        let guard = guard.lock().unwrap().take();
        produce(|stream| async move {
            let _guard = guard;
            stream.emit("n", "1")?;
            std::future::pending().await
        })
    });
    let mut client = Client::get(addr).await;
    client.chunk().await;
    drop(client);
    assert!(within(is_dropped).await.is_err());
}

#[tokio::test]
async fn case_104_a_waiting_send_fails_when_the_client_leaves() {
    let stream = Stream::open(Server::Hyper, |produce| produce.no_stall_timeout()).await;
    let emitter = stream.emitter.clone();
    let sender = tokio::spawn(async move {
        loop {
            if let Err(error) = emitter.send(ssekit_server::Event::new("x".repeat(1000))).await {
                return error;
            }
        }
    });
    // The client reads nothing: the sender comes to wait, and then the client goes.
    while !matches!(stream.emitter.emit("n", "y".repeat(1000)), Err(EmitError::Full { .. })) {
        tokio::task::yield_now().await;
    }
    drop(stream.client);
    assert!(matches!(within(sender).await.unwrap(), EmitError::Closed));
}

/// A peer that vanishes sends nothing more, not even a reset. The test cuts the loopback device of a network
/// namespace of its own; where the system allows none, it says so and looks at the socket's settings alone.
#[cfg(target_os = "linux")]
#[test]
#[expect(clippy::print_stdout, reason = "it says when it could not do all it should")]
fn case_104_a_peer_that_vanishes_is_noticed() {
    const INSIDE: &str = "SSEKIT_TEST_NAMESPACE";
    const NAME: &str = "disconnects::case_104_a_peer_that_vanishes_is_noticed";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if std::env::var_os(INSIDE).is_some() {
        return runtime.block_on(vanish());
    }
    let namespace = || {
        let mut command = std::process::Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net", "--"]);
        command
    };
    if namespace().args(["ip", "link", "set", "lo", "up"]).status().is_ok_and(|status| status.success()) {
        let mut this = namespace();
        this.arg(std::env::current_exe().unwrap()).args(["--exact", NAME, "--nocapture"]).env(INSIDE, "1");
        let output = this.output().unwrap();
        assert!(
            output.status.success() && output.stdout.windows(8).any(|text| text == b"1 passed"),
            "{output:?}"
        );
    } else {
        println!("no network namespace can be made here: only the socket's settings are checked");
        runtime.block_on(watched_socket());
    }
}

#[cfg(target_os = "linux")]
async fn vanish() {
    let ip = |args: &[&str]| assert!(std::process::Command::new("ip").args(args).status().unwrap().success());
    ip(&["link", "set", "lo", "up"]);
    for emits in [false, true] {
        let mut stream = Stream::open(Server::Watched, |produce| produce.no_ping().no_stall_timeout()).await;
        stream.emitter.emit("n", "1").unwrap();
        stream.client.chunk().await;
        ip(&["link", "set", "lo", "down"]);
        if emits {
            stream.emitter.emit("n", "nobody reads this").unwrap();
        }
        assert!(matches!(within(stream.stop.recv()).await, Some(StopReason::Disconnected)));
        ip(&["link", "set", "lo", "up"]);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn watch_peer_sets_probes_and_a_limit_for_unsent_bytes() {
    watched_socket().await;
}

#[cfg(target_os = "linux")]
async fn watched_socket() {
    let listener = crate::support::listen();
    let _client = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (socket, _) = listener.accept().await.unwrap();
    ssekit_server::watch_peer(&socket, Duration::from_secs(60)).unwrap();
    let socket = socket2::SockRef::from(&socket);
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(60)));
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(30));
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(15));
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), 2);
}
