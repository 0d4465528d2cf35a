//! HTTP/2, and the body as a plain stream of bytes.

use std::convert::Infallible;
use std::pin::pin;

use futures_core::Stream as _;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use ssekit_server::{Emitter, StopReason, produce};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::support::{listen, reporting, within};

#[tokio::test]
async fn http_2_carries_a_stream_and_reports_that_its_client_leaves() {
    let listener = listen();
    let addr = listener.local_addr().unwrap();
    let (started, mut starts) = mpsc::channel::<Emitter>(1);
    let (stopped, mut stop) = mpsc::channel(8);
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let service = service_fn(move |_| {
            let started = started.clone();
            let produce = produce(move |stream| started.try_send(stream).unwrap());
            let response = produce.no_ping().on_stop(reporting(stopped.clone())).response();
            async { Ok::<_, Infallible>(response) }
        });
        let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        http2.serve_connection(TokioIo::new(socket), service).await
    });
    let socket = TcpStream::connect(addr).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("http://localhost/").body(Empty::<Bytes>::new()).unwrap();
    let mut response = within(client.send_request(request)).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");

    let emitter = within(starts.recv()).await.unwrap();
    for n in ["1", "2"] {
        emitter.emit("n", n).unwrap();
        let frame = within(response.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), format!("event: n\ndata: {n}\n\n"));
    }
    drop(response);
    assert!(matches!(within(stop.recv()).await, Some(StopReason::Disconnected)));
    assert!(emitter.is_closed());
}

#[tokio::test]
async fn a_body_is_also_a_stream_of_bytes() {
    let body = produce(|stream| async move {
        for n in ["1", "2"] {
            stream.emit("n", n)?;
            tokio::task::yield_now().await;
        }
        Ok(())
    });
    let mut body = pin!(body.response().into_body());
    let mut chunks = Vec::new();
    while let Some(chunk) = std::future::poll_fn(|cx| body.as_mut().poll_next(cx)).await {
        chunks.push(chunk.unwrap());
    }
    assert_eq!(chunks, ["event: n\ndata: 1\n\n", "event: n\ndata: 2\n\n"]);
}
