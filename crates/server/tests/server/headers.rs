//! The response's head.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use http::StatusCode;
use ssekit_server::{HeaderError, StopReason, produce};
use tokio::sync::mpsc;

use crate::support::{Client, Server, quiet, reporting, within};

#[tokio::test]
async fn case_102_headers_are_exact_and_come_before_the_first_event() {
    for server in Server::ALL {
        let client = Client::get(server.run(quiet)).await;
        assert!(client.head.starts_with("HTTP/1.1 200 OK\r\n"), "{server:?}: {}", client.head);
        assert_eq!(client.header("content-type"), ["text/event-stream"]);
        assert_eq!(client.header("cache-control"), ["no-store, no-transform"]);
        assert_eq!(client.header("x-accel-buffering"), ["no"]);
        assert_eq!(client.header("connection"), [""; 0]);
        assert_eq!(client.header("content-length"), [""; 0]);
        assert_eq!(client.header("transfer-encoding"), ["chunked"]);
    }
}

#[tokio::test]
async fn the_callers_headers_and_status_win() {
    let server = Server::Axum.run(|| {
        quiet()
            .status(StatusCode::ACCEPTED)
            .header("X-Request-Id", "7")
            .header("Content-Type", "text/event-stream; charset=utf-8")
            .header("CACHE-CONTROL", String::from("no-cache"))
    });
    let client = Client::get(server).await;
    assert!(client.head.starts_with("HTTP/1.1 202 Accepted\r\n"));
    assert_eq!(client.header("x-request-id"), ["7"]);
    assert_eq!(client.header("content-type"), ["text/event-stream; charset=utf-8"]);
    assert_eq!(client.header("cache-control"), ["no-cache"]);
}

#[tokio::test]
async fn a_header_with_a_newline_is_answered_with_500_and_start_never_runs() {
    for server in Server::ALL {
        let started = Arc::new(AtomicBool::new(false));
        let (stopped, mut stop) = mpsc::channel(8);
        let addr = server.run({
            let started = started.clone();
            move || {
                let started = started.clone();
                produce(move |_| started.store(true, SeqCst))
                    .header("x-name", "Ann\r\nset-cookie: admin=1")
                    .on_stop(reporting(stopped.clone()))
            }
        });
        let client = Client::get(addr).await;
        assert!(client.head.starts_with("HTTP/1.1 500 "), "{}", client.head);
        assert!(!client.head.contains("admin"), "{}", client.head);
        match within(stop.recv()).await {
            Some(StopReason::Failed(error)) => {
                assert!(error.downcast_ref::<HeaderError>().is_some());
                assert!(error.to_string().contains("x-name"), "{error}");
            }
            reason => panic!("{reason:?}"),
        }
        assert!(!started.load(SeqCst));
        assert!(stop.try_recv().is_err());
    }
}

#[test]
fn headers_that_are_not_accepted_are_named() {
    let name = || http::HeaderName::from_static("x-a");
    let refused = [
        (quiet().header("x a", "1"), HeaderError::Name),
        (quiet().header("x-a", "1\n2").header("x-b", "2"), HeaderError::Value { name: name() }),
        (
            quiet().header("Connection", "keep-alive"),
            HeaderError::OfTheConnection { name: http::header::CONNECTION },
        ),
        (
            quiet().header("content-length", "5"),
            HeaderError::OfTheConnection { name: http::header::CONTENT_LENGTH },
        ),
    ];
    for (produce, error) in refused {
        assert_eq!(produce.try_response().unwrap_err(), error);
    }
}
